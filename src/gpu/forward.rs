//! A conversation on the GPU: prefill in chunks; decode is in [`super::burst`].

use std::sync::Arc;

use super::GpuError;
use super::capture::{Capture, passes_that_fit};
use super::kernels::Dispatch;
use super::plan::{Plan, head_of_all};
use super::scratch::{BURST, CHUNK, Scratch, activity_words, muted_words};
use super::state::StateBuffers;
use super::weights::GpuModel;
use crate::config::{Config, Site};
use crate::cpu::{Logits, Observer, Rotary};
use crate::energy::Activity;
use crate::model::{Controls, State};
use crate::probe::Watch;

/// Bytes that the logits of several tokens may take at once.
const LOGITS_BYTES: usize = 32 << 20;

/// A model on the GPU, with the state of one conversation.
#[derive(Debug)]
pub struct Gpu {
    pub(super) model: Arc<GpuModel>,
    pub(super) plan: Plan,
    pub(super) scratch: Scratch,
    pub(super) state: StateBuffers,
    /// State and logits before the last burst.
    pub(super) before: StateBuffers,
    pub(super) logits_before: wgpu::Buffer,
    pub(super) position: u64,
    /// Tokens that the buffers of a pass have room for.
    chunk: usize,
    rotary: Rotary,
    /// What is turned while it runs.
    pub controls: Controls,
    /// The controls that the device has.
    sent: Option<Controls>,
}

/// What every site did, `[4·L]`: layer · 4 + site.
pub type Activities = Vec<Activity>;

impl Gpu {
    /// A fresh conversation with `model`; with buffers for fewer tokens at a time where memory is short.
    pub async fn new(model: Arc<GpuModel>) -> Result<Self, GpuError> {
        let mut chunk = CHUNK;
        loop {
            match Self::with_chunk(Arc::clone(&model), chunk).await {
                Err(GpuError::OutOfMemory { .. }) if chunk > 1 => chunk = smaller(chunk),
                other => return other,
            }
        }
    }

    async fn with_chunk(model: Arc<GpuModel>, chunk: usize) -> Result<Self, GpuError> {
        model.device.has_room(largest(&model.config))?;
        model.device.can_read(4 * model.config.vocab_size as u64 + State::bytes_of(&model.config) as u64)?;
        let mut guard = model.device.guard();
        let state = StateBuffers::new(&mut guard, &model.config);
        let before = StateBuffers::new(&mut guard, &model.config);
        let scratch = Scratch::new(&mut guard, &model.config, chunk);
        let bytes = 4 * model.config.vocab_size as u64;
        let logits_before = guard.run("logits", bytes, |device| device.storage(bytes));
        let plan = Plan::new(&mut guard, &model, &state, &scratch);
        if let Err(error) = guard.finish().await {
            for buffers in [&state, &before] {
                buffers.destroy();
            }
            scratch.destroy();
            logits_before.destroy();
            return Err(error);
        }
        let rotary = Rotary::new(model.config.rope_theta, model.config.attn_head_dim());
        let (controls, sent) = (Controls::default(), None);
        Ok(Self { model, plan, scratch, state, before, logits_before, position: 0, chunk, rotary, controls, sent })
    }

    /// Makes do with buffers for fewer tokens at a time; false where there is one only. State and logits are not known then:
    /// [`Gpu::upload`] them.
    pub async fn shrink(&mut self) -> Result<bool, GpuError> {
        if self.chunk == 1 {
            return Ok(false);
        }
        self.chunk = smaller(self.chunk);
        self.scratch.destroy();
        let mut guard = self.model.device.guard();
        self.scratch = Scratch::new(&mut guard, &self.model.config, self.chunk);
        self.plan = Plan::new(&mut guard, &self.model, &self.state, &self.scratch);
        self.sent = None;
        guard.finish().await?;
        Ok(true)
    }

    /// The model.
    pub fn model(&self) -> &Arc<GpuModel> {
        &self.model
    }

    /// Tokens seen.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Tokens that a prefill takes through the layers together.
    pub fn chunk(&self) -> usize {
        self.chunk
    }

    /// Whether the next `tokens` tokens of a prompt can be watched so.
    pub(crate) fn can_watch(&self, watch: &Watch, tokens: usize) -> Result<(), GpuError> {
        passes_that_fit(&self.model.device, &self.model.config, watch, tokens.min(self.chunk), 1).map(|_| ())
    }

    /// Takes `tokens`, each below v, through the network; puts the logits asked for into `logits`, and shows `observer` what
    /// `watch` names. Returns what every site did. After an error the state is not known: [`Gpu::upload`] one.
    pub async fn forward(
        &mut self,
        tokens: &[u32],
        which: Logits,
        logits: &mut Vec<f32>,
        watch: &Watch,
        observer: &mut dyn Observer,
    ) -> Result<Activities, GpuError> {
        logits.clear();
        if which == Logits::Last {
            let activities = self.feed(tokens, watch, observer).await?;
            *logits = self.logits().await?;
            return Ok(activities);
        }
        let mut activities = vec![Activity::default(); 4 * self.model.config.n_layers];
        for chunk in tokens.chunks(self.chunk) {
            add(&mut activities, &self.chunk_forward(chunk, watch, observer).await?);
            self.all_logits(chunk.len(), logits).await?;
        }
        Ok(activities)
    }

    /// As [`Gpu::forward`], but the last token's logits stay on the device.
    pub async fn feed(
        &mut self,
        tokens: &[u32],
        watch: &Watch,
        observer: &mut dyn Observer,
    ) -> Result<Activities, GpuError> {
        self.can_watch(watch, tokens.len())?;
        let mut activities = vec![Activity::default(); 4 * self.model.config.n_layers];
        for chunk in tokens.chunks(self.chunk) {
            add(&mut activities, &self.chunk_forward(chunk, watch, observer).await?);
        }
        Ok(activities)
    }

    /// The last token's logits, `[v]`.
    pub async fn logits(&self) -> Result<Vec<f32>, GpuError> {
        let part = (&self.scratch.logits, 4 * self.model.config.vocab_size as u64);
        let read = self.model.device.read(self.model.device.encoder(), &[part]).await?;
        Ok(bytemuck::pod_collect_to_vec(&read[0]))
    }

    /// State and logits, in the form that all backends share.
    pub async fn download(&self) -> Result<(State, Vec<f32>), GpuError> {
        let logits = (&self.scratch.logits, 4 * self.model.config.vocab_size as u64);
        let (state, more) = self.state.download(&self.model.device, self.position, &[logits]).await?;
        Ok((state, bytemuck::pod_collect_to_vec(&more[0])))
    }

    /// Goes on from `state`, whose next token's logits are `logits`, `[v]`, or not known: empty.
    pub fn upload(&mut self, state: &State, logits: &[f32]) {
        self.state.upload(&self.model.device, state);
        self.position = state.position;
        self.model.device.queue.write_buffer(&self.scratch.logits, 0, bytemuck::cast_slice(logits));
    }

    async fn chunk_forward(
        &mut self,
        tokens: &[u32],
        watch: &Watch,
        observer: &mut dyn Observer,
    ) -> Result<Activities, GpuError> {
        let device = self.model.device.clone();
        self.send_controls();
        self.send_cursor(tokens.len() as u32, 0);
        self.send_rotary(tokens.len());
        device.queue.write_buffer(&self.scratch.tokens, 0, bytemuck::cast_slice(tokens));
        let capture = Capture::new(&device, &self.model.config, watch, tokens.len(), 1).await?;
        let mut encoder = device.encoder();
        encoder.clear_buffer(&self.scratch.activity, 0, None);
        self.encode_layers(&mut encoder, tokens.len(), capture.as_ref().map(|capture| (capture, 0)));
        self.encode(&mut encoder, &self.plan.head, 1);
        let activity = 4 * activity_words(&self.model.config, 1) as u64;
        let mut parts = vec![(&self.scratch.activity, activity)];
        parts.extend(capture.as_ref().map(Capture::part));
        let read = device.read(encoder, &parts).await?;
        if let Some(capture) = &capture {
            capture.show(&read[1], 0, self.position, observer);
        }
        self.position += tokens.len() as u64;
        Ok(activities(&read[0]))
    }

    /// Embedding and layers of a pass. Where something is watched, its buffers are copied right behind the kernel.
    pub(super) fn encode_layers(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        tokens: usize,
        capture: Option<(&Capture, usize)>,
    ) {
        let one = tokens == 1;
        let mut pending: Vec<&Dispatch> = self.plan.embed.iter().collect();
        for (layer, sites) in self.plan.layers.iter().enumerate() {
            for (site, plan) in Site::ALL.into_iter().zip(sites) {
                pending.extend(if one { &plan.before_step } else { &plan.before_chunk });
                pending.push(&plan.fire);
                if let Some((capture, pass)) = capture.filter(|(capture, _)| capture.wants_site(layer, site)) {
                    self.encode(encoder, pending.drain(..), tokens);
                    capture.copy_site(encoder, &self.scratch, pass, layer, site);
                }
                pending.extend(if one { &plan.matvec } else { &plan.matmul });
            }
            if let Some((capture, pass)) = capture.filter(|(capture, _)| capture.wants_hidden()) {
                self.encode(encoder, pending.drain(..), tokens);
                capture.copy_hidden(encoder, &self.scratch, pass, layer);
            }
        }
        self.encode(encoder, pending, tokens);
    }

    pub(super) fn encode<'a>(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        dispatches: impl IntoIterator<Item = &'a Dispatch>,
        tokens: usize,
    ) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for dispatch in dispatches {
            dispatch.encode(&mut pass, tokens as u32);
        }
    }

    /// Appends the logits of all `tokens` of the last pass, as many at a time as fit.
    async fn all_logits(&mut self, tokens: usize, logits: &mut Vec<f32>) -> Result<(), GpuError> {
        let (device, config) = (&self.model.device, &self.model.config);
        let most = (LOGITS_BYTES / 4 / config.vocab_size).clamp(1, self.chunk);
        for from in (0..tokens).step_by(most) {
            let count = most.min(tokens - from);
            let (hidden_bytes, bytes) = (4 * (count * config.d_model) as u64, 4 * (count * config.vocab_size) as u64);
            let mut guard = device.guard();
            let hidden = guard.run("hidden states", hidden_bytes, |device| device.storage(hidden_bytes));
            let all = guard.run("logits", bytes, |device| device.storage(bytes));
            let head = guard.run("the head's bindings", 0, |_| {
                head_of_all(&self.model, &self.state, &self.scratch, from, (&hidden, &all))
            });
            guard.finish().await?;
            let mut encoder = device.encoder();
            self.encode(&mut encoder, &head, count);
            let read = device.read(encoder, &[(&all, bytes)]).await?;
            logits.extend(bytemuck::pod_collect_to_vec::<u8, f32>(&read[0]));
        }
        Ok(())
    }

    /// `Cursor` of `shaders/common.wgsl`.
    pub(super) fn send_cursor(&self, tokens: u32, step: u32) {
        let cursor = [tokens, step, 0, self.position as u32];
        self.model.device.queue.write_buffer(&self.scratch.cursor, 0, bytemuck::cast_slice(&cursor));
    }

    /// The turns of the next `tokens` positions, computed here so that all backends have the same.
    pub(super) fn send_rotary(&self, tokens: usize) {
        if self.model.config.window == 0 {
            return;
        }
        debug_assert!(tokens <= self.chunk.max(BURST));
        let turns: Vec<[f32; 2]> = (self.position..self.position + tokens as u64)
            .flat_map(|position| self.rotary.at(position).map(|(cos, sin)| [cos, sin]))
            .collect();
        self.model.device.queue.write_buffer(&self.scratch.rotary, 0, bytemuck::cast_slice(&turns));
    }

    /// The controls, where they have changed.
    pub(super) fn send_controls(&mut self) {
        if self.sent.as_ref() == Some(&self.controls) {
            return;
        }
        let (queue, config) = (&self.model.device.queue, &self.model.config);
        for site in Site::ALL {
            let neuron = self.controls.neuron(config, site);
            let words = [
                neuron.steps,
                neuron.leak.to_bits(),
                neuron.precharge.to_bits(),
                (1.0 / neuron.threshold_scale).to_bits(),
                neuron.threshold_scale.to_bits(),
            ];
            queue.write_buffer(&self.scratch.neurons[site.index()], 0, bytemuck::cast_slice(&words));
        }
        let mut muted = Vec::new();
        for layer in 0..config.n_layers {
            for site in Site::ALL {
                muted.extend_from_slice(self.controls.muted(layer, site));
                muted.resize((layer * 4 + site.index() + 1) * muted_words(config), 0);
            }
        }
        queue.write_buffer(&self.scratch.muted, 0, bytemuck::cast_slice(&muted));
        self.sent = Some(self.controls.clone());
    }
}

/// The next smaller number of tokens at a time.
fn smaller(chunk: usize) -> usize {
    (chunk / 4).max(1)
}

/// Bytes of the largest buffer that cannot be split.
fn largest(config: &Config) -> u64 {
    StateBuffers::largest(config).max(Scratch::largest(config))
}

fn add(all: &mut Activities, some: &Activities) {
    all.iter_mut().zip(some).for_each(|(all, some)| *all += *some);
}

/// `[4·L]` from the counters' bytes.
pub(super) fn activities(bytes: &[u8]) -> Activities {
    let words: Vec<u32> = bytemuck::pod_collect_to_vec(bytes);
    let activity = |w: &[u32; 4]| Activity { fired: w[0].into(), positive: w[1].into(), negative: w[2].into() };
    words.as_chunks().0.iter().map(activity).collect()
}
