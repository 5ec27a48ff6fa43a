//! What compilers do not find by themselves: a few instructions that each machine has in its own way.

#[cfg(target_arch = "wasm32")]
use std::arch::wasm32::{
    i8x16_add, i8x16_splat, i8x16_sub, i16x8_add, i16x8_extend_high_i8x16, i16x8_extend_low_i8x16, i16x8_mul,
    i16x8_splat, i32x4_add, i32x4_dot_i16x8, u16x8_shr, v128, v128_and, v128_xor,
};

use bytemuck::Pod;

/// An instruction set. Kernels take one as a parameter.
pub(super) trait Isa: Sized {
    /// A vector of bytes.
    type Bytes: Pod;
    /// As many lanes of 16 bits, in the order of the bytes.
    type Words: Pod;

    /// `lanes[i] + a[2i] · b[2i] + a[2i + 1] · b[2i + 1]`: products of 16-bit integers, added in pairs to 32-bit lanes.
    fn pair_dot(lanes: [i32; 8], a: [i16; 16], b: [i16; 16]) -> [i32; 8];

    /// The same byte everywhere.
    fn splat(byte: u8) -> Self::Bytes;

    /// a + b, modulo 256.
    fn add(a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;

    /// a - b, modulo 256.
    fn sub(a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;

    /// What [`Isa::field`] masks with: the sign bits of all fields, and the bits of the first field, everywhere.
    #[inline(always)]
    fn masks<const BITS: usize>() -> Masks<Self> {
        Masks { signs: Self::splat(sign_bits::<BITS>()), first: Self::splat(u8::MAX >> (8 - BITS)) }
    }

    /// One field of every byte of packed weights, without its sign: u = w + 2^(bits-1).
    fn field<const BITS: usize>(bytes: Self::Bytes, field: usize, masks: &Masks<Self>) -> Self::Bytes;

    /// `lanes[i] + count · bytes[i]`, of bytes with their sign.
    fn add_product(lanes: Self::Words, bytes: Self::Bytes, count: i16) -> Self::Words;

    /// Says that the byte at `place` will be read soon. Rows of fired neurons lie anywhere, so the machine cannot guess the
    /// next one.
    #[inline(always)]
    fn prefetch(_data: &[u8], _place: usize) {}
}

/// See [`Isa::masks`].
pub(super) struct Masks<I: Isa> {
    pub signs: I::Bytes,
    pub first: I::Bytes,
}

/// A vector of `data` from `place` on, that is known to lie inside. Where it might not, compilers keep what is made of it
/// in memory, and here in registers.
#[inline(always)]
pub(super) fn load_inside<I: Isa>(data: &[u8], place: usize) -> I::Bytes {
    bytemuck::pod_read_unaligned(&data[place..place + size_of::<I::Bytes>()])
}

/// A vector of `data` from `place` on; bytes beyond its end are 0.
#[inline(always)]
pub(super) fn load<I: Isa>(data: &[u8], place: usize) -> I::Bytes {
    #[cold]
    fn tail<I: Isa>(data: &[u8], place: usize) -> I::Bytes {
        let mut bytes: I::Bytes = bytemuck::Zeroable::zeroed();
        let rest = data.get(place..).unwrap_or_default();
        bytemuck::bytes_of_mut(&mut bytes)[..rest.len()].copy_from_slice(rest);
        bytes
    }
    match data.get(place..place + size_of::<I::Bytes>()) {
        Some(bytes) => bytemuck::pod_read_unaligned(bytes),
        None => tail::<I>(data, place),
    }
}

/// The sign bit of every field in a byte: flipping it makes u = w + 2^(bits-1).
pub(super) const fn sign_bits<const BITS: usize>() -> u8 {
    match BITS {
        8 => 0x80,
        4 => 0x88,
        _ => 0xaa,
    }
}

/// The fields of a packed row in the order of columns, a byte each, as far as either goes.
#[inline(always)]
pub(super) fn field_bytes<const BITS: usize, const FIELDS: usize>(row: &[u8], out: &mut [i8]) {
    for (out, byte) in out.as_chunks_mut::<FIELDS>().0.iter_mut().zip(row) {
        for (field, out) in out.iter_mut().enumerate() {
            // To the top of the byte and back.
            *out = (byte << (8 - BITS * (field + 1))) as i8 >> (8 - BITS);
        }
    }
}

/// What the whole program is compiled for.
pub(super) struct Compiled;

#[cfg(not(any(target_arch = "wasm32", target_arch = "aarch64")))]
impl Isa for Compiled {
    type Bytes = [u8; 16];
    type Words = [i16; 16];

    #[inline(always)]
    fn pair_dot(lanes: [i32; 8], a: [i16; 16], b: [i16; 16]) -> [i32; 8] {
        let product = |i: usize| i32::from(a[i]) * i32::from(b[i]);
        std::array::from_fn(|i| lanes[i] + product(2 * i) + product(2 * i + 1))
    }

    #[inline(always)]
    fn splat(byte: u8) -> [u8; 16] {
        [byte; 16]
    }

    #[inline(always)]
    fn add(a: [u8; 16], b: [u8; 16]) -> [u8; 16] {
        std::array::from_fn(|i| a[i].wrapping_add(b[i]))
    }

    #[inline(always)]
    fn sub(a: [u8; 16], b: [u8; 16]) -> [u8; 16] {
        std::array::from_fn(|i| a[i].wrapping_sub(b[i]))
    }

    #[inline(always)]
    fn field<const BITS: usize>(bytes: [u8; 16], field: usize, masks: &Masks<Self>) -> [u8; 16] {
        std::array::from_fn(|i| (bytes[i] ^ masks.signs[i]) >> (field * BITS) & masks.first[i])
    }

    #[inline(always)]
    fn add_product(lanes: [i16; 16], bytes: [u8; 16], count: i16) -> [i16; 16] {
        std::array::from_fn(|i| lanes[i].wrapping_add(i16::from(bytes[i] as i8).wrapping_mul(count)))
    }
}

#[cfg(target_arch = "wasm32")]
impl Isa for Compiled {
    type Bytes = v128;
    type Words = [v128; 2];

    #[inline(always)]
    fn pair_dot(lanes: [i32; 8], a: [i16; 16], b: [i16; 16]) -> [i32; 8] {
        let (lanes, a, b): ([v128; 2], [v128; 2], [v128; 2]) =
            (bytemuck::cast(lanes), bytemuck::cast(a), bytemuck::cast(b));
        bytemuck::cast([0, 1].map(|half| i32x4_add(lanes[half], i32x4_dot_i16x8(a[half], b[half]))))
    }

    #[inline(always)]
    fn splat(byte: u8) -> v128 {
        i8x16_splat(byte as i8)
    }

    #[inline(always)]
    fn add(a: v128, b: v128) -> v128 {
        i8x16_add(a, b)
    }

    #[inline(always)]
    fn sub(a: v128, b: v128) -> v128 {
        i8x16_sub(a, b)
    }

    #[inline(always)]
    fn masks<const BITS: usize>() -> Masks<Self> {
        // Engines make a constant anew wherever it is used, and keep what they do not know in a register.
        let splat = |byte| Self::splat(std::hint::black_box(byte));
        Masks { signs: splat(sign_bits::<BITS>()), first: splat(u8::MAX >> (8 - BITS)) }
    }

    #[inline(always)]
    fn field<const BITS: usize>(bytes: v128, field: usize, masks: &Masks<Self>) -> v128 {
        // By 16 bits, which machines can shift at once: what comes from the other byte is masked away.
        v128_and(u16x8_shr(v128_xor(bytes, masks.signs), (field * BITS) as u32), masks.first)
    }

    #[inline(always)]
    fn add_product(lanes: [v128; 2], bytes: v128, count: i16) -> [v128; 2] {
        let count = i16x8_splat(count);
        [
            i16x8_add(lanes[0], i16x8_mul(i16x8_extend_low_i8x16(bytes), count)),
            i16x8_add(lanes[1], i16x8_mul(i16x8_extend_high_i8x16(bytes), count)),
        ]
    }
}
