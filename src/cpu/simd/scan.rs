//! The selective scan. Twins of the reference kernels of the same names.

use super::{LANES, sum};
use crate::cpu::ScanParams;

#[inline(always)]
pub(super) fn scan_step(params: ScanParams, state: &mut [f32], xbc: &[f32], dt: &[f32], y: &mut [f32]) {
    let (p, n) = (params.head_dim, params.d_state);
    for (head, (state, y)) in state.chunks_exact_mut(p * n).zip(y.chunks_exact_mut(p)).enumerate() {
        let (x, b, c) = params.split(xbc, head);
        let (delta, decay) = params.step(head, dt[head]);
        for ((row, x), y) in state.chunks_exact_mut(n).zip(x).zip(y) {
            *y = step_row(row, decay, delta * x, b, c) + params.d[head] * x;
        }
    }
}

/// A chunk runs the recurrence token by token: the dual form's masked products would be more work on a CPU. It runs head by
/// head with the state's axes swapped, so that lanes are channels, and none has to be added to another at every row of every
/// token; the sums are in the order of [`scan_step`] nevertheless, and equal to the bit.
#[inline(always)]
pub(super) fn scan_chunk(params: ScanParams, state: &mut [f32], xbc: &[f32], dt: &[f32], y: &mut [f32]) {
    let (p, n, heads) = (params.head_dim, params.d_state, params.a.len());
    let (inner, channels) = (heads * p, heads * p + 2 * params.groups * n);
    // [n, p]; [LANES + 1, p]: sums of every LANES-th column, and of those behind the last whole block; [p].
    let (mut columns, mut sums, mut dx) = (vec![0.0; p * n], vec![0.0; p * (LANES + 1)], vec![0.0; p]);
    for (head, state) in state.chunks_exact_mut(p * n).enumerate() {
        transpose(state, n, &mut columns);
        let tokens = xbc.chunks_exact(channels).zip(dt.chunks_exact(heads)).zip(y.chunks_exact_mut(inner));
        for ((xbc, dt), y) in tokens {
            let (x, b, c) = params.split(xbc, head);
            let (delta, decay) = params.step(head, dt[head]);
            dx.iter_mut().zip(x).for_each(|(dx, x)| *dx = delta * x);
            sums.fill(0.0);
            for (index, (column, (b, c))) in columns.chunks_exact_mut(p).zip(b.iter().zip(c)).enumerate() {
                let lane = if index < n - n % LANES { index % LANES } else { LANES };
                for ((state, dx), sum) in column.iter_mut().zip(&dx).zip(&mut sums[lane * p..]) {
                    *state = decay * *state + dx * b;
                    *sum += *state * c;
                }
            }
            let (lanes, rest) = sums.split_at_mut(LANES * p);
            let mut width = LANES;
            while width > 1 {
                width /= 2;
                let (low, high) = lanes.split_at_mut(width * p);
                low.iter_mut().zip(high).for_each(|(low, high)| *low += *high);
            }
            let y = &mut y[head * p..(head + 1) * p];
            for (((y, sum), rest), x) in y.iter_mut().zip(&*lanes).zip(&*rest).zip(x) {
                *y = sum + rest + params.d[head] * x;
            }
        }
        transpose(&columns, p, state);
    }
}

/// `[rows, columns]` to `[columns, rows]`.
#[inline(always)]
fn transpose(from: &[f32], columns: usize, to: &mut [f32]) {
    let rows = from.len() / columns;
    for (r, row) in from.chunks_exact(columns).enumerate() {
        for (c, value) in row.iter().enumerate() {
            to[c * rows + r] = *value;
        }
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
