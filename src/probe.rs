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

/// Why something cannot be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// A layer that the network does not have.
    #[error("there is no layer {layer}; choose one of 0 to {}", .layers.saturating_sub(1))]
    Layer {
        /// Which was asked for.
        layer: usize,
        /// L.
        layers: usize,
    },
    /// A neuron that the site does not have.
    #[error("there is no neuron {neuron} at this site; choose one of 0 to {}", .neurons.saturating_sub(1))]
    Neuron {
        /// Which was asked for.
        neuron: usize,
        /// Inputs of the site.
        neurons: usize,
    },
    /// A token that the pass did not have.
    #[error("there is no token {token} in this record, which holds {tokens}")]
    Token {
        /// Which was asked for, counted from the record's first.
        token: usize,
        /// Tokens of the pass.
        tokens: usize,
    },
    /// Thresholds of another site.
    #[error("{found} thresholds were given for a site of {neurons} neurons; give those of the record's layer and site")]
    Thresholds {
        /// Thresholds given.
        found: usize,
        /// Inputs of the site.
        neurons: usize,
    },
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

    /// The spike trains of all neurons at one of the pass's tokens. `neuron`, under the controls of the pass, and
    /// `inv_threshold`, `[inputs]`, are the site's.
    pub fn trains(&self, token: usize, neuron: Neuron, inv_threshold: &[f32]) -> Result<SpikeTrains, ProbeError> {
        let (current, counts) = self.row(token, inv_threshold)?;
        let words = (neuron.steps as usize).div_ceil(16);
        let mut trains = SpikeTrains { steps: neuron.steps as usize, words: vec![0; words * inv_threshold.len()] };
        let neurons = current.iter().zip(inv_threshold).zip(counts);
        for (packed, ((current, inv_threshold), count)) in trains.words.chunks_exact_mut(words.max(1)).zip(neurons) {
            if *count == 0 {
                continue;
            }
            for (t, (_, spike)) in steps(*current, *inv_threshold, *count, neuron).enumerate() {
                packed[t / 16] |= (spike as u32 & 3) << (2 * (t % 16));
            }
        }
        Ok(trains)
    }

    /// A neuron's membrane before each micro-step's spike, in units of the threshold it fires at, and the spike: (h_t, s_t).
    ///
    /// A muted neuron has no spikes; its membrane is what it would be if the neuron were not muted.
    pub fn trace(
        &self,
        token: usize,
        neuron: usize,
        behaviour: Neuron,
        inv_threshold: &[f32],
    ) -> Result<impl Iterator<Item = (f32, i32)> + use<>, ProbeError> {
        let (current, counts) = self.row(token, inv_threshold)?;
        let missing = ProbeError::Neuron { neuron, neurons: counts.len() };
        let current = *current.get(neuron).ok_or(missing)?;
        Ok(steps(current, inv_threshold[neuron], counts[neuron], behaviour))
    }

    /// I and c of a token's neurons, if the thresholds are theirs.
    fn row(&self, token: usize, inv_threshold: &[f32]) -> Result<(&[f32], &[i8]), ProbeError> {
        if token >= self.tokens {
            return Err(ProbeError::Token { token, tokens: self.tokens });
        }
        let neurons = self.counts.len() / self.tokens;
        if inv_threshold.len() != neurons {
            return Err(ProbeError::Thresholds { found: inv_threshold.len(), neurons });
        }
        let row = token * neurons..(token + 1) * neurons;
        Ok((&self.current[row.clone()], &self.counts[row]))
    }
}

/// (h_t, s_t) of a neuron that fired `count` times. All spikes of a token have one sign, so a neuron whose count is 0 had none:
/// where its current would say otherwise, it was muted.
fn steps(current: f32, inv_threshold: f32, count: i8, neuron: Neuron) -> impl Iterator<Item = (f32, i32)> {
    let r = current * inv_threshold * (1.0 / neuron.threshold_scale);
    membrane(r, neuron).map(move |(h, spike)| (h, if count == 0 { 0 } else { spike }))
}

/// How many neurons of a site spiked at one micro-step of one token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepSpikes {
    /// With sign +.
    pub positive: u32,
    /// With sign -.
    pub negative: u32,
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
    /// Neurons of the site.
    pub fn neurons(&self) -> usize {
        self.words.len() / self.steps.div_ceil(16).max(1)
    }

    /// s_t of a neuron: 1, 0 or -1; `None` where there is no such neuron or micro-step.
    pub fn spike(&self, neuron: usize, step: usize) -> Option<i32> {
        if step >= self.steps {
            return None;
        }
        let word = self.words.get(neuron.checked_mul(self.steps.div_ceil(16))? + step / 16)?;
        Some(((word >> (2 * (step % 16))) << 30) as i32 >> 30)
    }

    /// The site's spikes at each micro-step, `[T]`. Their sums are what the ledger counts for the token.
    pub fn by_step(&self) -> Vec<StepSpikes> {
        let mut all = vec![StepSpikes::default(); self.steps];
        for neuron in self.words.chunks_exact(self.steps.div_ceil(16).max(1)) {
            for (t, step) in all.iter_mut().enumerate() {
                match neuron[t / 16] >> (2 * (t % 16)) & 3 {
                    1 => step.positive += 1,
                    3 => step.negative += 1,
                    _ => {}
                }
            }
        }
        all
    }
}
