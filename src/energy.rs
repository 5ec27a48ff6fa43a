//! The ledger: what a token cost, counted from the spikes that the projections consumed, and what that would cost in energy.
//!
//! Counts are exact. Joules are an *estimate*: prices of single operations on a 45 nm chip, and of moving bytes, from
//! M. Horowitz, "Computing's energy problem", ISSCC 2014, as the paper uses them. No browser can measure joules.

use std::ops::AddAssign;

use serde::Serialize;

use crate::config::{Config, Site};

mod shared;
mod summary;
mod terms;

pub use shared::{current_operations, head_operations, shared_operations};
pub use summary::{EnergyEstimate, LedgerSummary};
pub use terms::{Class, Term};

/// What one site of one layer did for one or more tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Activity {
    /// Neurons that fired at least once: weight rows read.
    pub fired: u64,
    /// Spikes of sign +.
    pub positive: u64,
    /// Spikes of sign -.
    pub negative: u64,
}

impl Activity {
    /// What the counts of a site's neurons add up to.
    #[inline(always)]
    pub fn of(counts: &[i8]) -> Self {
        // At most 2^15 neurons of 127 spikes: 32 bits hold it, and are more lanes to a vector than 64.
        let (mut fired, mut positive, mut negative) = (0u32, 0u32, 0u32);
        for &count in counts {
            fired += u32::from(count != 0);
            positive += u32::from(count.max(0).unsigned_abs());
            negative += u32::from(count.min(0).unsigned_abs());
        }
        Self { fired: fired.into(), positive: positive.into(), negative: negative.into() }
    }

    /// Spikes of both signs.
    pub fn spikes(&self) -> u64 {
        self.positive + self.negative
    }
}

impl AddAssign for Activity {
    fn add_assign(&mut self, other: Self) {
        self.fired += other.fired;
        self.positive += other.positive;
        self.negative += other.negative;
    }
}

/// Operations and bytes, by class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Operations {
    /// 32-bit accumulates: spikes · fan-out.
    pub ac: u64,
    /// 32-bit multiply-accumulates.
    pub mac: u64,
    /// 32-bit multiplications.
    pub mul: u64,
    /// Exponentials, square roots and divisions; counted, and not priced, as the paper does.
    pub special: u64,
    /// Bytes of weights read.
    pub weight_bytes: u64,
    /// Bytes of state (or of a transformer's key-value cache) read and written.
    pub state_bytes: u64,
}

impl AddAssign for Operations {
    fn add_assign(&mut self, other: Self) {
        self.ac += other.ac;
        self.mac += other.mac;
        self.mul += other.mul;
        self.special += other.special;
        self.weight_bytes += other.weight_bytes;
        self.state_bytes += other.state_bytes;
    }
}

/// Picojoules of a 32-bit floating-point multiply-accumulate.
pub const MAC_PJ: f64 = 4.6;
/// Picojoules of a 32-bit floating-point multiplication.
pub const MUL_PJ: f64 = 3.7;
/// Picojoules of a 32-bit floating-point accumulate.
pub const AC_PJ: f64 = 0.9;
/// Picojoules of a byte from DRAM: 1.3 nJ for 64 bits, the lower end. Weights do not fit in a cache.
pub const DRAM_BYTE_PJ: f64 = 1300.0 / 8.0;
/// Picojoules of a byte from a cache of 1 MB: 100 pJ for 64 bits. State may fit in one.
pub const CACHE_BYTE_PJ: f64 = 100.0 / 8.0;

impl Operations {
    /// Picojoules of the arithmetic alone, as in the paper.
    pub fn arithmetic_pj(&self) -> f64 {
        MAC_PJ * self.mac as f64 + MUL_PJ * self.mul as f64 + AC_PJ * self.ac as f64
    }

    /// Picojoules of the arithmetic, and of bringing weights and state to it.
    pub fn with_memory_pj(&self) -> f64 {
        self.arithmetic_pj() + DRAM_BYTE_PJ * self.weight_bytes as f64 + CACHE_BYTE_PJ * self.state_bytes as f64
    }
}

/// What the projection behind a site cost: each spike adds a weight row, and each row of a neuron that fired is read once a
/// token. Where so many fire that an engine takes the dense product, it reads the few others too; they are not counted, as
/// the network does not need them.
pub fn site_operations(config: &Config, site: Site, activity: Activity, tokens: u64) -> Operations {
    let (inputs, outputs) = config.site_shape(site);
    let row_bytes = config.weights[site.index()].row_bytes(outputs) as u64;
    Operations {
        ac: activity.spikes() * outputs as u64,
        // Each current is multiplied by 1/V, each output by its scale.
        mul: tokens * (inputs + outputs) as u64,
        weight_bytes: activity.fired * row_bytes,
        ..Default::default()
    }
}

/// What the projection behind a site costs the dense twin for one token: all of its matrix, multiplied and read.
pub fn dense_site_operations(config: &Config, site: Site) -> Operations {
    let (inputs, outputs) = config.site_shape(site);
    let row_bytes = config.weights[site.index()].row_bytes(outputs);
    Operations { mac: (inputs * outputs) as u64, weight_bytes: (inputs * row_bytes) as u64, ..Default::default() }
}

/// One token of the dense twin: the same network, each projection a full matrix-vector product over the same weights.
pub fn dense_twin(config: &Config) -> Operations {
    let mut total = shared_operations(config);
    for site in Site::ALL {
        total += times(dense_site_operations(config, site), config.n_layers as u64);
    }
    total
}

/// One token of a transformer of the same width, depth, FFN and vocabulary with `context` tokens behind it: full attention
/// instead of the mixer, weights of the same types, and a key-value cache of 16-bit numbers.
pub fn transformer(config: &Config, context: u64) -> Operations {
    let n = |x: usize| x as u64;
    let (d, f, layers, vocabulary) = (n(config.d_model), n(config.d_ffn), n(config.n_layers), n(config.vocab_size));
    let bytes = |site: Site, inputs: usize, outputs: usize| n(inputs * config.weights[site.index()].row_bytes(outputs));
    let (wide, width) = (config.d_ffn, config.d_model);
    let layer = Operations {
        // q, k, v, o; scores and their sum of values; gate, up, down; sums of squares of two norms
        mac: 4 * d * d + 2 * context * d + 3 * d * f + 2 * d,
        mul: 2 * 2 * d + 2 * 2 * d + 2 * f,
        special: 2 * f + context + 5,
        weight_bytes: 4 * bytes(Site::InProj, width, width)
            + 2 * bytes(Site::GateUp, width, wide)
            + bytes(Site::Down, wide, width)
            + 4 * 2 * d,
        // Every key and value read, this token's written.
        state_bytes: 2 * 2 * d * (context + 1),
        ..Default::default()
    };
    let row_bytes = n(config.embed_weights.row_bytes(config.d_model));
    Operations {
        ac: 0,
        mac: layer.mac * layers + vocabulary * d + d,
        mul: layer.mul * layers + 2 * d,
        special: layer.special * layers + 2,
        weight_bytes: layer.weight_bytes * layers + (vocabulary + 1) * row_bytes + 4 * (vocabulary + d),
        state_bytes: layer.state_bytes * layers,
    }
}

/// What some tokens did and cost, by layer and site.
#[derive(Debug, Clone, PartialEq)]
pub struct Ledger {
    config: Config,
    /// Tokens counted.
    pub tokens: u64,
    /// Sum over the tokens of how many came before each: what a transformer's cost depends on.
    context: u64,
    /// `[L]` of four sites.
    activity: Vec<[Activity; 4]>,
}

impl Ledger {
    /// An empty ledger of a network.
    pub fn new(config: &Config) -> Self {
        let activity = vec![[Activity::default(); 4]; config.n_layers];
        Self { config: config.clone(), tokens: 0, context: 0, activity }
    }

    /// Books a token that had `position` tokens before it; its activity comes by [`Ledger::add`].
    pub fn token(&mut self, position: u64) {
        self.tokens += 1;
        self.context += position;
    }

    /// Books what a site did. A layer that is not there does nothing.
    pub fn add(&mut self, layer: usize, site: Site, activity: Activity) {
        if let Some(sites) = self.activity.get_mut(layer) {
            sites[site.index()] += activity;
        }
    }

    /// Books all of another ledger of the same network.
    pub fn merge(&mut self, other: &Ledger) {
        self.tokens += other.tokens;
        self.context += other.context;
        for (mine, theirs) in self.activity.iter_mut().zip(&other.activity) {
            mine.iter_mut().zip(theirs).for_each(|(a, b)| *a += *b);
        }
    }

    /// L.
    pub fn layers(&self) -> usize {
        self.activity.len()
    }

    /// What a site did in all; nothing, if its layer is not there.
    pub fn activity(&self, layer: usize, site: Site) -> Activity {
        self.activity.get(layer).map_or_else(Activity::default, |sites| sites[site.index()])
    }

    /// Spikes per neuron and micro-step of a site, averaged over tokens.
    pub fn firing_rate(&self, layer: usize, site: Site) -> f64 {
        let slots = self.config.site_shape(site).0 as u64 * u64::from(self.config.steps[site.index()]) * self.tokens;
        ratio(self.activity(layer, site).spikes(), slots)
    }

    /// The share of a site's neurons that fire at least once, averaged over tokens.
    pub fn active(&self, layer: usize, site: Site) -> f64 {
        ratio(self.activity(layer, site).fired, self.config.site_shape(site).0 as u64 * self.tokens)
    }

    /// The operations of a site.
    pub fn site_operations(&self, layer: usize, site: Site) -> Operations {
        site_operations(&self.config, site, self.activity(layer, site), self.tokens)
    }

    /// All operations: those of every site, and what is shared.
    pub fn operations(&self) -> Operations {
        let mut total = times(shared_operations(&self.config), self.tokens);
        total += self.projections();
        total
    }

    /// What the projections behind all sites do.
    fn projections(&self) -> Operations {
        let mut total = Operations::default();
        for layer in 0..self.layers() {
            Site::ALL.into_iter().for_each(|site| total += self.site_operations(layer, site));
        }
        total
    }

    /// The operations of a site, and of what makes its currents. With [`head_operations`] they sum to all.
    pub fn site_in_all(&self, layer: usize, site: Site) -> Operations {
        let mut total = times(current_operations(&self.config, site), self.tokens);
        total += self.site_operations(layer, site);
        total
    }

    /// The same tokens through the dense twin.
    pub fn dense_twin(&self) -> Operations {
        times(dense_twin(&self.config), self.tokens)
    }

    /// The same tokens, each at its own context length, through a transformer of the same size.
    pub fn transformer(&self) -> Operations {
        // A transformer's cost is linear in the context.
        let (first, second) = (transformer(&self.config, 0), transformer(&self.config, 1));
        let mut total = times(first, self.tokens);
        total.mac += (second.mac - first.mac) * self.context;
        total.special += (second.special - first.special) * self.context;
        total.state_bytes += (second.state_bytes - first.state_bytes) * self.context;
        total
    }

    /// Spikes of all sites.
    pub fn spikes(&self) -> u64 {
        self.activity.iter().flatten().map(Activity::spikes).sum()
    }
}

fn times(one: Operations, count: u64) -> Operations {
    Operations {
        ac: one.ac * count,
        mac: one.mac * count,
        mul: one.mul * count,
        special: one.special * count,
        weight_bytes: one.weight_bytes * count,
        state_bytes: one.state_bytes * count,
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
