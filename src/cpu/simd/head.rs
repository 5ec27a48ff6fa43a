//! Logits. Twin of the reference kernel of the same name.
//!
//! The products are of integers: x becomes a fixed-point number of 28 bits and a sign, in two halves of 14 bits, which is
//! finer than float32 keeps the sum. That is several times faster than turning every weight into a float, and all
//! instruction sets agree to the bit.

use super::{BLOCK, Fields, Isa};
use crate::config::WeightKind;
use crate::model::Matrix;

/// Bits of each half of x. A lane sums up to 8192 / 8 products of at most 2^14 · 127, which is below 2^31.
const HALF: u32 = 14;

/// The largest fixed-point number: its highest 7 bits, as a digit of its own, fit a byte with sign.
const LARGEST: i32 = 127 << 21;

/// x in a unit that makes its largest entry [`LARGEST`], and the unit; all 0 where x is.
#[inline(always)]
pub(super) fn fixed_point(x: &[f32]) -> (Vec<i32>, f32) {
    let largest = x.iter().fold(0f32, |largest, x| largest.max(x.abs()));
    let unit = largest / LARGEST as f32;
    let fixed = |x: &f32| if unit > 0.0 { ((x / unit) as i32).clamp(-LARGEST, LARGEST) } else { 0 };
    (x.iter().map(fixed).collect(), unit)
}

#[inline(always)]
pub(super) fn lm_head<I: Isa>(embed: &Matrix, scale: &[f32], x: &[f32], logits: &mut [f32]) {
    match embed.kind {
        WeightKind::Int8 => rows::<8, 1, I>(embed, scale, x, logits),
        WeightKind::Int4 => rows::<4, 2, I>(embed, scale, x, logits),
        WeightKind::Ternary => rows::<2, 4, I>(embed, scale, x, logits),
    }
}

#[inline(always)]
fn rows<const BITS: usize, const FIELDS: usize, I: Isa>(embed: &Matrix, scale: &[f32], x: &[f32], logits: &mut [f32]) {
    let (fixed, unit) = fixed_point(x);
    // x in the order of the fields; the padding of the rows meets zeros.
    let mut ordered = vec![[[[0i16; BLOCK]; 2]; FIELDS]; embed.row_bytes() / BLOCK];
    for (column, fixed) in fixed.iter().enumerate() {
        let byte = column / FIELDS;
        let [high, low] = &mut ordered[byte / BLOCK][column % FIELDS];
        high[byte % BLOCK] = (fixed >> HALF) as i16;
        low[byte % BLOCK] = (fixed & ((1 << HALF) - 1)) as i16;
    }
    for (row, (logit, scale)) in embed.data.chunks_exact(embed.row_bytes()).zip(logits.iter_mut().zip(scale)) {
        *logit = scale * (unit * dot_row::<BITS, FIELDS, I>(row, &ordered));
    }
}

#[inline(always)]
fn dot_row<const BITS: usize, const FIELDS: usize, I: Isa>(row: &[u8], x: &[[[Fields; 2]; FIELDS]]) -> f32 {
    let (mut high, mut low) = ([0i32; BLOCK / 2], [0i32; BLOCK / 2]);
    for (bytes, x) in row.as_chunks::<BLOCK>().0.iter().zip(x) {
        for (field, x) in x.iter().enumerate() {
            let weights = super::fields::<BITS>(bytes, field);
            high = I::pair_dot(high, weights, x[0]);
            low = I::pair_dot(low, weights, x[1]);
        }
    }
    let total = |lanes: [i32; BLOCK / 2]| lanes.iter().map(|&lane| i64::from(lane)).sum::<i64>();
    ((total(high) << HALF) + total(low)) as f32
}
