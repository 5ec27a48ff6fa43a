//! Vectors of 512 bits.

use std::arch::x86_64::{
    __m512i, _mm512_add_epi8, _mm512_add_epi16, _mm512_and_si512, _mm512_castsi512_si256, _mm512_cvtepi8_epi16,
    _mm512_dpbusd_epi32, _mm512_extracti64x4_epi64, _mm512_mullo_epi16, _mm512_set1_epi8, _mm512_set1_epi16,
    _mm512_set1_epi32, _mm512_srli_epi16, _mm512_sub_epi8, _mm512_unpackhi_epi8, _mm512_unpackhi_epi16,
    _mm512_unpacklo_epi8, _mm512_unpacklo_epi16, _mm512_xor_si512,
};

use bytemuck::{Pod, Zeroable};

use super::avx2::Avx2;
use super::dense::Dense;
use crate::cpu::simd::isa::{Isa, Masks};

/// AVX-512 F, BW, DQ, VL and VNNI. Only kernels compiled for it use this type, and they run where `super::kernels` has found
/// all five: that is what every SAFETY below rests on.
pub(super) struct Avx512;

/// 512 bits.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Wide(__m512i);

// SAFETY: `__m512i` is 64 bytes, of which any value is one and all zeros too; it has no padding and no pointers.
unsafe impl Zeroable for Wide {}
// SAFETY: as above.
unsafe impl Pod for Wide {}

impl Isa for Avx512 {
    type Bytes = Wide;
    type Words = [Wide; 2];

    #[inline(always)]
    fn pair_dot(lanes: [i32; 8], a: [i16; 16], b: [i16; 16]) -> [i32; 8] {
        Avx2::pair_dot(lanes, a, b)
    }

    #[inline(always)]
    fn splat(byte: u8) -> Wide {
        // SAFETY: the CPU has AVX-512.
        Wide(unsafe { _mm512_set1_epi8(byte as i8) })
    }

    #[inline(always)]
    fn add(a: Wide, b: Wide) -> Wide {
        // SAFETY: the CPU has AVX-512.
        Wide(unsafe { _mm512_add_epi8(a.0, b.0) })
    }

    #[inline(always)]
    fn sub(a: Wide, b: Wide) -> Wide {
        // SAFETY: the CPU has AVX-512.
        Wide(unsafe { _mm512_sub_epi8(a.0, b.0) })
    }

    #[inline(always)]
    fn field<const BITS: usize>(bytes: Wide, field: usize, masks: &Masks<Self>) -> Wide {
        // SAFETY: the CPU has AVX-512.
        Wide(unsafe {
            let bytes = _mm512_xor_si512(bytes.0, masks.signs.0);
            let down = match field * BITS {
                0 => bytes,
                2 => _mm512_srli_epi16::<2>(bytes),
                4 => _mm512_srli_epi16::<4>(bytes),
                _ => _mm512_srli_epi16::<6>(bytes),
            };
            _mm512_and_si512(down, masks.first.0)
        })
    }

    #[inline(always)]
    fn add_product(lanes: [Wide; 2], bytes: Wide, count: i16) -> [Wide; 2] {
        // SAFETY: the CPU has AVX-512.
        unsafe {
            let count = _mm512_set1_epi16(count);
            let low = _mm512_cvtepi8_epi16(_mm512_castsi512_si256(bytes.0));
            let high = _mm512_cvtepi8_epi16(_mm512_extracti64x4_epi64::<1>(bytes.0));
            [
                Wide(_mm512_add_epi16(lanes[0].0, _mm512_mullo_epi16(low, count))),
                Wide(_mm512_add_epi16(lanes[1].0, _mm512_mullo_epi16(high, count))),
            ]
        }
    }

    #[inline(always)]
    fn prefetch(data: &[u8], place: usize) {
        Avx2::prefetch(data, place);
    }
}

impl Dense for Avx512 {
    type Sums = Wide;

    #[inline(always)]
    fn splat_counts(counts: [i8; 4]) -> Wide {
        // SAFETY: the CPU has AVX-512.
        Wide(unsafe { _mm512_set1_epi32(i32::from_le_bytes(counts.map(|count| count as u8))) })
    }

    #[inline(always)]
    fn pairs(a: Wide, b: Wide) -> [Wide; 2] {
        // SAFETY: the CPU has AVX-512.
        unsafe { [Wide(_mm512_unpacklo_epi8(a.0, b.0)), Wide(_mm512_unpackhi_epi8(a.0, b.0))] }
    }

    #[inline(always)]
    fn pairs_of_pairs(a: Wide, b: Wide) -> [Wide; 2] {
        // SAFETY: the CPU has AVX-512.
        unsafe { [Wide(_mm512_unpacklo_epi16(a.0, b.0)), Wide(_mm512_unpackhi_epi16(a.0, b.0))] }
    }

    #[inline(always)]
    fn dot<const BITS: usize>(sums: Wide, weights: Wide, counts: Wide) -> Wide {
        // SAFETY: the CPU has AVX-512 VNNI.
        Wide(unsafe { _mm512_dpbusd_epi32(sums.0, weights.0, counts.0) })
    }

    #[inline(always)]
    fn dense_field<const BITS: usize>(bytes: Wide, field: usize) -> Wide {
        Self::field::<BITS>(bytes, field, &Self::masks::<BITS>())
    }

    #[inline(always)]
    fn offset<const BITS: usize>() -> i32 {
        1 << (BITS - 1)
    }
}
