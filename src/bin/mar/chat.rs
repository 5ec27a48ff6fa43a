//! `mar chat`: a conversation, line by line.

use std::io::{self, BufRead, IsTerminal, Write};
use std::ops::ControlFlow;
use std::time::Instant;

use clap::Args;
use mar::chat::{Message, Role};
use mar::reply::{ReplyOptions, reply};
use mar::session::Session;
use pollster::block_on;

use crate::Failure;
use crate::load::{ModelArguments, SamplingArguments};

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
}

impl Chat {
    /// Reads turns from standard input until it ends.
    pub fn run(&self) -> Result<(), Failure> {
        let engine = self.model.load()?;
        let format = self.model.chat_format(engine.config().vocab_size)?;
        let mut options = ReplyOptions {
            sampling: self.sampling.sampling(&format)?,
            max_tokens: self.sampling.max_tokens(&format),
            stop: self.sampling.stop.clone(),
        };
        let mut session = Session::new(engine);
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
            let mut ledger = session.ledger();
            let prompt_tokens = format.encode(&messages, true)?;
            block_on(session.prefill(&prompt_tokens, &mut ledger, |_, _| ControlFlow::Continue(())))?;
            let (prompt, start) = (ledger.clone(), Instant::now());
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
            let reply = block_on(reply(&mut session, &format, &options, &mut ledger, listen))?;
            if let Some(error) = broken {
                return Err(error.into());
            }
            println!();
            if self.stats {
                let decoded = ledger.tokens - prompt.tokens;
                let picojoules = ledger.operations().arithmetic_pj() - prompt.operations().arithmetic_pj();
                eprintln!(
                    "[{decoded} tokens, {:.0} tokens/s, {:.2} µJ a token (arithmetic on 45 nm, an estimate)]",
                    decoded as f64 / start.elapsed().as_secs_f64(),
                    picojoules / decoded.max(1) as f64 * 1e-6,
                );
            }
            messages.push(Message::assistant(reply.text));
            options.sampling.seed = options.sampling.seed.wrapping_add(1);
        }
    }
}
