//! Logits by the instructions of the dense product. Twin of the reference kernel of the same name, and equal to the portable
//! one to the bit: the same fixed-point number, in four digits of 7 bits instead of two halves of 14.

use bytemuck::Zeroable;

use super::dense::Dense;
use crate::config::WeightKind;
use crate::cpu::simd::head::fixed_point;
use crate::cpu::simd::isa::load;
use crate::model::Matrix;

/// Bits of a digit. A lane sums up to 8192 / 16 products of at most 127 · 255, and that of two digits together is below 2^31.
const DIGIT: u32 = 7;

/// The digits of x, lowest first. The highest has the sign.
const DIGITS: usize = 4;

#[inline(always)]
pub(super) fn lm_head<D: Dense>(embed: &Matrix, scale: &[f32], x: &[f32], logits: &mut [f32]) {
    match embed.kind {
        WeightKind::Int8 => rows::<8, 1, D>(embed, scale, x, logits),
        WeightKind::Int4 => rows::<4, 2, D>(embed, scale, x, logits),
        WeightKind::Ternary => rows::<2, 4, D>(embed, scale, x, logits),
    }
}

#[inline(always)]
fn rows<const BITS: usize, const FIELDS: usize, D: Dense>(
    embed: &Matrix,
    scale: &[f32],
    x: &[f32],
    logits: &mut [f32],
) {
    let vector = size_of::<D::Bytes>();
    let (fixed, unit) = fixed_point(x);
    // In the order of the fields. What lies behind a row, its padding or the next row, meets zeros.
    let mut digits = vec![[[D::Bytes::zeroed(); DIGITS]; FIELDS]; embed.row_bytes().div_ceil(vector)];
    let mut offset = 0;
    for (column, fixed) in fixed.iter().enumerate() {
        let byte = column / FIELDS;
        for (n, digits) in digits[byte / vector][column % FIELDS].iter_mut().enumerate() {
            let digit = fixed >> (n as u32 * DIGIT);
            let digit = if n + 1 < DIGITS { digit & ((1 << DIGIT) - 1) } else { digit };
            bytemuck::bytes_of_mut(digits)[byte % vector] = digit as i8 as u8;
        }
        offset += i64::from(*fixed) * i64::from(D::offset::<BITS>());
    }
    let row_bytes = embed.row_bytes();
    for (row, (logit, scale)) in logits.iter_mut().zip(scale).enumerate() {
        let mut sums = [D::Sums::zeroed(); DIGITS];
        for (block, digits) in digits.iter().enumerate() {
            let bytes = load::<D>(&embed.data, row * row_bytes + block * vector);
            for (field, digits) in digits.iter().enumerate() {
                let weights = D::dense_field::<BITS>(bytes, field);
                for n in 0..DIGITS {
                    sums[n] = D::dot::<BITS>(sums[n], weights, digits[n]);
                }
            }
        }
        let [low, high] = [total::<D>(&sums[0], &sums[1]), total::<D>(&sums[2], &sums[3])];
        *logit = scale * (unit * ((high << (2 * DIGIT)) + low - offset) as f32);
    }
}

/// Both digits' sum over all lanes.
#[inline(always)]
fn total<D: Dense>(low: &D::Sums, high: &D::Sums) -> i64 {
    let lanes = |sums| bytemuck::cast_slice::<D::Sums, i32>(std::slice::from_ref(sums));
    lanes(low).iter().zip(lanes(high)).map(|(low, high)| i64::from(low + (high << DIGIT))).sum()
}
