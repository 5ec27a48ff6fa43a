//! What a current is made of before it meets a threshold: norms and the FFN's gate. Twin: `shaders/fire.wgsl`.

use crate::math::silu;

/// `x / sqrt(mean(x²) + eps) · weight`, `[d]`.
pub fn rmsnorm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let mean = x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32;
    let inverse = 1.0 / (mean + eps).sqrt();
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
        *out = x * inverse * weight;
    }
}

/// `y · silu(z)`, each of `groups` equal parts normed by itself, times `weight`; all `[i]`.
pub fn gated_rmsnorm(y: &[f32], z: &[f32], weight: &[f32], groups: usize, eps: f32, out: &mut [f32]) {
    let gated: Vec<f32> = y.iter().zip(z).map(|(y, z)| y * silu(*z)).collect();
    let width = y.len() / groups;
    for ((gated, weight), out) in gated.chunks(width).zip(weight.chunks(width)).zip(out.chunks_mut(width)) {
        rmsnorm(gated, weight, eps, out);
    }
}

/// `silu(gate) · up`, from gate | up `[2·f]` to `[f]`.
pub fn swiglu(gate_up: &[f32], out: &mut [f32]) {
    let (gate, up) = gate_up.split_at(out.len());
    for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
        *out = silu(*gate) * up;
    }
}
