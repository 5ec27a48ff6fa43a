//! Mamba-2's selective scan: `state ← exp(Δ·A)·state + (Δ·x) ⊗ B`, `y = state·C + D·x`, with Δ = softplus(dt + dt_bias).
//!
//! [`scan_step`] is the recurrence for one token. [`scan_chunk`] is the same for many tokens at once by state space duality
//! (Mamba-2, arXiv 2405.21060, section 6): within the chunk a masked product as in linear attention, and the state only at
//! its end. Both are linear in the number of tokens.

use crate::math::{exp, softplus};

/// A layer's scan: shape and parameters.
#[derive(Debug, Clone, Copy)]
pub struct ScanParams<'a> {
    /// p.
    pub head_dim: usize,
    /// n.
    pub d_state: usize,
    /// g.
    pub groups: usize,
    /// `[h]`.
    pub dt_bias: &'a [f32],
    /// `[h]`, negative.
    pub a: &'a [f32],
    /// `[h]`.
    pub d: &'a [f32],
}

impl ScanParams<'_> {
    fn heads(&self) -> usize {
        self.a.len()
    }

    fn inner(&self) -> usize {
        self.heads() * self.head_dim
    }

    /// X | B | C of one token: (head's X `[p]`, its group's B `[n]` and C `[n]`).
    pub(super) fn split<'x>(&self, xbc: &'x [f32], head: usize) -> (&'x [f32], &'x [f32], &'x [f32]) {
        let (p, n) = (self.head_dim, self.d_state);
        let group = head * self.groups / self.heads();
        let (x, bc) = xbc.split_at(self.inner());
        let (b, c) = bc.split_at(self.groups * n);
        (&x[head * p..(head + 1) * p], &b[group * n..(group + 1) * n], &c[group * n..(group + 1) * n])
    }

    /// Δ, and exp(Δ·A), at a token whose dt is this.
    pub(super) fn step(&self, head: usize, dt: f32) -> (f32, f32) {
        let delta = softplus(dt + self.dt_bias[head]);
        (delta, exp(delta * self.a[head]))
    }
}

/// One token. `state` is `[h, p, n]`, `xbc` `[xbc]` (after the convolution), `dt` `[h]`, `y` `[h, p]`.
/// Twin: `shaders/scan_step.wgsl`.
pub fn scan_step(params: ScanParams, state: &mut [f32], xbc: &[f32], dt: &[f32], y: &mut [f32]) {
    let (p, n) = (params.head_dim, params.d_state);
    for (head, (state, y)) in state.chunks_exact_mut(p * n).zip(y.chunks_exact_mut(p)).enumerate() {
        let (x, b, c) = params.split(xbc, head);
        let (delta, decay) = params.step(head, dt[head]);
        for ((row, x), y) in state.chunks_exact_mut(n).zip(x).zip(y) {
            let dx = delta * x;
            let mut sum = 0.0;
            for ((state, b), c) in row.iter_mut().zip(b).zip(c) {
                *state = decay * *state + dx * b;
                sum += *state * c;
            }
            *y = sum + params.d[head] * x;
        }
    }
}

/// A chunk of tokens: `xbc` is `[tokens, xbc]`, `dt` `[tokens, h]`, `y` `[tokens, h, p]`.
/// Twin: `shaders/scan_chunk.wgsl`.
pub fn scan_chunk(params: ScanParams, state: &mut [f32], xbc: &[f32], dt: &[f32], y: &mut [f32]) {
    let (p, n, heads, inner) = (params.head_dim, params.d_state, params.heads(), params.inner());
    let channels = inner + 2 * params.groups * n;
    let tokens = dt.len() / heads;
    for (head, state) in state.chunks_exact_mut(p * n).enumerate() {
        let split = |t: usize| params.split(&xbc[t * channels..(t + 1) * channels], head);
        let delta: Vec<f32> = (0..tokens).map(|t| softplus(dt[t * heads + head] + params.dt_bias[head])).collect();
        // log_decay[t]: how much of the chunk's first state is left after token t, as a logarithm.
        let log_decay: Vec<f32> = delta
            .iter()
            .scan(0.0, |sum, delta| {
                *sum += delta * params.a[head];
                Some(*sum)
            })
            .collect();
        for t in 0..tokens {
            let (x, _, c) = split(t);
            let y = &mut y[t * inner + head * p..][..p];
            let kept = exp(log_decay[t]);
            for ((y, row), x) in y.iter_mut().zip(state.chunks_exact(n)).zip(x) {
                *y = kept * dot(row, c) + params.d[head] * x;
            }
            for s in 0..=t {
                let (x, b, _) = split(s);
                let weight = exp(log_decay[t] - log_decay[s]) * dot(b, c) * delta[s];
                y.iter_mut().zip(x).for_each(|(y, x)| *y += weight * x);
            }
        }
        let last = log_decay.last().copied().unwrap_or(0.0);
        state.iter_mut().for_each(|s| *s *= exp(last));
        for s in 0..tokens {
            let (x, b, _) = split(s);
            let weight = exp(last - log_decay[s]) * delta[s];
            for (row, x) in state.chunks_exact_mut(n).zip(x) {
                row.iter_mut().zip(b).for_each(|(state, b)| *state += weight * x * b);
            }
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The chunk is the recurrence, whatever its length.
        #[test]
        fn chunk_is_steps(
            (heads, groups) in prop::sample::select(vec![(1, 1), (6, 1), (6, 2), (6, 6)]),
            p in 1usize..6, n in 1usize..6, tokens in 0usize..20, seed in any::<u64>(),
        ) {
            let mut x = seed;
            let mut random = |count: usize| -> Vec<f32> {
                (0..count).map(|_| {
                    x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    (x >> 40) as f32 / (1 << 23) as f32 - 1.0
                }).collect()
            };
            let channels = heads * p + 2 * groups * n;
            let (dt_bias, d) = (random(heads), random(heads));
            let a: Vec<f32> = random(heads).iter().map(|x| -x.abs() - 0.01).collect();
            let params = ScanParams { head_dim: p, d_state: n, groups, dt_bias: &dt_bias, a: &a, d: &d };
            let (xbc, dt) = (random(tokens * channels), random(tokens * heads));
            let mut by_steps = random(heads * p * n);
            let mut by_chunk = by_steps.clone();
            let mut y_steps = vec![0.0; tokens * heads * p];
            let mut y_chunk = y_steps.clone();
            for t in 0..tokens {
                let y = &mut y_steps[t * heads * p..(t + 1) * heads * p];
                scan_step(params, &mut by_steps, &xbc[t * channels..(t + 1) * channels], &dt[t * heads..(t + 1) * heads], y);
            }
            scan_chunk(params, &mut by_chunk, &xbc, &dt, &mut y_chunk);
            for (a, b) in y_steps.iter().chain(&by_steps).zip(y_chunk.iter().chain(&by_chunk)) {
                prop_assert!((a - b).abs() < 1e-4, "{a} {b}");
            }
        }
    }
}
