//! Vectors of 256 bits.

use std::arch::x86_64::{
    __m256i, _MM_HINT_T0, _mm_prefetch, _mm256_abs_epi8, _mm256_add_epi8, _mm256_add_epi16, _mm256_add_epi32,
    _mm256_and_si256, _mm256_castsi256_si128, _mm256_cvtepi8_epi16, _mm256_extracti128_si256, _mm256_madd_epi16,
    _mm256_maddubs_epi16, _mm256_mullo_epi16, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_sign_epi8,
    _mm256_srli_epi16, _mm256_sub_epi8, _mm256_unpackhi_epi8, _mm256_unpackhi_epi16, _mm256_unpacklo_epi8,
    _mm256_unpacklo_epi16, _mm256_xor_si256,
};

use super::dense::Dense;
use crate::cpu::simd::isa::{Isa, Masks};

/// AVX2. Only kernels compiled for it use this type, and they run where `super::kernels` has found it: that is what every
/// SAFETY below rests on.
pub(super) struct Avx2;

impl Isa for Avx2 {
    type Bytes = __m256i;
    type Words = [__m256i; 2];

    #[inline(always)]
    fn pair_dot(lanes: [i32; 8], a: [i16; 16], b: [i16; 16]) -> [i32; 8] {
        let (lanes, a, b): (__m256i, __m256i, __m256i) = (bytemuck::cast(lanes), bytemuck::cast(a), bytemuck::cast(b));
        // SAFETY: the CPU has AVX2.
        bytemuck::cast(unsafe { _mm256_add_epi32(lanes, _mm256_madd_epi16(a, b)) })
    }

    #[inline(always)]
    fn splat(byte: u8) -> __m256i {
        // SAFETY: the CPU has AVX2.
        unsafe { _mm256_set1_epi8(byte as i8) }
    }

    #[inline(always)]
    fn add(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the CPU has AVX2.
        unsafe { _mm256_add_epi8(a, b) }
    }

    #[inline(always)]
    fn sub(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the CPU has AVX2.
        unsafe { _mm256_sub_epi8(a, b) }
    }

    #[inline(always)]
    fn field<const BITS: usize>(bytes: __m256i, field: usize, masks: &Masks<Self>) -> __m256i {
        // SAFETY: the CPU has AVX2.
        unsafe {
            let bytes = _mm256_xor_si256(bytes, masks.signs);
            let down = match field * BITS {
                0 => bytes,
                2 => _mm256_srli_epi16::<2>(bytes),
                4 => _mm256_srli_epi16::<4>(bytes),
                _ => _mm256_srli_epi16::<6>(bytes),
            };
            _mm256_and_si256(down, masks.first)
        }
    }

    #[inline(always)]
    fn add_product(lanes: [__m256i; 2], bytes: __m256i, count: i16) -> [__m256i; 2] {
        // SAFETY: the CPU has AVX2.
        unsafe {
            let count = _mm256_set1_epi16(count);
            let low = _mm256_cvtepi8_epi16(_mm256_castsi256_si128(bytes));
            let high = _mm256_cvtepi8_epi16(_mm256_extracti128_si256::<1>(bytes));
            [
                _mm256_add_epi16(lanes[0], _mm256_mullo_epi16(low, count)),
                _mm256_add_epi16(lanes[1], _mm256_mullo_epi16(high, count)),
            ]
        }
    }

    #[inline(always)]
    fn prefetch(data: &[u8], place: usize) {
        // SAFETY: a hint, which reads nothing wherever it points; every x86-64 has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(data.as_ptr().wrapping_add(place).cast()) }
    }
}

impl Dense for Avx2 {
    type Sums = __m256i;

    #[inline(always)]
    fn splat_counts(counts: [i8; 4]) -> __m256i {
        // SAFETY: the CPU has AVX2.
        unsafe { _mm256_set1_epi32(i32::from_le_bytes(counts.map(|count| count as u8))) }
    }

    #[inline(always)]
    fn pairs(a: __m256i, b: __m256i) -> [__m256i; 2] {
        // SAFETY: the CPU has AVX2.
        unsafe { [_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b)] }
    }

    #[inline(always)]
    fn pairs_of_pairs(a: __m256i, b: __m256i) -> [__m256i; 2] {
        // SAFETY: the CPU has AVX2.
        unsafe { [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)] }
    }

    /// Two products of at most 15 · 127 fit 16 bits. Those of whole bytes do not: there the counts lose their sign and the
    /// weights get it, so that two are at most 2 · 127 · 127.
    #[inline(always)]
    fn dot<const BITS: usize>(sums: __m256i, weights: __m256i, counts: __m256i) -> __m256i {
        // SAFETY: the CPU has AVX2.
        unsafe {
            let products = if BITS == 8 {
                _mm256_maddubs_epi16(_mm256_abs_epi8(counts), _mm256_sign_epi8(weights, counts))
            } else {
                _mm256_maddubs_epi16(weights, counts)
            };
            _mm256_add_epi32(sums, _mm256_madd_epi16(products, _mm256_set1_epi16(1)))
        }
    }

    #[inline(always)]
    fn dense_field<const BITS: usize>(bytes: __m256i, field: usize) -> __m256i {
        if BITS == 8 { bytes } else { Self::field::<BITS>(bytes, field, &Self::masks::<BITS>()) }
    }

    #[inline(always)]
    fn offset<const BITS: usize>() -> i32 {
        if BITS == 8 { 0 } else { 1 << (BITS - 1) }
    }
}
