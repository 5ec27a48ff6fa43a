//! Weights in pieces in a directory, and manifests that list them. `loader.rs` has those of a download.

use std::fs;
use std::path::Path;

use crate::common::{cut, directory, model, read_file};
use mar::format::{self, Manifest, ModelFile, WEIGHTS};

/// A copy of mar-smalltalk whose weights lie in pieces of 1 MiB.
fn in_pieces(folder: &Path) {
    let config = read_file("mar-smalltalk", "config.json");
    let pieces = cut(read_file("mar-smalltalk", WEIGHTS), &[1 << 20, 1 << 20]);
    let listed = pieces.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    let manifest = Manifest::of(listed.chain([("config.json", config.as_slice())]));
    for (name, bytes) in &pieces {
        fs::write(folder.join(name), bytes).expect("a piece");
    }
    fs::write(folder.join("config.json"), &config).expect("a config");
    fs::write(folder.join("manifest.json"), manifest.to_json()).expect("a manifest");
}

#[test]
fn weights_in_pieces_are_one_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    in_pieces(folder);
    let size = read_file("mar-smalltalk", WEIGHTS).len() as u64;
    let (whole, manifest) = (model("mar-smalltalk"), fs::read(folder.join("manifest.json")).expect("a manifest"));
    for listed in [true, false] {
        if !listed {
            fs::remove_file(folder.join("manifest.json")).expect("removed");
        }
        let mut seen = (0, 0);
        assert_eq!(format::open(folder, |read, size| seen = (read, size)).expect("a good model"), *whole);
        assert_eq!(seen, (size, size));
    }

    let piece = |number| folder.join(format::piece_name(number));
    let refused = |says: &str| {
        let error = format::open(folder, |_, _| {}).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    };
    let [first, second] = [0, 1].map(|number| fs::read(piece(number)).expect("a piece"));
    fs::write(piece(1), &second[1..]).expect("a piece");
    refused("model.safetensors.01 has 1048575 bytes, expected a multiple of 1048576");
    fs::write(folder.join("manifest.json"), manifest).expect("a manifest");
    refused("model.safetensors.01: 1048575 bytes, but manifest.json says 1048576");
    let mut damaged = second.clone();
    damaged[7] ^= 1;
    fs::write(piece(1), damaged).expect("a piece");
    refused("model.safetensors.01: chunk 0 has sha-256");
    fs::remove_file(piece(1)).expect("removed");
    refused("model.safetensors.01 is missing");
    fs::write(piece(1), second).expect("a piece");
    fs::rename(piece(2), folder.join("kept")).expect("a file");
    refused("model.safetensors.02 is missing");
    fs::rename(folder.join("kept"), piece(2)).expect("a file");
    fs::write(piece(3), first).expect("a piece");
    refused("model.safetensors.03: manifest.json does not list this file");
    fs::remove_file(piece(3)).expect("removed");
    fs::write(folder.join(WEIGHTS), b"old").expect("a file");
    refused("model.safetensors lies beside model.safetensors.00");
    for name in [WEIGHTS].map(str::to_owned).into_iter().chain((0..3).map(format::piece_name)) {
        fs::remove_file(folder.join(name)).expect("removed");
    }
    refused("model.safetensors.00 is missing");
}

#[test]
fn manifests_with_wrong_pieces() {
    let chunk = vec![0; 1 << 20];
    for (names, sizes, says) in [
        (&[][..], &[][..], "lists neither model.safetensors nor pieces of it"),
        (&[WEIGHTS, "model.safetensors.00"], &[5, 5], "model.safetensors lies beside model.safetensors.00"),
        (&["model.safetensors.01", "model.safetensors.02"], &[1 << 20, 5], "model.safetensors.00 is missing"),
        (&["model.safetensors.00", "model.safetensors.02"], &[1 << 20, 5], "model.safetensors.01 is missing"),
        (
            &["model.safetensors.00", "model.safetensors.01"],
            &[4096, 5],
            "model.safetensors.00 has 4096 bytes, expected a",
        ),
        (&["model.safetensors.00", "model.safetensors.01"], &[1 << 20, 0], "model.safetensors.01 is empty"),
    ] {
        let pieces = names.iter().zip(sizes).map(|(&name, &size): (_, &usize)| (name, &chunk[..size]));
        let manifest = Manifest::of(pieces.chain([("config.json", &chunk[..500])])).to_json();
        let error = Manifest::parse(manifest.as_bytes()).expect_err(says).to_string();
        assert!(error.starts_with("manifest.json: ") && error.contains(says), "{error}");
    }
    // In which order they are listed does not matter.
    let listed = ["model.safetensors.01", "model.safetensors.00"].map(|name| (name, &chunk[..]));
    let manifest = Manifest::parse(Manifest::of(listed).to_json().as_bytes()).expect("a good manifest");
    let weights: Vec<_> = manifest.weights().iter().map(|file| file.path.as_str()).collect();
    assert_eq!(weights, ["model.safetensors.00", "model.safetensors.01"]);
}

#[test]
fn files_that_no_manifest_lists_are_not_read() {
    let folder = tempfile::tempdir().expect("a folder");
    for file in ["config.json", WEIGHTS, "manifest.json"] {
        fs::copy(directory("tiny-odd").join(file), folder.path().join(file)).expect("a copy");
    }
    fs::write(folder.path().join("tokenizer.json"), b"{}").expect("a file");
    let error = ModelFile::read(folder.path(), "tokenizer.json", 100).expect_err("refused").to_string();
    assert_eq!(error, "tokenizer.json: manifest.json does not list this file; fetch the model again");
    ModelFile::read(folder.path(), "manifest.json", 1 << 20).expect("the manifest itself");
}
