//! `mar chat`: a conversation, line by line.

use std::io::{self, BufRead, IsTerminal, Write};
use std::ops::ControlFlow;
use std::time::Instant;

use clap::Args;
use mar::chat::{Message, Role};
use mar::energy::LedgerSummary;
use mar::reply::ReplyOptions;

use crate::Failure;
use crate::load::{ModelArguments, SamplingArguments};
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
    /// After each reply, print its speed and its estimated energy
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
            eprintln!("Type a message and press Enter; Ctrl-D ends the chat.");
        }
        loop {
            if person {
                eprint!("> ");
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
                println!("> {line}");
            }
            messages.push(Message::user(line));
            talk.prefill(&format.encode(&messages, true)?, &mut talk.session.ledger())?;
            let (mut ledger, start) = (talk.session.ledger(), Instant::now());
            let mut broken = None;
            let listen = |text: &str| {
                let mut out = io::stdout().lock();
                match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(e) => {
                        broken = Some(e);
                        ControlFlow::Break(())
                    }
                }
            };
            let reply = talk.reply(&format, &options, &mut ledger, listen)?;
            if let Some(error) = broken {
                return Err(error.into());
            }
            println!();
            if self.stats {
                eprintln!("{}", stats(&ledger.summary(), start.elapsed().as_secs_f64()));
            }
            messages.push(Message::assistant(reply.text));
            options.sampling.seed = options.sampling.seed.wrapping_add(1);
        }
    }
}

/// A line on a reply. Energy is always called an estimate.
fn stats(reply: &LedgerSummary, seconds: f64) -> String {
    let (tokens, energy) = (reply.tokens as f64, &reply.energy_pj);
    let microjoules = |picojoules: f64| picojoules / tokens.max(1.0) * 1e-6;
    format!(
        "[{} tokens, {:.0} tokens/s; estimates on 45 nm, µJ a token: arithmetic {:.2} (dense twin {:.2}, transformer {:.2}), \
         with moving data {:.2} (dense twin {:.2}, transformer {:.2})]",
        reply.tokens,
        tokens / seconds,
        microjoules(energy.arithmetic),
        microjoules(energy.dense_twin),
        microjoules(energy.transformer),
        microjoules(energy.with_memory),
        microjoules(energy.dense_twin_with_memory),
        microjoules(energy.transformer_with_memory),
    )
}
