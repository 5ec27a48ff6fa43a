//! The kernels as a table: the forward pass is the same for the reference and for the fast ones.

use super::{ScanParams, SpikeBatch, WindowShape, simd};
use crate::energy::Activity;
use crate::model::{Matrix, Neuron};

/// The type of [`super::fire`].
pub type Fire = fn(&[f32], &[f32], Neuron, &[u32], &mut [i8]) -> Activity;

/// The share of neurons that fire from which on the dense product is the faster one, as `mar bench --products` finds it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crossover {
    /// Where a call has one token, as in decode. That depends on the memory: 0.5 where it is fast, never where it is slow,
    /// so it is set between the two.
    pub one: f32,
    /// Where it has several, as in prefill.
    pub many: f32,
}

impl Crossover {
    /// Spikes always: for machines where nobody has measured the dense product as the faster one.
    pub const NEVER: Crossover = Crossover { one: f32::INFINITY, many: f32::INFINITY };
    /// The dense product always.
    pub const ALWAYS: Crossover = Crossover { one: 0.0, many: 0.0 };
}

/// Which code runs the loops. Each field has the signature of the reference function of its name in [`super`].
#[derive(Debug, Clone, Copy)]
#[expect(clippy::type_complexity, reason = "a table of functions is what it is")]
#[expect(missing_docs, reason = "the functions of the same names have them")]
pub struct Kernels {
    /// For status lines and benches.
    pub name: &'static str,
    /// When a projection takes `dense_matmul`.
    pub crossover: Crossover,
    pub fire: Fire,
    pub sparse_matmul: fn(&SpikeBatch, &Matrix, &mut [i32]),
    pub dense_matmul: fn(&SpikeBatch, &Matrix, &mut [i32]),
    pub dequantise: fn(&[i32], &[f32], f32, &mut [f32]),
    pub rmsnorm: fn(&[f32], &[f32], f32, &mut [f32]),
    pub gated_rmsnorm: fn(&[f32], &[f32], &[f32], usize, f32, &mut [f32]),
    pub swiglu: fn(&[f32], &mut [f32]),
    pub conv1d: fn(&mut [f32], &[f32], &[f32], &mut [f32]),
    pub scan_step: fn(ScanParams, &mut [f32], &[f32], &[f32], &mut [f32]),
    pub scan_chunk: fn(ScanParams, &mut [f32], &[f32], &[f32], &mut [f32]),
    pub window_attention: fn(WindowShape, u64, &[f32], (&[f32], &[f32]), &mut [f32]),
    pub lm_head: fn(&Matrix, &[f32], &[f32], &mut [f32]),
    pub dense_matvec: fn(&[i8], &Matrix, &mut [i32]),
}

impl Kernels {
    /// The readable kernels.
    pub const REFERENCE: Kernels = Kernels {
        name: "reference",
        crossover: Crossover::NEVER,
        fire: super::fire,
        sparse_matmul: super::sparse_matmul,
        dense_matmul: super::dense_matmul,
        dequantise: super::dequantise,
        rmsnorm: super::rmsnorm,
        gated_rmsnorm: super::gated_rmsnorm,
        swiglu: super::swiglu,
        conv1d: super::conv1d,
        scan_step: super::scan_step,
        scan_chunk: super::scan_chunk,
        window_attention: super::window_attention,
        lm_head: super::lm_head,
        dense_matvec: super::dense_matvec,
    };

    /// The fastest kernels that this machine can run.
    pub fn best() -> Kernels {
        Self::all().next().unwrap_or(Self::REFERENCE)
    }

    /// All fast kernels that this machine can run, the fastest first.
    pub fn all() -> impl Iterator<Item = Kernels> {
        simd::all()
    }

    /// The sums of a projection, `[tokens, outputs]`: the rows of the neurons that fired, or where so many did that it is
    /// faster, the product of all counts with all weights. They are the same integers.
    pub fn matmul(&self, spikes: &SpikeBatch, weight: &Matrix, sums: &mut [i32]) {
        let Crossover { one, many } = self.crossover;
        let from = if spikes.tokens() == 1 { one } else { many };
        let dense = spikes.active() >= from;
        (if dense { self.dense_matmul } else { self.sparse_matmul })(spikes, weight, sums);
    }
}
