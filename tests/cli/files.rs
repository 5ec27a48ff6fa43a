//! `mar synth`, `mar inspect` and `mar bench`.

use std::fs;

use serde_json::Value;

use crate::common::{json_of, mar, path, refused, run};

const ODD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/models/tiny-odd");

#[test]
fn inspect_shows_and_verifies() {
    let (out, _) = run(&mut mar(&["inspect", ODD, "--verify", "--tensors"]));
    assert!(out.starts_with("tiny-odd: 2 layers, d_model 23, d_ffn 37, vocabulary 101\n"), "{out}");
    assert!(out.contains("\ngate_up   23 x 74, ternary, T = 4\n"), "{out}");
    assert!(out.contains("layers.1.down.inv_threshold"), "{out}");
    assert!(out.ends_with("every hash and every value is as it should be\n"), "{out}");

    let copy = tempfile::tempdir().expect("a folder");
    for file in ["config.json", "model.safetensors", "manifest.json"] {
        fs::copy(format!("{ODD}/{file}"), copy.path().join(file)).expect("a copy");
    }
    let weights = copy.path().join("model.safetensors");
    let mut bytes = fs::read(&weights).expect("a file");
    *bytes.last_mut().expect("a byte") ^= 1;
    fs::write(&weights, bytes).expect("a file");
    // What can be shown is shown before.
    let output = mar(&["inspect", path(copy.path()), "--verify"]).output().expect("mar runs");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("model.safetensors: chunk 0 has sha-256"), "{error}");
    assert!(refused(&["inspect", "/nowhere"]).contains("cannot read /nowhere"));
}

#[test]
fn synth_writes_what_inspect_verifies() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = |seed: &str| {
        let out = folder.path().join(seed);
        run(&mut mar(&["synth", "--config", "tiny", "--active", "0.2", "--seed", seed, "--out", path(&out)]));
        let (shown, _) = run(&mut mar(&["inspect", path(&out), "--verify"]));
        assert!(shown.starts_with("synth-tiny: 2 layers, d_model 64"), "{shown}");
        fs::read(out.join("model.safetensors")).expect("weights")
    };
    let first = model("1");
    assert_ne!(model("2"), first);
    assert_eq!(model("1"), first, "the same seed");
    let error = refused(&["synth", "--config", "huge", "--out", path(folder.path())]);
    assert!(error.starts_with("huge is neither a preset (tiny, smol-135m) nor a file to read"), "{error}");
}

#[test]
fn bench_prints_one_list() {
    let rows = json_of(&["bench", ODD, "--json", "--tokens", "3", "--prompts", "5,9", "--reference"]);
    let rows = rows.as_array().expect("a list");
    let names: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    let each = ["prefill 5", "prefill 9", "decode"];
    assert_eq!(names, [&each[..], &each, &["dense matvecs"]].concat());
    assert_eq!(rows[0]["backend"], "reference");
    for row in rows {
        for name in ["firing_rate", "tokens_per_second", "bytes_per_token", "bandwidth_fraction"] {
            assert!(row[name].as_f64().is_some_and(|x| x > 0.0), "{name}: {row}");
        }
        assert!(row["backend"].is_string());
    }
    // Random weights, at the firing rate asked for.
    let rows = json_of(&["bench", "--config", "tiny", "--active", "0.5", "--json", "--tokens", "2", "--prompts", "64"]);
    let active = |row: &Value| row["active"].as_f64().expect("a share");
    assert!((active(&rows[0]) - 0.5).abs() < 0.15, "{rows}");
}
