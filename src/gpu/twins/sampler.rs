use proptest::prelude::*;

use super::{Binding, Random, bench, shapes};
use crate::cpu::{Sampling, sample};
use crate::gpu::kernels::Grid;

/// The tokens that the kernel draws from the same logits, step after step. Where it halts, the rest is left out.
fn draw(logits: &[f32], history: &[u32], ends: &[u32], sampling: &Sampling, position: u32, steps: usize) -> Vec<u32> {
    let words = vec![
        logits.len() as u32,
        sampling.seed,
        sampling.top_k,
        history.len() as u32,
        position,
        ends.len() as u32,
        sampling.temperature.to_bits(),
        sampling.top_p.to_bits(),
        sampling.min_p.ln().max(-1e30).to_bits(),
        sampling.repetition_penalty.to_bits(),
    ];
    let tokens = vec![0; steps];
    let bindings = [
        (0, Binding::Uniform(vec![1, u32::MAX, 0, 0])),
        (1, Binding::Uniform(words)),
        (2, Binding::Floats(logits)),
        (3, Binding::Words(&tokens)),
        (4, Binding::Words(history)),
        (5, Binding::Words(ends)),
    ];
    let buffers = bench().buffers(&bindings);
    let all = [0, 1, 2, 3, 4, 5];
    let dispatches: Vec<_> =
        (0..steps).map(|_| bench().bind("sample", None, &buffers, &all, Grid::Fixed(1, 1))).collect();
    let read = bench().run(&dispatches, 1, &buffers, &[0, 3]);
    let cursor: Vec<u32> = bytemuck::pod_collect_to_vec(&read[0]);
    bytemuck::pod_collect_to_vec::<u8, u32>(&read[1])[..cursor[1] as usize + 1].to_vec()
}

/// What the twin draws at the same positions.
fn twin(logits: &[f32], sampling: &Sampling, position: u32, steps: usize) -> Vec<u32> {
    (0..steps as u64).map(|step| sample(&mut logits.to_vec(), &[], sampling, u64::from(position) + step)).collect()
}

fn logits(random: &mut Random, count: usize) -> Vec<f32> {
    random.floats(count).iter().map(|x| 6.0 * x).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Greedy, with the penalty on what came before and on what it draws itself: token for token.
    #[test]
    fn greedy((v, recent) in shapes((1usize..700, 0usize..65)), penalty in prop::sample::select(vec![1f32, 1.3, 4.0]), seed in any::<u64>()) {
        let mut random = Random(seed);
        let logits = logits(&mut random, v);
        let history: Vec<u32> = (0..recent).map(|_| random.next() as u32 % v as u32).collect();
        let sampling = Sampling { repetition_penalty: penalty, ..Sampling::default() };
        let found = draw(&logits, &history, &[], &sampling, 5, 8);
        let (mut left, mut seen, mut right) = (logits, history, Vec::new());
        for _ in 0..8 {
            let token = sample(&mut left, &seen[seen.len().saturating_sub(64)..], &sampling, 5);
            seen.push(token);
            right.push(token);
        }
        prop_assert_eq!(found, right);
    }

    /// The same noise, so the same tokens, but where two are equal within rounding or one is at a filter's edge.
    #[test]
    fn draws(
        v in shapes(1usize..700), temperature in 0.2f32..3.0, top_k in 0u32..50, top_p in prop::sample::select(vec![1f32, 0.95, 0.5, 0.01]),
        min_p in prop::sample::select(vec![0f32, 0.02, 0.3]), seed in any::<u32>(), position in any::<u16>(),
    ) {
        let logits = logits(&mut Random(seed.into()), v);
        let sampling = Sampling { temperature, top_k, top_p, min_p, seed, ..Sampling::default() };
        let found = draw(&logits, &[], &[], &sampling, position.into(), 64);
        let right = twin(&logits, &sampling, position.into(), 64);
        let differ = found.iter().zip(&right).filter(|(a, b)| a != b).count();
        prop_assert!(differ <= 1, "{differ} of 64 differ: {found:?}, expected {right:?}");
    }
}

#[test]
fn draws_follow_the_softmax() {
    let logits = [2.0f32, 1.0, 0.5, 0.0, -1.0, -4.0];
    let sampling = Sampling { temperature: 0.8, top_p: 0.9, seed: 3, ..Sampling::default() };
    let steps = 6000;
    let found = draw(&logits, &[], &[], &sampling, 0, steps);
    let weights: Vec<f64> = logits.iter().map(|&x| (f64::from(x) / 0.8).exp()).collect();
    let total: f64 = weights.iter().sum();
    // The first whose sum reaches 0.9 is the last that is kept.
    let mut kept = 0;
    let mut sum = 0.0;
    while sum < 0.9 * total {
        sum += weights[kept];
        kept += 1;
    }
    for (token, weight) in weights.iter().enumerate() {
        let right = if token < kept { weight / sum } else { 0.0 };
        let share = found.iter().filter(|&&t| t as usize == token).count() as f64 / steps as f64;
        assert!((share - right).abs() < 0.02, "token {token}: {share}, expected {right}");
    }
}

#[test]
fn halts_behind_an_end() {
    let sampling = Sampling { repetition_penalty: 4.0, ..Sampling::default() };
    // The penalty makes it take the tokens one after the other.
    assert_eq!(draw(&[5.0, 4.0, 3.0, 2.0], &[], &[7, 2], &sampling, 0, 8), [0, 1, 2]);
    assert_eq!(draw(&[5.0, 4.0], &[], &[], &sampling, 0, 2), [0, 1]);
}
