//! The projection behind a spike site as a product of all its counts, zero or not, with all weights, in integers.

use super::SpikeBatch;
use crate::format::field;
use crate::model::Matrix;

/// `sum[token, o] = Σ_j c_j · weight[j, o]` over every j: the same integers as [`super::sparse_matmul`]'s, and exact for the
/// same reason. It reads every row, which pays where most neurons fire.
///
/// `sums` is `[tokens, outputs]`. The shaders have no twin: there the spikes of a token tile share each row as they are.
pub fn dense_matmul(spikes: &SpikeBatch, weight: &Matrix, sums: &mut [i32]) {
    for (token, sums) in sums.chunks_exact_mut(weight.columns).enumerate() {
        let counts = spikes.counts(token);
        for (o, sum) in sums.iter_mut().enumerate() {
            let products = counts.iter().enumerate().map(|(j, &c)| i32::from(c) * field(weight.row(j), o, weight.kind));
            *sum = products.sum();
        }
    }
}
