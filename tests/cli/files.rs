//! `mar synth` and `mar inspect`.

use std::fs;

use mar::format::sha256_hex;

use crate::common::{mar, path, refused, run};

const ODD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/models/tiny-odd");

#[test]
fn inspect_shows_and_verifies() {
    let (shown, _) = run(&mut mar(&["inspect", ODD]));
    for file in ["config.json", "model.safetensors"] {
        let bytes = fs::read(format!("{ODD}/{file}")).expect("a file");
        let listed = format!("{file:<24} {:>12} bytes  {}\n", bytes.len(), sha256_hex(&bytes));
        assert!(shown.contains(&listed), "{listed}{shown}");
    }
    assert!(!shown.contains("as it should be"), "nothing was checked: {shown}");
    assert!(!shown.contains("layers.1.down.inv_threshold"), "{shown}");

    let (out, _) = run(&mut mar(&["inspect", ODD, "--verify", "--tensors"]));
    assert!(out.starts_with("tiny-odd: 2 layers, d_model 23, d_ffn 37, vocabulary 101\n"), "{out}");
    assert!(out.contains("\ngate_up   23 x 74, ternary, T = 4\n"), "{out}");
    assert!(out.contains("\nwindow: none (rope_theta 10000 is not used)\nnorms: norm_eps 1e-5\n"), "{out}");
    assert!(out.contains("\nneurons: ATMN, tau 1, precharge 0\n"), "{out}");
    // 37 thresholds of four bytes.
    let threshold = out.lines().find(|line| line.starts_with("layers.1.down.inv_threshold ")).expect("a tensor");
    assert!(threshold.ends_with(" F32 [37]                      148 bytes"), "{threshold}");
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
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(out.contains("neurons: ATMN") && !out.contains("as it should be"), "{out}");

    fs::remove_file(copy.path().join("manifest.json")).expect("removed");
    let (out, _) = run(&mut mar(&["inspect", path(copy.path())]));
    assert!(out.ends_with("no manifest.json, so no hashes\n"), "{out}");
    let output = mar(&["inspect", path(copy.path()), "--verify"]).output().expect("mar runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("has no manifest.json to verify it against"));
    assert!(refused(&["inspect", "/nowhere"]).contains("cannot read /nowhere"));
}

#[test]
fn inspect_shows_pieces_and_a_window() {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/models/mar-smollm2-135m");
    let (out, _) = run(&mut mar(&["inspect", model, "--verify"]));
    assert!(out.contains(" for keys and values, rope_theta 100000\n"), "{out}");
    assert!(out.contains("\nneurons: ATMN, tau 1, precharge 0.5\n"), "{out}");
    let pieces = out.lines().filter(|line| line.starts_with("model.safetensors.0")).count();
    assert_eq!(pieces, 5, "{out}");
    // The whole is in no manifest: it is hashed.
    let whole = (0..pieces).flat_map(|piece| fs::read(format!("{model}/model.safetensors.0{piece}")).expect("a piece"));
    let hash = sha256_hex(&whole.collect::<Vec<u8>>());
    assert!(out.ends_with(&format!(" bytes  {hash}\nevery hash and every value is as it should be\n")), "{out}");
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
