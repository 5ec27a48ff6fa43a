//! One pass of tokens through the network: decode with one token, prefill with a chunk of them. The arithmetic is the same.

use std::sync::Arc;

use super::{Kernels, Rotary, ScanParams, SpikeBatch, WindowShape, embed};
use crate::config::Site;
use crate::model::{Controls, Model, State};

/// Tokens that a prefill takes through the layers together.
pub(crate) const CHUNK: usize = 64;

/// Of which tokens of a pass the logits are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logits {
    /// The last one's, `[v]`.
    Last,
    /// Every token's, `[tokens, v]`.
    All,
}

/// Someone who looks on while tokens pass. Every method does nothing unless written.
pub trait Observer {
    /// A site fired, for the tokens that follow `position`.
    fn spikes(&mut self, _position: u64, _layer: usize, _site: Site, _current: &[f32], _spikes: &SpikeBatch) {}
    /// The residual stream after a layer, `[tokens, d]`.
    fn hidden(&mut self, _position: u64, _layer: usize, _x: &[f32]) {}
}

/// Nobody looks.
impl Observer for () {}

/// A model on the CPU, with the state of one conversation.
#[derive(Debug)]
pub struct Cpu {
    model: Arc<Model>,
    kernels: Kernels,
    rotary: Rotary,
    /// The conversation so far.
    pub state: State,
    /// What is turned while it runs.
    pub controls: Controls,
    scratch: Scratch,
}

/// Buffers of a pass, kept between passes.
#[derive(Debug, Default)]
struct Scratch {
    /// The residual stream, `[tokens, d]`.
    x: Vec<f32>,
    /// What meets the thresholds, `[tokens, inputs]`.
    current: Vec<f32>,
    spikes: SpikeBatch,
    sums: Vec<i32>,
    /// What a projection says, `[tokens, outputs]`.
    out: Vec<f32>,
    /// `[tokens, xbc]`, `[tokens, h]`, `[tokens, i]`.
    xbc: Vec<f32>,
    dt: Vec<f32>,
    y: Vec<f32>,
    /// The window branch's angles, (cos, sin), `[tokens, w / 2]`.
    angles: Vec<(f32, f32)>,
}

impl Cpu {
    /// A fresh conversation with `model`.
    pub fn new(model: Arc<Model>, kernels: Kernels) -> Self {
        let rotary = Rotary::new(model.config.rope_theta, model.config.attn_head_dim());
        let state = State::zero(&model.config);
        Self { model, kernels, rotary, state, controls: Controls::default(), scratch: Scratch::default() }
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The kernels it runs on.
    pub fn kernels(&self) -> &'static str {
        self.kernels.name
    }

    /// Takes `tokens`, each below v, through the network, and puts the logits asked for into `logits`.
    pub fn forward(&mut self, tokens: &[u32], which: Logits, logits: &mut Vec<f32>, observer: &mut dyn Observer) {
        logits.clear();
        let chunks = tokens.len().div_ceil(CHUNK);
        for (index, chunk) in tokens.chunks(CHUNK).enumerate() {
            self.layers(chunk, observer);
            match which {
                Logits::All => (0..chunk.len()).for_each(|token| self.head(token, logits)),
                Logits::Last if index + 1 == chunks => self.head(chunk.len() - 1, logits),
                Logits::Last => {}
            }
        }
    }

    fn layers(&mut self, tokens: &[u32], observer: &mut dyn Observer) {
        let model = Arc::clone(&self.model);
        let d = model.config.d_model;
        self.scratch.x.resize(tokens.len() * d, 0.0);
        for (token, x) in tokens.iter().zip(self.scratch.x.chunks_exact_mut(d)) {
            embed(&model.embed, &model.embed_scale, *token as usize, x);
        }
        self.scratch.angles.clear();
        for position in (self.state.position..).take(tokens.len()) {
            self.scratch.angles.extend(self.rotary.at(position));
        }
        for layer in 0..model.config.n_layers {
            self.mixer(layer, observer);
            self.ffn(layer, observer);
            observer.hidden(self.state.position, layer, &self.scratch.x);
        }
        self.state.position += tokens.len() as u64;
    }

    /// norm → ATMN → in_proj → conv → scan → gated norm (+ window attention) → ATMN → out_proj → residual.
    fn mixer(&mut self, index: usize, observer: &mut dyn Observer) {
        let model = Arc::clone(&self.model);
        let (config, layer) = (&model.config, &model.layers[index]);
        let parts = config.in_proj_parts();
        let (inner, channels, heads) = (config.d_inner(), config.conv_dim(), config.n_heads);

        self.norm(&layer.norm_mixer);
        self.project(index, Site::InProj, observer);

        let Scratch { out, xbc, dt, y, current, angles, .. } = &mut self.scratch;
        let width = parts.v.end;
        let tokens = out.len() / width;
        xbc.resize(tokens * channels, 0.0);
        dt.resize(tokens * heads, 0.0);
        y.resize(tokens * inner, 0.0);
        let conv_state = part(&mut self.state.conv, index, config.n_layers);
        for (t, out) in out.chunks_exact(width).enumerate() {
            let xbc = &mut xbc[t * channels..(t + 1) * channels];
            xbc.copy_from_slice(&out[parts.xbc.clone()]);
            dt[t * heads..(t + 1) * heads].copy_from_slice(&out[parts.dt.clone()]);
            (self.kernels.conv1d)(conv_state, &layer.conv_weight, &layer.conv_bias, xbc);
        }
        let scan = ScanParams {
            head_dim: config.head_dim,
            d_state: config.d_state,
            groups: config.n_groups,
            dt_bias: &layer.dt_bias,
            a: &layer.a,
            d: &layer.d,
        };
        let ssm = part(&mut self.state.ssm, index, config.n_layers);
        let run = if tokens == 1 { self.kernels.scan_step } else { self.kernels.scan_chunk };
        run(scan, ssm, xbc, dt, y);

        current.resize(tokens * inner, 0.0);
        for ((y, out), current) in
            y.chunks_exact(inner).zip(out.chunks_exact(width)).zip(current.chunks_exact_mut(inner))
        {
            (self.kernels.gated_rmsnorm)(
                y,
                &out[parts.z.clone()],
                &layer.norm_gated,
                config.n_groups,
                config.norm_eps,
                current,
            );
        }
        if config.window > 0 {
            let shape = WindowShape::of(config);
            let ring_k = part(&mut self.state.ring_k, index, config.n_layers);
            let ring_v = part(&mut self.state.ring_v, index, config.n_layers);
            let rows = out.chunks_exact_mut(width).zip(angles.chunks_exact(shape.head_dim / 2));
            let rows = rows.zip(current.chunks_exact_mut(inner));
            for (position, ((out, angles), current)) in (self.state.position..).zip(rows) {
                let (q, kv) = out[parts.q.start..].split_at_mut(parts.q.len());
                let (k, v) = kv.split_at_mut(parts.k.len());
                shape.take_in(angles, position, (q, k, v), (ring_k, ring_v));
                (self.kernels.window_attention)(shape, position, q, (ring_k, ring_v), current);
            }
        }
        self.project(index, Site::OutProj, observer);
        self.add_residual();
    }

    /// norm → ATMN → gate, up → SwiGLU → ATMN → down → residual.
    fn ffn(&mut self, index: usize, observer: &mut dyn Observer) {
        let model = Arc::clone(&self.model);
        self.norm(&model.layers[index].norm_ffn);
        self.project(index, Site::GateUp, observer);
        let f = model.config.d_ffn;
        let Scratch { out, current, .. } = &mut self.scratch;
        current.resize(out.len() / 2, 0.0);
        for (gate_up, current) in out.chunks_exact(2 * f).zip(current.chunks_exact_mut(f)) {
            (self.kernels.swiglu)(gate_up, current);
        }
        self.project(index, Site::Down, observer);
        self.add_residual();
    }

    fn norm(&mut self, weight: &[f32]) {
        let (d, eps) = (self.model.config.d_model, self.model.config.norm_eps);
        let Scratch { x, current, .. } = &mut self.scratch;
        current.resize(x.len(), 0.0);
        for (x, current) in x.chunks_exact(d).zip(current.chunks_exact_mut(d)) {
            (self.kernels.rmsnorm)(x, weight, eps, current);
        }
    }

    /// The neurons of a site fire at `scratch.current`; their rows' sums, scaled, go to `scratch.out`.
    fn project(&mut self, layer: usize, site: Site, observer: &mut dyn Observer) {
        let projection = self.model.layers[layer].projection(site);
        let neuron = self.controls.neuron(&self.model.config, site);
        let (inputs, outputs) = (projection.inv_threshold.len(), projection.scale.len());
        let Scratch { current, spikes, sums, out, .. } = &mut self.scratch;
        spikes.clear(inputs);
        for current in current.chunks_exact(inputs) {
            spikes.fire(
                self.kernels.fire,
                current,
                &projection.inv_threshold,
                neuron,
                self.controls.muted(layer, site),
            );
        }
        observer.spikes(self.state.position, layer, site, current, spikes);
        sums.resize(spikes.tokens() * outputs, 0);
        self.kernels.matmul(spikes, &projection.weight, sums);
        out.resize(sums.len(), 0.0);
        for (out, sums) in out.chunks_exact_mut(outputs).zip(sums.chunks_exact(outputs)) {
            (self.kernels.dequantise)(sums, &projection.scale, neuron.threshold_scale, out);
        }
    }

    fn add_residual(&mut self) {
        self.scratch.x.iter_mut().zip(&self.scratch.out).for_each(|(x, out)| *x += out);
    }

    /// Appends the logits of a token of the last chunk.
    fn head(&self, token: usize, logits: &mut Vec<f32>) {
        let (model, d) = (&self.model, self.model.config.d_model);
        let mut x = vec![0.0; d];
        (self.kernels.rmsnorm)(
            &self.scratch.x[token * d..(token + 1) * d],
            &model.final_norm,
            model.config.norm_eps,
            &mut x,
        );
        let start = logits.len();
        logits.resize(start + model.config.vocab_size, 0.0);
        (self.kernels.lm_head)(&model.embed, &model.embed_scale, &x, &mut logits[start..]);
    }
}

/// The part of a state array that belongs to one of `layers` layers.
fn part(all: &mut [f32], layer: usize, layers: usize) -> &mut [f32] {
    let size = all.len() / layers;
    &mut all[layer * size..(layer + 1) * size]
}
