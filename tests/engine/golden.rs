//! The engine against the vectors that the trainer (JAX) wrote: hidden states, spikes, states, logits, greedy text.

use crate::common::{Golden, MODELS, argmax, assert_near, golden, model};
use mar::config::Site;
use mar::cpu::{Cpu, Kernels, Logits, Observer, SpikeBatch};

/// Keeps all it sees, in the golden files' order.
struct Recorder {
    layers: usize,
    tokens: usize,
    d_model: usize,
    hidden: Vec<f32>,
    counts: [Vec<i8>; 4],
}

impl Recorder {
    fn new(cpu: &Cpu, tokens: usize) -> Self {
        let config = &cpu.model().config;
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

fn check(cpu: &mut Cpu, golden: &Golden, split: usize, what: &str) {
    let mut recorder = Recorder::new(cpu, golden.tokens.len());
    let (mut all, mut logits) = (Vec::new(), Vec::new());
    for part in golden.tokens.chunks(split) {
        cpu.forward(part, Logits::All, &mut logits, &mut recorder);
        all.append(&mut logits);
    }
    let pairs = || recorder.counts.iter().flatten().zip(golden.counts.iter().flatten());
    let wrong = pairs().filter(|(a, b)| a != b).count();
    println!("{what}: {wrong} of {} counts differ", pairs().count());
    assert!(wrong * 100_000 <= pairs().count(), "{what}: {wrong} of {} counts differ", pairs().count());
    assert_near(&recorder.hidden, &golden.hidden, &format!("{what}: hidden"));
    assert_near(&all[all.len() - golden.logits.len()..], &golden.logits, &format!("{what}: logits"));
    let state = &cpu.state;
    for (name, found, expected) in [
        ("conv", &state.conv, &golden.conv),
        ("ssm", &state.ssm, &golden.ssm),
        ("ring_k", &state.ring_k, &golden.ring_k),
        ("ring_v", &state.ring_v, &golden.ring_v),
    ] {
        assert_near(found, expected, &format!("{what}: state.{name}"));
    }
    let mut last = all.split_off(all.len() - cpu.model().config.vocab_size);
    let greedy: Vec<u32> = (0..golden.greedy.len())
        .map(|_| {
            let token = argmax(&last);
            cpu.forward(&[token], Logits::Last, &mut last, &mut ());
            token
        })
        .collect();
    assert_eq!(greedy, golden.greedy, "{what}: greedy");
}

fn check_all(kernels: Kernels) {
    for name in MODELS {
        let model = model(name);
        for (prompt, golden) in golden(name).iter().enumerate() {
            for split in [1, usize::MAX] {
                let how = if split == 1 { "token by token" } else { "in chunks" };
                let mut cpu = Cpu::new(model.clone(), kernels);
                check(&mut cpu, golden, split, &format!("{} on {name}, prompt {prompt}, {how}", kernels.name));
            }
        }
    }
}

#[test]
fn reference() {
    check_all(Kernels::REFERENCE);
}

#[test]
fn simd() {
    check_all(Kernels::best());
}
