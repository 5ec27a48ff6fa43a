//! The engine against the vectors that the trainer (JAX) wrote: hidden states, spikes, states, logits, greedy text.

use std::sync::Arc;

use crate::common::{Golden, MODELS, argmax, assert_near, golden, gpu_device, model};
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
}

impl Recorder {
    fn new(config: &Config, tokens: usize) -> Self {
        let (layers, d_model) = (config.n_layers, config.d_model);
        let counts = Site::ALL.map(|site| vec![0; tokens * layers * config.site_shape(site).0]);
        Self { layers, tokens, d_model, hidden: vec![0.0; tokens * layers * d_model], counts }
    }
}

impl Observer for Recorder {
    fn spikes(&mut self, position: u64, layer: usize, site: Site, _: &[f32], spikes: &SpikeBatch) {
        let counts = &mut self.counts[site.index()];
        let inputs = counts.len() / self.tokens / self.layers;
        for token in 0..spikes.tokens() {
            let at = ((position as usize + token) * self.layers + layer) * inputs;
            counts[at..at + inputs].copy_from_slice(spikes.counts(token));
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

fn check(engine: &mut dyn Engine, golden: &Golden, split: usize, what: &str) {
    let mut recorder = Recorder::new(engine.config(), golden.tokens.len());
    let (mut all, mut logits) = (Vec::new(), Vec::new());
    for part in golden.tokens.chunks(split) {
        engine.forward(part, Logits::All, &mut logits, Some(&mut recorder));
        all.append(&mut logits);
    }
    let pairs = || recorder.counts.iter().flatten().zip(golden.counts.iter().flatten());
    let wrong = pairs().filter(|(a, b)| a != b).count();
    println!("{what}: {wrong} of {} counts differ", pairs().count());
    assert!(wrong * 100_000 <= pairs().count(), "{what}: {wrong} of {} counts differ", pairs().count());
    assert_near(&recorder.hidden, &golden.hidden, &format!("{what}: hidden"));
    assert_near(&all[all.len() - golden.logits.len()..], &golden.logits, &format!("{what}: logits"));
    let state = engine.state();
    for (name, found, expected) in [
        ("conv", &state.conv, &golden.conv),
        ("ssm", &state.ssm, &golden.ssm),
        ("ring_k", &state.ring_k, &golden.ring_k),
        ("ring_v", &state.ring_v, &golden.ring_v),
    ] {
        assert_near(found, expected, &format!("{what}: state.{name}"));
    }
    let mut last = all.split_off(all.len() - engine.config().vocab_size);
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
            for split in [1, usize::MAX] {
                let how = if split == 1 { "token by token" } else { "in chunks" };
                let what = format!("{name} on {model_name}, prompt {prompt}, {how}");
                check(&mut *engine(model.clone()), golden, split, &what);
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

fn gpu_engine(model: &Model, binding_bytes: Option<u64>) -> Gpu {
    pollster::block_on(async {
        let device = gpu_device(&model.config);
        let device = binding_bytes.map_or(device.clone(), |bytes| device.with_binding_bytes(bytes));
        Gpu::new(GpuModel::upload(&device, model).await?).await
    })
    .expect("a model on the GPU")
}
