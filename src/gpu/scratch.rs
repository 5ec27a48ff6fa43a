//! The buffers that a conversation's passes go through.

use super::device::{Device, Guard};
use crate::config::{Config, Site};
use crate::engine::RECENT;

/// Tokens that a prefill takes through the layers together, where there is memory for so many.
pub const CHUNK: usize = 64;
/// The longest burst.
pub const BURST: usize = 16;
/// Tokens that may end a reply within a burst.
pub const ENDS: usize = 64;

/// Shapes are for the most tokens that go through the layers together, [`CHUNK`] or fewer.
#[derive(Debug)]
pub(super) struct Scratch {
    /// `Cursor` of `shaders/common.wgsl`.
    pub cursor: wgpu::Buffer,
    /// `[tokens]`, of a prefill or of a burst.
    pub tokens: wgpu::Buffer,
    /// The residual stream, `[tokens, d]`.
    pub x: wgpu::Buffer,
    /// What in_proj, then gate_up, says: `[tokens, outputs]`.
    pub projected: wgpu::Buffer,
    /// What meets the thresholds, `[tokens, inputs]`.
    pub current: wgpu::Buffer,
    /// Number of events, events, counts: `[tokens, spike_words(inputs)]`.
    pub spikes: wgpu::Buffer,
    /// `[tokens, xbc]`.
    pub xbc: wgpu::Buffer,
    /// `[tokens, i]`.
    pub y: wgpu::Buffer,
    /// After the final norm, `[d]`.
    pub hidden: wgpu::Buffer,
    /// `[v]`.
    pub logits: wgpu::Buffer,
    /// `[BURST, 4·L, 4]`: fired, positive, negative, unused.
    pub activity: wgpu::Buffer,
    /// `[4·L, words]`: one bit a neuron.
    pub muted: wgpu::Buffer,
    /// `Neuron` of `shaders/common.wgsl`, of each site.
    pub neurons: [wgpu::Buffer; 4],
    /// cos and sin, `[tokens, w/2, 2]`.
    pub rotary: wgpu::Buffer,
    /// `Sampling` of `shaders/sample.wgsl`.
    pub sampling: wgpu::Buffer,
    /// `[RECENT]`.
    pub history: wgpu::Buffer,
    /// `[ENDS]`.
    pub ends: wgpu::Buffer,
}

impl Scratch {
    /// Bytes of its largest buffer.
    pub fn largest(config: &Config) -> u64 {
        let (inputs, outputs) = widest(config);
        4 * (CHUNK * outputs.max(spike_words(inputs)).max(config.conv_dim())) as u64
    }

    /// For passes of `chunk` tokens.
    pub fn new(guard: &mut Guard, config: &Config, chunk: usize) -> Self {
        let (inputs, outputs) = widest(config);
        let mut storage = |words: usize| {
            let bytes = 4 * words as u64;
            guard.run("the buffers of a pass", bytes, |device| device.storage(bytes))
        };
        Self {
            tokens: storage(chunk.max(BURST)),
            x: storage(chunk * config.d_model),
            projected: storage(chunk * outputs),
            current: storage(chunk * inputs),
            spikes: storage(chunk * spike_words(inputs)),
            xbc: storage(chunk * config.conv_dim()),
            y: storage(chunk * config.d_inner()),
            hidden: storage(config.d_model),
            logits: storage(config.vocab_size),
            activity: storage(activity_words(config, BURST)),
            muted: storage(4 * config.n_layers * muted_words(config)),
            rotary: storage(chunk.max(BURST) * config.attn_head_dim()),
            history: storage(RECENT),
            ends: storage(ENDS),
            cursor: guard.run("the cursor", 16, |device| {
                use wgpu::BufferUsages as U;
                device.buffer(16, U::STORAGE | U::UNIFORM | U::COPY_SRC | U::COPY_DST)
            }),
            neurons: std::array::from_fn(|_| guard.run("a neuron", 32, |device| device.uniform(&[0; 32]))),
            sampling: guard.run("the sampling", 48, |device| device.uniform(&[0; 48])),
        }
    }

    /// Gives its memory back now. In a browser a buffer that is only dropped waits for the garbage collector.
    pub fn destroy(&self) {
        let Self { cursor, tokens, x, projected, current, spikes, xbc, y, hidden, logits, activity, muted, .. } = self;
        for buffer in [cursor, tokens, x, projected, current, spikes, xbc, y, hidden, logits, activity, muted] {
            buffer.destroy();
        }
        for buffer in self.neurons.iter().chain([&self.rotary, &self.sampling, &self.history, &self.ends]) {
            buffer.destroy();
        }
    }
}

/// The most inputs of a site, and the widest row that in_proj or gate_up says.
fn widest(config: &Config) -> (usize, usize) {
    let inputs = Site::ALL.map(|site| config.site_shape(site).0).into_iter().max().unwrap_or(0);
    (inputs, config.site_shape(Site::InProj).1.max(config.site_shape(Site::GateUp).1))
}

/// Words of a token's row of spikes: how many events, the events, and all counts, four to a word.
pub fn spike_words(inputs: usize) -> usize {
    1 + inputs + inputs.div_ceil(4)
}

/// Words of the activity counters of so many steps.
pub fn activity_words(config: &Config, steps: usize) -> usize {
    steps * 4 * config.n_layers * 4
}

/// Words of a site's mask.
pub fn muted_words(config: &Config) -> usize {
    Site::ALL.map(|site| config.site_shape(site).0.div_ceil(32)).into_iter().max().unwrap_or(0)
}

/// A uniform buffer of 32-bit words.
pub fn words(device: &Device, words: &[u32]) -> wgpu::Buffer {
    device.uniform(bytemuck::cast_slice(words))
}
