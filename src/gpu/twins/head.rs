use proptest::prelude::*;

use super::{Binding, Random, bench, cursor, each, floats, near, shapes};
use crate::config::WeightKind;
use crate::cpu;
use crate::gpu::kernels::{Grid, HEAD_ROWS, THREADS};

const EMBED_KINDS: [WeightKind; 2] = [WeightKind::Int8, WeightKind::Int4];

/// In two parts, where there are two rows to part.
fn embed_twins(kind: WeightKind, (v, d, tokens): (usize, usize, usize), seed: u64) -> Result<(), TestCaseError> {
    let mut random = Random(seed);
    let embed = random.matrix(kind, v, d);
    let scale: Vec<f32> = random.floats(v).iter().map(|x| x.abs() + 0.1).collect();
    let ids: Vec<u32> = (0..tokens).map(|_| random.next() as u32 % v as u32).collect();
    let mut x = vec![7.0; tokens * d];
    let (row_bytes, half) = (embed.row_bytes(), v / 2);
    for (first, rows) in [(0, half), (half, v - half)] {
        let data = &embed.data[first * row_bytes..(first + rows) * row_bytes];
        let bindings = [
            (0, cursor(tokens, 0)),
            (1, Binding::Uniform([d, row_bytes / 4, first, rows].map(|n| n as u32).to_vec())),
            (2, Binding::Words(&ids)),
            (3, Binding::Bytes(data)),
            (4, Binding::Floats(&scale)),
            (5, Binding::Floats(&x)),
        ];
        let grid = Grid::TokensY((d as u32).div_ceil(THREADS), 1);
        let read = bench().once("embed_rows", Some(kind), &bindings, (grid, tokens as u32), &[5]);
        x = floats(&read[0], x.len());
    }
    let mut right = vec![0.0; tokens * d];
    for (id, right) in ids.iter().zip(right.chunks_exact_mut(d)) {
        cpu::embed(&embed, &scale, *id as usize, right);
    }
    prop_assert_eq!(x, right);
    Ok(())
}

/// Of the last token alone, or of all.
fn lm_head_twins(
    kind: WeightKind,
    (v, d, tokens): (usize, usize, usize),
    last: bool,
    seed: u64,
) -> Result<(), TestCaseError> {
    let mut random = Random(seed);
    let embed = random.matrix(kind, v, d);
    let scale: Vec<f32> = random.floats(v).iter().map(|x| (x.abs() + 0.1) / kind.max() as f32).collect();
    let (x, norm) = (random.floats(tokens * d), random.floats(d));
    let eps = 1e-5f32;
    let from = if last { u32::MAX } else { 0 };
    let wanted = if last { 1 } else { tokens };
    let (hidden, logits) = (vec![0.0; wanted * d], vec![0.0; wanted * v]);
    let shape = vec![d as u32, (embed.row_bytes() / 4) as u32, 0, v as u32, v as u32, from, eps.to_bits()];
    let bindings = [
        (0, cursor(tokens, 0)),
        (1, Binding::Uniform(shape)),
        (2, Binding::Floats(&x)),
        (3, Binding::Floats(&norm)),
        (4, Binding::Floats(&hidden)),
        (5, Binding::Bytes(&embed.data)),
        (6, Binding::Floats(&scale)),
        (7, Binding::Floats(&logits)),
    ];
    let buffers = bench().buffers(&bindings);
    let dispatches = [
        bench().bind("final_norm", None, &buffers, &[0, 1, 2, 3, 4], Grid::TokensX),
        bench().bind(
            "lm_head",
            Some(kind),
            &buffers,
            &[0, 1, 4, 5, 6, 7],
            Grid::TokensY((v as u32).div_ceil(HEAD_ROWS), 1),
        ),
    ];
    let read = bench().run(&dispatches, wanted as u32, &buffers, &[7]);
    let mut right = vec![0.0; wanted * v];
    for (token, right) in (tokens - wanted..tokens).zip(right.chunks_exact_mut(v)) {
        let mut normed = vec![0.0; d];
        cpu::rmsnorm(&x[token * d..(token + 1) * d], &norm, eps, &mut normed);
        cpu::lm_head(&embed, &scale, &normed, right);
    }
    near(&floats(&read[0], right.len()), &right, 1e-5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn embed(shape in shapes((1usize..40, 1usize..150, 1usize..9)), seed in any::<u64>()) {
        each(&EMBED_KINDS, |kind| embed_twins(kind, shape, seed))?;
    }

    #[test]
    fn lm_head(shape in shapes((1usize..100, 1usize..300, 1usize..4)), last in any::<bool>(), seed in any::<u64>()) {
        each(&EMBED_KINDS, |kind| lm_head_twins(kind, shape, last, seed))?;
    }
}
