//! The ledger's arithmetic against the trainer's, which counted the same network.

use std::fs;

use mar::config::Site;
use mar::energy::{Activity, Ledger, Operations, Term, dense_twin, head_operations, transformer};

use crate::common::{directory, model};

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
