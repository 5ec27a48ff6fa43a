use proptest::prelude::*;

use super::{Binding, Random, bench, cursor, floats, near, shapes};
use crate::cpu::{self, ScanParams};
use crate::gpu::kernels::{CHUNK_ROWS, Grid, STEP_ROWS, THREADS};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn conv1d((channels, taps, tokens) in shapes((1usize..150, 2usize..9, 1usize..20)), seed in any::<u64>()) {
        let mut random = Random(seed);
        let (at, row) = (3, channels + 5);
        let projected = random.floats(tokens * row);
        let (weight, bias) = (random.floats(taps * channels), random.floats(channels));
        let state = random.floats((taps - 1) * channels);
        let out = vec![0.0; tokens * channels];
        let bindings = [
            (0, cursor(tokens, 0)),
            (1, Binding::Uniform([channels, taps, row, at].map(|n| n as u32).to_vec())),
            (2, Binding::Floats(&projected)),
            (3, Binding::Floats(&weight)),
            (4, Binding::Floats(&bias)),
            (5, Binding::Floats(&state)),
            (6, Binding::Floats(&out)),
        ];
        let grid = Grid::Fixed((channels as u32).div_ceil(THREADS), 1);
        let read = bench().once("conv1d", None, &bindings, (grid, tokens as u32), &[5, 6]);
        let (mut right_state, mut right) = (state.clone(), Vec::new());
        for projected in projected.chunks_exact(row) {
            let mut xbc = projected[at..at + channels].to_vec();
            cpu::conv1d(&mut right_state, &weight, &bias, &mut xbc);
            right.append(&mut xbc);
        }
        prop_assert_eq!(floats(&read[0], state.len()), right_state);
        near(&floats(&read[1], right.len()), &right, 1e-6)?;
    }

    #[test]
    fn scans(
        ((heads, groups), p, n, tokens) in shapes((
            prop::sample::select(vec![(1, 1), (6, 1), (6, 2), (6, 6)]),
            prop::sample::select(vec![1usize, 5, 8, 33]), prop::sample::select(vec![1usize, 7, 16, 65]),
            prop::sample::select(vec![1usize, 2, 31, 32, 33, 64]),
        )),
        seed in any::<u64>(),
    ) {
        let mut random = Random(seed);
        let (inner, row, at) = (heads * p, heads + 4, 2);
        let channels = inner + 2 * groups * n;
        let (xbc, projected) = (random.floats(tokens * channels), random.floats(tokens * row));
        let (dt_bias, d) = (random.floats(heads), random.floats(heads));
        let a: Vec<f32> = random.floats(heads).iter().map(|x| -x.abs() - 0.01).collect();
        let state = random.floats(inner * n);
        let params = ScanParams { head_dim: p, d_state: n, groups, dt_bias: &dt_bias, a: &a, d: &d };
        let dt: Vec<f32> = projected.chunks_exact(row).flat_map(|row| &row[at..at + heads]).copied().collect();
        for (entry, rows, tokens) in [("scan_step", STEP_ROWS, 1), ("scan_chunk", CHUNK_ROWS, tokens)] {
            let out = vec![0.0; tokens * inner];
            let bindings = [
                (0, cursor(tokens, 0)),
                (1, Binding::Uniform([heads, p, n, groups, row, at].map(|n| n as u32).to_vec())),
                (2, Binding::Floats(&projected)),
                (3, Binding::Floats(&xbc)),
                (4, Binding::Floats(&dt_bias)),
                (5, Binding::Floats(&a)),
                (6, Binding::Floats(&d)),
                (7, Binding::Floats(&state)),
                (8, Binding::Floats(&out)),
            ];
            let grid = Grid::Fixed((p as u32).div_ceil(rows), heads as u32);
            let read = bench().once(entry, None, &bindings, (grid, tokens as u32), &[7, 8]);
            let (mut right_state, mut right) = (state.clone(), out.clone());
            let (xbc, dt) = (&xbc[..tokens * channels], &dt[..tokens * heads]);
            let twin = if entry == "scan_step" { cpu::scan_step } else { cpu::scan_chunk };
            twin(params, &mut right_state, xbc, dt, &mut right);
            near(&floats(&read[0], state.len()), &right_state, 1e-5)?;
            near(&floats(&read[1], right.len()), &right, 1e-5)?;
        }
    }
}
