//! The kernels that have a fast form, as a table: the forward pass is the same for the reference and for SIMD.

use super::{ScanParams, SpikeBatch};
use crate::model::Matrix;

/// The signature of [`super::scan_step`] and [`super::scan_chunk`].
pub type Scan = fn(ScanParams, &mut [f32], &[f32], &[f32], &mut [f32]);

/// Which code runs the hot loops. Signatures are those of the reference functions of the same names.
#[derive(Debug, Clone, Copy)]
pub struct Kernels {
    /// For status lines and benches.
    pub name: &'static str,
    /// See [`super::sparse_matmul`].
    pub sparse_matmul: fn(&SpikeBatch, &Matrix, &mut [i32]),
    /// See [`super::scan_step`].
    pub scan_step: Scan,
    /// See [`super::scan_chunk`].
    pub scan_chunk: Scan,
    /// See [`super::lm_head`].
    pub lm_head: fn(&Matrix, &[f32], &[f32], &mut [f32]),
}

impl Kernels {
    /// The readable kernels.
    pub const REFERENCE: Kernels = Kernels {
        name: "reference",
        sparse_matmul: super::sparse_matmul,
        scan_step: super::scan_step,
        scan_chunk: super::scan_chunk,
        lm_head: super::lm_head,
    };
}
