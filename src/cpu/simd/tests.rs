//! The fast kernels against the reference: integers to the bit, floats within rounding, at every odd size.

use proptest::prelude::*;

use crate::config::WeightKind;
use crate::cpu::{Kernels, Rotary, ScanParams, SpikeBatch, WindowShape};
use crate::model::{Matrix, Neuron};

const KINDS: [WeightKind; 3] = [WeightKind::Int8, WeightKind::Int4, WeightKind::Ternary];

/// A packed matrix of any integers that the format allows, from a stream of random bytes.
fn matrix(kind: WeightKind, rows: usize, columns: usize, integer: impl Fn(usize, usize) -> i32) -> Matrix {
    let row_bytes = kind.row_bytes(columns);
    let mut data = vec![0; rows * row_bytes];
    let mask = (1 << kind.bits()) - 1;
    for row in 0..rows {
        for column in 0..columns {
            let at = column * kind.bits();
            data[row * row_bytes + at / 8] |= ((integer(row, column) & mask) << (at % 8)) as u8;
        }
    }
    Matrix { kind, columns, data }
}

/// Integers in -max ..= max that look random.
fn scramble(seed: u32, row: usize, column: usize, max: i32) -> i32 {
    let x = (seed ^ (row as u32).wrapping_mul(0x9e37_79b9) ^ (column as u32).wrapping_mul(0x85eb_ca6b))
        .wrapping_mul(0xc2b2_ae35);
    ((x ^ (x >> 15)) % (2 * max as u32 + 1)) as i32 - max
}

/// Spikes with exactly these counts, `[tokens][inputs]`.
fn spikes(counts: &[Vec<i32>]) -> SpikeBatch {
    let mut batch = SpikeBatch::default();
    batch.clear(counts[0].len());
    let neuron = Neuron { steps: 127, leak: 1.0, precharge: 0.0, threshold_scale: 1.0 };
    for counts in counts {
        let current: Vec<f32> = counts.iter().map(|&c| c as f32).collect();
        batch.fire(crate::cpu::fire, &current, &vec![1.0; counts.len()], neuron, &[]);
    }
    batch
}

fn same_sums(spikes: &SpikeBatch, weight: &Matrix) {
    let run = |product: fn(&SpikeBatch, &Matrix, &mut [i32])| {
        let mut sums = vec![7; spikes.tokens() * weight.columns];
        product(spikes, weight, &mut sums);
        sums
    };
    let right = run(Kernels::REFERENCE.sparse_matmul);
    assert_eq!(run(Kernels::REFERENCE.dense_matmul), right, "the reference's dense product");
    for kernels in Kernels::all() {
        assert_eq!(run(kernels.sparse_matmul), right, "{}", kernels.name);
        assert_eq!(run(kernels.dense_matmul), right, "{}, dense", kernels.name);
    }
}

fn near(found: &[f32], right: &[f32]) {
    for (a, b) in found.iter().zip(right) {
        assert!((a - b).abs() <= 2e-5 * b.abs().max(1.0), "{a} {b}");
    }
}

#[test]
fn lanes_hold_the_extremes() {
    // The largest sums that config.json allows: every neuron fires T times into the largest weight, of either sign.
    for kind in KINDS {
        for steps in [1, 4, 127] {
            let inputs = ((1 << 24) / (steps * kind.max())).min(2000) as usize;
            for (count, weight) in
                [(steps, kind.max()), (steps, -kind.max()), (-steps, kind.max()), (-steps, -kind.max())]
            {
                let weight = matrix(kind, inputs, 33, |_, _| weight);
                // One token streams rows, several share them.
                same_sums(&spikes(&[vec![count; inputs]]), &weight);
                same_sums(&spikes(&[vec![count; inputs], vec![-count; inputs]]), &weight);
                // Every other neuron the other way round.
                let turns = |count: i32| (0..inputs).map(|j| if j % 2 == 0 { count } else { -count }).collect();
                same_sums(&spikes(&[turns(count), turns(-count)]), &weight);
            }
        }
    }
}

#[test]
fn silence_is_zero() {
    same_sums(&spikes(&[vec![0; 5], vec![0; 5]]), &matrix(WeightKind::Int4, 5, 70, |r, c| scramble(1, r, c, 7)));
}

proptest! {
    #[test]
    fn dense_sums_are_equal(
        kind in prop::sample::select(KINDS.to_vec()), activation in prop::collection::vec(any::<i8>(), 1..300), seed in any::<u32>(),
    ) {
        let weight = matrix(kind, 5, activation.len(), |r, c| scramble(seed, r, c, kind.max()));
        let run = |kernels: Kernels| {
            let mut sums = vec![0; 5];
            (kernels.dense_matvec)(&activation, &weight, &mut sums);
            sums
        };
        for kernels in Kernels::all() {
            prop_assert_eq!(run(kernels), run(Kernels::REFERENCE));
        }
    }

    #[test]
    fn sums_are_equal(
        kind in prop::sample::select(KINDS.to_vec()), columns in 1usize..700, seed in any::<u32>(), largest in 1..=127i32,
        inputs in 1usize..80, tokens in 1usize..10, silence in 0u32..4,
    ) {
        let counts: Vec<Vec<i32>> = (0..tokens)
            .map(|t| (0..inputs).map(|j| {
                let quiet = scramble(seed, t, j, 3).unsigned_abs() < silence;
                if quiet { 0 } else { scramble(!seed, j, t, largest) }
            }).collect())
            .collect();
        same_sums(&spikes(&counts), &matrix(kind, inputs, columns, |r, c| scramble(seed, r, c, kind.max())));
    }

    /// Counts of all kernels, and what they add up to, also where a current is no number or a neuron leaks or is muted.
    #[test]
    fn counts_are_equal(
        current in prop::collection::vec(prop_oneof![8 => -40f32..40.0, 1 => prop::num::f32::ANY], 1..200), steps in 1u32..128,
        precharge in 0f32..0.5, leak in prop::sample::select(vec![1.0, 0.5]), threshold_scale in 0.5f32..2.0,
        muted in prop::sample::select(vec![vec![], vec![0b1010]]),
    ) {
        let neuron = Neuron { steps, leak, precharge, threshold_scale };
        let inv_threshold: Vec<f32> = (0..current.len()).map(|j| 0.1 + j as f32).collect();
        let run = |kernels: Kernels| {
            let mut batch = SpikeBatch::default();
            batch.clear(current.len());
            batch.fire(kernels.fire, &current, &inv_threshold, neuron, &muted);
            batch.fire(kernels.fire, &current, &inv_threshold, neuron, &[]);
            (batch.activity(), [0, 1].map(|token| batch.counts(token).to_vec()))
        };
        for kernels in Kernels::all() {
            prop_assert_eq!(run(kernels), run(Kernels::REFERENCE), "{}", kernels.name);
        }
    }

    #[test]
    fn floats_are_near(
        x in prop::collection::vec(-3f32..3.0, 1..100), kind in prop::sample::select(KINDS.to_vec()), seed in any::<u32>(),
    ) {
        let n = x.len();
        let weight: Vec<f32> = (0..n).map(|i| scramble(seed, i, 0, 100) as f32 / 100.0).collect();
        let pairs: Vec<f32> = x.iter().chain(&weight).copied().collect();
        let embed = matrix(kind, 9, n, |r, c| scramble(seed, r, c, kind.max()));
        let scale = vec![0.01; 9];
        for fast in Kernels::all() {
            let run = |length: usize, call: &dyn Fn(Kernels, &mut [f32])| {
                let (mut found, mut right) = (vec![0.0; length], vec![0.0; length]);
                call(fast, &mut found);
                call(Kernels::REFERENCE, &mut right);
                near(&found, &right);
            };
            run(n, &|k, out| (k.rmsnorm)(&x, &weight, 1e-5, out));
            run(n, &|k, out| (k.gated_rmsnorm)(&x, &weight, &weight, n, 1e-5, out));
            run(n, &|k, out| (k.gated_rmsnorm)(&x, &weight, &weight, 1, 1e-5, out));
            run(n, &|k, out| (k.swiglu)(&pairs, out));
            run(9, &|k, out| (k.lm_head)(&embed, &scale, &x, out));
            let logits = |k: Kernels| {
                let mut out = vec![0.0; 9];
                (k.lm_head)(&embed, &scale, &x, &mut out);
                out
            };
            prop_assert_eq!(logits(fast), logits(super::COMPILED), "all fast kernels agree on logits to the bit");
            // Convolution of two tokens: 3 taps, n channels; the state follows the output.
            run(3 * n, &|k, out| {
                let taps: Vec<f32> = (0..3 * n).map(|i| scramble(seed, 1, i, 100) as f32 / 100.0).collect();
                let (xbc, state) = out.split_at_mut(n);
                for token in [&x, &weight] {
                    xbc.copy_from_slice(token);
                    (k.conv1d)(state, &taps, &weight, xbc);
                }
            });
        }
    }

    #[test]
    fn scans_are_near(
        (heads, groups) in prop::sample::select(vec![(1, 1), (4, 2), (3, 3)]),
        p in 1usize..40, n in 1usize..150, tokens in 1usize..20, seed in any::<u32>(),
    ) {
        let random = |row: usize, count: usize| -> Vec<f32> {
            (0..count).map(|i| scramble(seed, row, i, 1000) as f32 / 1000.0).collect()
        };
        let (dt_bias, d) = (random(0, heads), random(1, heads));
        let a: Vec<f32> = random(2, heads).iter().map(|x| -x.abs() - 0.01).collect();
        let params = ScanParams { head_dim: p, d_state: n, groups, dt_bias: &dt_bias, a: &a, d: &d };
        let (xbc, dt) = (random(3, tokens * (heads * p + 2 * groups * n)), random(4, tokens * heads));
        let run = |kernels: Kernels| {
            let mut state = random(5, heads * p * n);
            let mut y = vec![0.0; tokens * heads * p];
            (kernels.scan_chunk)(params, &mut state, &xbc, &dt, &mut y);
            state.append(&mut y);
            state
        };
        let right = run(Kernels::REFERENCE);
        for kernels in Kernels::all() {
            let chunk = run(kernels);
            near(&chunk, &right);
            let mut state = random(5, heads * p * n);
            let mut y = vec![0.0; tokens * heads * p];
            let channels = heads * p + 2 * groups * n;
            for ((xbc, dt), y) in xbc.chunks(channels).zip(dt.chunks(heads)).zip(y.chunks_mut(heads * p)) {
                (kernels.scan_step)(params, &mut state, xbc, dt, y);
            }
            state.append(&mut y);
            prop_assert_eq!(chunk, state, "a chunk is its steps to the bit");
        }
    }
    /// As many tokens as it takes for rings to wrap.
    #[test]
    fn attention_is_near(
        window in 1usize..40, sinks in 0usize..4, (heads, kv_heads) in prop::sample::select(vec![(1, 1), (4, 2), (6, 1)]),
        half in prop::sample::select(vec![1usize, 5, 8, 19]), seed in any::<u32>(),
    ) {
        let width = 2 * half;
        let (inner, kv) = (heads * width, kv_heads * width);
        let shape = WindowShape { window, sinks, heads, kv_heads, head_dim: width };
        let rotary = Rotary::new(10_000.0, width);
        let run = |kernels: Kernels| {
            let (mut ring_k, mut ring_v) = (vec![0.0; (sinks + window) * kv], vec![0.0; (sinks + window) * kv]);
            let mut outs = Vec::new();
            for position in 0..60 {
                let random = |row: usize, count: usize| -> Vec<f32> {
                    (0..count).map(|i| scramble(seed, 4 * position + row, i, 1000) as f32 / 500.0).collect()
                };
                let (mut q, mut k, mut out) = (random(0, inner), random(1, kv), random(2, inner));
                let angles: Vec<(f32, f32)> = rotary.at(position as u64).collect();
                let position = position as u64;
                shape.take_in(&angles, position, (&mut q, &mut k, &random(3, kv)), (&mut ring_k, &mut ring_v));
                (kernels.window_attention)(shape, position, &q, (&ring_k, &ring_v), &mut out);
                outs.append(&mut out);
            }
            outs.append(&mut ring_k);
            outs
        };
        let right = run(Kernels::REFERENCE);
        for kernels in Kernels::all() {
            near(&run(kernels), &right);
        }
    }
}
