use proptest::prelude::*;

use super::{Binding, KINDS, Random, bench, cursor, each, floats, shapes};
use crate::config::WeightKind;
use crate::cpu::{SpikeBatch, dequantise, sparse_matmul};
use crate::gpu::kernels::{COLUMN_WORDS, Grid, TOKEN_TILE};
use crate::gpu::scratch::spike_words;
use crate::model::{Event, Matrix};

/// A batch as `fire.wgsl` leaves it; events in an order of their own.
fn spikes(batch: &SpikeBatch, inputs: usize) -> Vec<u32> {
    (0..batch.tokens())
        .flat_map(|token| {
            let mut events: Vec<Event> = Event::all(batch.counts(token)).collect();
            events.reverse();
            let mut row = vec![events.len() as u32];
            row.extend(bytemuck::cast_slice::<_, u32>(&events));
            row.resize(1 + inputs, 0xdead_beef);
            let mut counts: Vec<i8> = batch.counts(token).to_vec();
            counts.resize(inputs.next_multiple_of(4), 0);
            row.extend(bytemuck::pod_collect_to_vec::<i8, u32>(&counts));
            assert_eq!(row.len(), spike_words(inputs));
            row
        })
        .collect()
}

/// Both kernels' outputs against the twins': equal to the bit, as sums are integers and the scaling is two products.
fn same(batch: &SpikeBatch, weight: &Matrix, residual: bool, threshold_scale: f32) -> Result<(), TestCaseError> {
    let (tokens, inputs, outputs) = (batch.tokens(), weight.rows(), weight.columns);
    let scale: Vec<f32> = (0..outputs).map(|o| 1.0 / (o + 3) as f32).collect();
    let start: Vec<f32> = (0..tokens * outputs).map(|i| i as f32 * 0.5).collect();
    let mut sums = vec![0; tokens * outputs];
    sparse_matmul(batch, weight, &mut sums);
    let mut right = vec![0.0; sums.len()];
    for (right, sums) in right.chunks_exact_mut(outputs).zip(sums.chunks_exact(outputs)) {
        dequantise(sums, &scale, threshold_scale, right);
    }
    if residual {
        right.iter_mut().zip(&start).for_each(|(right, start)| *right += start);
    }
    let row_words = weight.row_bytes() / 4;
    let shape = [inputs, outputs, 0, outputs, row_words, usize::from(residual)].map(|n| n as u32).to_vec();
    let spikes = spikes(batch, inputs);
    let x = (row_words as u32).div_ceil(COLUMN_WORDS);
    let one = (1, "sparse_matvec", Grid::Fixed(x, 1));
    let many = (tokens, "sparse_matmul", Grid::TokensY(x, TOKEN_TILE));
    for (tokens, entry, grid) in [one, many] {
        let bindings = [
            (0, cursor(tokens, 0)),
            (1, Binding::Uniform(shape.clone())),
            (2, Binding::Uniform(vec![1, 0, 0, 0, threshold_scale.to_bits()])),
            (3, Binding::Words(&spikes)),
            (4, Binding::Bytes(&weight.data)),
            (5, Binding::Floats(&scale)),
            (6, Binding::Floats(&start)),
        ];
        let read = bench().once(entry, Some(weight.kind), &bindings, (grid, tokens as u32), &[6]);
        prop_assert_eq!(floats(&read[0], tokens * outputs), &right[..tokens * outputs], "{}", entry);
    }
    Ok(())
}

fn batch(counts: &[Vec<i8>]) -> SpikeBatch {
    let mut batch = SpikeBatch::default();
    batch.clear(counts[0].len());
    counts.iter().for_each(|counts| batch.push(counts));
    batch
}

/// Counts of either sign up to `most`; of four neurons `silence` are quiet.
fn random_counts(random: &mut Random, (inputs, tokens): (usize, usize), most: i8, silence: u64) -> Vec<Vec<i8>> {
    let mut count = || {
        let quiet = random.next() % 4 < silence;
        if quiet { 0 } else { (random.next() as i32 % (2 * i32::from(most) + 1) - i32::from(most)) as i8 }
    };
    (0..tokens).map(|_| (0..inputs).map(|_| count()).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn projections(
        (inputs, outputs, tokens) in shapes((1usize..80, 1usize..400, 1usize..40)), most in 1i8..=127, silence in 0u64..4,
        residual in any::<bool>(), threshold_scale in prop::sample::select(vec![1f32, 1.5]), seed in any::<u64>(),
    ) {
        each(&KINDS, |kind| {
            let mut random = Random(seed);
            let weight = random.matrix(kind, inputs, outputs);
            let counts = random_counts(&mut random, (inputs, tokens), most, silence);
            same(&batch(&counts), &weight, residual, threshold_scale)
        })?;
    }
}

#[test]
fn the_extremes() {
    for kind in KINDS {
        // No event at all; and the largest sums that config.json allows, of either sign. Of one neuron, and of many.
        let most = ((1 << 24) / (127 * kind.max())).min(500) as usize;
        for (inputs, outputs) in [(1, 1), (most, 37)] {
            let weight = full(kind, inputs, outputs);
            for count in [0, 127, -127] {
                same(&batch(&[vec![count; inputs], vec![count; inputs]]), &weight, false, 1.0).expect("twins");
            }
        }
    }
}

/// Every weight the largest.
fn full(kind: WeightKind, rows: usize, columns: usize) -> Matrix {
    let (bits, row_bytes) = (kind.bits(), kind.row_bytes(columns));
    let mut data = vec![0u8; rows * row_bytes];
    for row in data.chunks_exact_mut(row_bytes) {
        (0..columns).for_each(|c| row[c * bits / 8] |= (kind.max() as u8) << (c * bits % 8));
    }
    Matrix { kind, columns, data }
}
