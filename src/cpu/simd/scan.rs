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

/// Tokens that pass a few columns of the state one after another, while these stay in registers.
const TOKENS: usize = 8;

/// Channels of a column that are there at once: WebAssembly has sixteen registers of four.
const CHANNELS: usize = if cfg!(target_arch = "wasm32") { 8 } else { 16 };

/// A chunk runs the recurrence: the dual form's masked products would be more work on a CPU. It runs head by head with the
/// state's axes swapped, so that lanes are channels, and none has to be added to another at every row of every token; the
/// sums are in the order of [`scan_step`] nevertheless, and equal to the bit.
#[inline(always)]
pub(super) fn scan_chunk(params: ScanParams, state: &mut [f32], xbc: &[f32], dt: &[f32], y: &mut [f32]) {
    let (p, n, heads) = (params.head_dim, params.d_state, params.a.len());
    let (inner, channels) = (heads * p, heads * p + 2 * params.groups * n);
    // [n, p].
    let mut columns = vec![0.0; p * n];
    let mut block = Block { p, steps: Vec::new(), dx: Vec::new(), sums: vec![0.0; TOKENS * p * (LANES + 1)] };
    // Columns of one lane lie LANES apart; those behind the last whole block have a sum of their own.
    let (whole, of_lane) = (n - n % LANES, n / LANES);
    for (head, state) in state.chunks_exact_mut(p * n).enumerate() {
        transpose(state, n, &mut columns);
        let blocks = xbc.chunks(TOKENS * channels).zip(dt.chunks(TOKENS * heads)).zip(y.chunks_mut(TOKENS * inner));
        for ((xbc, dt), y) in blocks {
            block.begin(params, head, xbc.chunks_exact(channels).zip(dt.chunks_exact(heads)));
            for lane in 0..LANES {
                match of_lane {
                    0 => {}
                    count if count % 4 == 0 => block.pass_all::<4>(&mut columns[..whole * p], lane),
                    count if count % 3 == 0 => block.pass_all::<3>(&mut columns[..whole * p], lane),
                    _ => block.pass_all::<1>(&mut columns[..whole * p], lane),
                }
            }
            for column in whole..n {
                block.pass::<1>(&mut columns, column, LANES);
            }
            for (t, y) in y.chunks_exact_mut(inner).enumerate() {
                let (x, ..) = params.split(&xbc[t * channels..(t + 1) * channels], head);
                block.finish(t, params.d[head], x, &mut y[head * p..(head + 1) * p]);
            }
        }
        transpose(&columns, p, state);
    }
}

/// A few tokens of one head.
struct Block<'a> {
    p: usize,
    /// Of every token.
    steps: Vec<Step<'a>>,
    /// Δ · x, `[tokens, p]`.
    dx: Vec<f32>,
    /// y as it comes together, `[LANES + 1, TOKENS, p]`: from every LANES-th column, and from those behind the last whole
    /// block.
    sums: Vec<f32>,
}

/// What one token does to a head's state.
struct Step<'a> {
    decay: f32,
    /// `[n]`.
    b: &'a [f32],
    /// `[n]`.
    c: &'a [f32],
}

impl<'a> Block<'a> {
    /// Takes tokens, each with its X | B | C and its dt.
    #[inline(always)]
    fn begin(&mut self, params: ScanParams, head: usize, tokens: impl Iterator<Item = (&'a [f32], &'a [f32])>) {
        self.steps.clear();
        self.dx.clear();
        self.sums.fill(0.0);
        for (xbc, dt) in tokens {
            let (x, b, c) = params.split(xbc, head);
            let (delta, decay) = params.step(head, dt[head]);
            self.steps.push(Step { decay, b, c });
            self.dx.extend(x.iter().map(|x| delta * x));
        }
    }

    /// All columns of a lane, `COUNT` at a time. `columns` is `[a multiple of LANES, p]`.
    #[inline(always)]
    fn pass_all<const COUNT: usize>(&mut self, columns: &mut [f32], lane: usize) {
        for first in (lane..columns.len() / self.p).step_by(COUNT * LANES) {
            self.pass::<COUNT>(columns, first, lane);
        }
    }

    /// All tokens pass the columns `first`, `first` + LANES, …, whose part of y is added to a lane.
    #[inline(always)]
    fn pass<const COUNT: usize>(&mut self, columns: &mut [f32], first: usize, lane: usize) {
        let p = self.p;
        let mut factors = [([0.0; COUNT], [0.0; COUNT]); TOKENS];
        for (step, (b, c)) in self.steps.iter().zip(&mut factors) {
            for k in 0..COUNT {
                (b[k], c[k]) = (step.b[first + k * LANES], step.c[first + k * LANES]);
            }
        }
        let whole = p - p % CHANNELS;
        for channel in (0..whole).step_by(CHANNELS) {
            self.pass_channels::<COUNT, CHANNELS>(columns, first, lane, &factors, channel);
        }
        for channel in whole..p {
            self.pass_channels::<COUNT, 1>(columns, first, lane, &factors, channel);
        }
    }

    /// `WIDTH` channels of it. `factors` are b and c of these columns at every token.
    #[inline(always)]
    fn pass_channels<const COUNT: usize, const WIDTH: usize>(
        &mut self,
        columns: &mut [f32],
        first: usize,
        lane: usize,
        factors: &[([f32; COUNT], [f32; COUNT]); TOKENS],
        channel: usize,
    ) {
        let p = self.p;
        let place = |k: usize| (first + k * LANES) * p + channel;
        let mut states: [[f32; WIDTH]; COUNT] = std::array::from_fn(|k| read(&columns[place(k)..]));
        let rows = self.dx.chunks_exact(p).zip(self.sums[lane * TOKENS * p..].chunks_exact_mut(p));
        for ((step, (b, c)), (dx, sums)) in self.steps.iter().zip(factors).zip(rows) {
            let dx: [f32; WIDTH] = read(&dx[channel..]);
            let mut sum: [f32; WIDTH] = read(&sums[channel..]);
            for (state, (b, c)) in states.iter_mut().zip(b.iter().zip(c)) {
                for i in 0..WIDTH {
                    state[i] = step.decay * state[i] + dx[i] * b;
                    sum[i] += state[i] * c;
                }
            }
            sums[channel..channel + WIDTH].copy_from_slice(&sum);
        }
        for (k, state) in states.iter().enumerate() {
            columns[place(k)..place(k) + WIDTH].copy_from_slice(state);
        }
    }

    /// y of a token, `[p]`: all lanes, added in the order of [`sum`], and D · x.
    #[inline(always)]
    fn finish(&mut self, token: usize, d: f32, x: &[f32], y: &mut [f32]) {
        let (p, lane) = (self.p, TOKENS * self.p);
        let sums = &mut self.sums[token * p..];
        let mut width = LANES;
        while width > 1 {
            width /= 2;
            let (low, high) = sums.split_at_mut(width * lane);
            for (low, high) in low.chunks_mut(lane).zip(high.chunks(lane)) {
                low[..p].iter_mut().zip(&high[..p]).for_each(|(low, high)| *low += *high);
            }
        }
        let rest = &sums[LANES * lane..];
        for (((y, sum), rest), x) in y.iter_mut().zip(&*sums).zip(rest).zip(x) {
            *y = sum + rest + d * x;
        }
    }
}

/// The first `WIDTH` numbers.
#[inline(always)]
fn read<const WIDTH: usize>(from: &[f32]) -> [f32; WIDTH] {
    let mut out = [0.0; WIDTH];
    out.copy_from_slice(&from[..WIDTH]);
    out
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
