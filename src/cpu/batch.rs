//! The spikes of one site, for one or several tokens.

use super::Fire;
use crate::energy::Activity;
use crate::model::{Event, Neuron};

/// Counts and events of a site for `tokens` tokens.
#[derive(Debug, Clone, Default)]
pub struct SpikeBatch {
    inputs: usize,
    counts: Vec<i8>,
    events: Vec<Event>,
    ends: Vec<usize>,
}

impl SpikeBatch {
    /// Empties it, for a site of `inputs` neurons.
    pub fn clear(&mut self, inputs: usize) {
        self.inputs = inputs;
        self.counts.clear();
        self.events.clear();
        self.ends.clear();
    }

    /// Adds a token: its neurons fire at `current`, `[inputs]`, by the kernel `fire`.
    pub fn fire(&mut self, fire: Fire, current: &[f32], inv_threshold: &[f32], neuron: Neuron, muted: &[u32]) {
        let start = self.counts.len();
        self.counts.resize(start + self.inputs, 0);
        fire(current, inv_threshold, neuron, muted, &mut self.counts[start..], &mut self.events);
        self.ends.push(self.events.len());
    }

    /// Adds a token whose neurons have fired elsewhere: `counts`, `[inputs]`.
    pub fn push(&mut self, counts: &[i8]) {
        self.counts.extend_from_slice(counts);
        let fired = counts.iter().enumerate().filter(|(_, count)| **count != 0);
        self.events.extend(fired.map(|(j, &count)| Event::new(j, i32::from(count))));
        self.ends.push(self.events.len());
    }

    /// Tokens in it.
    pub fn tokens(&self) -> usize {
        self.ends.len()
    }

    /// c of every neuron at a token, `[inputs]`.
    pub fn counts(&self, token: usize) -> &[i8] {
        &self.counts[token * self.inputs..(token + 1) * self.inputs]
    }

    /// The share of its neurons that fired, over all tokens.
    pub fn active(&self) -> f32 {
        self.events.len() as f32 / self.counts.len().max(1) as f32
    }

    /// What its neurons did, over all tokens.
    pub fn activity(&self) -> Activity {
        let mut activity = Activity { fired: self.events.len() as u64, ..Default::default() };
        for event in &self.events {
            let count = event.count();
            activity.positive += count.max(0) as u64;
            activity.negative += (-count).max(0) as u64;
        }
        activity
    }

    /// The neurons that fired at a token, in order.
    pub fn events(&self, token: usize) -> &[Event] {
        let start = if token == 0 { 0 } else { self.ends[token - 1] };
        &self.events[start..self.ends[token]]
    }
}
