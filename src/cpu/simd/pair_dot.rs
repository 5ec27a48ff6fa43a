//! The one instruction that compilers do not find by themselves.

/// Products of 16-bit integers, added in pairs to 32-bit lanes.
pub(super) trait PairDot {
    /// `lanes[i] + a[2i] · b[2i] + a[2i + 1] · b[2i + 1]`.
    fn add(lanes: [i32; 8], a: [i16; 16], b: [i16; 16]) -> [i32; 8];
}

/// For what the whole program is compiled for.
pub(super) struct Compiled;

#[cfg(not(target_arch = "wasm32"))]
impl PairDot for Compiled {
    #[inline(always)]
    fn add(lanes: [i32; 8], a: [i16; 16], b: [i16; 16]) -> [i32; 8] {
        let product = |i: usize| i32::from(a[i]) * i32::from(b[i]);
        std::array::from_fn(|i| lanes[i] + product(2 * i) + product(2 * i + 1))
    }
}

#[cfg(target_arch = "wasm32")]
impl PairDot for Compiled {
    #[inline(always)]
    fn add(lanes: [i32; 8], a: [i16; 16], b: [i16; 16]) -> [i32; 8] {
        use std::arch::wasm32::{i32x4_add, i32x4_dot_i16x8, v128};
        let (lanes, a, b): ([v128; 2], [v128; 2], [v128; 2]) =
            (bytemuck::cast(lanes), bytemuck::cast(a), bytemuck::cast(b));
        bytemuck::cast([0, 1].map(|half| i32x4_add(lanes[half], i32x4_dot_i16x8(a[half], b[half]))))
    }
}
