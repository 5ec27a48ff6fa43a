//! Neurons and what they emit: the words that every backend shares.

use crate::config::{Config, Site};

/// One neuron that fired: its number, and how often, with sign.
///
/// 32 bits, as the shaders have it: the neuron in the upper half, the count in the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct Event(u32);

impl Event {
    /// `neuron` below 2^15 as config.json limits it, `count` in -127 … 127.
    #[inline]
    pub fn new(neuron: usize, count: i32) -> Self {
        debug_assert!(neuron < 1 << 16 && count.abs() <= 127);
        Self((neuron as u32) << 16 | (count as u32 & 0xffff))
    }

    /// The neurons that fired, in order, by the counts of all.
    pub fn all(counts: &[i8]) -> impl Iterator<Item = Event> {
        let fired = counts.iter().enumerate().filter(|(_, count)| **count != 0);
        fired.map(|(neuron, &count)| Self::new(neuron, i32::from(count)))
    }

    /// Which input of the projection.
    #[inline]
    pub fn neuron(self) -> usize {
        (self.0 >> 16) as usize
    }

    /// c, never 0.
    #[inline]
    pub fn count(self) -> i32 {
        i32::from(self.0 as u16 as i16)
    }
}

/// How the neurons of a site behave: ATMN (paper, section 3.2) in units of the threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neuron {
    /// T, micro-steps.
    pub steps: u32,
    /// 1 / tau.
    pub leak: f32,
    /// Added, with the current's sign, before the first micro-step.
    pub precharge: f32,
    /// Divides the current: λ > 1 lets neurons fire less. What is read out is multiplied by it.
    pub threshold_scale: f32,
}

/// What a person may turn while the network runs. The default is exactly the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Controls {
    /// λ: neurons fire at λ·V, and what they say is read out times λ.
    pub threshold_scale: f32,
    /// At most so many micro-steps at every site.
    pub max_steps: u32,
    /// Neurons that stay silent: a mask for each layer and site, bit j of word j / 32; an empty mask mutes none.
    muted: Vec<Vec<u32>>,
}

impl Default for Controls {
    fn default() -> Self {
        Self { threshold_scale: 1.0, max_steps: 127, muted: Vec::new() }
    }
}

impl Controls {
    /// The neurons of a site of `config` under these controls.
    pub fn neuron(&self, config: &Config, site: Site) -> Neuron {
        Neuron {
            steps: config.steps[site.index()].min(self.max_steps),
            leak: config.leak(),
            precharge: config.precharge as f32,
            threshold_scale: self.threshold_scale,
        }
    }

    /// The mask of a layer's site; empty where nothing is muted.
    pub fn muted(&self, layer: usize, site: Site) -> &[u32] {
        self.muted.get(layer * 4 + site.index()).map_or(&[], Vec::as_slice)
    }

    /// Mutes a neuron, or lets it speak again. Numbers the network does not have are ignored.
    pub fn mute(&mut self, config: &Config, layer: usize, site: Site, neuron: usize, silent: bool) {
        let inputs = config.site_shape(site).0;
        if layer >= config.n_layers || neuron >= inputs {
            return;
        }
        self.muted.resize(config.n_layers * 4, Vec::new());
        let mask = &mut self.muted[layer * 4 + site.index()];
        mask.resize(inputs.div_ceil(32), 0);
        let bit = 1 << (neuron % 32);
        mask[neuron / 32] = if silent { mask[neuron / 32] | bit } else { mask[neuron / 32] & !bit };
    }

    /// Lets every neuron speak.
    pub fn unmute_all(&mut self) {
        self.muted.clear();
    }
}
