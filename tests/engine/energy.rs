//! The ledger's arithmetic against the trainer's, which counted the same network.

use std::fs;
use std::ops::ControlFlow;

use mar::config::Site;
use mar::energy::{
    Activity, Ledger, Operations, Term, dense_site_operations, dense_twin, head_operations, shared_operations,
    transformer,
};
use pollster::block_on;

use crate::common::{cpu_session, directory, model};

#[test]
fn the_ledger_counts_as_the_trainer_does() {
    let config = &model("mar-smalltalk").config;
    let metrics = fs::read(directory("mar-smalltalk").join("metrics.json")).expect("metrics");
    let metrics: serde_json::Value = serde_json::from_slice(&metrics).expect("JSON");
    let number = |value: &serde_json::Value| value.as_f64().expect("a number");

    // A ledger whose spikes are the trainer's rates: over many tokens, so that rounding to whole spikes does not show.
    let tokens = 1_000_000;
    let mut ledger = Ledger::new(config);
    (0..tokens).for_each(|_| ledger.token(0));
    for layer in 0..config.n_layers {
        for site in Site::ALL {
            let rate = number(&metrics["firing_rate"]["per_layer"][layer][site.index()]);
            let slots = config.site_shape(site).0 as f64 * f64::from(config.steps[site.index()]) * tokens as f64;
            let positive = (rate * slots).round() as u64;
            ledger.add(layer, site, Activity { fired: positive, positive, negative: 0 });
        }
    }
    let found = ledger.operations();
    for (what, found) in [("ac_per_token", found.ac), ("mac_per_token", found.mac), ("mul_per_token", found.mul)] {
        let (found, right) = (found as f64 / tokens as f64, number(&metrics[what]));
        assert!((found / right - 1.0).abs() < 1e-4, "{what}: {found} {right}");
    }
    assert_eq!(dense_twin(config).mac as f64, number(&metrics["dense_mac_per_token"]));
    let energy = &metrics["energy_pj_per_token"];
    let (spiking, dense) = (found.arithmetic_pj() / tokens as f64, dense_twin(config).arithmetic_pj());
    assert!((spiking / number(&energy["spiking"]) - 1.0).abs() < 1e-4);
    assert!((dense / number(&energy["dense"]) - 1.0).abs() < 1e-6);
}

#[test]
fn sites_sum_to_the_total() {
    let config = &model("tiny-window").config;
    let mut ledger = Ledger::new(config);
    for position in 0..3 {
        ledger.token(position);
        for layer in 0..config.n_layers {
            for (i, site) in Site::ALL.into_iter().enumerate() {
                let activity = Activity { fired: 3, positive: 4 + i as u64, negative: layer as u64 };
                ledger.add(layer, site, activity);
            }
        }
    }
    let mut sum = mar::energy::shared_operations(config);
    sum += mar::energy::shared_operations(config);
    sum += mar::energy::shared_operations(config);
    for layer in 0..config.n_layers {
        Site::ALL.into_iter().for_each(|site| sum += ledger.site_operations(layer, site));
    }
    assert_eq!(sum, ledger.operations());
    let mut twice = ledger.clone();
    twice.merge(&ledger);
    assert_eq!(twice.spikes(), 2 * ledger.spikes());
    assert_eq!(twice.operations().ac, 2 * ledger.operations().ac);
    let mut by_token = transformer(config, 0);
    by_token += transformer(config, 1);
    by_token += transformer(config, 2);
    assert_eq!(by_token, ledger.transformer());
}

#[test]
fn terms_and_sites_sum_to_the_estimates() {
    for name in ["tiny-window", "mar-smalltalk"] {
        let config = &model(name).config;
        let mut ledger = Ledger::new(config);
        for position in 5..9 {
            ledger.token(position);
            for layer in 0..config.n_layers {
                for site in Site::ALL {
                    let positive = 7 * layer as u64 + site.index() as u64;
                    ledger.add(layer, site, Activity { fired: 3, positive, negative: 2 });
                }
            }
        }
        let same = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 1e-12, "{a} {b}");
        let sum = |terms: &[Term], data: bool| -> f64 {
            let counted = terms.iter().filter(|term| data || term.class.is_arithmetic());
            counted.map(|term| term.count as f64 * term.picojoules_each).sum()
        };
        for (terms, total) in [
            (ledger.terms(), ledger.operations()),
            (ledger.dense_terms(), ledger.dense_twin()),
            (ledger.transformer_terms(), ledger.transformer()),
        ] {
            same(sum(&terms, false), total.arithmetic_pj());
            same(sum(&terms, true), total.with_memory_pj());
        }
        let mut parts = Operations::default();
        (0..ledger.tokens).for_each(|_| parts += head_operations(config));
        for layer in 0..config.n_layers {
            Site::ALL.into_iter().for_each(|site| parts += ledger.site_in_all(layer, site));
        }
        assert_eq!(parts, ledger.operations());
    }
}
/// By both price lists, for the network that ran and for its dense twin: what the sites cost, and what they share, is all.
#[test]
fn prices_of_sites_sum_to_the_price_of_all() {
    for name in ["tiny-window", "mar-smalltalk"] {
        let mut session = cpu_session(name);
        let mut ledger = session.ledger();
        block_on(session.prefill(&[1, 2, 3, 4, 5], &mut ledger, |_, _| ControlFlow::Continue(()))).expect("a prompt");
        let config = &model(name).config;
        let tokens = ledger.tokens as f64;
        let prices: [fn(&Operations) -> f64; 2] = [Operations::arithmetic_pj, Operations::with_memory_pj];
        let summary = ledger.summary().energy_pj;
        let totals = [(summary.arithmetic, summary.dense_twin), (summary.with_memory, summary.dense_twin_with_memory)];
        for (price, (spiking, dense)) in prices.into_iter().zip(totals) {
            let shared = tokens * price(&shared_operations(config));
            let (mut sum, mut dense_sum) = (shared, shared);
            for layer in 0..config.n_layers {
                for site in Site::ALL {
                    sum += price(&ledger.site_operations(layer, site));
                    dense_sum += tokens * price(&dense_site_operations(config, site));
                }
            }
            assert!((sum / spiking - 1.0).abs() < 1e-12, "{name}: {sum} {spiking}");
            assert!((dense_sum / dense - 1.0).abs() < 1e-12, "{name}: {dense_sum} {dense}");
        }
        // Moving data costs, and every matrix is read by those that do not skip.
        assert!(summary.with_memory > summary.arithmetic);
        assert!(summary.dense_twin_with_memory > summary.dense_twin);
        assert!(summary.transformer_with_memory > summary.transformer);
        assert!(summary.dense_twin_with_memory > summary.with_memory, "fewer rows are read than there are");
    }
}

/// A transformer's price grows with the tokens behind it, by a key and a value a layer; ours does not.
#[test]
fn only_a_transformer_pays_for_the_context() {
    let config = &model("mar-smalltalk").config;
    let at = |position: u64| {
        let mut ledger = Ledger::new(config);
        ledger.token(position);
        ledger.summary().energy_pj
    };
    let (near, far) = (at(0), at(1000));
    assert_eq!((near.with_memory, near.dense_twin_with_memory), (far.with_memory, far.dense_twin_with_memory));
    let (layers, width) = (config.n_layers as f64, config.d_model as f64);
    // Per token behind: two products of width d, and 2 bytes of each of 2·d numbers from a cache of 1 MB.
    let expected = 1000.0 * layers * (2.0 * width * 4.6 + 2.0 * 2.0 * width * 12.5);
    let found = far.transformer_with_memory - near.transformer_with_memory;
    assert!((found / expected - 1.0).abs() < 1e-9, "{found} {expected}");
    let arithmetic = far.transformer - near.transformer;
    assert!((arithmetic / (1000.0 * layers * 2.0 * width * 4.6) - 1.0).abs() < 1e-9);
}
