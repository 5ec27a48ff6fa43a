//! The fast kernels compiled for AVX2, and for AVX-512 with VNNI.
#![allow(unsafe_code)]

mod avx2;
mod avx512;
mod dense;
mod head;

use std::arch::is_x86_feature_detected;

use super::{elementwise, fire, matmul, matvec, scan, window_attention};
use crate::cpu::{Crossover, Kernels, ScanParams, SpikeBatch, WindowShape};
use crate::energy::Activity;
use crate::model::{Matrix, Neuron};

/// All that this CPU can run, the fastest first.
pub(super) fn kernels() -> impl Iterator<Item = Kernels> {
    let avx2 = is_x86_feature_detected!("avx2");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni");
    [(avx2 && avx512).then_some(v512::KERNELS), avx2.then_some(v256::KERNELS)].into_iter().flatten()
}

/// A table of kernels compiled with the features of an instruction set. Only [`kernels`] hands it out, after a look at the
/// CPU.
macro_rules! table {
    ($table:ident, $name:literal, $features:literal, $isa:ty, $tokens:literal, $crossover:expr, $(
        $module:ident :: $kernel:ident $(::<$($parameter:tt),*>)? ( $($argument:ident : $type:ty),* ) $(-> $returns:ty)?;
    )*) => {
        mod $table {
            use super::*;

            type Own = $isa;
            const TOKENS: usize = $tokens;

            pub(super) const KERNELS: Kernels = Kernels { name: $name, crossover: $crossover, $($kernel),* };

            $(fn $kernel($($argument: $type),*) $(-> $returns)? {
                #[target_feature(enable = $features)]
                fn compiled($($argument: $type),*) $(-> $returns)? {
                    $module::$kernel$(::<$($parameter),*>)?($($argument),*)
                }
                // SAFETY: the CPU has the features, because `kernels` found them before it gave out the table.
                unsafe { compiled($($argument),*) }
            })*
        }
    };
}

macro_rules! kernels {
    ($table:ident, $name:literal, $features:literal, $isa:ty, $tokens:literal, $crossover:expr) => {
        table! {
            $table, $name, $features, $isa, $tokens, $crossover,
            fire::fire(
                current: &[f32],
                inv_threshold: &[f32],
                neuron: Neuron,
                muted: &[u32],
                counts: &mut [i8]
            ) -> Activity;
            matmul::sparse_matmul::<Own>(spikes: &SpikeBatch, weight: &Matrix, sums: &mut [i32]);
            dense::dense_matmul::<Own, TOKENS>(spikes: &SpikeBatch, weight: &Matrix, sums: &mut [i32]);
            elementwise::rmsnorm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]);
            elementwise::gated_rmsnorm(y: &[f32], z: &[f32], weight: &[f32], groups: usize, eps: f32, out: &mut [f32]);
            elementwise::swiglu(gate_up: &[f32], out: &mut [f32]);
            elementwise::dequantise(sums: &[i32], scale: &[f32], threshold_scale: f32, out: &mut [f32]);
            elementwise::conv1d(state: &mut [f32], weight: &[f32], bias: &[f32], xbc: &mut [f32]);
            scan::scan_step(params: ScanParams, state: &mut [f32], xbc: &[f32], dt: &[f32], y: &mut [f32]);
            scan::scan_chunk(params: ScanParams, state: &mut [f32], xbc: &[f32], dt: &[f32], y: &mut [f32]);
            window_attention::window_attention(
                shape: WindowShape,
                position: u64,
                q: &[f32],
                rings: (&[f32], &[f32]),
                out: &mut [f32]
            );
            head::lm_head::<Own>(embed: &Matrix, scale: &[f32], x: &[f32], logits: &mut [f32]);
            matvec::dense_matvec::<Own>(activation: &[i8], weight: &Matrix, sums: &mut [i32]);
        }
    };
}

kernels!(v256, "avx2", "avx2", avx2::Avx2, 2, Crossover { one: 0.7, many: 0.6 });
kernels!(
    v512,
    "avx512",
    "avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni",
    avx512::Avx512,
    6,
    Crossover { one: 0.7, many: 0.15 }
);
