//! Damaged, hostile and foreign model files are refused with a reason, and nothing panics.

use std::fs;
use std::path::Path;

use crate::common::{directory, model, read_file};
use mar::config::Config;
use mar::cpu::{Cpu, Kernels, Logits};
use mar::format::{self, FormatError, Manifest, WEIGHTS, WeightsReader};
use mar::model::{ModelBuilder, State, StateError};
use proptest::prelude::*;

const NAMES: [&str; 3] = ["tiny-odd", "tiny-leaky", "tiny-window"];

fn files(name: &str) -> (Vec<u8>, Vec<u8>) {
    (read_file(name, "config.json"), read_file(name, WEIGHTS))
}

/// What a loader does with bytes from anywhere, in pieces of `piece` bytes.
fn load(config: &[u8], weights: &[u8], piece: usize) -> Result<mar::model::Model, FormatError> {
    let config = Config::parse(config)?;
    let mut reader = WeightsReader::new(&config, weights.len() as u64);
    let mut builder = ModelBuilder::new(config);
    for bytes in weights.chunks(piece) {
        reader.push(bytes, |spec, tensor| builder.insert(&spec.name, tensor))?;
    }
    reader.finish()?;
    builder.build(format::identity(weights))
}

/// The message of the error that loading a changed header brings.
fn with_header(name: &str, change: impl Fn(&str) -> String) -> String {
    let (config, weights) = files(name);
    let length = u64::from_le_bytes(weights[..8].try_into().expect("eight bytes")) as usize;
    let header = change(std::str::from_utf8(&weights[8..8 + length]).expect("UTF-8"));
    let mut changed = (header.len() as u64).to_le_bytes().to_vec();
    changed.extend_from_slice(header.as_bytes());
    changed.extend_from_slice(&weights[8 + length..]);
    load(&config, &changed, 4096).expect_err("refused").to_string()
}

#[test]
fn pieces_of_any_size_give_the_same_model() {
    for name in NAMES {
        let (config, weights) = files(name);
        for piece in [1, 7, 4096, weights.len()] {
            assert_eq!(load(&config, &weights, piece).expect("a good model"), *model(name), "{piece}");
        }
    }
}

#[test]
fn limits_of_the_config() {
    let good = String::from_utf8(files("tiny-window").0).expect("UTF-8");
    for (from, to, says) in [
        ("\"format\": \"mar\"", "\"format\": \"gguf\"", "format is \"gguf\", but must be \"mar\""),
        ("\"format_version\": 1", "\"format_version\": 2", "format_version is 2, but must be 1"),
        ("\"vocab_size\": 89", "\"vocab_size\": 262145", "vocab_size is 262145, but must be from 1 to 262144"),
        ("\"vocab_size\": 89", "\"vocab_size\": 0", "vocab_size is 0"),
        ("\"vocab_size\": 89", "\"vocab_size\": -1", "invalid value: integer `-1`"),
        ("\"vocab_size\": 89,", "", "missing field `vocab_size`"),
        ("\"vocab_size\": 89,", "\"vocab_size\": 89, \"vocab_size\": 89,", "duplicate field `vocab_size`"),
        ("\"vocab_size\": 89,", "\"vocab_size\": 89, \"heads\": 1,", "unknown field `heads`"),
        ("\"n_groups\": 2", "\"n_groups\": 4", "n_groups is 4, but must be a divisor of n_heads"),
        ("\"head_dim\": 8", "\"head_dim\": 257", "head_dim is 257"),
        ("\"norm_eps\": 1e-05", "\"norm_eps\": 0", "norm_eps is 0, but must be above 0"),
        ("\"tau\": 1.3", "\"tau\": 1e39", "but must be at least 1 and finite"),
        ("\"precharge\": 0.1", "\"precharge\": 0.6", "precharge is 0.6, but must be from 0 to 0.5"),
        ("\"attn_kv_heads\": 2", "\"attn_kv_heads\": 4", "attn_kv_heads is 4, but must be a divisor of attn_heads"),
        ("\"attn_heads\": 6", "\"attn_heads\": 16", "attn_heads is 16, but must be a divisor"),
        ("\"window\": 7", "\"window\": 0", "sinks is 2, but must be 0 where window is 0"),
        ("\"int8\"", "\"int2\"", "unknown variant `int2`"),
        ("\"embed_weights\": \"int8\"", "\"embed_weights\": \"ternary\"", "embed_weights is ternary"),
        ("tiny-window", "../etc", "name is ../etc, but must be 1 to 64 of a-z 0-9 . _ -"),
        ("\"neuron\": \"atmn\"", "\"neuron\": \"lif\"", "neuron is \"lif\", but must be \"atmn\""),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        let error = Config::parse(bad.as_bytes()).expect_err(to).to_string();
        assert!(error.contains(says), "{to}: {error}");
    }
    let deep =
        good.replacen("\"n_layers\": 2", "\"n_layers\": 128", 1).replacen("\"window\": 7", "\"window\": 4096", 1);
    let large = deep.replacen("\"head_dim\": 8", "\"head_dim\": 256", 1);
    let error = Config::parse(large.as_bytes()).expect_err("a state of gigabytes").to_string();
    assert!(error.contains("such that the state has at most 268435456 numbers"), "{error}");
    let wide = good.replacen("\"d_model\": 40", "\"d_model\": 8192", 1).replacen("\"ternary\"", "\"int8\"", 1);
    let error = Config::parse(wide.replacen("    7,", "    127,", 1).as_bytes()).expect_err("too large").to_string();
    assert!(error.contains("inputs · T · 127 of in_proj is at most 2^24"), "{error}");
}

#[test]
fn headers_that_lie() {
    for (from, to, says) in [
        ("\"format\":\"mar\"", "\"format\":\"gguf\"", "has format \"gguf\", expected \"mar\""),
        ("final_norm.weight", "final_norm.height", "is not part of this network"),
        ("layers.1.A\"", "layers.7.A\"", "is not part of this network"),
        ("\"dtype\":\"U8\"", "\"dtype\":\"I8\"", "type is I8, expected U8"),
    ] {
        let error = with_header("tiny-odd", |header| {
            let changed = header.replacen(from, to, 1);
            assert_ne!(changed, header, "{from}");
            changed
        });
        assert!(error.contains(says), "{to}: {error}");
    }
    let error = with_header("tiny-odd", |header| header.replacen("data_offsets\":[0,", "data_offsets\":[4,", 1));
    assert!(error.contains("is not safetensors"), "{error}");
    assert!(with_header("tiny-odd", |_| "{}".into()).contains("has format missing"));
    assert!(with_header("tiny-odd", |_| "[".into()).contains("is not safetensors"));
}

#[test]
fn lengths_that_lie() {
    let (config, mut weights) = files("tiny-odd");
    weights[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(load(&config, &weights, 64).expect_err("refused").to_string().contains("expected at most 4194304"));
    let (_, weights) = files("tiny-odd");
    let error = load(&config, &weights[..weights.len() - 1], 64).expect_err("short").to_string();
    assert!(error.contains("bytes, but header and config.json make it"), "{error}");
    assert!(load(&config, &[], 64).expect_err("empty").to_string().contains("0 bytes"));
    // A file that ends before the length it was announced with, and one that goes on after it.
    let parsed = Config::parse(&config).expect("a config");
    let mut reader = WeightsReader::new(&parsed, weights.len() as u64);
    reader.push(&weights[..weights.len() / 2], |_, _| {}).expect("half a file");
    assert!(matches!(reader.finish(), Err(FormatError::Length { .. })));
    let mut reader = WeightsReader::new(&parsed, weights.len() as u64);
    reader.push(&weights, |_, _| {}).expect("a whole file");
    assert!(matches!(reader.push(&[0], |_, _| {}), Err(FormatError::Length { .. })));
}

#[test]
fn another_networks_weights() {
    let error = load(&files("tiny-odd").0, &files("tiny-leaky").1, 4096).expect_err("refused").to_string();
    assert!(error.starts_with("model.safetensors: tensor"), "{error}");
}

#[test]
fn numbers_that_are_not_allowed() {
    let (config, weights) = files("tiny-odd");
    let length = u64::from_le_bytes(weights[..8].try_into().expect("eight bytes")) as usize;
    let header: serde_json::Value = serde_json::from_slice(&weights[8..8 + length]).expect("JSON");
    for (tensor, value, says) in [
        ("embed.scale", f32::NAN, "is NaN, expected a finite number above 0"),
        ("embed.scale", 0.0, "is 0, expected a finite number above 0"),
        ("layers.0.in_proj.inv_threshold", -1.0, "is -1, expected a finite number above 0"),
        ("layers.0.in_proj.scale", f32::INFINITY, "is inf, expected a finite number above 0"),
        ("layers.0.A", 0.0, "is 0, expected a finite number below 0"),
        ("final_norm.weight", f32::NEG_INFINITY, "is -inf, expected a finite number"),
    ] {
        let at = 8 + length + header[tensor]["data_offsets"][0].as_u64().expect("an offset") as usize;
        let mut bad = weights.clone();
        bad[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let error = load(&config, &bad, 4096).expect_err(tensor).to_string();
        assert!(error.contains(tensor) && error.contains(says), "{error}");
    }
}

#[test]
fn directories_that_are_damaged() {
    let copy = tempfile::tempdir().expect("a folder");
    let refused = |says: &str| {
        let error = format::open(copy.path(), |_, _| {}).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    };
    refused("cannot read");
    for file in ["config.json", "model.safetensors", "manifest.json"] {
        fs::copy(directory("tiny-odd").join(file), copy.path().join(file)).expect("a copy");
    }
    format::open(copy.path(), |_, _| {}).expect("a good model");
    let weights = copy.path().join("model.safetensors");
    change(&weights, |bytes| *bytes.last_mut().expect("a byte") ^= 1);
    refused("model.safetensors: chunk 0 has sha-256");
    change(&weights, |bytes| bytes.push(0));
    refused("but manifest.json says");
    change(&copy.path().join("manifest.json"), |bytes| bytes.truncate(20));
    refused("manifest.json: is not a MAR manifest");
}

#[test]
fn manifests_that_lie() {
    let good = fs::read_to_string(directory("tiny-odd").join("manifest.json")).expect("a manifest");
    Manifest::parse(good.as_bytes()).expect("a good manifest");
    for (from, to, says) in [
        ("config.json", "../config.json", "is not a plain file name"),
        ("config.json", "model.safetensors", "is listed twice"),
        ("\"bytes\": ", "\"bytes\": 9999999", "chunk hashes, expected"),
        ("\"chunk_bytes\": 1048576", "\"chunk_bytes\": 1", "format, version and chunk size"),
        ("\"sha256\": \"", "\"sha256\": \"x", "expected 64 lower-case hexadecimal digits"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        let error = Manifest::parse(bad.as_bytes()).expect_err(to).to_string();
        assert!(error.contains(says), "{to}: {error}");
    }
}

#[test]
fn states_that_are_not_this_models() {
    let model = model("tiny-window");
    let mut cpu = Cpu::new(model.clone(), Kernels::REFERENCE);
    cpu.forward(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], Logits::Last, &mut Vec::new(), &mut ());
    let without = cpu.state.to_bytes(&[], &model.sha256);
    assert_eq!(State::from_bytes(&without, &model).expect("its own state"), (cpu.state.clone(), Vec::new()));
    let logits: Vec<f32> = (0..model.config.vocab_size).map(|i| i as f32).collect();
    let bytes = cpu.state.to_bytes(&logits, &model.sha256);
    let half = cpu.state.to_bytes(&logits[1..], &model.sha256);
    assert!(matches!(State::from_bytes(&half, &model), Err(StateError::Damaged)));
    assert_eq!(State::from_bytes(&bytes, &model).expect("its own state"), (cpu.state, logits));
    let other = crate::common::model("tiny-odd");
    assert!(matches!(State::from_bytes(&bytes, &other), Err(StateError::OtherModel)));
    assert!(matches!(State::from_bytes(&bytes[..bytes.len() - 1], &model), Err(StateError::Damaged)));
    assert!(matches!(State::from_bytes(b"PNG", &model), Err(StateError::Foreign)));
    let mut flipped = bytes.clone();
    flipped[100] ^= 1;
    assert!(matches!(State::from_bytes(&flipped, &model), Err(StateError::Damaged)));
    let mut newer = bytes;
    newer[8] = 4;
    assert!(matches!(State::from_bytes(&newer, &model), Err(StateError::Version(4))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// A flipped byte anywhere gives a reason or a model that runs; in no case a panic.
    #[test]
    fn flipped_bytes(which in 0..3usize, at in any::<prop::sample::Index>(), flip in 1..=255u8, in_header in any::<bool>()) {
        let (config, mut weights) = files(NAMES[which]);
        let end = if in_header { 8 + u64::from_le_bytes(weights[..8].try_into().expect("eight bytes")) as usize } else { weights.len() };
        weights[at.index(end)] ^= flip;
        if let Ok(model) = load(&config, &weights, 4096) {
            Cpu::new(model.into(), Kernels::REFERENCE).forward(&[0, 1, 2], Logits::Last, &mut Vec::new(), &mut ());
        }
    }

    /// So does a cut anywhere, which is never a model.
    #[test]
    fn cuts(which in 0..3usize, at in any::<prop::sample::Index>()) {
        let (config, weights) = files(NAMES[which]);
        prop_assert!(load(&config, &weights[..at.index(weights.len())], 4096).is_err());
    }

    /// And text that is almost a config.
    #[test]
    fn flipped_configs(which in 0..3usize, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let (mut config, weights) = files(NAMES[which]);
        let at = at.index(config.len());
        config[at] = byte;
        let _ = load(&config, &weights, 4096);
    }

    /// Bytes from nowhere.
    #[test]
    fn noise(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Config::parse(&bytes).is_err());
        prop_assert!(Manifest::parse(&bytes).is_err());
        prop_assert!(load(&files("tiny-odd").0, &bytes, 16).is_err());
        prop_assert!(State::from_bytes(&bytes, &model("tiny-odd")).is_err());
    }
}

fn change(path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("a file");
    edit(&mut bytes);
    fs::write(path, bytes).expect("a file");
}
