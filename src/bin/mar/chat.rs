//! `mar chat`: a conversation, line by line.

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Instant;

use clap::Args;
use mar::chat::{Message, Role};
use mar::energy::LedgerSummary;
use mar::reply::ReplyOptions;

use crate::Failure;
use crate::load::{ModelArguments, SamplingArguments};
use crate::output::{Echo, energy, line, note};
use crate::turn::Talk;

/// `mar chat`
#[derive(Debug, Args)]
pub struct Chat {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    sampling: SamplingArguments,
    /// What the model is told before the chat begins
    #[arg(long)]
    system: Option<String>,
    /// After each reply, print its speed and its estimated energy a token, in pJ, nJ, µJ or more
    #[arg(long)]
    stats: bool,
    /// Give the GPU up after so many tokens of replies, as if it were lost: for tests
    #[arg(long, value_delimiter = ',', hide = true)]
    lose_gpu_after: Vec<usize>,
}

impl Chat {
    /// Reads turns from standard input until it ends.
    pub fn run(&self) -> Result<(), Failure> {
        let mut talk = Talk::new(&self.model)?;
        talk.lose_gpu_after(&self.lose_gpu_after);
        let format = self.model.chat_format(talk.session.engine().config().vocab_size)?;
        let mut options = ReplyOptions {
            sampling: self.sampling.sampling(&format)?,
            max_tokens: self.sampling.max_tokens(&format),
            stop: self.sampling.stop.clone(),
        };
        let mut messages: Vec<Message> = Vec::new();
        messages.extend(self.system.as_ref().map(|s| Message { role: Role::System, content: s.clone() }));
        let (input, person) = (io::stdin(), io::stdin().is_terminal());
        if person {
            note!("Type a message and press Enter; Ctrl-D ends the chat.");
        }
        loop {
            if person {
                // Where nobody reads it, nothing is lost.
                let _ = write!(io::stderr(), "> ");
            }
            let mut line = Vec::new();
            if input.lock().read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let line = String::from_utf8_lossy(&line).trim().to_owned();
            if line.is_empty() {
                continue;
            }
            if !person {
                line!("> {line}")?;
            }
            messages.push(Message::user(line));
            talk.prefill(&format.encode(&messages, true)?, &mut talk.session.ledger())?;
            let (mut ledger, start) = (talk.session.ledger(), Instant::now());
            let mut echo = Echo::default();
            let reply = talk.reply(&format, &options, &mut ledger, |text| echo.show(text))?;
            echo.end()?;
            if self.stats {
                note!("{}", stats(&ledger.summary(), start.elapsed().as_secs_f64()));
            }
            messages.push(Message::assistant(reply.text));
            options.sampling.seed = options.sampling.seed.wrapping_add(1);
        }
    }
}

/// A line on a reply. Energy is always called an estimate, and is in the unit that suits it: a million picojoules are a µJ.
fn stats(reply: &LedgerSummary, seconds: f64) -> String {
    let (tokens, estimate) = (reply.tokens as f64, &reply.energy_pj);
    let each = |picojoules: f64| energy(picojoules / tokens.max(1.0));
    format!(
        "[{} tokens, {:.0} tokens/s; estimates on 45 nm, a token: arithmetic {} (dense twin {}, transformer {}), \
         with moving data {} (dense twin {}, transformer {})]",
        reply.tokens,
        tokens / seconds,
        each(estimate.arithmetic),
        each(estimate.dense_twin),
        each(estimate.transformer),
        each(estimate.with_memory),
        each(estimate.dense_twin_with_memory),
        each(estimate.transformer_with_memory),
    )
}
