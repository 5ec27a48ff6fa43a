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
    let whole = xbc.len() - xbc.len() % LANES;
    for start in (0..whole).step_by(LANES) {
        conv1d_block::<LANES>(state, weight, bias, xbc, start);
    }
    for start in whole..xbc.len() {
        conv1d_block::<1>(state, weight, bias, xbc, start);
    }
}

/// `WIDTH` channels from `start` on.
#[inline(always)]
fn conv1d_block<const WIDTH: usize>(state: &mut [f32], weight: &[f32], bias: &[f32], xbc: &mut [f32], start: usize) {
    let (channels, past) = (xbc.len(), state.len());
    let mut sum = [0.0; WIDTH];
    for tap in (start..past).step_by(channels) {
        let (state, weight) = (block::<WIDTH>(state, tap), block::<WIDTH>(weight, tap));
        for i in 0..WIDTH {
            sum[i] += state[i] * weight[i];
        }
    }
    let (x, newest, bias) =
        (block::<WIDTH>(xbc, start), block::<WIDTH>(weight, past + start), block::<WIDTH>(bias, start));
    for i in 0..WIDTH {
        sum[i] = silu(sum[i] + x[i] * newest[i] + bias[i]);
    }
    for tap in (channels + start..past).step_by(channels) {
        let later = block::<WIDTH>(state, tap);
        state[tap - channels..][..WIDTH].copy_from_slice(&later);
    }
    state[past - channels + start..][..WIDTH].copy_from_slice(&x);
    xbc[start..][..WIDTH].copy_from_slice(&sum);
}

#[inline(always)]
pub(super) fn block<const WIDTH: usize>(x: &[f32], start: usize) -> [f32; WIDTH] {
    let mut block = [0.0; WIDTH];
    block.copy_from_slice(&x[start..start + WIDTH]);
    block
}
