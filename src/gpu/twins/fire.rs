use proptest::prelude::*;

use super::{Binding, Random, bench, cursor, floats, near, shapes};
use crate::cpu::{SpikeBatch, gated_rmsnorm, rmsnorm, swiglu};
use crate::gpu::kernels::{FIRE_THREADS, Grid};
use crate::gpu::scratch::spike_words;
use crate::model::{Event, Neuron};

/// What a site gets, and its neurons.
#[derive(Debug, Clone)]
struct Case {
    tokens: usize,
    groups: usize,
    width: usize,
    neuron: Neuron,
    /// What inputs are multiplied by: from silence to ±T everywhere.
    size: f32,
    muting: bool,
    seed: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let shape = shapes((1usize..4, 1usize..10, prop::sample::select(vec![1usize, 2, 3, 31, 64, 257])));
    let neuron =
        (1u32..128, prop::sample::select(vec![1.0, 1.0, 1.3, 2.0]), prop::sample::select(vec![0f32, 0.1, 0.5]));
    let scale = prop::sample::select(vec![1f32, 1.5, 0.7]);
    let size = prop::sample::select(vec![0f32, 0.3, 1.0, 5.0, 1000.0]);
    (shape, neuron, scale, size, any::<bool>(), any::<u64>()).prop_map(
        |((tokens, groups, width), (steps, tau, precharge), threshold_scale, size, muting, seed)| Case {
            tokens,
            groups,
            width,
            neuron: Neuron { steps, leak: (1.0 / tau) as f32, precharge, threshold_scale },
            size,
            muting,
            seed,
        },
    )
}

const EPS: f32 = 1e-5;
/// The window branch's answer, gate, and z lie one behind the other here.
const SITES: usize = 3;

/// What a kernel is given beside its case.
#[derive(Debug, Default)]
struct Given {
    source: Vec<f32>,
    projected: Vec<f32>,
    norm: Vec<f32>,
    inv_threshold: Vec<f32>,
    muted: Vec<u32>,
    /// Whether the window branch's answer is added; it lies behind z.
    attention: bool,
}

/// The kernel's currents, and its counts token by token; fails where events, counts and counters disagree.
fn run(case: &Case, entry: &'static str, given: &Given) -> Result<(Vec<f32>, Vec<Vec<i8>>), TestCaseError> {
    let Given { source, projected, norm, inv_threshold, muted, attention } = given;
    let inputs = if entry == "fire_swiglu" { case.width } else { case.groups * case.width };
    let groups = if entry == "fire_gated" { case.groups } else { 1 };
    let lanes = 1 << (FIRE_THREADS / groups as u32).ilog2();
    let row = projected.len() / case.tokens;
    let neuron = case.neuron;
    let site = 1;
    let words = [
        inputs as u32,
        groups as u32,
        lanes,
        row as u32,
        0,
        if *attention { inputs as u32 } else { 0 },
        site,
        SITES as u32,
        0,
        EPS.to_bits(),
    ];
    let neuron = vec![
        neuron.steps,
        neuron.leak.to_bits(),
        neuron.precharge.to_bits(),
        (1.0 / neuron.threshold_scale).to_bits(),
        neuron.threshold_scale.to_bits(),
    ];
    let mut bindings = vec![
        (0, cursor(case.tokens, 0)),
        (1, Binding::Uniform(words.to_vec())),
        (2, Binding::Uniform(neuron)),
        (6, Binding::Floats(inv_threshold)),
        (7, Binding::Words(muted)),
    ];
    let (current, spikes) = (vec![0.0; case.tokens * inputs], vec![0u32; case.tokens * spike_words(inputs)]);
    let activity = vec![0u32; SITES * 4];
    bindings.extend([(8, Binding::Floats(&current)), (9, Binding::Words(&spikes)), (10, Binding::Words(&activity))]);
    if entry != "fire_swiglu" {
        bindings.extend([(3, Binding::Floats(source)), (5, Binding::Floats(norm))]);
    }
    if entry != "fire_norm" {
        bindings.push((4, Binding::Floats(projected)));
    }
    let read = bench().once(entry, None, &bindings, (Grid::TokensX, case.tokens as u32), &[8, 9, 10]);
    let spikes: Vec<u32> = bytemuck::pod_collect_to_vec(&read[1]);
    let mut all = Vec::new();
    let mut sums = [0u32; 3];
    for row in spikes[..case.tokens * spike_words(inputs)].chunks_exact(spike_words(inputs)) {
        let counts: Vec<i8> = bytemuck::cast_slice(&row[1 + inputs..])[..inputs].to_vec();
        let mut events: Vec<u32> = row[1..][..row[0] as usize].to_vec();
        events.sort_unstable();
        let right: Vec<u32> = counts
            .iter()
            .enumerate()
            .filter(|(_, c)| **c != 0)
            .map(|(j, &c)| bytemuck::cast(Event::new(j, i32::from(c))))
            .collect();
        prop_assert_eq!(events, right);
        for &c in &counts {
            sums[0] += u32::from(c != 0);
            sums[1] += c.max(0) as u32;
            sums[2] += (-i32::from(c)).max(0) as u32;
        }
        all.push(counts);
    }
    let activity: Vec<u32> = bytemuck::pod_collect_to_vec(&read[2]);
    prop_assert_eq!(&activity[4 * site as usize..][..3], &sums[..]);
    Ok((floats(&read[0], case.tokens * inputs), all))
}

/// The twin's spikes from the kernel's own currents: what a neuron does with a current is the same to the bit.
fn same_spikes(case: &Case, current: &[f32], found: &[Vec<i8>], given: &Given) -> Result<(), TestCaseError> {
    let mut batch = SpikeBatch::default();
    batch.clear(given.inv_threshold.len());
    for current in current.chunks_exact(given.inv_threshold.len()) {
        batch.fire(crate::cpu::fire, current, &given.inv_threshold, case.neuron, &given.muted);
    }
    for (token, found) in found.iter().enumerate() {
        prop_assert_eq!(batch.counts(token), &found[..]);
    }
    Ok(())
}

fn thresholds_and_mask(case: &Case, random: &mut Random, inputs: usize) -> (Vec<f32>, Vec<u32>) {
    let inv_threshold = random.floats(inputs).iter().map(|x| x.abs() + 0.5).collect();
    let words = inputs.div_ceil(32);
    let muted = (0..words).map(|_| if case.muting { random.next() as u32 } else { 0 }).collect();
    (inv_threshold, muted)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn fire_norm(case in cases()) {
        let mut random = Random(case.seed);
        let inputs = case.groups * case.width;
        let x: Vec<f32> = random.floats(case.tokens * inputs).iter().map(|x| x * case.size).collect();
        let norm: Vec<f32> = random.floats(inputs).iter().map(|x| x * (case.size + 1.0)).collect();
        let (inv_threshold, muted) = thresholds_and_mask(&case, &mut random, inputs);
        let given = Given { source: x, norm, inv_threshold, muted, ..Given::default() };
        let (current, counts) = run(&case, "fire_norm", &given)?;
        let x = &given.source;
        let mut right = vec![0.0; x.len()];
        for (x, right) in x.chunks_exact(inputs).zip(right.chunks_exact_mut(inputs)) {
            rmsnorm(x, &given.norm, EPS, right);
        }
        near(&current, &right, 1e-5)?;
        same_spikes(&case, &current, &counts, &given)?;
    }

    #[test]
    fn fire_gated(case in cases(), attention in any::<bool>()) {
        let mut random = Random(case.seed);
        let inputs = case.groups * case.width;
        let y: Vec<f32> = random.floats(case.tokens * inputs).iter().map(|x| x * case.size).collect();
        // z, then the window branch's answer, then something else.
        let row = 2 * inputs + 3;
        let projected: Vec<f32> = random.floats(case.tokens * row).iter().map(|x| 4.0 * x).collect();
        let norm = random.floats(inputs);
        let (inv_threshold, muted) = thresholds_and_mask(&case, &mut random, inputs);
        let given = Given { source: y, projected, norm, inv_threshold, muted, attention };
        let (current, counts) = run(&case, "fire_gated", &given)?;
        let (y, projected) = (&given.source, &given.projected);
        let mut right = vec![0.0; y.len()];
        for (token, right) in right.chunks_exact_mut(inputs).enumerate() {
            let (y, projected) = (&y[token * inputs..][..inputs], &projected[token * row..][..row]);
            gated_rmsnorm(y, &projected[..inputs], &given.norm, case.groups, EPS, right);
            if attention {
                right.iter_mut().zip(&projected[inputs..]).for_each(|(right, more)| *right += more);
            }
        }
        near(&current, &right, 1e-5)?;
        same_spikes(&case, &current, &counts, &given)?;
    }

    #[test]
    fn fire_swiglu(case in cases()) {
        let mut random = Random(case.seed);
        let inputs = case.width;
        let projected: Vec<f32> = random.floats(case.tokens * 2 * inputs).iter().map(|x| x * case.size).collect();
        let (inv_threshold, muted) = thresholds_and_mask(&case, &mut random, inputs);
        let given = Given { projected, inv_threshold, muted, ..Given::default() };
        let (current, counts) = run(&case, "fire_swiglu", &given)?;
        let mut right = vec![0.0; case.tokens * inputs];
        for (gate_up, right) in given.projected.chunks_exact(2 * inputs).zip(right.chunks_exact_mut(inputs)) {
            swiglu(gate_up, right);
        }
        near(&current, &right, 1e-6)?;
        same_spikes(&case, &current, &counts, &given)?;
    }
}
