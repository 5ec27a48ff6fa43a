//! One turn of a conversation, whatever happens to the GPU meanwhile.

use std::ops::ControlFlow;

use mar::chat::ChatFormat;
use mar::energy::Ledger;
use mar::gpu::GpuError;
use mar::reply::{Reply, ReplyOptions, ReplyStream};
use mar::session::{Session, SessionError};
use pollster::block_on;

use crate::Failure;
use crate::load::{Backend, ModelArguments};
use crate::output::note;
use crate::progress::Progress;

/// A conversation, and what can take over from an engine that fails.
pub struct Talk<'a> {
    pub session: Session,
    arguments: &'a ModelArguments,
    /// Engines that have failed.
    failed: usize,
    /// Tokens of replies so far.
    said: usize,
    /// After so many of them the GPU is given up: for tests.
    lose_gpu_after: Vec<usize>,
}

impl<'a> Talk<'a> {
    /// A new conversation with the model that `arguments` name.
    pub fn new(arguments: &'a ModelArguments) -> Result<Self, Failure> {
        let session = Session::new(arguments.load()?);
        Ok(Self { session, arguments, failed: 0, said: 0, lose_gpu_after: Vec::new() })
    }

    /// Gives the GPU up after so many tokens of replies.
    pub fn lose_gpu_after(&mut self, tokens: &[usize]) {
        self.lose_gpu_after = tokens.to_vec();
    }

    /// Takes a prompt through the network.
    pub fn prefill(&mut self, prompt: &[u32], ledger: &mut Ledger) -> Result<(), Failure> {
        loop {
            let mut progress = Progress::patient("reading {bar:30} {pos}/{len} tokens");
            let watch = |done: usize, all: usize| {
                progress.set(done as u64, all as u64);
                ControlFlow::Continue(())
            };
            let done = block_on(self.session.prefill(prompt, ledger, watch));
            drop(progress);
            match done {
                Ok(_) => return Ok(()),
                Err(error) => self.take_over(error)?,
            }
        }
    }

    /// Replies to the prompt. `listen` gets text as it comes, and may break it off.
    pub fn reply(
        &mut self,
        format: &ChatFormat,
        options: &ReplyOptions,
        ledger: &mut Ledger,
        mut listen: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Reply, Failure> {
        let mut stream = ReplyStream::new(format, options);
        loop {
            match block_on(stream.step(&mut self.session, ledger)) {
                Ok(Some(text)) => {
                    if listen(&text).is_break() {
                        stream.cancel();
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    self.take_over(error)?;
                    continue;
                }
            }
            self.said += 1;
            if self.lose_gpu_after.contains(&self.said)
                && let Some(gpu) = self.session.engine().gpu()
            {
                gpu.model().device().destroy();
            }
        }
        let finished = block_on(stream.finish(&mut self.session));
        if let Err(error) = finished.kept {
            note!("\nthe reply is whole, but its end could not be kept: {error}");
        }
        Ok(finished.reply)
    }

    /// Goes on from where a GPU has failed: on a freshly opened one, or on the CPU if that fails too. Other errors stay.
    fn take_over(&mut self, error: SessionError) -> Result<(), Failure> {
        if !matches!(error, SessionError::Gpu(_)) || self.session.engine().gpu().is_none() {
            return Err(error.into());
        }
        let why = match &error {
            SessionError::Gpu(gpu) => gpu.trouble().unwrap_or_else(|| gpu.to_string()),
            other => other.to_string(),
        };
        // The tokens that are computed again were booked when they were computed first.
        let mut again = self.session.ledger();
        let out_of_memory = matches!(error, SessionError::Gpu(GpuError::OutOfMemory { .. }));
        if out_of_memory && let Some(tokens) = block_on(self.session.make_do(&mut again)) {
            note!("\n{why}; the chat goes on there, {tokens} tokens at a time");
            return Ok(());
        }
        self.failed += 1;
        let another = self.failed == 1 && !out_of_memory;
        let mut backend = if another { self.arguments.backend } else { Backend::Cpu };
        loop {
            let recovered = self
                .arguments
                .engine(backend)
                .and_then(|engine| block_on(self.session.recover(engine, &mut again)).map_err(Failure::from));
            match recovered {
                Ok(_) => break,
                Err(_) if backend != Backend::Cpu => backend = Backend::Cpu,
                Err(failure) => return Err(failure),
            }
        }
        let engine = self.session.engine();
        let place = if engine.gpu().is_some() { "the GPU, opened anew" } else { "the CPU" };
        note!("\n{why}; the chat goes on with {place}: {}", engine.name());
        Ok(())
    }
}
