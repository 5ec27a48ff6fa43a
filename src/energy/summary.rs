//! The ledger in a few figures, as `mar generate --json` and the web page report it.

use serde::Serialize;

use super::Ledger;

/// What some tokens took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LedgerSummary {
    /// Tokens counted.
    pub tokens: u64,
    /// Spikes of all sites.
    pub spikes: u64,
    /// 32-bit accumulates.
    pub ac: u64,
    /// 32-bit multiply-accumulates.
    pub mac: u64,
    /// Bytes of weights and state moved.
    pub bytes: u64,
    /// What that would take in energy.
    pub energy_pj: EnergyEstimate,
}

/// Picojoules, estimated by the prices of [`super`]: counted operations, never measured energy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EnergyEstimate {
    /// Of the arithmetic, as the paper counts.
    pub arithmetic: f64,
    /// Of the arithmetic and of moving weights and state.
    pub with_memory: f64,
    /// Of the arithmetic of the dense twin.
    pub dense_twin: f64,
    /// Of the dense twin's arithmetic and of moving its weights and state.
    pub dense_twin_with_memory: f64,
    /// Of the arithmetic of a transformer of the same size, with as many tokens behind each token.
    pub transformer: f64,
    /// Of the transformer's arithmetic and of moving its weights and its key-value cache.
    pub transformer_with_memory: f64,
}

impl Ledger {
    /// The figures that reports show.
    pub fn summary(&self) -> LedgerSummary {
        let (operations, dense, transformer) = (self.operations(), self.dense_twin(), self.transformer());
        LedgerSummary {
            tokens: self.tokens,
            spikes: self.spikes(),
            ac: operations.ac,
            mac: operations.mac,
            bytes: operations.weight_bytes + operations.state_bytes,
            energy_pj: EnergyEstimate {
                arithmetic: operations.arithmetic_pj(),
                with_memory: operations.with_memory_pj(),
                dense_twin: dense.arithmetic_pj(),
                dense_twin_with_memory: dense.with_memory_pj(),
                transformer: transformer.arithmetic_pj(),
                transformer_with_memory: transformer.with_memory_pj(),
            },
        }
    }
}
