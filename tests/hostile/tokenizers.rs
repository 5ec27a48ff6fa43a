//! `tokenizer.json`.

use mar::chat::{ChatFiles, ChatFormat};
use mar::loader::Loader;
use serde_json::{Value, json};

use crate::{MOST, alone, counted, refused, shipped};

/// The largest vocabulary.
const LARGEST: usize = 262_144;

fn parse(tokenizer: &[u8], vocab_size: usize) -> Result<ChatFormat, mar::chat::ChatError> {
    let files = ["tokenizer_config.json", "generation_config.json"].map(|file| shipped("mar-smalltalk", file));
    ChatFormat::parse(ChatFiles { tokenizer, tokenizer_config: &files[0], generation_config: &files[1] }, vocab_size)
}

/// mar-smalltalk's, after a change.
fn changed(edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut tokenizer: Value = serde_json::from_slice(&shipped("mar-smalltalk", "tokenizer.json")).expect("JSON");
    edit(&mut tokenizer);
    tokenizer.to_string().into_bytes()
}

#[test]
fn shipped_ones_are_taken() {
    let _alone = alone();
    for (model, vocab_size) in [("mar-smalltalk", 4096), ("mar-smollm2-135m", 49_152)] {
        let tokenizer = shipped(model, "tokenizer.json");
        let (taken, peak) = counted(|| parse(&tokenizer, vocab_size));
        println!("{model}: {} KiB", peak >> 10);
        taken.expect(model);
    }
}

#[test]
fn large_and_crowded_ones() {
    let _alone = alone();
    let mut spaces = vec![b' '; 200_000_000];
    refused("200 MB", "has 200000000 bytes, expected at most", MOST, || parse(&spaces, LARGEST));
    refused("200 MB in a browser", "200000000 bytes, expected at most", MOST, || {
        Loader::new().file("tokenizer.json", std::mem::take(&mut spaces))
    });
    refused("20 million values", "values, expected at most", MOST, || {
        parse("[],".repeat(13_000_000).as_bytes(), LARGEST)
    });
    let many = (0..2_200_000).map(|n| format!("\"{n:x}\":1,")).collect::<String>();
    let many = format!(r#"{{"model":{{"type":"BPE","merges":[],"vocab":{{{many}"a":1}}}}}}"#);
    refused("2 million tokens of 262,144", "values, expected at most", MOST, || parse(many.as_bytes(), LARGEST));
    let few = (0..1_000_000).map(|n| format!("\"{n:x}\":1,")).collect::<String>();
    let few = format!(r#"{{"model":{{"type":"BPE","merges":[],"vocab":{{{few}"a":1}}}}}}"#);
    refused("a million tokens of 262,144", "tokens", MOST, || parse(few.as_bytes(), LARGEST));
    refused("lists in lists", "is not a tokenizer", MOST, || parse("[".repeat(60_000).as_bytes(), LARGEST));
    refused("noise", "is not a tokenizer", MOST, || parse(b"<!doctype html>", LARGEST));
}

#[test]
fn ones_that_are_large_once_built() {
    let _alone = alone();
    let pattern =
        |regex: String| json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false});
    let sequence =
        |parts: Vec<Value>| changed(|t| t["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": parts}));
    let bomb = sequence(vec![pattern("\\p{L}".repeat(20) + "{900}{900}{900}"); 1]);
    refused("a pattern in a pattern", "tokenizer.json", MOST, || parse(&bomb, 4096));
    let many = sequence(vec![pattern("(\\p{L}{90}){9}".into()); 500]);
    refused("500 patterns", "has 500 patterns, expected at most 8", MOST, || parse(&many, 4096));
    let long = sequence(vec![pattern("\\p{L}".repeat(10_000))]);
    refused("a pattern of 50,000 characters", "expected at most 8 of 2048 characters", MOST, || parse(&long, 4096));
    let added = |count: usize, length: usize| {
        changed(|t| {
            t["added_tokens"] = (0..count)
                .map(|n| {
                    json!({"id": 0, "content": format!("{n}{}", "x".repeat(length)), "single_word": false,
                    "lstrip": false, "rstrip": false, "normalized": false, "special": true})
                })
                .collect();
        })
    };
    refused("5,000 added tokens", "adds 5003", MOST, || parse(&added(5_003, 1), 60_000));
    refused("an added token of a megabyte", "expected at most 4096 of 65536 bytes", MOST, || {
        parse(&added(1, 1_000_000), 4096)
    });
    let unigram = changed(|t| {
        t["model"] = json!({"type": "Unigram", "unk_id": 0, "merges": [], "vocab": [["x".repeat(900_000), -1.0]]})
    });
    refused("a model of another type", "has a model of the type \"Unigram\"", MOST, || parse(&unigram, 4096));
}

/// The worst patterns that are taken keep under the limit as well.
#[test]
fn allowed_patterns_stay_under_256_mib() {
    let _alone = alone();
    for regex in ["\\p{L}{400}", "(\\w{30}){30}", "[\\p{L}\\p{N}]{200}(?!x)", "(a|b|\\p{Lu}){300}"] {
        let part = json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false});
        let tokenizer = changed(|t| t["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": vec![part; 8]}));
        let (taken, peak) = counted(|| parse(&tokenizer, 4096));
        println!("8 times {regex}: {} KiB, {}", peak >> 10, taken.is_ok());
        assert!(peak < MOST, "{regex}: {peak} bytes");
    }
}
