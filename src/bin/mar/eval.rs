//! `mar eval`: the loss of text under a model, and what its spikes did.

mod records;

use std::io;
use std::path::PathBuf;

use clap::Args;
use mar::chat::{ChatFormat, Role};
use mar::config::Site;
use mar::energy::Ledger;
use mar::math::nats;
use mar::session::Session;
use pollster::block_on;
use serde_json::json;

use crate::Failure;
use crate::load::ModelArguments;
use crate::output::{self, line};
use crate::progress::Progress;

use records::Record;

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
        let records = records::read(&self.file, self.records.unwrap_or(usize::MAX))?;
        let mut session = Session::new(self.model.load()?);
        let config = session.engine().config().clone();
        let format = self.model.chat_format(config.vocab_size)?;
        let mut progress = Progress::new("evaluating {bar:30} {pos}/{len} {eta}");
        let (mut sums, mut ledger) = (Sums::default(), Ledger::new(&config));
        for (done, record) in records.iter().enumerate() {
            progress.set(done as u64, records.len() as u64);
            self.record(&mut session, &format, record, &mut sums, &mut ledger)?;
        }
        drop(progress);
        if sums.tokens == 0 {
            return Err(format!("{} holds no text to evaluate", self.file.display()).into());
        }
        Ok(self.print(&sums, &ledger)?)
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

    fn print(&self, sums: &Sums, ledger: &Ledger) -> io::Result<()> {
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
            return line!("{report}");
        }
        line!("loss          {loss:.4} nats a token over {} tokens (perplexity {:.2})", sums.tokens, loss.exp())?;
        if let Some(assistant) = assistant {
            line!("replies only  {assistant:.4}")?;
        }
        line!("bits per byte {bits_per_byte:.4}")?;
        for (site, (rate, active)) in Site::ALL.iter().zip(rate.iter().zip(active)) {
            line!("{:<13} firing rate {rate:.3}, {:.1}% of neurons fire", site.name(), active * 100.0)?;
        }
        for (what, spiking, dense, transformer) in [
            ("arithmetic", energy.arithmetic, energy.dense_twin, energy.transformer),
            ("with data", energy.with_memory, energy.dense_twin_with_memory, energy.transformer_with_memory),
        ] {
            let [spiking, dense, transformer] = [spiking, dense, transformer].map(|pj| output::energy(per_token(pj)));
            line!("{what:<13} {spiking} a token; dense twin {dense}, transformer {transformer} (estimates, 45 nm)")?;
        }
        Ok(())
    }
}
