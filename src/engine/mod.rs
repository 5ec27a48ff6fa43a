//! What runs a network: the CPU or a GPU, behind one face. A [`crate::session::Session`] does not know which.
//!
//! Calls that may have to wait for a GPU are async, as a browser cannot block; on the CPU they never wait. Natively
//! `pollster::block_on` runs them.

mod gpu;

use crate::config::{Config, Site};
use crate::cpu::{Cpu, Logits, Observer, Sampling, SpikeBatch, sample};
use crate::energy::Ledger;
use crate::gpu::{Gpu, GpuError};
use crate::model::{Controls, State};
use crate::probe::{ProbeError, Record, Watch};

use gpu::GpuEngine;

/// Tokens that the repetition penalty looks back on; `shaders/sample.wgsl` has the same.
pub const RECENT: usize = 64;

/// A network and the state of one conversation.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for a conversation")]
pub enum Engine {
    /// On the CPU, with the logits after the last token; empty before the first.
    Cpu(Cpu, Vec<f32>),
    /// On a GPU.
    Gpu(GpuEngine),
}

impl From<Cpu> for Engine {
    fn from(cpu: Cpu) -> Self {
        Self::Cpu(cpu, Vec::new())
    }
}

impl From<Gpu> for Engine {
    fn from(gpu: Gpu) -> Self {
        Self::Gpu(GpuEngine::new(gpu))
    }
}

/// What a token's way through the network leaves behind: counts in the ledger, and what is watched.
pub(crate) struct Books<'a> {
    pub ledger: &'a mut Ledger,
    pub watch: &'a Watch,
    pub records: &'a mut Vec<Record>,
}

/// How the next token is chosen, and what a GPU must know to choose several in one go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice<'a> {
    pub sampling: &'a Sampling,
    /// The tokens so far, or the newest [`RECENT`] of them.
    pub recent: &'a [u32],
    /// Tokens that end the reply.
    pub ends: &'a [u32],
    /// Tokens wanted at most, this one included.
    pub at_most: usize,
}

impl Observer for Books<'_> {
    fn spikes(&mut self, position: u64, layer: usize, site: Site, current: &[f32], spikes: &SpikeBatch) {
        self.ledger.add(layer, site, spikes.activity());
        if self.watch.has(layer, site) {
            self.records.push(Record::new(position, layer, site, current, spikes));
        }
    }
}

impl Engine {
    /// The network's shape.
    pub fn config(&self) -> &Config {
        match self {
            Self::Cpu(cpu, _) => &cpu.model().config,
            Self::Gpu(engine) => engine.gpu.model().config(),
        }
    }

    /// Of the network's weights: what ties a state to a model.
    pub fn sha256(&self) -> &[u8; 32] {
        match self {
            Self::Cpu(cpu, _) => &cpu.model().sha256,
            Self::Gpu(engine) => engine.gpu.model().sha256(),
        }
    }

    /// What runs it: the CPU's kernels, or the GPU's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Cpu(cpu, _) => cpu.kernels(),
            Self::Gpu(engine) => engine.gpu.model().device().name(),
        }
    }

    /// What may be turned while it runs.
    pub fn controls(&mut self) -> &mut Controls {
        match self {
            Self::Cpu(cpu, _) => &mut cpu.controls,
            Self::Gpu(engine) => &mut engine.gpu.controls,
        }
    }

    /// 1 / V of a site's neurons, `[inputs]`.
    pub fn inv_threshold(&self, layer: usize, site: Site) -> Result<&[f32], ProbeError> {
        let found = match self {
            Self::Cpu(cpu, _) => cpu.model().layers.get(layer).map(|layer| &*layer.projection(site).inv_threshold),
            Self::Gpu(engine) => engine.gpu.model().inv_threshold(layer, site),
        };
        found.ok_or(ProbeError::Layer { layer, layers: self.config().n_layers })
    }

    /// Bytes of the conversation's state, the same whatever its length.
    pub fn state_bytes(&self) -> usize {
        State::bytes_of(self.config())
    }

    /// The GPU, if one runs it.
    pub fn gpu(&self) -> Option<&Gpu> {
        match self {
            Self::Cpu(..) => None,
            Self::Gpu(engine) => Some(&engine.gpu),
        }
    }

    /// Tokens that a prefill takes at a time, between two looks at whether somebody wants to stop.
    pub fn chunk(&self) -> usize {
        match self {
            Self::Cpu(..) => crate::cpu::CHUNK,
            Self::Gpu(engine) => engine.gpu.chunk(),
        }
    }

    /// Whether the state here is that of the conversation, and can be gone on from.
    pub(crate) fn check(&self) -> Result<(), GpuError> {
        match self {
            Self::Cpu(..) => Ok(()),
            Self::Gpu(engine) => engine.check(),
        }
    }

    /// Lets nobody go on from the state here, as if work on it had been broken off.
    pub(crate) fn distrust(&mut self) {
        if let Self::Gpu(engine) = self {
            engine.broken = true;
        }
    }

    /// The logits of all `tokens`, each below v, from an empty state, `[tokens, v]`. The conversation's own state is put aside
    /// meanwhile, and is there again after an error too.
    pub(crate) async fn evaluate(&mut self, tokens: &[u32], ledger: &mut Ledger) -> Result<Vec<f32>, GpuError> {
        let aside = if self.position() > 0 { Some(self.state().await?) } else { None };
        self.restart();
        let logits = self.logits(tokens, ledger).await;
        match aside {
            Some((state, logits)) => self.restore(state, logits),
            None => self.restart(),
        }
        logits
    }

    /// The logits of all `tokens`, each below v, which follow the state that is there, `[tokens, v]`.
    pub(crate) async fn logits(&mut self, tokens: &[u32], ledger: &mut Ledger) -> Result<Vec<f32>, GpuError> {
        let first = self.position();
        let logits = match self {
            Self::Cpu(cpu, _) => {
                let (watch, mut records, mut logits) = (Watch::default(), Vec::new(), Vec::new());
                let mut books = Books { ledger, watch: &watch, records: &mut records };
                cpu.forward(tokens, Logits::All, &mut logits, &mut books);
                logits
            }
            Self::Gpu(engine) => engine.evaluate(tokens, ledger).await?,
        };
        (first..).take(tokens.len()).for_each(|position| ledger.token(position));
        Ok(logits)
    }

    /// Tokens that the state has seen.
    fn position(&self) -> u64 {
        match self {
            Self::Cpu(cpu, _) => cpu.state.position,
            Self::Gpu(engine) => engine.gpu.position(),
        }
    }

    /// Whether there are logits to choose a next token from.
    pub(crate) fn is_ready(&self) -> bool {
        match self {
            Self::Cpu(_, logits) => !logits.is_empty(),
            Self::Gpu(engine) => engine.ready,
        }
    }

    /// Takes tokens, each below v, through the network.
    pub(crate) async fn feed(&mut self, tokens: &[u32], mut books: Books<'_>) -> Result<(), GpuError> {
        match self {
            Self::Cpu(cpu, logits) => {
                cpu.forward(tokens, Logits::Last, logits, &mut books);
                Ok(())
            }
            Self::Gpu(engine) => engine.feed(tokens, books).await,
        }
    }

    /// Chooses the next token and takes it through the network.
    pub(crate) async fn next(&mut self, choice: Choice<'_>, mut books: Books<'_>) -> Result<u32, GpuError> {
        match self {
            Self::Cpu(cpu, logits) => {
                let recent = &choice.recent[choice.recent.len().saturating_sub(RECENT)..];
                let token = sample(logits, recent, choice.sampling, cpu.state.position);
                cpu.forward(&[token], Logits::Last, logits, &mut books);
                Ok(token)
            }
            Self::Gpu(engine) => engine.next(choice, books).await,
        }
    }

    /// State and logits after the last token that [`Engine::next`] has given.
    pub(crate) async fn state(&mut self) -> Result<(State, Vec<f32>), GpuError> {
        match self {
            Self::Cpu(cpu, logits) => Ok((cpu.state.clone(), logits.clone())),
            Self::Gpu(engine) => engine.state().await,
        }
    }

    /// Goes on from `state`, with the logits of its next token, or without: empty.
    pub(crate) fn restore(&mut self, state: State, logits: Vec<f32>) {
        match self {
            Self::Cpu(cpu, kept) => {
                cpu.state = state;
                *kept = logits;
            }
            Self::Gpu(engine) => engine.restore(&state, &logits),
        }
    }

    /// Back to before the first token.
    pub(crate) fn restart(&mut self) {
        let zero = State::zero(self.config());
        self.restore(zero, Vec::new());
    }

    /// Makes do with less memory; false where it cannot. The state here is not known then.
    pub(crate) async fn shrink(&mut self) -> Result<bool, GpuError> {
        match self {
            Self::Cpu(..) => Ok(false),
            Self::Gpu(engine) => engine.shrink().await,
        }
    }

    /// The newest copy of an earlier state that the engine has put into main memory, with its logits; given once.
    pub(crate) fn kept(&mut self) -> Option<(State, Vec<f32>)> {
        match self {
            Self::Cpu(..) => None,
            Self::Gpu(engine) => engine.kept(),
        }
    }

    /// A prompt has ended, and its state has been read: the first token is wanted soon.
    pub(crate) fn hurry(&mut self) {
        if let Self::Gpu(engine) = self {
            engine.hurry();
        }
    }
}
