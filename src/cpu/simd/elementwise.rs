//! Norms, gates, the convolution and the output scale. Twins of the reference kernels of the same names.

use super::{LANES, dot};
use crate::math::silu;

#[inline(always)]
pub(super) fn rmsnorm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let mean = dot(x, x) / x.len() as f32;
    let inverse = 1.0 / (mean + eps).sqrt();
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
        *out = x * inverse * weight;
    }
}

#[inline(always)]
pub(super) fn gated_rmsnorm(y: &[f32], z: &[f32], weight: &[f32], groups: usize, eps: f32, out: &mut [f32]) {
    for ((out, y), z) in out.iter_mut().zip(y).zip(z) {
        *out = y * silu(*z);
    }
    let width = y.len() / groups;
    for (out, weight) in out.chunks_exact_mut(width).zip(weight.chunks_exact(width)) {
        let inverse = 1.0 / (dot(out, out) / width as f32 + eps).sqrt();
        out.iter_mut().zip(weight).for_each(|(out, weight)| *out = *out * inverse * weight);
    }
}

#[inline(always)]
pub(super) fn swiglu(gate_up: &[f32], out: &mut [f32]) {
    let (gate, up) = gate_up.split_at(out.len());
    for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
        *out = silu(*gate) * up;
    }
}

#[inline(always)]
pub(super) fn dequantise(sums: &[i32], scale: &[f32], threshold_scale: f32, out: &mut [f32]) {
    for ((out, sum), scale) in out.iter_mut().zip(sums).zip(scale) {
        *out = *sum as f32 * scale * threshold_scale;
    }
}

#[inline(always)]
pub(super) fn conv1d(state: &mut [f32], weight: &[f32], bias: &[f32], xbc: &mut [f32]) {
    let channels = xbc.len();
    let past = state.len();
    for start in (0..channels).step_by(LANES) {
        let width = LANES.min(channels - start);
        let mut sum = [0.0; LANES];
        for tap in (0..past).step_by(channels) {
            let (state, weight) = (&state[tap + start..][..width], &weight[tap + start..][..width]);
            for i in 0..width {
                sum[i] += state[i] * weight[i];
            }
        }
        let (newest, bias) = (&weight[past + start..][..width], &bias[start..][..width]);
        for i in 0..width {
            sum[i] = silu(sum[i] + xbc[start + i] * newest[i] + bias[i]);
        }
        for tap in (channels..past).step_by(channels) {
            state.copy_within(tap + start..tap + start + width, tap - channels + start);
        }
        state[past - channels + start..][..width].copy_from_slice(&xbc[start..start + width]);
        xbc[start..start + width].copy_from_slice(&sum[..width]);
    }
}
