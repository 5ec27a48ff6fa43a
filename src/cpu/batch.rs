//! The spikes of one site, for one or several tokens.

use super::Fire;
use crate::energy::Activity;
use crate::model::Neuron;

/// How often each neuron of a site fired, for `tokens` tokens.
#[derive(Debug, Clone, Default)]
pub struct SpikeBatch {
    inputs: usize,
    counts: Vec<i8>,
    activity: Activity,
}

impl SpikeBatch {
    /// Empties it, for a site of `inputs` neurons.
    pub fn clear(&mut self, inputs: usize) {
        self.inputs = inputs;
        self.counts.clear();
        self.activity = Activity::default();
    }

    /// Adds a token: its neurons fire at `current`, `[inputs]`, by the kernel `fire`.
    pub fn fire(&mut self, fire: Fire, current: &[f32], inv_threshold: &[f32], neuron: Neuron, muted: &[u32]) {
        let start = self.counts.len();
        self.counts.resize(start + self.inputs, 0);
        self.activity += fire(current, inv_threshold, neuron, muted, &mut self.counts[start..]);
    }

    /// Adds a token whose neurons have fired elsewhere: `counts`, `[inputs]`.
    pub fn push(&mut self, counts: &[i8]) {
        self.counts.extend_from_slice(counts);
        self.activity += Activity::of(counts);
    }

    /// Tokens in it.
    pub fn tokens(&self) -> usize {
        self.counts.len() / self.inputs.max(1)
    }

    /// c of every neuron at a token, `[inputs]`.
    pub fn counts(&self, token: usize) -> &[i8] {
        &self.counts[token * self.inputs..(token + 1) * self.inputs]
    }

    /// The share of its neurons that fired, over all tokens.
    pub fn active(&self) -> f32 {
        self.activity.fired as f32 / self.counts.len().max(1) as f32
    }

    /// What its neurons did, over all tokens.
    pub fn activity(&self) -> Activity {
        self.activity
    }
}
