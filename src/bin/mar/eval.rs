//! `mar eval`: the loss of text under a model, and what its spikes did.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use mar::chat::{ChatFormat, Message, Role};
use mar::config::Site;
use mar::energy::Ledger;
use mar::math::nats;
use mar::session::Session;
use pollster::block_on;
use serde::Deserialize;
use serde_json::json;

use crate::Failure;
use crate::load::ModelArguments;

/// `mar eval`
#[derive(Debug, Args)]
pub struct Eval {
    #[command(flatten)]
    model: ModelArguments,
    /// JSON lines: {"messages": [{"role": …, "content": …}, …]} or {"text": …}
    file: PathBuf,
    /// Look at the so many first records only
    #[arg(long)]
    records: Option<usize>,
    /// Tokens of a record that count; the rest is cut off
    #[arg(long, default_value_t = 512)]
    max_tokens: usize,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Record {
    Chat { messages: Vec<Message> },
    Text { text: String },
}

#[derive(Default)]
struct Sums {
    loss: f64,
    tokens: u64,
    assistant_loss: f64,
    assistant_tokens: u64,
    bytes: f64,
}

impl Eval {
    /// Prints the figures.
    pub fn run(&self) -> Result<(), Failure> {
        let mut session = Session::new(self.model.load()?);
        let config = session.engine().config().clone();
        let format = self.model.chat_format(config.vocab_size)?;
        let file = File::open(&self.file).map_err(|e| format!("cannot read {}: {e}", self.file.display()))?;
        let lines: Vec<String> =
            BufReader::new(file).lines().take(self.records.unwrap_or(usize::MAX)).collect::<Result<_, _>>()?;
        let bar = ProgressBar::new(lines.len() as u64);
        if !std::io::stderr().is_terminal() {
            bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        }
        bar.set_style(ProgressStyle::with_template("evaluating {bar:30} {pos}/{len} {eta}")?);
        let (mut sums, mut ledger) = (Sums::default(), Ledger::new(&config));
        for (number, line) in lines.iter().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let record = serde_json::from_str(line)
                .map_err(|e| format!("{}, line {}: not a chat or text: {e}", self.file.display(), number + 1))?;
            self.record(&mut session, &format, &record, &mut sums, &mut ledger)?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        if sums.tokens == 0 {
            return Err(format!("{} holds no text to evaluate", self.file.display()).into());
        }
        self.print(&sums, &ledger);
        Ok(())
    }

    /// One record, from an empty state: every token but the first is predicted. Of a record that is cut, its bytes count in
    /// proportion to the tokens kept, as in the trainer (`evaluate/loss.py`).
    fn record(
        &self,
        session: &mut Session,
        format: &ChatFormat,
        record: &Record,
        sums: &mut Sums,
        ledger: &mut Ledger,
    ) -> Result<(), Failure> {
        let (mut tokens, mut replies, mut bytes) = (Vec::new(), Vec::new(), 0);
        match record {
            Record::Text { text } => {
                tokens = format.encode_text(text)?;
                replies = vec![false; tokens.len()];
                bytes = text.len();
            }
            Record::Chat { messages } => {
                // A turn's tokens begin where the chat before it ends; a reply's, after its header.
                for (index, message) in messages.iter().enumerate() {
                    let reply = message.role == Role::Assistant;
                    let header = if reply { format.encode(&messages[..index], true)?.len() } else { usize::MAX };
                    tokens = format.encode(&messages[..=index], false)?;
                    replies.extend((replies.len()..tokens.len()).map(|at| at >= header));
                    bytes += message.content.trim().len();
                }
            }
        }
        let whole = tokens.len();
        tokens.truncate(self.max_tokens);
        let vocab_size = session.engine().config().vocab_size;
        let Some(inputs) = tokens.len().checked_sub(1).filter(|&inputs| inputs > 0) else { return Ok(()) };
        sums.bytes += bytes as f64 * tokens.len() as f64 / whole as f64;
        let logits = block_on(session.evaluate(&tokens[..inputs], ledger))?;
        for (at, logits) in logits.chunks_exact(vocab_size).enumerate() {
            let loss = nats(logits, tokens[at + 1] as usize);
            sums.loss += loss;
            sums.tokens += 1;
            if replies[at + 1] {
                sums.assistant_loss += loss;
                sums.assistant_tokens += 1;
            }
        }
        Ok(())
    }

    fn print(&self, sums: &Sums, ledger: &Ledger) {
        let loss = sums.loss / sums.tokens as f64;
        let assistant = (sums.assistant_tokens > 0).then(|| sums.assistant_loss / sums.assistant_tokens as f64);
        let layers = 0..ledger.layers();
        let mean = |measure: &dyn Fn(usize, Site) -> f64| {
            Site::ALL.map(|site| layers.clone().map(|layer| measure(layer, site)).sum::<f64>() / layers.len() as f64)
        };
        let (rate, active) = (mean(&|l, s| ledger.firing_rate(l, s)), mean(&|l, s| ledger.active(l, s)));
        let bits_per_byte = sums.loss / std::f64::consts::LN_2 / sums.bytes;
        let per_token = |pj: f64| pj / ledger.tokens as f64;
        let energy = ledger.summary().energy_pj;
        if self.json {
            let report = json!({
                "loss": loss,
                "perplexity": loss.exp(),
                "tokens": sums.tokens,
                "bits_per_byte": bits_per_byte,
                "assistant_loss": assistant,
                "firing_rate": rate.iter().sum::<f64>() / 4.0,
                "firing_rate_per_site": rate,
                "active": active.iter().sum::<f64>() / 4.0,
                "active_per_site": active,
                "energy_pj_per_token": {
                    "arithmetic": per_token(energy.arithmetic),
                    "with_memory": per_token(energy.with_memory),
                    "dense_twin": per_token(energy.dense_twin),
                    "dense_twin_with_memory": per_token(energy.dense_twin_with_memory),
                    "transformer": per_token(energy.transformer),
                    "transformer_with_memory": per_token(energy.transformer_with_memory),
                },
            });
            println!("{report}");
            return;
        }
        println!("loss          {loss:.4} nats a token over {} tokens (perplexity {:.2})", sums.tokens, loss.exp());
        if let Some(assistant) = assistant {
            println!("replies only  {assistant:.4}");
        }
        println!("bits per byte {bits_per_byte:.4}");
        for (site, (rate, active)) in Site::ALL.iter().zip(rate.iter().zip(active)) {
            println!("{:<13} firing rate {rate:.3}, {:.1}% of neurons fire", site.name(), active * 100.0);
        }
        for (what, spiking, dense, transformer) in [
            ("arithmetic", energy.arithmetic, energy.dense_twin, energy.transformer),
            ("with data", energy.with_memory, energy.dense_twin_with_memory, energy.transformer_with_memory),
        ] {
            let [spiking, dense, transformer] = [spiking, dense, transformer].map(|pj| per_token(pj) * 1e-6);
            println!(
                "{what:<13} {spiking:.2} µJ a token; dense twin {dense:.2}, transformer {transformer:.2} (estimates, 45 nm)"
            );
        }
    }
}
