//! The mixer's depthwise causal convolution, one token at a time.

use crate::math::silu;

/// `xbc ← silu(Σ_tap weight[tap] · past[tap] + bias)`, where the newest tap meets `xbc` itself; then the state moves on.
///
/// `xbc` and `bias` are `[xbc]`, `weight` is `[k, xbc]`, oldest tap first, and `state` `[k-1, xbc]`, oldest first.
/// Twin: `shaders/conv1d.wgsl`.
pub fn conv1d(state: &mut [f32], weight: &[f32], bias: &[f32], xbc: &mut [f32]) {
    let channels = xbc.len();
    let (past_taps, newest) = weight.split_at(state.len());
    let mut out: Vec<f32> = vec![0.0; channels];
    for (past, tap) in state.chunks_exact(channels).zip(past_taps.chunks_exact(channels)) {
        for ((out, past), tap) in out.iter_mut().zip(past).zip(tap) {
            *out += past * tap;
        }
    }
    state.copy_within(channels.., 0);
    let last = state.len() - channels;
    state[last..].copy_from_slice(xbc);
    for (channel, x) in xbc.iter_mut().enumerate() {
        *x = silu(out[channel] + *x * newest[channel] + bias[channel]);
    }
}
