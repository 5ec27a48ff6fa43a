//! Vectors of 128 bits, as every aarch64 has them.
#![allow(unsafe_code)]

use std::arch::aarch64::{
    int16x8_t, int32x4_t, uint8x16_t, vaddq_s32, vaddq_u8, vandq_u8, vdupq_n_u8, veorq_u8, vget_low_s8, vget_low_s16,
    vmlaq_n_s16, vmovl_high_s8, vmovl_s8, vmull_high_s16, vmull_s16, vpaddq_s32, vreinterpretq_s8_u8, vshrq_n_u8,
    vsubq_u8,
};

use super::isa::{Compiled, Isa, Masks};

/// NEON belongs to the target itself, so every CPU that runs this program has it: that is what every SAFETY below rests on.
impl Isa for Compiled {
    type Bytes = uint8x16_t;
    type Words = [int16x8_t; 2];

    #[inline(always)]
    fn pair_dot(lanes: [i32; 8], a: [i16; 16], b: [i16; 16]) -> [i32; 8] {
        let (lanes, a, b): ([int32x4_t; 2], [int16x8_t; 2], [int16x8_t; 2]) =
            (bytemuck::cast(lanes), bytemuck::cast(a), bytemuck::cast(b));
        // SAFETY: the CPU has NEON.
        bytemuck::cast([0, 1].map(|half| unsafe {
            let low = vmull_s16(vget_low_s16(a[half]), vget_low_s16(b[half]));
            let high = vmull_high_s16(a[half], b[half]);
            vaddq_s32(lanes[half], vpaddq_s32(low, high))
        }))
    }

    #[inline(always)]
    fn splat(byte: u8) -> uint8x16_t {
        // SAFETY: the CPU has NEON.
        unsafe { vdupq_n_u8(byte) }
    }

    #[inline(always)]
    fn add(a: uint8x16_t, b: uint8x16_t) -> uint8x16_t {
        // SAFETY: the CPU has NEON.
        unsafe { vaddq_u8(a, b) }
    }

    #[inline(always)]
    fn sub(a: uint8x16_t, b: uint8x16_t) -> uint8x16_t {
        // SAFETY: the CPU has NEON.
        unsafe { vsubq_u8(a, b) }
    }

    #[inline(always)]
    fn field<const BITS: usize>(bytes: uint8x16_t, field: usize, masks: &Masks<Self>) -> uint8x16_t {
        // SAFETY: the CPU has NEON.
        unsafe {
            let bytes = veorq_u8(bytes, masks.signs);
            let down = match field * BITS {
                0 => bytes,
                2 => vshrq_n_u8::<2>(bytes),
                4 => vshrq_n_u8::<4>(bytes),
                _ => vshrq_n_u8::<6>(bytes),
            };
            vandq_u8(down, masks.first)
        }
    }

    #[inline(always)]
    fn add_product(lanes: [int16x8_t; 2], bytes: uint8x16_t, count: i16) -> [int16x8_t; 2] {
        // SAFETY: the CPU has NEON.
        unsafe {
            let bytes = vreinterpretq_s8_u8(bytes);
            [
                vmlaq_n_s16(lanes[0], vmovl_s8(vget_low_s8(bytes)), count),
                vmlaq_n_s16(lanes[1], vmovl_high_s8(bytes), count),
            ]
        }
    }
}
