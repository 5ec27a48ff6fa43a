//! `mar generate`: one reply, for scripts.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use mar::chat::Message;
use mar::reply::ReplyOptions;
use serde_json::json;

use crate::Failure;
use crate::load::{ModelArguments, SamplingArguments};
use crate::output::{Echo, line};
use crate::turn::Talk;

/// `mar generate`
#[derive(Debug, Args)]
pub struct Generate {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    sampling: SamplingArguments,
    /// What the person says
    #[arg(long, required_unless_present = "messages", conflicts_with = "messages")]
    prompt: Option<String>,
    /// A chat as JSON: [{"role": "user", "content": "…"}, …]
    #[arg(long)]
    messages: Option<PathBuf>,
    /// Print one JSON object instead of the text: text, tokens, finish_reason, stats, ledger (energies are estimates in
    /// picojoules; stats.peak_memory_bytes is null where the system does not tell it: Linux does)
    #[arg(long)]
    json: bool,
}

impl Generate {
    /// Prints the reply.
    pub fn run(&self) -> Result<(), Failure> {
        let messages = match (&self.prompt, &self.messages) {
            (_, Some(path)) => serde_json::from_slice(
                &std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?,
            )
            .map_err(|e| format!("{} is not a chat: {e}", path.display()))?,
            (prompt, None) => vec![Message::user(prompt.clone().unwrap_or_default())],
        };
        let mut talk = Talk::new(&self.model)?;
        let format = self.model.chat_format(talk.session.engine().config().vocab_size)?;
        let options = ReplyOptions {
            sampling: self.sampling.sampling(&format)?,
            max_tokens: self.sampling.max_tokens(&format),
            stop: self.sampling.stop.clone(),
        };
        let prompt = format.encode(&messages, true)?;
        let mut ledger = talk.session.ledger();
        let start = Instant::now();
        talk.prefill(&prompt, &mut ledger)?;
        let prefill = start.elapsed().as_secs_f64();
        let (mut first, mut echo) = (None, Echo::default());
        let listen = |text: &str| {
            first.get_or_insert_with(|| start.elapsed());
            if self.json { ControlFlow::Continue(()) } else { echo.show(text) }
        };
        let reply = talk.reply(&format, &options, &mut ledger, listen)?;
        if !self.json {
            return Ok(echo.end()?);
        }
        let decode = start.elapsed().as_secs_f64() - prefill;
        let report = json!({
            "text": reply.text,
            "tokens": reply.tokens,
            "finish_reason": reply.finish_reason,
            "stats": {
                "backend": talk.session.engine().name(),
                "prompt_tokens": prompt.len(),
                "prefill_tokens_per_second": prompt.len() as f64 / prefill,
                "decode_tokens_per_second": reply.tokens.len() as f64 / decode,
                "time_to_first_token_ms": first.map(|d| d.as_secs_f64() * 1e3),
                "state_bytes": talk.session.engine().state_bytes(),
                "peak_memory_bytes": peak_memory_bytes(),
            },
            "ledger": ledger.summary(),
        });
        Ok(line!("{report}")?)
    }
}

/// The most memory this process has held, where the system tells (Linux).
fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
