//! The selective scan. Twins of the reference kernels of the same names.

use super::{LANES, sum};
use crate::cpu::ScanParams;
use crate::math::{exp, softplus};

#[inline(always)]
pub(super) fn scan_step(params: ScanParams, state: &mut [f32], xbc: &[f32], dt: &[f32], y: &mut [f32]) {
    let (p, n) = (params.head_dim, params.d_state);
    for (head, (state, y)) in state.chunks_exact_mut(p * n).zip(y.chunks_exact_mut(p)).enumerate() {
        let (x, b, c) = params.split(xbc, head);
        let delta = softplus(dt[head] + params.dt_bias[head]);
        let decay = exp(delta * params.a[head]);
        for ((row, x), y) in state.chunks_exact_mut(n).zip(x).zip(y) {
            *y = step_row(row, decay, delta * x, b, c) + params.d[head] * x;
        }
    }
}

/// A chunk runs the recurrence token by token: on a CPU the state stays in cache, and the dual form's masked products would
/// be more work.
#[inline(always)]
pub(super) fn scan_chunk(params: ScanParams, state: &mut [f32], xbc: &[f32], dt: &[f32], y: &mut [f32]) {
    let (heads, inner) = (params.a.len(), params.a.len() * params.head_dim);
    let channels = inner + 2 * params.groups * params.d_state;
    let tokens = xbc.chunks_exact(channels).zip(dt.chunks_exact(heads)).zip(y.chunks_exact_mut(inner));
    for ((xbc, dt), y) in tokens {
        scan_step(params, state, xbc, dt, y);
    }
}

/// `row ← decay · row + dx · b`; returns `row · c`. All `[n]`.
#[inline(always)]
fn step_row(row: &mut [f32], decay: f32, dx: f32, b: &[f32], c: &[f32]) -> f32 {
    let (row_blocks, row_rest) = row.as_chunks_mut::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let (c_blocks, c_rest) = c.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for ((row, b), c) in row_blocks.iter_mut().zip(b_blocks).zip(c_blocks) {
        for i in 0..LANES {
            row[i] = decay * row[i] + dx * b[i];
            lanes[i] += row[i] * c[i];
        }
    }
    let mut rest = 0.0;
    for ((row, b), c) in row_rest.iter_mut().zip(b_rest).zip(c_rest) {
        *row = decay * *row + dx * b;
        rest += *row * c;
    }
    sum(lanes) + rest
}
