//! What a watcher may see of the spikes: chosen layers' and sites' spike trains, and a neuron's membrane.
//!
//! A record holds the currents that met the thresholds and the counts that came of them, from the very buffers that the
//! projection behind the site read. Current and threshold determine every micro-step, so trains and traces are rebuilt from
//! them when somebody asks; where nobody watches, nothing is kept or copied.

use crate::config::Site;
use crate::cpu::{SpikeBatch, membrane};
use crate::model::Neuron;

/// What is watched. The default is nothing, and costs nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watch {
    sites: Vec<(usize, Site)>,
    /// The residual stream after every layer, which [`crate::gpu::Gpu`] shows to an observer.
    pub hidden: bool,
}

impl Watch {
    /// Watches these sites.
    pub fn sites(sites: impl IntoIterator<Item = (usize, Site)>) -> Self {
        Self { sites: sites.into_iter().collect(), hidden: false }
    }

    /// Watches everything of `layers` layers.
    pub fn all(layers: usize) -> Self {
        let sites = (0..layers).flat_map(|layer| Site::ALL.map(|site| (layer, site))).collect();
        Self { sites, hidden: true }
    }

    /// Whether a layer's site is watched.
    pub fn has(&self, layer: usize, site: Site) -> bool {
        self.sites.contains(&(layer, site))
    }
}

/// What a site's neurons got and did in one pass, of one or several tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Tokens before the pass.
    pub position: u64,
    /// The layer.
    pub layer: usize,
    /// The site.
    pub site: Site,
    /// I, `[tokens, inputs]`.
    pub current: Vec<f32>,
    /// c, `[tokens, inputs]`.
    pub counts: Vec<i8>,
    tokens: usize,
}

impl Record {
    /// Of a pass that began after `position` tokens.
    pub fn new(position: u64, layer: usize, site: Site, current: &[f32], spikes: &SpikeBatch) -> Self {
        let tokens = spikes.tokens();
        let counts = (0..tokens).flat_map(|token| spikes.counts(token)).copied().collect();
        Self { position, layer, site, current: current.to_vec(), counts, tokens }
    }

    /// Tokens of the pass.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// The spike trains of all neurons at one of the pass's tokens. `neuron` and `inv_threshold`, `[inputs]`, are the site's.
    pub fn trains(&self, token: usize, neuron: Neuron, inv_threshold: &[f32]) -> SpikeTrains {
        let words = (neuron.steps as usize).div_ceil(16);
        let mut trains = SpikeTrains { steps: neuron.steps as usize, words: vec![0; words * inv_threshold.len()] };
        for (j, packed) in trains.words.chunks_exact_mut(words).enumerate() {
            // A muted neuron's current would say otherwise.
            if self.counts[token * inv_threshold.len() + j] == 0 {
                continue;
            }
            for (t, (_, spike)) in self.trace(token, j, neuron, inv_threshold).enumerate() {
                packed[t / 16] |= (spike as u32 & 3) << (2 * (t % 16));
            }
        }
        trains
    }

    /// A neuron's membrane before each micro-step's spike, in units of the threshold it fires at, and the spike: (h_t, s_t).
    pub fn trace(
        &self,
        token: usize,
        neuron: usize,
        behaviour: Neuron,
        inv_threshold: &[f32],
    ) -> impl Iterator<Item = (f32, i32)> {
        let current = self.current[token * inv_threshold.len() + neuron];
        membrane(current * inv_threshold[neuron] * (1.0 / behaviour.threshold_scale), behaviour)
    }
}

/// Spike trains of a site's neurons for one token, two bits a micro-step: 0 silent, 1 a spike of sign +, 3 of sign -.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpikeTrains {
    /// T.
    pub steps: usize,
    /// `[neurons, T / 16 rounded up]`; a neuron's first micro-step is in the lowest bits of its first word.
    pub words: Vec<u32>,
}

impl SpikeTrains {
    /// s_t of a neuron: 1, 0 or -1.
    pub fn spike(&self, neuron: usize, step: usize) -> i32 {
        let word = self.words[neuron * self.steps.div_ceil(16) + step / 16];
        ((word >> (2 * (step % 16))) << 30) as i32 >> 30
    }
}
