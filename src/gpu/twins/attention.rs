use proptest::prelude::*;

use super::{Binding, Random, bench, cursor, floats, near, shapes};
use crate::cpu::{Rotary, WindowShape, window_attention};
use crate::gpu::kernels::{Grid, THREADS};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// A conversation in passes of several lengths, so that rings wrap, within a pass and between passes.
    #[test]
    fn attention(
        (window, sinks, (heads, kv_heads), half, passes) in shapes((
            prop::sample::select(vec![1usize, 2, 7, 150]), prop::sample::select(vec![0usize, 1, 4]),
            prop::sample::select(vec![(1, 1), (4, 2), (6, 1)]), prop::sample::select(vec![1usize, 3, 40]),
            prop::collection::vec(prop::sample::select(vec![1usize, 2, 9, 64]), 1..5),
        )),
        seed in any::<u64>(),
    ) {
        let mut random = Random(seed);
        let width = 2 * half;
        let (inner, kv) = (heads * width, kv_heads * width);
        let shape = WindowShape { window, sinks, heads, kv_heads, head_dim: width };
        let rotary = Rotary::new(10_000.0, width);
        // The answer's place, then q | k | v.
        let (q, row) = (inner, 2 * inner + 2 * kv);
        let mut right_rings = [vec![0.0; (sinks + window) * kv], vec![0.0; (sinks + window) * kv]];
        let mut rings = right_rings.clone();
        let mut position = 0;
        for tokens in passes {
            let projected: Vec<f32> = random.floats(tokens * row).iter().map(|x| 3.0 * x).collect();
            let angles: Vec<(f32, f32)> = (position..).take(tokens).flat_map(|p| rotary.at(p)).collect();
            let turns: Vec<f32> = angles.iter().flat_map(|&(cos, sin)| [cos, sin]).collect();
            let mut words = [window, sinks, heads, kv_heads, width, row, q, q + inner, q + inner + kv, 0].map(|n| n as u32).to_vec();
            words.push((1.0 / (width as f32).sqrt()).to_bits());
            let bindings = [
                (0, cursor(tokens, position as u32)),
                (1, Binding::Uniform(words)),
                (2, Binding::Floats(&turns)),
                (3, Binding::Floats(&projected)),
                (4, Binding::Floats(&rings[0])),
                (5, Binding::Floats(&rings[1])),
            ];
            let buffers = bench().buffers(&bindings);
            let tiles = |size: usize| (size as u32).div_ceil(THREADS);
            let dispatches = [
                bench().bind("rotate", None, &buffers, &[0, 1, 2, 3], Grid::TokensY(tiles((heads + kv_heads) * half), 1)),
                bench().bind("attend", None, &buffers, &[0, 1, 3, 4, 5], Grid::TokensY(heads as u32, 1)),
                bench().bind("remember", None, &buffers, &[0, 1, 3, 4, 5], Grid::TokensY(tiles(kv), 1)),
            ];
            let read = bench().run(&dispatches, tokens as u32, &buffers, &[3, 4, 5]);
            let found = floats(&read[0], projected.len());
            for (t, (found, projected)) in found.chunks_exact(row).zip(projected.chunks_exact(row)).enumerate() {
                let mut parts = projected.to_vec();
                let (out, rest) = parts.split_at_mut(inner);
                let (q, rest) = rest.split_at_mut(inner);
                let (k, v) = rest.split_at_mut(kv);
                out.fill(0.0);
                let [ring_k, ring_v] = &mut right_rings;
                let angles = &angles[t * half..(t + 1) * half];
                shape.take_in(angles, position + t as u64, (q, k, v), (ring_k, ring_v));
                window_attention(shape, position + t as u64, q, (ring_k, ring_v), out);
                near(&found[..inner], out, 1e-5)?;
            }
            rings = [floats(&read[1], rings[0].len()), floats(&read[2], rings[1].len())];
            near(&rings[0], &right_rings[0], 1e-6)?;
            near(&rings[1], &right_rings[1], 0.0)?;
            position += tokens as u64;
        }
    }
}
