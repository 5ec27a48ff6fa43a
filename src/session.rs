//! A conversation with a network, in tokens: prefill, decode, and states to come back to.

use std::ops::ControlFlow;

use crate::config::Site;
use crate::cpu::{Cpu, Logits, Observer, Sampling, SamplingError, SpikeBatch, sample};
use crate::energy::Ledger;
use crate::model::{State, StateError};

/// Tokens between two looks at whether somebody wants to stop a prefill.
const PREFILL_CHUNK: usize = 64;

/// States that a session keeps to come back to; the oldest goes first.
const CHECKPOINTS: usize = 16;

/// Tokens that the repetition penalty looks back on.
const RECENT: usize = 64;

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
    /// Stopped by whoever watched the progress. What was computed is kept, and the next prefill goes on from there.
    #[error("stopped")]
    Cancelled,
    /// A setting out of its range.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// A saved state that is not this model's.
    #[error(transparent)]
    State(#[from] StateError),
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
    cpu: Cpu,
    /// The tokens that `cpu.state` has seen.
    tokens: Vec<u32>,
    /// After the last of them; empty before the first.
    logits: Vec<f32>,
    checkpoints: Vec<Checkpoint>,
}

impl Session {
    /// A new conversation.
    pub fn new(cpu: Cpu) -> Self {
        Self { cpu, tokens: Vec::new(), logits: Vec::new(), checkpoints: Vec::new() }
    }

    /// The network and the state, to look at or to turn its controls.
    pub fn cpu(&mut self) -> &mut Cpu {
        &mut self.cpu
    }

    /// The tokens so far.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// An empty ledger of this network.
    pub fn ledger(&self) -> Ledger {
        Ledger::new(&self.cpu.model().config)
    }

    /// Makes the conversation be `prompt`: goes back to where the two part, if that place is kept, and takes the rest
    /// through the network. What that costs is booked in `ledger`. `progress` gets (tokens there, tokens in all), and may
    /// break it off.
    pub fn prefill(
        &mut self,
        prompt: &[u32],
        ledger: &mut Ledger,
        mut progress: impl FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Prefilled, SessionError> {
        let vocab_size = self.cpu.model().config.vocab_size;
        if prompt.is_empty() {
            return Err(SessionError::Empty);
        }
        if let Some(&token) = prompt.iter().find(|&&token| token as usize >= vocab_size) {
            return Err(SessionError::UnknownToken { token, vocab_size });
        }
        let reused = self.go_back_to_share(prompt);
        for chunk in prompt[reused..].chunks(PREFILL_CHUNK) {
            if progress(self.tokens.len(), prompt.len()).is_break() {
                return Err(SessionError::Cancelled);
            }
            self.feed(chunk, ledger);
        }
        let _ = progress(prompt.len(), prompt.len());
        self.checkpoint();
        Ok(Prefilled { reused, computed: prompt.len() - reused })
    }

    /// Chooses the next token and takes it through the network.
    pub fn decode(&mut self, sampling: &Sampling, ledger: &mut Ledger) -> Result<u32, SessionError> {
        sampling.check()?;
        if self.logits.is_empty() {
            return Err(SessionError::Empty);
        }
        let recent = &self.tokens[self.tokens.len().saturating_sub(RECENT)..];
        let token = sample(&mut self.logits, recent, sampling, self.tokens.len() as u64);
        self.feed(&[token], ledger);
        Ok(token)
    }

    /// Keeps this place, to branch from it later: a prefill of a prompt that begins like this finds it.
    pub fn checkpoint(&mut self) {
        self.checkpoints.retain(|kept| kept.tokens != self.tokens);
        if self.checkpoints.len() == CHECKPOINTS {
            self.checkpoints.remove(0);
        }
        let (state, logits) = (self.cpu.state.clone(), self.logits.clone());
        self.checkpoints.push(Checkpoint { tokens: self.tokens.clone(), state, logits });
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.restart();
        self.checkpoints.clear();
    }

    /// The conversation as bytes: its tokens are the caller's to keep.
    pub fn save(&self) -> Vec<u8> {
        self.cpu.state.to_bytes(&self.cpu.model().sha256)
    }

    /// Goes on from bytes of [`Session::save`], which had seen `tokens`.
    pub fn load(&mut self, bytes: &[u8], tokens: &[u32]) -> Result<(), SessionError> {
        let state = State::from_bytes(bytes, self.cpu.model())?;
        if state.position != tokens.len() as u64 {
            return Err(StateError::Damaged.into());
        }
        self.reset();
        self.cpu.state = state;
        self.tokens = tokens.to_vec();
        Ok(())
    }

    /// Goes to the longest kept place that is a beginning of `prompt`; returns its length.
    fn go_back_to_share(&mut self, prompt: &[u32]) -> usize {
        // Without logits, the prompt's last token must be computed even if its state is there.
        let fits = |tokens: &[u32], logits: &[f32]| {
            prompt.starts_with(tokens) && (tokens.len() < prompt.len() || !logits.is_empty())
        };
        let here = fits(&self.tokens, &self.logits).then_some(self.tokens.len());
        let kept = self
            .checkpoints
            .iter()
            .filter(|kept| fits(&kept.tokens, &kept.logits))
            .max_by_key(|kept| kept.tokens.len());
        match kept.cloned() {
            Some(kept) if here.is_none_or(|here| here < kept.tokens.len()) => {
                self.tokens = kept.tokens;
                self.cpu.state = kept.state;
                self.logits = kept.logits;
            }
            _ if here.is_none() => self.restart(),
            _ => {}
        }
        self.tokens.len()
    }

    /// Back to before the first token; kept places stay.
    fn restart(&mut self) {
        self.cpu.state = State::zero(&self.cpu.model().config);
        self.tokens.clear();
        self.logits.clear();
    }

    fn feed(&mut self, tokens: &[u32], ledger: &mut Ledger) {
        for offset in 0..tokens.len() {
            ledger.token((self.tokens.len() + offset) as u64);
        }
        self.cpu.forward(tokens, Logits::Last, &mut self.logits, &mut Bookkeeper(ledger));
        self.tokens.extend_from_slice(tokens);
    }
}

/// Books what every site did.
struct Bookkeeper<'a>(&'a mut Ledger);

impl Observer for Bookkeeper<'_> {
    fn spikes(&mut self, _: u64, layer: usize, site: Site, _: &[f32], spikes: &SpikeBatch) {
        self.0.add(layer, site, spikes.activity());
    }
}
