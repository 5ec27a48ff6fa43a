//! The projection behind a spike site: adds the rows of the neurons that fired, in integers.

use super::SpikeBatch;
use crate::format::field;
use crate::model::{Event, Matrix};

/// `sum[token, o] = Σ_j c_j · weight[j, o]`, exact in i32: config.json's limits keep every sum below 2²⁴.
///
/// `sums` is `[tokens, outputs]`. Twins: `shaders/sparse_matvec.wgsl` for one token, `shaders/sparse_matmul.wgsl`.
pub fn sparse_matmul(spikes: &SpikeBatch, weight: &Matrix, sums: &mut [i32]) {
    for (token, sums) in sums.chunks_exact_mut(weight.columns).enumerate() {
        sums.fill(0);
        for event in Event::all(spikes.counts(token)) {
            let row = weight.row(event.neuron());
            for (o, sum) in sums.iter_mut().enumerate() {
                *sum += event.count() * field(row, o, weight.kind);
            }
        }
    }
}

/// `out = sum · scale · threshold_scale`, all `[outputs]`: from integers to currents. In `shaders/sparse_matvec.wgsl`.
pub fn dequantise(sums: &[i32], scale: &[f32], threshold_scale: f32, out: &mut [f32]) {
    for ((out, sum), scale) in out.iter_mut().zip(sums).zip(scale) {
        *out = *sum as f32 * scale * threshold_scale;
    }
}

/// The dense integer product that spikes are measured against: `sums[o] = Σ_j activation[j] · weight[o, j]`.
///
/// Here `weight` is output-major, one packed row an output, as dense engines store it. The network never calls it; benches do.
pub fn dense_matvec(activation: &[i8], weight: &Matrix, sums: &mut [i32]) {
    for (o, sum) in sums.iter_mut().enumerate() {
        let row = weight.row(o);
        *sum = activation.iter().enumerate().map(|(j, &a)| i32::from(a) * field(row, j, weight.kind)).sum();
    }
}
