//! A model whose files come one by one, as in a browser.

use std::sync::OnceLock;

use crate::common::{cpu_session, cut, gpu_device, model, read_file};
use crate::recovery::{decode, prefill};
use mar::format::{CHUNK_BYTES, Manifest, WEIGHTS};
use mar::gpu::Gpu;
use mar::loader::{Loaded, Loader, Weights};
use mar::session::Session;
use pollster::block_on;
use proptest::prelude::*;

const SMALL: [&str; 5] =
    ["manifest.json", "config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"];

const MIB: usize = CHUNK_BYTES as usize;

fn read(file: &str) -> Vec<u8> {
    read_file("mar-smalltalk", file)
}

/// A loader that has these small files, and waits for the weights.
fn loader(small: &[&str]) -> Loader {
    let mut loader = Loader::new();
    small.iter().for_each(|file| loader.file(file, read(file)).expect(file));
    loader
}

/// Files that hold weights, one after the other, each in parts of the sizes that `parts` gives.
fn send(
    mut loader: Loader,
    files: &[(String, Vec<u8>)],
    mut parts: impl Iterator<Item = usize>,
) -> Result<Loaded, String> {
    let mut send_all = || {
        for (name, bytes) in files {
            loader.weights(name, bytes.len() as u64)?;
            push(&mut loader, bytes, &mut parts)?;
        }
        Ok::<_, mar::loader::LoadError>(())
    };
    send_all().and_then(|()| loader.finish()).map_err(|e| e.to_string())
}

fn push(
    loader: &mut Loader,
    mut bytes: &[u8],
    parts: &mut impl Iterator<Item = usize>,
) -> Result<(), mar::loader::LoadError> {
    while !bytes.is_empty() {
        let (now, later) = bytes.split_at(parts.next().expect("a size").min(bytes.len()));
        loader.push(now)?;
        bytes = later;
    }
    Ok(())
}

/// `model.safetensors` as one file, in parts of `part` bytes.
fn send_whole(loader: Loader, weights: Vec<u8>, part: usize) -> Result<Loaded, String> {
    send(loader, &[(WEIGHTS.into(), weights)], std::iter::repeat(part))
}

/// mar-smalltalk in pieces, and a loader that waits for them.
fn in_pieces(sizes: &[usize]) -> (Loader, Vec<(String, Vec<u8>)>) {
    let files = cut(read(WEIGHTS), sizes);
    let config = read("config.json");
    let listed = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    let manifest = Manifest::of(listed.chain([("config.json", config.as_slice())]));
    let mut loader = Loader::new();
    loader.file("manifest.json", manifest.to_json().into_bytes()).expect("a good manifest");
    loader.file("config.json", config).expect("a good config");
    (loader, files)
}

#[test]
fn weights_go_straight_to_a_gpu() {
    let mut loader = loader(&SMALL);
    loader.onto(&gpu_device(loader.config().expect("a shape")));
    let loaded = send_whole(loader, read(WEIGHTS), MIB + 1).expect("a good model");
    let Weights::Gpu { builder, sha256 } = loaded.weights else { panic!("the weights are in main memory") };
    assert!(loaded.chat.is_some());
    let gpu = block_on(async { Gpu::new(builder.build(sha256).await?).await }).expect("room on the GPU");
    let tokens = [Session::new(gpu), cpu_session("mar-smalltalk")].map(|mut session| {
        prefill(&mut session, &[5, 6, 7]).expect("a good prompt");
        decode(&mut session, 20)
    });
    assert_eq!(tokens[0], tokens[1]);
}

#[test]
fn a_mute_loader_checks_how_a_model_chats_and_forgets_it() {
    let mut mute = Loader::new().mute();
    SMALL.iter().for_each(|file| mute.file(file, read(file)).expect(file));
    let loaded = send_whole(mute, read(WEIGHTS), MIB).expect("a good model");
    assert!(loaded.chat.is_none());
    let mut mute = Loader::new().mute();
    mute.file("manifest.json", read("manifest.json")).expect("a good manifest");
    let error = mute.file("tokenizer.json", b"{}".to_vec()).expect_err("refused").to_string();
    assert!(error.starts_with("tokenizer.json: "), "{error}");
}

#[test]
fn parts_of_any_size_give_the_same_model() {
    let weights = read(WEIGHTS);
    for part in [1000, MIB, MIB + 1, weights.len()] {
        let loaded = send_whole(loader(&SMALL), weights.clone(), part).expect("a good model");
        assert_eq!(loaded.weights.into_model().expect("a model in memory"), *model("mar-smalltalk"), "{part}");
        assert!(loaded.chat.is_some());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Pieces are one model, wherever they and the stream are cut.
    #[test]
    fn pieces_are_one_model(
        sizes in prop_oneof![Just(vec![]), Just(vec![MIB]), Just(vec![2 * MIB]), Just(vec![MIB, MIB])],
        parts in prop::collection::vec(prop_oneof![1..5000usize, 1..3 * MIB, Just(MIB), Just(MIB - 1), Just(MIB + 1)], 1..40),
    ) {
        static WHOLE: OnceLock<std::sync::Arc<mar::model::Model>> = OnceLock::new();
        let (loader, files) = in_pieces(&sizes);
        let loaded = send(loader, &files, parts.into_iter().cycle()).expect("a good model");
        prop_assert_eq!(&loaded.weights.into_model().expect("a model in memory"), &**WHOLE.get_or_init(|| model("mar-smalltalk")));
    }

    /// One flipped bit anywhere: the piece and the chunk are named.
    #[test]
    fn flipped_bits_are_named(at in any::<prop::sample::Index>(), bit in 0..8u32, part in 1000..2 * MIB) {
        let (loader, mut files) = in_pieces(&[MIB, MIB]);
        let at = at.index(files.iter().map(|(_, bytes)| bytes.len()).sum());
        files[at / MIB].1[at % MIB] ^= 1 << bit;
        let error = send(loader, &files, std::iter::repeat(part)).expect_err("refused");
        let named = format!("model.safetensors.{:02}: chunk 0 has sha-256", at / MIB);
        prop_assert!(error.starts_with(&named), "{}", error);
    }

    /// A piece that ends early, or goes on too long, however it was announced.
    #[test]
    fn wrong_lengths_are_named(which in 0..3usize, cut in 1..5000usize, long in any::<bool>(), part in 1000..2 * MIB) {
        let (mut loader, mut files) = in_pieces(&[MIB, MIB]);
        let announced: Vec<_> = files.iter().map(|(name, bytes)| (name.clone(), bytes.len() as u64)).collect();
        let bytes = &mut files[which].1;
        bytes.resize(if long { bytes.len() + cut } else { bytes.len() - cut }, 0);
        let sent = announced.iter().zip(&files).try_for_each(|((name, size), (_, bytes))| {
            loader.weights(name, *size)?;
            push(&mut loader, bytes, &mut std::iter::repeat(part))
        });
        let error = sent.and_then(|()| loader.finish().map(drop)).expect_err("refused").to_string();
        let of = announced[which].1;
        prop_assert!(error.starts_with(&format!("model.safetensors.{which:02}: ")), "{}", error);
        prop_assert!(error.contains(&format!("bytes came, expected {of}")), "{}", error);
    }
}

#[test]
fn pieces_out_of_order_missing_and_extra() {
    let (loader, files) = in_pieces(&[MIB, MIB]);
    let mut swapped = files.clone();
    swapped.swap(1, 2);
    let error = send(loader, &swapped, std::iter::repeat(MIB)).expect_err("refused");
    assert_eq!(error, "model.safetensors.02 came, but model.safetensors.01 is next");

    let (loader, files) = in_pieces(&[MIB, MIB]);
    let error = send(loader, &files[..2], std::iter::repeat(MIB)).expect_err("refused");
    assert_eq!(error, "the weights are in pieces, but model.safetensors.02 is missing; fetch it too");

    for name in ["model.safetensors.03", WEIGHTS] {
        let (loader, mut files) = in_pieces(&[MIB, MIB]);
        files.push((name.into(), vec![0]));
        let error = send(loader, &files, std::iter::repeat(MIB)).expect_err("refused");
        assert_eq!(error, format!("{name}: manifest.json does not list this file; fetch the model again"));
    }

    let (loader, mut files) = in_pieces(&[MIB, MIB]);
    files.push(files[2].clone());
    let error = send(loader, &files, std::iter::repeat(MIB)).expect_err("refused");
    assert_eq!(error, "model.safetensors.02 came, but the end of the weights is next");

    let (mut loader, files) = in_pieces(&[MIB, MIB]);
    loader.weights(&files[0].0, MIB as u64).expect("the first piece");
    let error = loader.weights(&files[1].0, MIB as u64).expect_err("refused").to_string();
    assert_eq!(error, "model.safetensors.00: 0 bytes came, expected 1048576; fetch the file again");
    let error = loader.push(&[0]).expect_err("refused").to_string();
    assert_eq!(error, "a part of no file came, but model.safetensors.01 is next");
}

#[test]
fn pieces_need_a_manifest() {
    let error = loader(&["config.json"]).weights("model.safetensors.00", MIB as u64).expect_err("refused").to_string();
    assert_eq!(error, "manifest.json must come first; fetch it before this file");
}

#[test]
fn every_hash_of_a_manifest_counts() {
    for (file, key, part) in [
        ("config.json", "sha256\": \"", "the file"),
        ("config.json", "chunks\": [\n        \"", "chunk 0"),
        (WEIGHTS, "chunks\": [\n        \"", "chunk 0"),
    ] {
        let manifest = String::from_utf8(read("manifest.json")).expect("UTF-8");
        let entry = manifest.find(&format!("\"{file}\"")).expect("an entry");
        let hash = entry + manifest[entry..].find(key).expect("a hash") + key.len();
        let mut lies = manifest.into_bytes();
        lies[hash..hash + 8].copy_from_slice(b"00000000");
        let mut loader = Loader::new();
        loader.file("manifest.json", lies).expect("a manifest that could be true");
        let config = loader.file("config.json", read("config.json")).map_err(|e| e.to_string());
        let error = config.and_then(|()| send_whole(loader, read(WEIGHTS), MIB)).expect_err("refused");
        assert!(error.starts_with(&format!("{file}: {part} has sha-256")), "{error}");
    }
}

#[test]
fn only_weights_and_config_are_needed() {
    let loaded = send_whole(loader(&["config.json"]), read(WEIGHTS), 1 << 16).expect("a good model");
    assert!(loaded.chat.is_none());
}

#[test]
fn a_damaged_chunk_is_named() {
    let mut weights = read(WEIGHTS);
    weights[2_000_000] ^= 1;
    let error = send_whole(loader(&SMALL), weights, 1 << 16).expect_err("refused");
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
    let error = loader.weights(WEIGHTS, 7).expect_err("refused").to_string();
    assert!(error.contains("7 bytes, but manifest.json says 2819320"), "{error}");
}

#[test]
fn an_early_end_is_refused() {
    for small in [&SMALL[..], &["config.json"]] {
        let weights = read(WEIGHTS);
        let mut loader = loader(small);
        loader.weights(WEIGHTS, weights.len() as u64).expect("the right size");
        loader.push(&weights[..1_500_000]).expect("good so far");
        let error = loader.finish().expect_err("refused").to_string();
        assert_eq!(error, "model.safetensors: 1500000 bytes came, expected 2819320; fetch the file again");
    }
}

#[test]
fn a_manifest_comes_first_and_once() {
    let late = "manifest.json came after other files, which were not checked against it; begin again with it";
    for before in [&["config.json"][..], &["tokenizer.json"], &["manifest.json"]] {
        let error = loader(before).file("manifest.json", read("manifest.json")).expect_err("refused").to_string();
        assert_eq!(error, late, "{before:?}");
    }
}

#[test]
fn files_that_no_manifest_lists_are_refused() {
    let (mut loader, _) = in_pieces(&[MIB]);
    let error = loader.file("tokenizer.json", read("tokenizer.json")).expect_err("refused").to_string();
    assert_eq!(error, "tokenizer.json: manifest.json does not list this file; fetch the model again");
}

#[test]
fn ids_beyond_the_vocabulary_are_refused() {
    for (from, to, says) in [
        ("\"pad_token_id\": 0", "\"pad_token_id\": 70000", "pad_token_id has 70000, but the vocabulary ends at "),
        ("\"eos_token_id\": [", "\"eos_token_id\": [70000,", "eos_token_id has 70000, but the vocabulary ends at "),
        ("\"pad_token_id\": 0", "\"pad_token_id\": -1", "invalid value: integer `-1`"),
    ] {
        let good = String::from_utf8(read("generation_config.json")).expect("UTF-8");
        let mut loader = loader(&["config.json", "tokenizer.json", "tokenizer_config.json"]);
        loader.file("generation_config.json", good.replacen(from, to, 1).into_bytes()).expect("a small file");
        let error = send_whole(loader, read(WEIGHTS), MIB).expect_err(to);
        assert!(error.starts_with("generation_config.json: ") && error.contains(says), "{error}");
    }
}

#[test]
fn steps_out_of_order_say_what_comes_first() {
    let mut empty = Loader::new();
    assert_eq!(
        empty.weights(WEIGHTS, 1).expect_err("refused").to_string(),
        "config.json must come first; fetch it before this file"
    );
    assert!(empty.push(b"x").is_err());
    let unknown = empty.file("../secret", Vec::new()).expect_err("refused").to_string();
    assert_eq!(unknown, "\"../secret\" is not a file that a model is loaded from");
    assert!(empty.finish().is_err());
    let error = send_whole(loader(&["config.json", "tokenizer.json"]), read(WEIGHTS), 1 << 20).expect_err("refused");
    assert_eq!(error, "tokenizer_config.json must come first; fetch it before this file");
}
