//! Random models keep the format, and fire as much as was asked for.

use std::fs;
use std::ops::ControlFlow;
use std::sync::Arc;

use mar::config::Site;
use mar::cpu::{Cpu, Kernels};
use mar::session::Session;
use mar::{format, synth};
use pollster::block_on;

#[test]
fn a_written_model_is_the_model() {
    let config = synth::preset("tiny").expect("a preset").expect("a config");
    let model = synth::model(config, 0.3, 1, |_, _| {});
    let folder = tempfile::tempdir().expect("a folder");
    for (name, bytes) in format::files(&model) {
        fs::write(folder.path().join(name), bytes).expect("a file");
    }
    let read = format::open(folder.path(), |_, _| {}).expect("a good model");
    assert_eq!(read, model);
}

/// In decode, behind another prompt than thresholds were fitted on.
#[test]
fn neurons_fire_as_asked() {
    // So wide that a fiftieth of a site is several neurons.
    let mut config = synth::preset("tiny").expect("a preset").expect("a config");
    (config.d_model, config.n_heads, config.d_ffn) = (256, 16, 640);
    for active in [0.0, 0.02, 0.1, 0.35, 1.0] {
        let model = synth::model(config.clone(), active, 1, |_, _| {});
        let mut session = Session::new(Cpu::new(Arc::new(model), Kernels::best()));
        let prompt: Vec<u32> = (0..100).map(|i| i * 5).collect();
        let progress = |_, _| ControlFlow::Continue(());
        block_on(session.prefill(&prompt, &mut session.ledger(), progress)).expect("a good prompt");
        let mut ledger = session.ledger();
        for _ in 0..48 {
            block_on(session.decode(&synth::SAMPLING, &mut ledger)).expect("a token");
        }
        for site in Site::ALL {
            let mean =
                (0..config.n_layers).map(|layer| ledger.active(layer, site)).sum::<f64>() / config.n_layers as f64;
            println!("{site}: {mean}, asked for {active}");
            assert!((mean - active).abs() <= 0.3 * active + 0.001, "{site}: {mean}, asked for {active}");
        }
    }
}

#[test]
fn progress_reaches_from_the_first_step_to_the_last() {
    let mut seen = Vec::new();
    let config = synth::preset("tiny").expect("a preset").expect("a config");
    synth::model(config, 0.3, 1, |done, all| seen.push((done, all)));
    let all = seen[0].1;
    assert_eq!((seen.first(), seen.last()), (Some(&(0, all)), Some(&(all, all))));
    assert!(seen.is_sorted_by(|a, b| a.0 < b.0 && a.1 == b.1), "{seen:?}");
}

#[test]
fn presets_are_good() {
    for name in synth::PRESETS {
        synth::preset(name).expect("a preset").expect("a config");
    }
    assert!(synth::preset("huge").is_none());
}
