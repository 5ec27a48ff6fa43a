//! The likeliest token after each of many given ones: the same on every backend, here and in the browser.
//!
//! `tests/golden/choices.json` has them as the trainer computes them, for the golden prompts and their greedy
//! continuations one after the other.
//! A page can be asked for the same by `marChoices` (www/src/bench.ts).

use std::collections::BTreeMap;
use std::path::Path;

use mar::cpu::{Cpu, Kernels};
use mar::session::Session;
use pollster::block_on;
use serde::Deserialize;

use crate::common::{gpu_session, model};

const MODELS: [&str; 3] = ["tiny-window", "tiny-hybrid", "mar-smalltalk"];

/// Tokens that each model is given: 256, and a chunk that is not full.
const TOKENS: usize = 280;

#[derive(Deserialize)]
struct Choices {
    tokens: Vec<u32>,
    choices: Vec<u32>,
}

fn choices(name: &str, kernels: Kernels, tokens: &[u32]) -> Vec<u32> {
    block_on(Session::new(Cpu::new(model(name), kernels)).choices(tokens)).expect("good tokens")
}

#[test]
fn every_backend_chooses_the_same() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/choices.json");
    let file = std::fs::read(path).expect("tests/golden/choices.json");
    let expected: BTreeMap<String, Choices> = serde_json::from_slice(&file).expect("choices");
    for name in MODELS {
        let Choices { tokens, choices: expected } = &expected[name];
        assert_eq!((tokens.len(), expected.len()), (TOKENS, TOKENS));
        let mut found = vec![("reference", choices(name, Kernels::REFERENCE, tokens))];
        found.extend(Kernels::all().map(|kernels| (kernels.name, choices(name, kernels, tokens))));
        found.push(("GPU", block_on(gpu_session(name).choices(tokens)).expect("good tokens")));
        for (backend, found) in found {
            let differ = found.iter().zip(expected).filter(|(a, b)| a != b).count();
            println!("{name} on {backend}: {differ} of {TOKENS} choices differ");
            assert_eq!(found, *expected, "{name} on {backend}");
        }
    }
}
