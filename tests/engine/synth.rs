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
    let model = synth::model(config, 0.3, 1);
    let folder = tempfile::tempdir().expect("a folder");
    for (name, bytes) in format::files(&model) {
        fs::write(folder.path().join(name), bytes).expect("a file");
    }
    let read = format::open(folder.path(), |_, _| {}).expect("a good model");
    assert_eq!(read, model);
}

#[test]
fn neurons_fire_as_asked() {
    for active in [0.0, 0.02, 0.35, 1.0] {
        let config = synth::preset("tiny").expect("a preset").expect("a config");
        let model = synth::model(config.clone(), active, 1);
        let mut session = Session::new(Cpu::new(Arc::new(model), Kernels::best()));
        let mut ledger = session.ledger();
        let prompt: Vec<u32> = (0..100).map(|i| i * 5).collect();
        block_on(session.prefill(&prompt, &mut ledger, |_, _| ControlFlow::Continue(()))).expect("a good prompt");
        for site in Site::ALL {
            let mean =
                (0..config.n_layers).map(|layer| ledger.active(layer, site)).sum::<f64>() / config.n_layers as f64;
            assert!((mean - active).abs() < 0.1, "{site}: {mean}, asked for {active}");
        }
    }
}

#[test]
fn presets_are_good() {
    for name in synth::PRESETS {
        synth::preset(name).expect("a preset").expect("a config");
    }
    assert!(synth::preset("huge").is_none());
}
