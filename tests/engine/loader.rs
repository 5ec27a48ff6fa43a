//! A model whose files come one by one, as in a browser.

use std::fs;

use crate::common::{directory, model};
use mar::format::CHUNK_BYTES;
use mar::loader::Loader;

const SMALL: [&str; 5] =
    ["manifest.json", "config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"];

fn read(file: &str) -> Vec<u8> {
    fs::read(directory("mar-smalltalk").join(file)).expect("a file of the model")
}

/// A loader that has these small files, and waits for the weights.
fn loader(small: &[&str]) -> Loader {
    let mut loader = Loader::new();
    small.iter().for_each(|file| loader.file(file, read(file)).expect(file));
    loader
}

/// Sends weights in pieces of `piece` bytes; the message of the error that this brings, if it does.
fn send(mut loader: Loader, weights: &[u8], piece: usize) -> Result<mar::loader::Loaded, String> {
    let sent =
        loader.weights(weights.len() as u64).and_then(|()| weights.chunks(piece).try_for_each(|p| loader.push(p)));
    sent.and_then(|()| loader.finish()).map_err(|e| e.to_string())
}

#[test]
fn pieces_of_any_size_give_the_same_model() {
    let weights = read("model.safetensors");
    for piece in [1000, CHUNK_BYTES as usize, CHUNK_BYTES as usize + 1, weights.len()] {
        let loaded = send(loader(&SMALL), &weights, piece).expect("a good model");
        assert_eq!(loaded.model, *model("mar-smalltalk"), "{piece}");
        assert!(loaded.chat.is_some());
    }
}

#[test]
fn only_weights_and_config_are_needed() {
    let loaded = send(loader(&["config.json"]), &read("model.safetensors"), 1 << 16).expect("a good model");
    assert!(loaded.chat.is_none());
}

#[test]
fn a_damaged_chunk_is_named() {
    let mut weights = read("model.safetensors");
    weights[2_000_000] ^= 1;
    let error = send(loader(&SMALL), &weights, 1 << 16).expect_err("refused");
    assert!(error.starts_with("model.safetensors: chunk 1 has sha-256"), "{error}");
}

#[test]
fn a_damaged_small_file_is_named() {
    let mut config = read("config.json");
    config.push(b' ');
    let error = loader(&["manifest.json"]).file("config.json", config).expect_err("refused").to_string();
    assert!(error.starts_with("config.json: 539 bytes, but manifest.json says 538"), "{error}");
}

#[test]
fn the_wrong_size_is_refused_before_the_first_byte() {
    let mut loader = loader(&SMALL);
    let error = loader.weights(7).expect_err("refused").to_string();
    assert!(error.contains("7 bytes, but manifest.json says 2819320"), "{error}");
}

#[test]
fn an_early_end_is_refused() {
    let weights = read("model.safetensors");
    let mut loader = loader(&SMALL);
    loader.weights(weights.len() as u64).expect("the right size");
    loader.push(&weights[..1_500_000]).expect("good so far");
    let error = loader.finish().expect_err("refused").to_string();
    assert!(error.contains("has sha-256"), "{error}");
}

#[test]
fn steps_out_of_order_say_what_comes_first() {
    let mut empty = Loader::new();
    assert_eq!(
        empty.weights(1).expect_err("refused").to_string(),
        "config.json must come first; fetch it before this file"
    );
    assert!(empty.push(b"x").is_err());
    let unknown = empty.file("../secret", Vec::new()).expect_err("refused").to_string();
    assert_eq!(unknown, "\"../secret\" is not a file that a model is loaded from");
    assert!(empty.finish().is_err());
    let error =
        send(loader(&["config.json", "tokenizer.json"]), &read("model.safetensors"), 1 << 20).expect_err("refused");
    assert_eq!(error, "tokenizer_config.json must come first; fetch it before this file");
}
