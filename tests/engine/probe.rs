//! What a watcher sees, and what it is told that is not there.

use std::ops::ControlFlow;

use mar::config::Site;
use mar::cpu::Sampling;
use mar::probe::{ProbeError, Record, StepSpikes, Watch};
use mar::session::Session;
use pollster::block_on;

use crate::common::{cpu_session, gpu_session, model};

const BACKENDS: [fn(&str) -> Session; 2] = [cpu_session, gpu_session];

/// All records of a prompt and three tokens, with the ledger of the same tokens.
fn watched(session: &mut Session) -> (Vec<Record>, mar::energy::Ledger) {
    let layers = session.engine().config().n_layers;
    session.watch(Watch::all(layers));
    let mut ledger = session.ledger();
    block_on(session.prefill(&[5, 6, 7, 8], &mut ledger, |_, _| ControlFlow::Continue(()))).expect("a good prompt");
    for _ in 0..3 {
        // One at a time, so that the ledger and the records are of the same tokens.
        block_on(session.decode(&Sampling::default(), &mut ledger)).expect("a token");
    }
    (session.take_records(), ledger)
}

#[test]
fn what_is_not_there_is_a_sentence() {
    for new_session in BACKENDS {
        let mut session = new_session("tiny-odd");
        let config = model("tiny-odd").config.clone();
        let (records, ledger) = watched(&mut session);
        let record = &records[0];
        let neuron = session.engine().controls().neuron(&config, record.site);
        let error = session.engine().inv_threshold(2, Site::Down).expect_err("there are two layers");
        assert_eq!(error, ProbeError::Layer { layer: 2, layers: 2 });
        assert_eq!(error.to_string(), "there is no layer 2; choose one of 0 to 1");
        assert_eq!(ledger.activity(2, Site::Down).spikes(), 0);
        let engine = session.engine();
        let own = engine.inv_threshold(record.layer, record.site).expect("a layer");
        let others = engine.inv_threshold(0, Site::Down).expect("a layer");
        let trace = |token, j, thresholds| record.trace(token, j, neuron, thresholds).map(|steps| steps.count());
        assert_eq!(trace(3, 22, own), Ok(1));
        assert_eq!(trace(4, 0, own), Err(ProbeError::Token { token: 4, tokens: 4 }));
        assert_eq!(trace(0, 23, own), Err(ProbeError::Neuron { neuron: 23, neurons: 23 }));
        assert_eq!(trace(0, 0, others), Err(ProbeError::Thresholds { found: 37, neurons: 23 }));
        assert_eq!(record.trains(9, neuron, own), Err(ProbeError::Token { token: 9, tokens: 4 }));
        assert_eq!(record.trains(0, neuron, others), Err(ProbeError::Thresholds { found: 37, neurons: 23 }));
        let trains = record.trains(0, neuron, own).expect("there");
        assert_eq!(trains.neurons(), 23);
        assert!(trains.spike(22, 0).is_some());
        assert_eq!((trains.spike(23, 0), trains.spike(0, 1), trains.spike(usize::MAX, 0)), (None, None, None));
    }
}

#[test]
fn a_muted_neuron_has_no_spikes() {
    for new_session in BACKENDS {
        let mut session = new_session("tiny-leaky");
        let config = model("tiny-leaky").config.clone();
        let site = Site::GateUp;
        // The first neuron of the site that fires at the prompt's first token.
        let (records, _) = watched(&mut session);
        let at = |records: &[Record]| records.iter().position(|r| (r.layer, r.site) == (1, site)).expect("watched");
        let loud = records[at(&records)].counts.iter().position(|&c| c != 0).expect("a neuron that fires");
        session.reset();
        session.engine().controls().mute(&config, 1, site, loud, true);
        let (records, _) = watched(&mut session);
        let record = &records[at(&records)];
        let neuron = session.engine().controls().neuron(&config, site);
        let inv_threshold = session.engine().inv_threshold(1, site).expect("a layer");
        let trace: Vec<(f32, i32)> = record.trace(0, loud, neuron, inv_threshold).expect("there").collect();
        assert!(trace.iter().any(|(h, _)| h.abs() >= 1.0), "the membrane shows what it would do: {trace:?}");
        assert!(trace.iter().all(|&(_, spike)| spike == 0), "{trace:?}");
        let trains = record.trains(0, neuron, inv_threshold).expect("there");
        assert!((0..trains.steps).all(|t| trains.spike(loud, t) == Some(0)));
    }
}

/// The ledger counts a token's spikes by sign; the probe, by sign and micro-step.
#[test]
fn micro_steps_sum_to_the_ledger() {
    for new_session in BACKENDS {
        for (name, scale) in [("tiny-leaky", 1.0), ("tiny-window", 0.5), ("tiny-hybrid", 1.0)] {
            let mut session = new_session(name);
            session.engine().controls().threshold_scale = scale;
            let config = model(name).config.clone();
            // Told to expect one token after another, a GPU computes none ahead.
            let (records, ledger) = watched(&mut session);
            let mut late = 0;
            for layer in 0..config.n_layers {
                for site in Site::ALL {
                    let neuron = session.engine().controls().neuron(&config, site);
                    let inv_threshold = session.engine().inv_threshold(layer, site).expect("a layer");
                    let mut sum = StepSpikes::default();
                    for record in records.iter().filter(|record| (record.layer, record.site) == (layer, site)) {
                        for token in 0..record.tokens() {
                            let steps = record.trains(token, neuron, inv_threshold).expect("its own").by_step();
                            assert_eq!(steps.len(), config.steps[site.index()] as usize);
                            late += steps[1..].iter().map(|step| step.positive + step.negative).sum::<u32>();
                            sum.positive += steps.iter().map(|step| step.positive).sum::<u32>();
                            sum.negative += steps.iter().map(|step| step.negative).sum::<u32>();
                        }
                    }
                    let counted = ledger.activity(layer, site);
                    assert_eq!(
                        (u64::from(sum.positive), u64::from(sum.negative)),
                        (counted.positive, counted.negative)
                    );
                }
            }
            assert!(late > 0, "{name}: no neuron fired twice, so this has tested nothing");
        }
    }
}
