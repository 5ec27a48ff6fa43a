//! What compilers do not find by themselves: a few instructions that each machine has in its own way.

#[cfg(target_arch = "wasm32")]
use std::arch::wasm32::{
    i16x8_add, i16x8_mul, i16x8_splat, i32x4_add, i32x4_dot_i16x8, u16x8_extend_high_u8x16, u16x8_extend_low_u8x16,
    v128,
};

/// An instruction set. Kernels take one as a parameter.
pub(super) trait Isa {
    /// `lanes[i] + a[2i] · b[2i] + a[2i + 1] · b[2i + 1]`: products of 16-bit integers, added in pairs to 32-bit lanes.
    fn pair_dot(lanes: [i32; 8], a: [i16; 16], b: [i16; 16]) -> [i32; 8];

    /// `counts[0] · a[i] + counts[1] · b[i]`, of bytes without sign. No sum may leave 16 bits: some machines cut it off there.
    fn pair_sum(a: [u8; 16], b: [u8; 16], counts: [i8; 2]) -> [i16; 16];

    /// Says that `bytes` will be read soon. Rows of fired neurons lie anywhere, so the machine cannot guess the next one.
    #[inline(always)]
    fn prefetch(_bytes: &[u8]) {}
}

/// What the whole program is compiled for.
pub(super) struct Compiled;

#[cfg(not(target_arch = "wasm32"))]
impl Isa for Compiled {
    #[inline(always)]
    fn pair_dot(lanes: [i32; 8], a: [i16; 16], b: [i16; 16]) -> [i32; 8] {
        let product = |i: usize| i32::from(a[i]) * i32::from(b[i]);
        std::array::from_fn(|i| lanes[i] + product(2 * i) + product(2 * i + 1))
    }

    #[inline(always)]
    fn pair_sum(a: [u8; 16], b: [u8; 16], counts: [i8; 2]) -> [i16; 16] {
        std::array::from_fn(|i| i16::from(counts[0]) * i16::from(a[i]) + i16::from(counts[1]) * i16::from(b[i]))
    }
}

#[cfg(target_arch = "wasm32")]
impl Isa for Compiled {
    #[inline(always)]
    fn pair_dot(lanes: [i32; 8], a: [i16; 16], b: [i16; 16]) -> [i32; 8] {
        let (lanes, a, b): ([v128; 2], [v128; 2], [v128; 2]) =
            (bytemuck::cast(lanes), bytemuck::cast(a), bytemuck::cast(b));
        bytemuck::cast([0, 1].map(|half| i32x4_add(lanes[half], i32x4_dot_i16x8(a[half], b[half]))))
    }

    #[inline(always)]
    fn pair_sum(a: [u8; 16], b: [u8; 16], counts: [i8; 2]) -> [i16; 16] {
        let (a, b): (v128, v128) = (bytemuck::cast(a), bytemuck::cast(b));
        let counts = counts.map(|count| i16x8_splat(i16::from(count)));
        let sum = |a, b| i16x8_add(i16x8_mul(a, counts[0]), i16x8_mul(b, counts[1]));
        let low = sum(u16x8_extend_low_u8x16(a), u16x8_extend_low_u8x16(b));
        let high = sum(u16x8_extend_high_u8x16(a), u16x8_extend_high_u8x16(b));
        bytemuck::cast([low, high])
    }
}
