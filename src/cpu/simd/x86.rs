//! The fast kernels compiled for AVX2.
#![allow(unsafe_code)]

use std::arch::is_x86_feature_detected;
use std::arch::x86_64::{
    __m128i, __m256i, _MM_HINT_T0, _mm_prefetch, _mm_unpackhi_epi8, _mm_unpacklo_epi8, _mm256_add_epi32,
    _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set_m128i, _mm256_set1_epi16,
};

use super::{Isa, dense, elementwise, head, matmul, scan};
use crate::cpu::{Kernels, ScanParams, SpikeBatch};
use crate::model::Matrix;

/// The AVX2 kernels, if this CPU can run them.
pub(super) fn kernels() -> Option<Kernels> {
    is_x86_feature_detected!("avx2").then_some(AVX2)
}

/// Only [`kernels`] hands these out, after it has looked for AVX2.
const AVX2: Kernels = Kernels {
    name: "avx2",
    sparse_matmul,
    rmsnorm,
    gated_rmsnorm,
    swiglu,
    dequantise,
    conv1d,
    scan_step,
    scan_chunk,
    lm_head,
    dense_matvec,
};

struct Avx2;

impl Isa for Avx2 {
    #[inline(always)]
    fn pair_dot(lanes: [i32; 8], a: [i16; 16], b: [i16; 16]) -> [i32; 8] {
        let (lanes, a, b): (__m256i, __m256i, __m256i) = (bytemuck::cast(lanes), bytemuck::cast(a), bytemuck::cast(b));
        // SAFETY: only kernels below use this type, and they run where `kernels` has found AVX2.
        bytemuck::cast(unsafe { _mm256_add_epi32(lanes, _mm256_madd_epi16(a, b)) })
    }

    #[inline(always)]
    fn pair_sum(a: [u8; 16], b: [u8; 16], counts: [i8; 2]) -> [i16; 16] {
        let (a, b): (__m128i, __m128i) = (bytemuck::cast(a), bytemuck::cast(b));
        let counts = i16::from_le_bytes(counts.map(|count| count as u8));
        // SAFETY: as above.
        bytemuck::cast(unsafe {
            let pairs = _mm256_set_m128i(_mm_unpackhi_epi8(a, b), _mm_unpacklo_epi8(a, b));
            _mm256_maddubs_epi16(pairs, _mm256_set1_epi16(counts))
        })
    }

    #[inline(always)]
    fn prefetch(bytes: &[u8]) {
        for line in bytes.chunks(64) {
            // SAFETY: a hint, which reads nothing; every x86-64 has it.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) }
        }
    }
}

/// A kernel of the same name and signature, compiled for AVX2.
macro_rules! avx2 {
    ($module:ident :: $name:ident $(::<$isa:ident>)? ( $($argument:ident : $type:ty),* )) => {
        fn $name($($argument: $type),*) {
            #[target_feature(enable = "avx2")]
            fn compiled($($argument: $type),*) {
                $module::$name$(::<$isa>)?($($argument),*);
            }
            // SAFETY: the CPU has AVX2, because `kernels` found it before it gave out the table.
            unsafe { compiled($($argument),*) }
        }
    };
}

avx2!(matmul::sparse_matmul::<Avx2>(spikes: &SpikeBatch, weight: &Matrix, sums: &mut [i32]));
avx2!(elementwise::rmsnorm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]));
avx2!(elementwise::gated_rmsnorm(y: &[f32], z: &[f32], weight: &[f32], groups: usize, eps: f32, out: &mut [f32]));
avx2!(elementwise::swiglu(gate_up: &[f32], out: &mut [f32]));
avx2!(elementwise::dequantise(sums: &[i32], scale: &[f32], threshold_scale: f32, out: &mut [f32]));
avx2!(elementwise::conv1d(state: &mut [f32], weight: &[f32], bias: &[f32], xbc: &mut [f32]));
avx2!(scan::scan_step(params: ScanParams, state: &mut [f32], xbc: &[f32], dt: &[f32], y: &mut [f32]));
avx2!(scan::scan_chunk(params: ScanParams, state: &mut [f32], xbc: &[f32], dt: &[f32], y: &mut [f32]));
avx2!(head::lm_head::<Avx2>(embed: &Matrix, scale: &[f32], x: &[f32], logits: &mut [f32]));
avx2!(dense::dense_matvec::<Avx2>(activation: &[i8], weight: &Matrix, sums: &mut [i32]));
