//! The dense integer product that spikes are measured against. Twin of the reference kernel of the same name.

use super::{BLOCK, Isa};
use crate::config::WeightKind;
use crate::model::Matrix;

#[inline(always)]
pub(super) fn dense_matvec<I: Isa>(activation: &[i8], weight: &Matrix, sums: &mut [i32]) {
    match weight.kind {
        WeightKind::Int8 => rows::<8, 1, I>(activation, weight, sums),
        WeightKind::Int4 => rows::<4, 2, I>(activation, weight, sums),
        WeightKind::Ternary => rows::<2, 4, I>(activation, weight, sums),
    }
}

#[inline(always)]
fn rows<const BITS: usize, const FIELDS: usize, I: Isa>(activation: &[i8], weight: &Matrix, sums: &mut [i32]) {
    let mut ordered = vec![[[0i16; BLOCK]; FIELDS]; weight.row_bytes() / BLOCK];
    for (column, &value) in activation.iter().enumerate() {
        let byte = column / FIELDS;
        ordered[byte / BLOCK][column % FIELDS][byte % BLOCK] = i16::from(value);
    }
    for (row, sum) in weight.data.chunks_exact(weight.row_bytes()).zip(sums) {
        let mut lanes = [0i32; BLOCK / 2];
        for (bytes, activation) in row.as_chunks::<BLOCK>().0.iter().zip(&ordered) {
            for (field, activation) in activation.iter().enumerate() {
                lanes = I::pair_dot(lanes, super::fields::<BITS>(bytes, field), *activation);
            }
        }
        *sum = lanes.iter().sum();
    }
}
