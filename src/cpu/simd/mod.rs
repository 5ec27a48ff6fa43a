//! The fast kernels. They are written once, over fixed blocks of lanes that compilers turn into vector instructions, and
//! compiled for what the machine has: AVX2 where a look at the CPU finds it, NEON on aarch64, simd128 in WebAssembly.
//!
//! Sums of floats run in [`LANES`] lanes whatever the instruction set, so that all of them round alike.

mod dense;
mod elementwise;
mod head;
mod isa;
mod matmul;

mod scan;
#[cfg(target_arch = "x86_64")]
mod x86;

use super::Kernels;
use isa::{Compiled, Isa};

#[cfg(test)]
mod tests;

/// Bytes of a block of a packed matrix: all rows are whole blocks.
const BLOCK: usize = 16;

/// One field of a block's bytes, as sixteen numbers, or sums of such.
type Fields = [i16; BLOCK];

/// Lanes of every sum of floats.
const LANES: usize = 16;

/// The kernels for the instruction set that the whole program is compiled for.
const COMPILED: Kernels = Kernels {
    name: if cfg!(target_arch = "wasm32") {
        "simd128"
    } else if cfg!(target_arch = "aarch64") {
        "neon"
    } else {
        "portable"
    },
    sparse_matmul: matmul::sparse_matmul::<Compiled>,
    rmsnorm: elementwise::rmsnorm,
    gated_rmsnorm: elementwise::gated_rmsnorm,
    swiglu: elementwise::swiglu,
    dequantise: elementwise::dequantise,
    conv1d: elementwise::conv1d,
    scan_step: scan::scan_step,
    scan_chunk: scan::scan_chunk,
    lm_head: head::lm_head::<Compiled>,
    dense_matvec: dense::dense_matvec::<Compiled>,
};

/// The fastest kernels this machine can run.
pub(super) fn best() -> Kernels {
    #[cfg(target_arch = "x86_64")]
    if let Some(kernels) = x86::kernels() {
        return kernels;
    }
    COMPILED
}

/// The sum of all lanes, in a fixed order.
#[inline(always)]
fn sum(lanes: [f32; LANES]) -> f32 {
    let mut lanes = lanes;
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
    }
    lanes[0]
}

/// a · b.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for i in 0..LANES {
            lanes[i] += a[i] * b[i];
        }
    }
    sum(lanes) + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// The same field of every byte of a block, with its sign.
#[inline(always)]
fn fields<const BITS: usize>(bytes: &[u8; BLOCK], field: usize) -> Fields {
    // To the top of the lane and back.
    let up = 16 - BITS * (field + 1);
    bytes.map(|byte| ((u16::from(byte) << up) as i16) >> (16 - BITS))
}
