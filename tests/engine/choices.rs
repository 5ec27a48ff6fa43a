//! The likeliest token after each of many given ones: the same on every backend, here and in the browser.
//!
//! `tests/golden/choices.json` has them, for the golden prompts and their greedy continuations one after the other.
//! A page can be asked for the same by `marChoices` (www/src/bench.ts).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mar::cpu::{Cpu, Kernels};
use mar::session::Session;
use pollster::block_on;
use serde::{Deserialize, Serialize};

use crate::common::{golden, gpu_session, model};

const MODELS: [&str; 3] = ["tiny-window", "tiny-hybrid", "mar-smalltalk"];

/// Tokens that each model is given: 256, and a chunk that is not full.
const TOKENS: usize = 280;

#[derive(Serialize, Deserialize)]
struct Choices {
    tokens: Vec<u32>,
    choices: Vec<u32>,
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/choices.json")
}

fn choices(name: &str, kernels: Kernels, tokens: &[u32]) -> Vec<u32> {
    block_on(Session::new(Cpu::new(model(name), kernels)).choices(tokens)).expect("good tokens")
}

#[test]
fn every_backend_chooses_the_same() {
    let file = std::fs::read(path()).expect("tests/golden/choices.json");
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

#[test]
#[ignore = "writes tests/golden/choices.json, after the models have changed"]
fn write_choices() {
    let of = |name: &str| {
        let prompts = golden(name);
        let texts = prompts.iter().flat_map(|golden| golden.tokens.iter().chain(&golden.greedy)).copied();
        let tokens: Vec<u32> = texts.collect::<Vec<u32>>().into_iter().cycle().take(TOKENS).collect();
        let choices = choices(name, Kernels::REFERENCE, &tokens);
        (name.to_owned(), Choices { tokens, choices })
    };
    let all: BTreeMap<String, Choices> = MODELS.into_iter().map(of).collect();
    std::fs::write(path(), serde_json::to_string(&all).expect("numbers") + "\n").expect("the file");
}
