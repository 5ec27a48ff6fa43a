//! What several test files share: where models are, and the golden vectors that the trainer wrote.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use mar::chat::{ChatFiles, ChatFormat};
use mar::config::Config;
use mar::cpu::{Cpu, Kernels};
use mar::format;
use mar::gpu::{Device, Gpu, GpuModel};
use mar::model::Model;
use mar::session::Session;
use safetensors::SafeTensors;

/// Every model whose golden vectors are complete.
pub const MODELS: [&str; 5] = ["tiny-odd", "tiny-leaky", "tiny-window", "tiny-hybrid", "mar-smalltalk"];

/// A model's directory.
pub fn directory(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join(if name.starts_with("tiny-") { "tests/golden/models" } else { "models" }).join(name)
}

/// A file of a model.
pub fn read_file(name: &str, file: &str) -> Vec<u8> {
    std::fs::read(directory(name).join(file)).expect("a file of a model")
}

/// Weights in pieces: first those of these sizes, then what is left. (name, contents).
pub fn cut(mut weights: Vec<u8>, sizes: &[usize]) -> Vec<(String, Vec<u8>)> {
    let mut pieces = Vec::new();
    for &size in sizes {
        let later = weights.split_off(size);
        pieces.push((format::piece_name(pieces.len()), std::mem::replace(&mut weights, later)));
    }
    pieces.push((format::piece_name(pieces.len()), weights));
    pieces
}

/// A model, loaded.
pub fn model(name: &str) -> Arc<Model> {
    Arc::new(format::open(&directory(name), |_, _| {}).expect("a good model"))
}

/// The GPU, opened once for all tests.
pub fn gpu_device(config: &Config) -> Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    let open = || match pollster::block_on(Device::open(config)) {
        Ok(device) => device,
        Err(error) => panic!("these tests need a GPU or a software one: {error}"),
    };
    DEVICE.get_or_init(open).clone()
}

/// A model on the GPU, uploaded once for all tests.
pub fn gpu_model(name: &str) -> Arc<GpuModel> {
    static MODELS: OnceLock<Mutex<HashMap<String, Arc<GpuModel>>>> = OnceLock::new();
    let mut models = MODELS.get_or_init(Mutex::default).lock().expect("no test has panicked here");
    let upload = || {
        let model = model(name);
        pollster::block_on(GpuModel::upload(&gpu_device(&model.config), &model)).expect("a model on the GPU")
    };
    Arc::clone(models.entry(name.into()).or_insert_with(upload))
}

/// How mar-smalltalk chats.
pub fn chat_format() -> ChatFormat {
    let read = |name| std::fs::read(directory("mar-smalltalk").join(name)).expect("a file of the model");
    let files = (read("tokenizer.json"), read("tokenizer_config.json"), read("generation_config.json"));
    let files = ChatFiles { tokenizer: &files.0, tokenizer_config: &files.1, generation_config: &files.2 };
    ChatFormat::parse(files, 4096).expect("a good chat format")
}

/// A conversation on the CPU.
pub fn cpu_session(name: &str) -> Session {
    Session::new(Cpu::new(model(name), Kernels::best()))
}

/// A conversation on the GPU.
pub fn gpu_session(name: &str) -> Session {
    Session::new(pollster::block_on(Gpu::new(gpu_model(name))).expect("room for a conversation"))
}

/// The golden vectors of one prompt (`models/FORMAT.md`, "Golden vectors").
pub struct Golden {
    pub tokens: Vec<u32>,
    pub hidden: Vec<f32>,
    pub logits: Vec<f32>,
    /// By site, `[n, L, inputs]`.
    pub counts: [Vec<i8>; 4],
    pub conv: Vec<f32>,
    pub ssm: Vec<f32>,
    pub ring_k: Vec<f32>,
    pub ring_v: Vec<f32>,
    pub greedy: Vec<u32>,
}

/// All prompts of a model.
pub fn golden(name: &str) -> Vec<Golden> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.safetensors"));
    let bytes = std::fs::read(path).expect("golden vectors");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let prompts = file.names().iter().filter(|name| name.ends_with(".tokens")).count();
    let bytes = |prompt, what: &str| file.tensor(&format!("{prompt}.{what}")).map(|t| t.data().to_vec());
    let floats = |prompt, what| {
        let data = bytes(prompt, what).unwrap_or_default();
        data.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect::<Vec<f32>>()
    };
    let ids = |prompt, what| {
        let data = bytes(prompt, what).expect("tokens");
        data.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b)).collect::<Vec<u32>>()
    };
    let counts =
        |prompt, site| bytes(prompt, &format!("counts_{site}")).expect("counts").iter().map(|&b| b as i8).collect();
    (0..prompts)
        .map(|p| Golden {
            tokens: ids(p, "tokens"),
            hidden: floats(p, "hidden"),
            logits: floats(p, "logits"),
            counts: ["in_proj", "out_proj", "gate_up", "down"].map(|site| counts(p, site)),
            conv: floats(p, "state.conv"),
            ssm: floats(p, "state.ssm"),
            ring_k: floats(p, "state.ring_k"),
            ring_v: floats(p, "state.ring_v"),
            greedy: ids(p, "greedy"),
        })
        .collect()
}

/// How far vectors of `width` numbers are from the expected ones: the largest difference, as a part of the largest value of
/// its own vector.
pub fn distance(found: &[f32], expected: &[f32], width: usize) -> f32 {
    assert_eq!(found.len(), expected.len());
    let vectors = found.chunks(width.max(1)).zip(expected.chunks(width.max(1)));
    let distances = vectors.map(|(found, expected)| {
        let largest = expected.iter().fold(0f32, |m, x| m.max(x.abs()));
        let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        if worst == 0.0 { 0.0 } else { worst / largest }
    });
    distances.fold(0.0, f32::max)
}

/// The place of the largest value; the first of equals.
pub fn argmax(values: &[f32]) -> u32 {
    let best = values.iter().enumerate().fold((0, f32::NEG_INFINITY), |b, (i, &x)| if x > b.1 { (i, x) } else { b });
    best.0 as u32
}
