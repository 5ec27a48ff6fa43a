//! The fast kernels. They are written once, over fixed blocks of lanes that compilers turn into vector instructions, and
//! compiled for what the machine has: AVX-512 or AVX2 where a look at the CPU finds it, NEON on aarch64, simd128 in
//! WebAssembly. Only the dense product is x86-64's own.
//!
//! Sums of floats run in [`LANES`] lanes whatever the instruction set, so that all of them round alike.

mod elementwise;
mod fire;
mod groups;
mod head;
mod isa;
mod matmul;
mod matvec;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scan;
mod window_attention;
#[cfg(target_arch = "x86_64")]
mod x86;

use super::{Crossover, Kernels};
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
    crossover: Crossover::NEVER,
    fire: fire::fire,
    sparse_matmul: matmul::sparse_matmul::<Compiled>,
    dense_matmul: super::dense_matmul,
    rmsnorm: elementwise::rmsnorm,
    gated_rmsnorm: elementwise::gated_rmsnorm,
    swiglu: elementwise::swiglu,
    dequantise: elementwise::dequantise,
    conv1d: elementwise::conv1d,
    scan_step: scan::scan_step,
    scan_chunk: scan::scan_chunk,
    window_attention: window_attention::window_attention,
    lm_head: head::lm_head::<Compiled>,
    dense_matvec: matvec::dense_matvec::<Compiled>,
};

/// All kernels this machine can run, the fastest first.
pub(super) fn all() -> impl Iterator<Item = Kernels> {
    #[cfg(target_arch = "x86_64")]
    return x86::kernels().chain([COMPILED]);
    #[cfg(not(target_arch = "x86_64"))]
    std::iter::once(COMPILED)
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
