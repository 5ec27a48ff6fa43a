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
    let row_bytes = embed.row_bytes();
    let pairs = embed.data.chunks(2 * row_bytes).zip(logits.chunks_mut(2)).zip(scale.chunks(2));
    for ((rows, logits), scales) in pairs {
        let (first, second) = rows.split_at(row_bytes);
        // The last of an odd number of rows is its own neighbour.
        let pair = [first, if second.is_empty() { first } else { second }];
        let dots = dot_rows::<BITS, FIELDS, I>(pair, &ordered);
        for ((logit, scale), dot) in logits.iter_mut().zip(scales).zip(dots) {
            *logit = scale * (unit * dot);
        }
    }
}

/// Of two rows, which share what is read of x.
#[inline(always)]
fn dot_rows<const BITS: usize, const FIELDS: usize, I: Isa>(rows: [&[u8]; 2], x: &[[[Fields; 2]; FIELDS]]) -> [f32; 2] {
    let [first, second] = rows.map(|row| row.as_chunks::<BLOCK>().0);
    // Of each row, from the high halves of x and from the low ones.
    let mut sums = [[[0i32; BLOCK / 2]; 2]; 2];
    for ((first, second), x) in first.iter().zip(second).zip(x) {
        for (field, [high, low]) in x.iter().enumerate() {
            for (sums, bytes) in sums.iter_mut().zip([first, second]) {
                let weights = super::fields::<BITS>(bytes, field);
                sums[0] = I::pair_dot(sums[0], weights, *high);
                sums[1] = I::pair_dot(sums[1], weights, *low);
            }
        }
    }
    sums.map(|halves| {
        let [high, low] = halves.map(|lanes| lanes.iter().map(|&lane| i64::from(lane)).sum::<i64>());
        ((high << HALF) + low) as f32
    })
}
