//! A conversation with a network, in tokens: prefill, decode, and states to come back to.

mod aside;
mod recovery;
mod saved;

use std::ops::ControlFlow;

use crate::cpu::{Sampling, SamplingError};
use crate::energy::Ledger;
use crate::engine::{Books, Choice, Engine};
use crate::gpu::GpuError;
use crate::model::{State, StateError};
use crate::probe::{Record, Watch};

/// States that a session keeps to come back to; the oldest goes first.
const CHECKPOINTS: usize = 16;

/// Bytes that they may take together. The two newest stay in any case.
const CHECKPOINT_BYTES: usize = 32 << 20;

/// Why a session did not do what was asked. It stays usable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// Nothing to begin with.
    #[error("the prompt is empty; give at least one token")]
    Empty,
    /// A token the network does not have.
    #[error("token {token} is not in the vocabulary of {vocab_size}")]
    UnknownToken {
        /// The token.
        token: u32,
        /// v.
        vocab_size: usize,
    },
    /// A loss is of what comes after something.
    #[error("the text is too short to predict; give at least two tokens")]
    Short,
    /// A token that the conversation does not have.
    #[error("there is no token at {position}; the conversation has {tokens}")]
    NoToken {
        /// What was asked for.
        position: usize,
        /// How many there are.
        tokens: usize,
    },
    /// Stopped by whoever watched the progress. What was computed is kept, and the next prefill goes on from there.
    #[error("stopped")]
    Cancelled,
    /// A setting out of its range.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// A saved state that is not this model's.
    #[error(transparent)]
    State(#[from] StateError),
    /// The GPU failed. [`Session::recover`] goes on with another engine; after [`GpuError::Broken`], [`Session::resume`] or a
    /// prefill goes on with the same.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

/// What a prefill had to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefilled {
    /// Tokens of the prompt whose state was already there.
    pub reused: usize,
    /// Tokens that went through the network.
    pub computed: usize,
}

/// A place in the conversation, with all that is needed to go on from it.
#[derive(Debug, Clone)]
struct Checkpoint {
    tokens: Vec<u32>,
    state: State,
    logits: Vec<f32>,
}

/// One conversation with a network.
#[derive(Debug)]
pub struct Session {
    engine: Engine,
    /// The tokens that the engine's state has seen.
    tokens: Vec<u32>,
    /// How many of them were read as prompts; the others were decoded since.
    prompt: usize,
    checkpoints: Vec<Checkpoint>,
    ends: Vec<u32>,
    expected: usize,
    watch: Watch,
    records: Vec<Record>,
}

impl Session {
    /// A new conversation, on a [`crate::cpu::Cpu`] or a [`crate::gpu::Gpu`].
    pub fn new(engine: impl Into<Engine>) -> Self {
        Self {
            engine: engine.into(),
            tokens: Vec::new(),
            prompt: 0,
            checkpoints: Vec::new(),
            ends: Vec::new(),
            expected: usize::MAX,
            watch: Watch::default(),
            records: Vec::new(),
        }
    }

    /// What runs the network, to look at or to turn its controls.
    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// What the caller of [`Session::decode`] will stop at: tokens that end the reply, and how many it takes at most. A GPU
    /// computes no further ahead. The next prefill forgets it.
    pub fn expect(&mut self, ends: &[u32], tokens: usize) {
        self.ends = ends.to_vec();
        self.expected = tokens;
    }

    /// What is watched from now on; [`Session::take_records`] hands it out.
    pub fn watch(&mut self, watch: Watch) {
        self.watch = watch;
    }

    /// What has been watched since the last call, in the order of its tokens.
    pub fn take_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }

    /// The tokens so far.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// An empty ledger of this network.
    pub fn ledger(&self) -> Ledger {
        Ledger::new(self.engine.config())
    }

    /// Makes the conversation be `prompt`: goes back to where the two part, if that place is kept, and takes the rest
    /// through the network. What that costs is booked in `ledger`. `progress` gets (tokens there, tokens in all), and may
    /// break it off.
    pub async fn prefill(
        &mut self,
        prompt: &[u32],
        ledger: &mut Ledger,
        mut progress: impl FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Prefilled, SessionError> {
        if prompt.is_empty() {
            return Err(SessionError::Empty);
        }
        self.check_tokens(prompt)?;
        if let Err(error) = self.engine.check()
            && error != GpuError::Broken
        {
            return Err(error.into());
        }
        self.expect(&[], usize::MAX);
        let reused = self.go_back_to_share(prompt);
        for chunk in prompt[reused..].chunks(self.engine.chunk()) {
            if progress(self.tokens.len(), prompt.len()).is_break() {
                return Err(SessionError::Cancelled);
            }
            self.feed(chunk, ledger).await?;
        }
        let _ = progress(prompt.len(), prompt.len());
        self.prompt = prompt.len();
        self.checkpoint().await?;
        self.engine.hurry();
        Ok(Prefilled { reused, computed: prompt.len() - reused })
    }

    /// Chooses the next token and takes it through the network.
    pub async fn decode(&mut self, sampling: &Sampling, ledger: &mut Ledger) -> Result<u32, SessionError> {
        sampling.check()?;
        self.engine.check()?;
        if !self.engine.is_ready() {
            return Err(SessionError::Empty);
        }
        let position = self.tokens.len() as u64;
        let choice = Choice { sampling, recent: &self.tokens, ends: &self.ends, at_most: self.expected };
        let books = Books { ledger, watch: &self.watch, records: &mut self.records };
        let token = self.engine.next(choice, books).await?;
        ledger.token(position);
        self.expected = self.expected.saturating_sub(1);
        self.tokens.push(token);
        Ok(token)
    }

    /// Keeps this place, to branch from it later: a prefill of a prompt that begins like this finds it. It is kept in main
    /// memory, so that it outlives a GPU.
    pub async fn checkpoint(&mut self) -> Result<(), SessionError> {
        let (state, logits) = self.engine.state().await?;
        self.keep(Checkpoint { tokens: self.tokens.clone(), state, logits });
        Ok(())
    }

    /// Puts a place where it is found again, if the GPU is lost too; the oldest ones go.
    fn keep(&mut self, here: Checkpoint) {
        self.checkpoints.retain(|kept| kept.tokens != here.tokens);
        let bytes = here.state.bytes() + 4 * here.logits.len();
        let room = (CHECKPOINT_BYTES / bytes.max(1)).clamp(2, CHECKPOINTS);
        self.checkpoints.drain(..(self.checkpoints.len() + 1).saturating_sub(room));
        self.checkpoints.push(here);
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.restart();
        self.checkpoints.clear();
    }

    /// The conversation as bytes: its tokens are the caller's to keep.
    pub async fn save(&mut self) -> Result<Vec<u8>, SessionError> {
        let (state, logits) = self.engine.state().await?;
        Ok(state.to_bytes(&logits, self.engine.sha256()))
    }

    /// Goes on from bytes of [`Session::save`], which had seen `tokens`, as if it had never stopped; on any backend. This place
    /// is kept, to branch from it later; so are the places that were kept before.
    pub fn load(&mut self, bytes: &[u8], tokens: &[u32]) -> Result<(), SessionError> {
        self.check_tokens(tokens)?;
        let (state, logits) = State::parse(bytes, self.engine.config(), self.engine.sha256())?;
        if state.position != tokens.len() as u64 {
            return Err(StateError::Damaged.into());
        }
        self.keep(Checkpoint { tokens: tokens.to_vec(), state: state.clone(), logits: logits.clone() });
        self.engine.restart();
        self.engine.restore(state, logits);
        self.tokens = tokens.to_vec();
        self.prompt = tokens.len();
        Ok(())
    }

    /// The logits of all `tokens` as a conversation of their own, `[tokens, v]`: for evaluation. What that costs is booked in
    /// `ledger`. This conversation is as it was afterwards.
    pub async fn evaluate(&mut self, tokens: &[u32], ledger: &mut Ledger) -> Result<Vec<f32>, SessionError> {
        self.check_tokens(tokens)?;
        Ok(self.engine.evaluate(tokens, ledger).await?)
    }

    fn check_tokens(&self, tokens: &[u32]) -> Result<(), SessionError> {
        let vocab_size = self.engine.config().vocab_size;
        match tokens.iter().find(|&&token| token as usize >= vocab_size) {
            Some(&token) => Err(SessionError::UnknownToken { token, vocab_size }),
            None => Ok(()),
        }
    }

    /// Goes to the longest kept place that is a beginning of `prompt`; returns its length.
    fn go_back_to_share(&mut self, prompt: &[u32]) -> usize {
        // Without logits, the prompt's last token must be computed even if its state is there.
        let fits = |tokens: &[u32], ready: bool| prompt.starts_with(tokens) && (tokens.len() < prompt.len() || ready);
        let trusted = self.engine.check().is_ok();
        let here = (trusted && fits(&self.tokens, self.engine.is_ready())).then_some(self.tokens.len());
        let kept = self
            .checkpoints
            .iter()
            .filter(|kept| fits(&kept.tokens, !kept.logits.is_empty()))
            .filter(|kept| here.is_none_or(|here| here < kept.tokens.len()))
            .max_by_key(|kept| kept.tokens.len());
        // A copy is megabytes: only where it is gone back to.
        if let Some(kept) = kept.cloned() {
            self.tokens = kept.tokens;
            self.engine.restore(kept.state, kept.logits);
        } else if here.is_none() {
            self.restart();
        }
        self.tokens.len()
    }

    /// Back to before the first token; kept places stay.
    fn restart(&mut self) {
        self.engine.restart();
        self.tokens.clear();
    }

    async fn feed(&mut self, tokens: &[u32], ledger: &mut Ledger) -> Result<(), SessionError> {
        let books = Books { ledger, watch: &self.watch, records: &mut self.records };
        self.engine.feed(tokens, books).await?;
        for offset in 0..tokens.len() {
            ledger.token((self.tokens.len() + offset) as u64);
        }
        self.tokens.extend_from_slice(tokens);
        Ok(())
    }
}
