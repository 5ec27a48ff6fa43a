//! Models with random weights and a chosen share of firing neurons, of any shape: for benches and tests.

use std::collections::HashMap;
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::config::{Config, ConfigError, Site, WeightKind};
use crate::cpu::{Cpu, Kernels, Logits, Observer, SpikeBatch};
use crate::format;
use crate::model::{Layer, Matrix, Model, Projection};

/// Tokens that thresholds are fitted on.
const CALIBRATION_TOKENS: usize = 24;

/// Rounds of fitting: a threshold changes the currents behind it.
const CALIBRATION_ROUNDS: usize = 3;

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

/// A model of this shape whose weights are random, and whose thresholds let the share `active` of each site's neurons fire.
pub fn model(config: Config, active: f64, seed: u64) -> Model {
    let mut random = Random(SmallRng::seed_from_u64(seed));
    let scale = 1.0 / config.embed_weights.max() as f32;
    let mut model = Model {
        sha256: [0; 32],
        embed: random.matrix(config.vocab_size, config.d_model, config.embed_weights),
        embed_scale: random.floats(config.vocab_size, 0.5 * scale, scale),
        final_norm: random.floats(config.d_model, 0.5, 1.5),
        layers: (0..config.n_layers).map(|_| random.layer(&config)).collect(),
        config,
    };
    calibrate(&mut model, active);
    model.sha256 = format::identity(&format::weights(&model));
    model
}

/// Sets the thresholds of every site so that the share `active` of its neurons fires on random tokens.
pub fn calibrate(model: &mut Model, active: f64) {
    let mut random = Random(SmallRng::seed_from_u64(7));
    let vocabulary = model.config.vocab_size as u32;
    let tokens: Vec<u32> = (0..CALIBRATION_TOKENS).map(|_| random.0.random_range(0..vocabulary)).collect();
    for _ in 0..CALIBRATION_ROUNDS {
        let (mut seen, mut cpu) = (Currents::default(), Cpu::new(Arc::new(model.clone()), Kernels::best()));
        cpu.forward(&tokens, Logits::Last, &mut Vec::new(), &mut seen);
        for ((layer, site), mut currents) in seen.0 {
            currents.sort_unstable_by(|a, b| b.total_cmp(a));
            let firing = (active.clamp(0.0, 1.0) * currents.len() as f64) as usize;
            // Half-way between the last that fires and the first that does not.
            let last = firing.checked_sub(1).map_or(2.0 * currents[0], |at| currents[at]);
            let first = currents.get(firing).copied().unwrap_or(0.0);
            let threshold = (0.5 * (last + first)).max(1e-6);
            model.layers[layer].projections[site.index()].inv_threshold.fill(1.0 / threshold);
        }
    }
}

/// |I| of every neuron and token, by layer and site.
#[derive(Default)]
struct Currents(HashMap<(usize, Site), Vec<f32>>);

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
