//! Models with random weights and a chosen share of firing neurons, of any shape: for benches and tests.

use std::collections::HashMap;
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::config::{Config, ConfigError, Site, WeightKind};
use crate::cpu::{Cpu, Kernels, Logits, Observer, Sampling, SpikeBatch, sample};
use crate::engine::RECENT;
use crate::format;
use crate::model::{Layer, Matrix, Model, Projection};

/// Random tokens that come before those which thresholds are fitted on.
const CALIBRATION_PROMPT: usize = 64;

/// Decoded tokens that thresholds are fitted on.
const CALIBRATION_TOKENS: usize = 48;

/// Rounds of fitting at most: a threshold changes the currents behind it.
const CALIBRATION_ROUNDS: usize = 16;

/// How far each site's share may be from what was asked for, as a part of it, when fitting ends early.
const CALIBRATION_TOLERANCE: f64 = 0.05;

/// How a bench decodes: the likeliest of the tokens that were not said lately. Left alone, random weights say one token again
/// and again, which fires the same neurons every time, and their rows are in the cache by then.
pub const SAMPLING: Sampling =
    Sampling { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 10.0, seed: 0 };

/// The names that [`preset`] knows.
pub const PRESETS: [&str; 2] = ["tiny", "smol-135m"];

/// A named shape: a few kilobytes, or that of a converted SmolLM2-135M.
pub fn preset(name: &str) -> Option<Result<Config, ConfigError>> {
    match name {
        "tiny" => Some(Config::parse(include_bytes!("tiny.json"))),
        "smol-135m" => Some(Config::parse(include_bytes!("smol-135m.json"))),
        _ => None,
    }
}

/// A model of this shape whose weights are random, and whose thresholds let the share `active` of each site's neurons fire in
/// decode. `progress` gets (steps done, steps in all).
pub fn model(config: Config, active: f64, seed: u64, mut progress: impl FnMut(usize, usize)) -> Model {
    let steps = config.n_layers + CALIBRATION_ROUNDS * CALIBRATION_TOKENS;
    let mut random = Random(SmallRng::seed_from_u64(seed));
    let scale = 1.0 / config.embed_weights.max() as f32;
    let mut model = Model {
        sha256: [0; 32],
        embed: random.matrix(config.vocab_size, config.d_model, config.embed_weights),
        embed_scale: random.floats(config.vocab_size, 0.5 * scale, scale),
        final_norm: random.floats(config.d_model, 0.5, 1.5),
        layers: (0..config.n_layers)
            .map(|layer| {
                progress(layer, steps);
                random.layer(&config)
            })
            .collect(),
        config,
    };
    let layers = model.layers.len();
    calibrate(&mut model, active, |done, _| progress(layers + done, steps));
    model.sha256 = format::identity(&format::weights(&model));
    model
}

/// Sets the thresholds of every site so that the share `active` of its neurons fires while the model decodes, as [`SAMPLING`]
/// says, behind random tokens. In a prompt it may be another share. `progress` gets (tokens decoded, tokens in all).
pub fn calibrate(model: &mut Model, active: f64, mut progress: impl FnMut(usize, usize)) {
    let (active, steps) = (active.clamp(0.0, 1.0), CALIBRATION_ROUNDS * CALIBRATION_TOKENS);
    let mut random = Random(SmallRng::seed_from_u64(7));
    let vocabulary = model.config.vocab_size as u32;
    let prompt: Vec<u32> = (0..CALIBRATION_PROMPT).map(|_| random.0.random_range(0..vocabulary)).collect();
    for round in 0..CALIBRATION_ROUNDS {
        let (mut seen, mut logits, mut said) = (Currents::default(), Vec::new(), prompt.clone());
        let mut cpu = Cpu::new(Arc::new(model.clone()), Kernels::best());
        cpu.forward(&prompt, Logits::Last, &mut logits, &mut ());
        for token in 0..CALIBRATION_TOKENS {
            progress(round * CALIBRATION_TOKENS + token, steps);
            let recent = &said[said.len() - RECENT.min(said.len())..];
            let next = sample(&mut logits, recent, &SAMPLING, cpu.state.position);
            said.push(next);
            cpu.forward(&[next], Logits::Last, &mut logits, &mut seen);
        }
        let within = |share: f64| (share - active).abs() <= CALIBRATION_TOLERANCE * active;
        if round > 0 && seen.shares(model).into_iter().all(within) {
            break;
        }
        // Half of the way, on a scale of ratios: where few neurons fire, the residual stream has fewer large values, so the
        // whole way would lead to silence and back again, round after round.
        let step = if round == 0 { 1.0 } else { 0.5 };
        for ((layer, site), mut currents) in seen.0 {
            currents.sort_unstable_by(|a, b| b.total_cmp(a));
            let firing = (active * currents.len() as f64) as usize;
            // Half-way between the last that fires and the first that does not.
            let last = firing.checked_sub(1).map_or(2.0 * currents[0], |at| currents[at]);
            let first = currents.get(firing).copied().unwrap_or(0.0);
            let threshold = (0.5 * (last + first)).max(1e-6);
            for inv_threshold in &mut model.layers[layer].projections[site.index()].inv_threshold {
                *inv_threshold *= (1.0 / (threshold * *inv_threshold)).powf(step);
            }
        }
    }
    progress(steps, steps);
}

/// |I| of every neuron and token, by layer and site.
#[derive(Default)]
struct Currents(HashMap<(usize, Site), Vec<f32>>);

impl Currents {
    /// The share of neurons that fire at the thresholds of `model`, by site.
    fn shares(&self, model: &Model) -> [f64; 4] {
        let mut shares = [0.0; 4];
        for (&(layer, site), currents) in &self.0 {
            let inv_threshold = model.layers[layer].projection(site).inv_threshold[0];
            let firing = currents.iter().filter(|&&current| current * inv_threshold >= 1.0).count();
            shares[site.index()] += firing as f64 / (currents.len() * model.layers.len()) as f64;
        }
        shares
    }
}

impl Observer for Currents {
    fn spikes(&mut self, _: u64, layer: usize, site: Site, current: &[f32], _: &SpikeBatch) {
        self.0.entry((layer, site)).or_default().extend(current.iter().map(|x| x.abs()));
    }
}

struct Random(SmallRng);

impl Random {
    fn layer(&mut self, config: &Config) -> Layer {
        let (d, inner, channels) = (config.d_model, config.d_inner(), config.conv_dim());
        Layer {
            norm_mixer: self.floats(d, 0.5, 1.5),
            conv_weight: self.floats(config.d_conv * channels, -0.5, 0.5),
            conv_bias: self.floats(channels, -0.1, 0.1),
            dt_bias: self.floats(config.n_heads, -4.0, -1.0),
            a: self.floats(config.n_heads, -1.0, -0.01),
            d: self.floats(config.n_heads, 0.5, 1.5),
            norm_gated: self.floats(inner, 0.5, 1.5),
            norm_ffn: self.floats(d, 0.5, 1.5),
            projections: Site::ALL.map(|site| self.projection(config, site)),
        }
    }

    fn projection(&mut self, config: &Config, site: Site) -> Projection {
        let ((inputs, outputs), kind) = (config.site_shape(site), config.weights[site.index()]);
        // Outputs about as large as inputs.
        let scale = 1.0 / (kind.max() as f32 * (inputs as f32).sqrt());
        Projection {
            inv_threshold: vec![1.0; inputs],
            weight: self.matrix(inputs, outputs, kind),
            scale: self.floats(outputs, 0.5 * scale, scale),
        }
    }

    /// Every integer but the lowest, equally likely.
    fn matrix(&mut self, rows: usize, columns: usize, kind: WeightKind) -> Matrix {
        let (bits, row_bytes) = (kind.bits(), kind.row_bytes(columns));
        let mut data = vec![0u8; rows * row_bytes];
        for row in data.chunks_exact_mut(row_bytes) {
            for column in 0..columns {
                let field = self.0.random_range(-kind.max()..=kind.max()) as u8 & (u8::MAX >> (8 - bits));
                row[column * bits / 8] |= field << (column * bits % 8);
            }
        }
        Matrix { kind, columns, data }
    }

    fn floats(&mut self, count: usize, low: f32, high: f32) -> Vec<f32> {
        (0..count).map(|_| self.0.random_range(low..high)).collect()
    }
}
