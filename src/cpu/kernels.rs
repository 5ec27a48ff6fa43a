//! The kernels as a table: the forward pass is the same for the reference and for the fast ones.

use super::{ScanParams, SpikeBatch, simd};
use crate::model::Matrix;

/// Which code runs the loops. Each field has the signature of the reference function of its name in [`super`].
#[derive(Debug, Clone, Copy)]
#[expect(clippy::type_complexity, reason = "a table of functions is what it is")]
#[expect(missing_docs, reason = "the functions of the same names have them")]
pub struct Kernels {
    /// For status lines and benches.
    pub name: &'static str,
    pub sparse_matmul: fn(&SpikeBatch, &Matrix, &mut [i32]),
    pub dequantise: fn(&[i32], &[f32], f32, &mut [f32]),
    pub rmsnorm: fn(&[f32], &[f32], f32, &mut [f32]),
    pub gated_rmsnorm: fn(&[f32], &[f32], &[f32], usize, f32, &mut [f32]),
    pub swiglu: fn(&[f32], &mut [f32]),
    pub conv1d: fn(&mut [f32], &[f32], &[f32], &mut [f32]),
    pub scan_step: fn(ScanParams, &mut [f32], &[f32], &[f32], &mut [f32]),
    pub scan_chunk: fn(ScanParams, &mut [f32], &[f32], &[f32], &mut [f32]),
    pub lm_head: fn(&Matrix, &[f32], &[f32], &mut [f32]),
    pub dense_matvec: fn(&[i8], &Matrix, &mut [i32]),
}

impl Kernels {
    /// The readable kernels.
    pub const REFERENCE: Kernels = Kernels {
        name: "reference",
        sparse_matmul: super::sparse_matmul,
        dequantise: super::dequantise,
        rmsnorm: super::rmsnorm,
        gated_rmsnorm: super::gated_rmsnorm,
        swiglu: super::swiglu,
        conv1d: super::conv1d,
        scan_step: super::scan_step,
        scan_chunk: super::scan_chunk,
        lm_head: super::lm_head,
        dense_matvec: super::dense_matvec,
    };

    /// The fastest kernels that this machine can run.
    pub fn best() -> Kernels {
        simd::best()
    }
}
