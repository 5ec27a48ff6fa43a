//! `mar eval`: the figures of its contract, checked against the library and against counting by hand.

use std::fs;

use mar::config::Site;
use mar::cpu::{Cpu, Kernels};
use mar::session::Session;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{chatty, json_of, path, refused};

fn write(model: &TempDir, records: &[Value]) -> String {
    let file = model.path().join("records.jsonl");
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    fs::write(&file, lines).expect("a file");
    path(&file).to_owned()
}

fn eval(model: &TempDir, file: &str, more: &[&str]) -> Value {
    json_of(&[&["eval", path(model.path()), file, "--backend", "cpu", "--json"], more].concat())
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

/// Bits a byte of a report, over so many bytes of text.
fn bits_per_byte(report: &Value, bytes: f64) -> f64 {
    number(&report["loss"]) * number(&report["tokens"]) / std::f64::consts::LN_2 / bytes
}

fn assert_near(found: f64, right: f64) {
    assert!((found / right - 1.0).abs() < 1e-6, "{found}, expected {right}");
}

#[test]
fn a_cut_record_counts_the_bytes_that_are_left() {
    let model = chatty("tiny-window");
    // One token a character; é has two bytes.
    let text = "some letters, é and é";
    let file = write(&model, &[json!({ "text": text })]);
    let whole = eval(&model, &file, &[]);
    assert_eq!(whole["tokens"], 20, "every token but the first");
    assert_near(number(&whole["bits_per_byte"]), bits_per_byte(&whole, 23.0));
    let cut = eval(&model, &file, &["--max-tokens", "7"]);
    assert_eq!(cut["tokens"], 6);
    assert_near(number(&cut["bits_per_byte"]), bits_per_byte(&cut, 23.0 * 7.0 / 21.0));
    assert!(whole["assistant_loss"].is_null());
    assert_near(number(&whole["perplexity"]), number(&whole["loss"]).exp());

    // Beside one that is not cut. Of a chat only what is said counts as bytes.
    let chat = json!({"messages": [{"role": "user", "content": " hi "}, {"role": "assistant", "content": "yes"}]});
    let file = write(&model, &[json!({ "text": text }), chat]);
    let both = eval(&model, &file, &["--max-tokens", "10"]);
    // The chat is <user> h i <end> <assistant> y e s <end>: nine tokens, five bytes.
    assert_eq!(both["tokens"], 9 + 8);
    assert_near(number(&both["bits_per_byte"]), bits_per_byte(&both, 23.0 * 10.0 / 21.0 + 5.0));
    assert!(number(&both["assistant_loss"]) > 0.0);
}

/// The reply's loss is over the tokens behind its header: y, e, s and the end.
#[test]
fn the_losses_are_those_of_the_logits() {
    let model = chatty("tiny-window");
    let chat = json!({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]});
    let file = write(&model, &[chat]);
    let report = eval(&model, &file, &[]);
    let letter = |c: char| u32::from(c) - u32::from('a') + 6;
    let tokens = [2, letter('h'), letter('i'), 4, 3, letter('y'), letter('e'), letter('s'), 4];
    let loaded = mar::format::open(model.path(), |_, _| {}).expect("a good model");
    let config = loaded.config.clone();
    let mut session = Session::new(Cpu::new(loaded.into(), Kernels::best()));
    let mut ledger = session.ledger();
    let logits = pollster::block_on(session.evaluate(&tokens[..8], &mut ledger)).expect("logits");
    let losses: Vec<f64> = logits
        .chunks_exact(config.vocab_size)
        .zip(&tokens[1..])
        .map(|(logits, &next)| {
            let total: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
            total.ln() - f64::from(logits[next as usize])
        })
        .collect();
    assert_near(number(&report["loss"]), losses.iter().sum::<f64>() / 8.0);
    assert_near(number(&report["assistant_loss"]), losses[4..].iter().sum::<f64>() / 4.0);

    // Spikes per neuron and micro-step: one number, the mean over layers and sites.
    let places = (0..config.n_layers).flat_map(|layer| Site::ALL.map(|site| (layer, site)));
    let mean = places.map(|(layer, site)| ledger.firing_rate(layer, site)).sum::<f64>() / (4 * config.n_layers) as f64;
    assert_near(number(&report["firing_rate"]), mean);
    let by_site = report["firing_rate_per_site"].as_array().expect("four sites");
    assert_near(by_site.iter().map(number).sum::<f64>() / 4.0, mean);
    let energy = |name: &str| number(&report["energy_pj_per_token"][name]);
    assert_near(energy("arithmetic"), ledger.operations().arithmetic_pj() / 8.0);
    assert_near(energy("transformer_with_memory"), ledger.transformer().with_memory_pj() / 8.0);
}

#[test]
fn larger_thresholds_fire_less() {
    let model = chatty("tiny-leaky");
    let file = write(&model, &[json!({"text": "a few letters to read"})]);
    let (plain, scaled) = (eval(&model, &file, &[]), eval(&model, &file, &["--threshold-scale", "2"]));
    assert!(number(&scaled["firing_rate"]) < number(&plain["firing_rate"]));
    assert!(number(&scaled["energy_pj_per_token"]["arithmetic"]) < number(&plain["energy_pj_per_token"]["arithmetic"]));
    assert_eq!(scaled["energy_pj_per_token"]["dense_twin"], plain["energy_pj_per_token"]["dense_twin"]);
}

#[test]
fn files_that_hold_nothing_say_so() {
    let model = chatty("tiny-odd");
    let place = path(model.path());
    let arguments = |file| ["eval", place, file, "--backend", "cpu"];
    // One token predicts nothing.
    let file = write(&model, &[json!({"text": "a"}), json!({"text": ""})]);
    assert!(refused(&arguments(&file)).ends_with("holds no text to evaluate"));
    let file = write(&model, &[json!({"text": "ab"}), json!({"txt": "ab"})]);
    assert!(refused(&arguments(&file)).contains("records.jsonl, line 2: not a chat or text"));
    assert!(refused(&arguments("/nowhere")).starts_with("cannot read /nowhere"));
}

#[test]
fn bytes_that_are_no_utf8_are_named_with_a_remedy() {
    let model = chatty("tiny-odd");
    let file = model.path().join("records.jsonl");
    fs::write(&file, b"{\"text\": \"ab\"}\n{\"text\": \"caf\xe9\"}\n").expect("a file");
    let error = refused(&["eval", path(model.path()), path(&file), "--backend", "cpu"]);
    assert_eq!(
        error,
        format!(
            "{}, line 2: byte 14 of the line is 0xe9, which is not UTF-8; convert the file, for example with iconv -f \
             ISO-8859-1 -t UTF-8, or remove the line",
            file.display()
        )
    );
    // What is not looked at may be anything.
    let report = eval(&model, path(&file), &["--records", "1"]);
    assert_eq!(report["tokens"], 1);
    // A folder opens, and cannot be read.
    let error = refused(&["eval", path(model.path()), path(model.path()), "--backend", "cpu"]);
    assert!(error.starts_with(&format!("cannot read {}: ", model.path().display())), "{error}");
}
