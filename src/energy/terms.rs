//! What the estimates are sums of: counts by class, with the price of each. For whoever asks how a figure is computed.

use serde::Serialize;

use super::{AC_PJ, CACHE_BYTE_PJ, DRAM_BYTE_PJ, Ledger, MAC_PJ, MUL_PJ, head_operations, times};

/// A class of operations that has a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// 32-bit accumulates.
    Ac,
    /// 32-bit multiply-accumulates.
    Mac,
    /// 32-bit multiplications.
    Mul,
    /// Bytes of weights, from DRAM.
    WeightBytes,
    /// Bytes of state, from a cache.
    StateBytes,
}

impl Class {
    /// Picojoules of one.
    pub fn picojoules(self) -> f64 {
        match self {
            Class::Ac => AC_PJ,
            Class::Mac => MAC_PJ,
            Class::Mul => MUL_PJ,
            Class::WeightBytes => DRAM_BYTE_PJ,
            Class::StateBytes => CACHE_BYTE_PJ,
        }
    }

    /// Whether it is arithmetic, not the moving of bytes.
    pub fn is_arithmetic(self) -> bool {
        matches!(self, Class::Ac | Class::Mac | Class::Mul)
    }
}

/// One summand of an estimate: `count` · `picojoules_each`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Term {
    /// What does it.
    pub label: &'static str,
    /// What it is.
    pub class: Class,
    /// How many.
    pub count: u64,
    /// The price of one.
    pub picojoules_each: f64,
}

fn term(label: &'static str, class: Class, count: u64) -> Term {
    Term { label, class, count, picojoules_each: class.picojoules() }
}

impl Ledger {
    /// What [`Ledger::operations`] costs, term by term.
    pub fn terms(&self) -> Vec<Term> {
        let (total, head) = (self.operations(), times(head_operations(&self.config), self.tokens));
        let rows = self.projections().weight_bytes;
        vec![
            term("projections: spikes × outputs", Class::Ac, total.ac),
            term("norms, convolution, scan, attention window", Class::Mac, total.mac - head.mac),
            term("head: vocabulary × width", Class::Mac, head.mac),
            term("scales, gates, activations", Class::Mul, total.mul),
            term("weight rows of the neurons that fired", Class::WeightBytes, rows),
            term("all other weights, the head's first of all", Class::WeightBytes, total.weight_bytes - rows),
            term("state, read and written", Class::StateBytes, total.state_bytes),
        ]
    }

    /// What [`Ledger::dense_twin`] costs, term by term.
    pub fn dense_terms(&self) -> Vec<Term> {
        let (total, shared) = (self.dense_twin(), times(super::shared_operations(&self.config), self.tokens));
        let head = times(head_operations(&self.config), self.tokens);
        let rows = total.weight_bytes - shared.weight_bytes;
        vec![
            term("projections: inputs × outputs", Class::Mac, total.mac - shared.mac),
            term("norms, convolution, scan, attention window", Class::Mac, shared.mac - head.mac),
            term("head: vocabulary × width", Class::Mac, head.mac),
            term("gates, activations", Class::Mul, total.mul),
            term("weight rows of all neurons", Class::WeightBytes, rows),
            term("all other weights, the head's first of all", Class::WeightBytes, shared.weight_bytes),
            term("state, read and written", Class::StateBytes, total.state_bytes),
        ]
    }

    /// What [`Ledger::transformer`] costs, term by term.
    pub fn transformer_terms(&self) -> Vec<Term> {
        let (total, alone) = (self.transformer(), times(super::transformer(&self.config, 0), self.tokens));
        let head = times(head_operations(&self.config), self.tokens);
        vec![
            term("projections: inputs × outputs", Class::Mac, alone.mac - head.mac),
            term("attention: over the whole context", Class::Mac, total.mac - alone.mac),
            term("head: vocabulary × width", Class::Mac, head.mac),
            term("gates, activations", Class::Mul, total.mul),
            term("all weights", Class::WeightBytes, total.weight_bytes),
            term("key-value cache, read and written", Class::StateBytes, total.state_bytes),
        ]
    }
}
