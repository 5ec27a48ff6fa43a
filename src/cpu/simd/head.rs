//! Logits. Twin of the reference kernel of the same name.

use super::{LANES, sum};
use crate::config::WeightKind;
use crate::model::Matrix;

#[inline(always)]
pub(super) fn lm_head(embed: &Matrix, scale: &[f32], x: &[f32], logits: &mut [f32]) {
    match embed.kind {
        WeightKind::Int8 => rows::<8>(embed, scale, x, logits),
        WeightKind::Int4 => rows::<4>(embed, scale, x, logits),
        WeightKind::Ternary => rows::<2>(embed, scale, x, logits),
    }
}

#[inline(always)]
fn rows<const BITS: usize>(embed: &Matrix, scale: &[f32], x: &[f32], logits: &mut [f32]) {
    let fields = 8 / BITS;
    // x in the order of the fields: block, field in byte, byte in block; the padding of the rows meets zeros.
    let blocks = embed.row_bytes() / LANES;
    let mut ordered = vec![[0.0; LANES]; blocks * fields];
    for (column, x) in x.iter().enumerate() {
        let byte = column / fields;
        ordered[byte / LANES * fields + column % fields][byte % LANES] = *x;
    }
    for (row, (logit, scale)) in embed.data.chunks_exact(embed.row_bytes()).zip(logits.iter_mut().zip(scale)) {
        *logit = scale * dot_row::<BITS>(row, &ordered);
    }
}

#[inline(always)]
fn dot_row<const BITS: usize>(row: &[u8], x: &[[f32; LANES]]) -> f32 {
    let mut lanes = [0.0; LANES];
    for (bytes, x) in row.as_chunks::<LANES>().0.iter().zip(x.chunks_exact(8 / BITS)) {
        for (field, x) in x.iter().enumerate() {
            let up = 8 - BITS * (field + 1);
            for i in 0..LANES {
                // To the top of the byte and back: the field with its sign.
                let value = ((bytes[i] << up) as i8) >> (8 - BITS);
                lanes[i] += f32::from(value) * x[i];
            }
        }
    }
    sum(lanes)
}
