//! The engine against the vectors that the trainer (JAX) wrote: hidden states, spikes, states, logits, greedy text.

use std::sync::Arc;

use crate::common::{Golden, MODELS, argmax, distance, golden, gpu_device, model};
use mar::config::{Config, Site};
use mar::cpu::{Cpu, Crossover, Kernels, Logits, Observer, SpikeBatch};
use mar::gpu::{Gpu, GpuModel};
use mar::model::{Model, State};
use mar::probe::Watch;

/// Keeps all it sees, in the golden files' order.
struct Recorder {
    layers: usize,
    tokens: usize,
    d_model: usize,
    hidden: Vec<f32>,
    counts: [Vec<i8>; 4],
    /// What met the thresholds, as `counts`.
    currents: [Vec<f32>; 4],
}

impl Recorder {
    fn new(config: &Config, tokens: usize) -> Self {
        let (layers, d_model) = (config.n_layers, config.d_model);
        let size = |site| tokens * layers * config.site_shape(site).0;
        let (counts, currents) =
            (Site::ALL.map(|site| vec![0; size(site)]), Site::ALL.map(|site| vec![0.0; size(site)]));
        Self { layers, tokens, d_model, hidden: vec![0.0; tokens * layers * d_model], counts, currents }
    }

    /// All of `tokens`, at most `tokens_at_once` in a pass; returns the logits, `[n, v]`.
    fn run(&mut self, engine: &mut dyn Engine, tokens: &[u32], tokens_at_once: usize) -> Vec<f32> {
        let (mut all, mut logits) = (Vec::new(), Vec::new());
        for part in tokens.chunks(tokens_at_once) {
            engine.forward(part, Logits::All, &mut logits, Some(self));
            all.append(&mut logits);
        }
        all
    }
}

impl Observer for Recorder {
    fn spikes(&mut self, position: u64, layer: usize, site: Site, current: &[f32], spikes: &SpikeBatch) {
        let (counts, currents) = (&mut self.counts[site.index()], &mut self.currents[site.index()]);
        let inputs = counts.len() / self.tokens / self.layers;
        for (token, current) in current.chunks_exact(inputs).enumerate() {
            let at = ((position as usize + token) * self.layers + layer) * inputs;
            counts[at..at + inputs].copy_from_slice(spikes.counts(token));
            currents[at..at + inputs].copy_from_slice(current);
        }
    }

    fn hidden(&mut self, position: u64, layer: usize, x: &[f32]) {
        for (token, x) in x.chunks_exact(self.d_model).enumerate() {
            let at = ((position as usize + token) * self.layers + layer) * self.d_model;
            self.hidden[at..at + self.d_model].copy_from_slice(x);
        }
    }
}

/// A backend, as far as these tests use it.
trait Engine {
    fn config(&self) -> &Config;
    fn forward(&mut self, tokens: &[u32], which: Logits, logits: &mut Vec<f32>, observer: Option<&mut dyn Observer>);
    fn state(&self) -> State;
}

impl Engine for Cpu {
    fn config(&self) -> &Config {
        &self.model().config
    }

    fn forward(&mut self, tokens: &[u32], which: Logits, logits: &mut Vec<f32>, observer: Option<&mut dyn Observer>) {
        self.forward(tokens, which, logits, observer.unwrap_or(&mut ()));
    }

    fn state(&self) -> State {
        self.state.clone()
    }
}

impl Engine for Gpu {
    fn config(&self) -> &Config {
        self.model().config()
    }

    fn forward(&mut self, tokens: &[u32], which: Logits, logits: &mut Vec<f32>, observer: Option<&mut dyn Observer>) {
        let watch = if observer.is_some() { Watch::all(self.config().n_layers) } else { Watch::default() };
        pollster::block_on(self.forward(tokens, which, logits, &watch, observer.unwrap_or(&mut ()))).expect("the GPU");
    }

    fn state(&self) -> State {
        pollster::block_on(self.download()).expect("the GPU").0
    }
}

/// The backend's spikes are the trainer's, every one. What it says in floating point is as near as 1e-4 of the largest value of
/// the same vector: of one layer's residual stream at one token, one token's logits, one head's state.
fn check(engine: &mut dyn Engine, golden: &Golden, tokens_at_once: usize, what: &str) {
    let config = engine.config().clone();
    let mut recorder = Recorder::new(&config, golden.tokens.len());
    let mut all = recorder.run(engine, &golden.tokens, tokens_at_once);
    let (mut wrong, mut counts) = (0, 0);
    for (found, expected) in recorder.counts.iter().zip(&golden.counts) {
        assert_eq!(found.len(), expected.len(), "{what}: counts");
        wrong += found.iter().zip(expected).filter(|(a, b)| a != b).count();
        counts += found.len();
    }
    let state = engine.state();
    let off = [
        ("hidden", &recorder.hidden[..], &golden.hidden[..], config.d_model),
        ("logits", &all[all.len() - golden.logits.len()..], &golden.logits, config.vocab_size),
        ("state.conv", &state.conv, &golden.conv, config.conv_dim()),
        ("state.ssm", &state.ssm, &golden.ssm, config.head_dim * config.d_state),
        ("state.ring_k", &state.ring_k, &golden.ring_k, config.kv_dim()),
        ("state.ring_v", &state.ring_v, &golden.ring_v, config.kv_dim()),
    ];
    let off = off.map(|(name, found, expected, width)| (name, distance(found, expected, width)));
    println!("{what}: {wrong} of {counts} counts differ; off by {off:?}");
    assert_eq!(wrong, 0, "{what}: of {counts} counts");
    for (name, off) in off {
        assert!(off <= 1e-4, "{what}: {name} is off by {off} of a vector's largest value");
    }
    let mut last = all.split_off(all.len() - config.vocab_size);
    let greedy: Vec<u32> = (0..golden.greedy.len())
        .map(|_| {
            let token = argmax(&last);
            engine.forward(&[token], Logits::Last, &mut last, None);
            token
        })
        .collect();
    assert_eq!(greedy, golden.greedy, "{what}: greedy");
}

fn check_all(name: &str, mut engine: impl FnMut(Arc<Model>) -> Box<dyn Engine>) {
    for model_name in MODELS {
        let model = model(model_name);
        for (prompt, golden) in golden(model_name).iter().enumerate() {
            for (tokens_at_once, way) in [(1, "token by token"), (usize::MAX, "in chunks")] {
                let what = format!("{name} on {model_name}, prompt {prompt}, {way}");
                check(&mut *engine(model.clone()), golden, tokens_at_once, &what);
            }
        }
    }
}

#[test]
fn reference() {
    check_all("reference", |model| Box::new(Cpu::new(model, Kernels::REFERENCE)));
}

#[test]
fn simd() {
    for kernels in Kernels::all() {
        check_all(kernels.name, |model| Box::new(Cpu::new(model, kernels)));
        // The dense product at every site, whatever fires.
        let dense = Kernels { crossover: Crossover::ALWAYS, ..kernels };
        check_all(&format!("{}, dense", kernels.name), |model| Box::new(Cpu::new(model, dense)));
    }
}

#[test]
fn gpu() {
    check_all("GPU", |model| Box::new(gpu_engine(&model, None)));
}

/// Matrices in several pieces: what a large model on a small GPU does.
#[test]
fn gpu_with_split_matrices() {
    let piece = |model: &Model| if model.config.d_model < 64 { 2048 } else { 1 << 16 };
    check_all("GPU in parts", |model| Box::new(gpu_engine(&model, Some(piece(&model)))));
}

/// Tokens whose counts are the expected ones. Behind them the two part where a current lies within rounding of a threshold;
/// elsewhere they may not.
fn tokens_alike(model: &Model, found: &Recorder, expected: &[Vec<i8>; 4], what: &str) -> usize {
    let config = &model.config;
    for (token, layer) in (0..found.tokens).flat_map(|token| (0..found.layers).map(move |layer| (token, layer))) {
        for site in Site::ALL {
            let (inputs, steps) = (config.site_shape(site).0, config.steps[site.index()]);
            let at = (token * found.layers + layer) * inputs;
            let (counts, expected) = (&found.counts[site.index()][at..], &expected[site.index()][at..]);
            let parted: Vec<usize> = (0..inputs).filter(|&j| counts[j] != expected[j]).collect();
            for &j in &parted {
                let r = found.currents[site.index()][at + j] * model.layers[layer].projection(site).inv_threshold[j];
                let reached = r.abs() + config.precharge as f32;
                println!("{what}: token {token}, layer {layer}, {site}: neuron {j} reaches {reached:.7} thresholds");
                assert!((reached - reached.round()).abs() <= 1e-5 * reached && reached < steps as f32 + 0.5, "{what}");
            }
            if !parted.is_empty() {
                return token;
            }
        }
    }
    found.tokens
}

/// Thirty layers as they are shipped. All backends count alike, and as the trainer does, until a current lies so near a
/// threshold that rounding decides. What follows from that differs in every layer, and is not compared.
#[test]
fn the_larger_model() {
    let (name, model) = ("mar-smollm2-135m", model("mar-smollm2-135m"));
    let (config, golden) = (&model.config, &golden(name)[0]);
    let mut engines: Vec<(&str, Box<dyn Engine>)> = vec![
        ("reference", Box::new(Cpu::new(model.clone(), Kernels::REFERENCE))),
        ("GPU", Box::new(gpu_engine(&model, None))),
    ];
    engines.extend(Kernels::all().map(|kernels| (kernels.name, Box::new(Cpu::new(model.clone(), kernels)) as _)));
    let mut runs: Vec<(&str, Recorder)> = Vec::new();
    for (backend, mut engine) in engines {
        let mut found = Recorder::new(config, golden.tokens.len());
        found.run(&mut *engine, &golden.tokens, usize::MAX);
        let alike = tokens_alike(&model, &found, &golden.counts, &format!("{backend} and the trainer"));
        let hidden = alike * config.n_layers * config.d_model;
        let off = distance(&found.hidden[..hidden], &golden.hidden[..hidden], config.d_model);
        println!("{backend} on {name}: 0 counts differ in {alike} of {} tokens; hidden off by {off:e}", found.tokens);
        assert!(alike >= 10 && off <= 1e-4, "{backend}: hidden is off by {off} of a vector's largest value");
        runs.push((backend, found));
    }
    let [(_, reference), (gpu, on_gpu), (fastest, fast), others @ ..] = &runs[..] else { panic!("no fast kernels") };
    for (backend, found) in [(gpu, on_gpu), (fastest, fast)] {
        tokens_alike(&model, found, &reference.counts, &format!("{backend} and the reference"));
    }
    for (backend, found) in others {
        assert!(found.counts == fast.counts, "{backend} and {fastest} sum alike, and yet count otherwise");
    }
}

fn gpu_engine(model: &Model, binding_bytes: Option<u64>) -> Gpu {
    pollster::block_on(async {
        let device = gpu_device(&model.config);
        let device = binding_bytes.map_or(device.clone(), |bytes| device.with_binding_bytes(bytes));
        Gpu::new(GpuModel::upload(&device, model).await?).await
    })
    .expect("a model on the GPU")
}
