//! `mar eval`: the loss of text under a model, and what its spikes did.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use mar::chat::{ChatFormat, Message, Role};
use mar::config::Site;
use mar::energy::Ledger;
use mar::engine::Engine;
use mar::math::nats;
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
    bytes: u64,
}

impl Eval {
    /// Prints the figures.
    pub fn run(&self) -> Result<(), Failure> {
        let mut engine = self.model.load()?;
        let config = engine.config().clone();
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
            self.record(&mut engine, &format, &record, &mut sums, &mut ledger)?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        if sums.tokens == 0 {
            return Err(format!("{} holds no text to evaluate", self.file.display()).into());
        }
        self.print(&sums, &ledger);
        Ok(())
    }

    /// One record, from an empty state: every token but the first is predicted.
    fn record(
        &self,
        engine: &mut Engine,
        format: &ChatFormat,
        record: &Record,
        sums: &mut Sums,
        ledger: &mut Ledger,
    ) -> Result<(), Failure> {
        let (mut tokens, mut replies) = (Vec::new(), Vec::new());
        match record {
            Record::Text { text } => {
                tokens = format.encode_text(text)?;
                replies = vec![false; tokens.len()];
                sums.bytes += text.len() as u64;
            }
            Record::Chat { messages } => {
                // A turn's tokens begin where the chat before it ends; a reply's, after its header.
                for (index, message) in messages.iter().enumerate() {
                    let reply = message.role == Role::Assistant;
                    let header = if reply { format.encode(&messages[..index], true)?.len() } else { usize::MAX };
                    tokens = format.encode(&messages[..=index], false)?;
                    replies.extend((replies.len()..tokens.len()).map(|at| at >= header));
                    sums.bytes += message.content.trim().len() as u64;
                }
            }
        }
        tokens.truncate(self.max_tokens);
        let vocab_size = engine.config().vocab_size;
        let Some(inputs) = tokens.len().checked_sub(1) else { return Ok(()) };
        let logits = block_on(engine.evaluate(&tokens[..inputs], ledger))?;
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
        let per_token = |pj: f64| pj / ledger.tokens as f64;
        let spiking = per_token(ledger.operations().arithmetic_pj());
        let dense = per_token(ledger.dense_twin().arithmetic_pj());
        if self.json {
            let report = json!({
                "loss": loss,
                "perplexity": loss.exp(),
                "tokens": sums.tokens,
                "bits_per_byte": sums.loss / std::f64::consts::LN_2 / sums.bytes as f64,
                "assistant_loss": assistant,
                "firing_rate": {"mean": rate.iter().sum::<f64>() / 4.0, "per_site": rate},
                "active": {"mean": active.iter().sum::<f64>() / 4.0, "per_site": active},
                "energy_pj_per_token": {"spiking": spiking, "dense": dense},
            });
            println!("{report}");
            return;
        }
        println!("loss          {loss:.4} nats a token over {} tokens (perplexity {:.2})", sums.tokens, loss.exp());
        if let Some(assistant) = assistant {
            println!("replies only  {assistant:.4}");
        }
        println!("bits per byte {:.4}", sums.loss / std::f64::consts::LN_2 / sums.bytes as f64);
        for (site, (rate, active)) in Site::ALL.iter().zip(rate.iter().zip(active)) {
            println!("{:<13} firing rate {rate:.3}, {:.1}% of neurons fire", site.name(), active * 100.0);
        }
        println!(
            "energy        {:.2} µJ a token, dense twin {:.2} (arithmetic on 45 nm, an estimate)",
            spiking * 1e-6,
            dense * 1e-6
        );
    }
}
