//! Decode on the GPU: a burst of tokens for each command buffer, sampled and fed back on the device, one read-back.

use super::GpuError;
use super::capture::{Capture, passes_that_fit};
use super::forward::{Activities, Gpu, activities};
use super::scratch::{BURST, ENDS, activity_words};
use crate::cpu::{Observer, Sampling};
use crate::engine::RECENT;
use crate::probe::Watch;

/// What a burst brought.
#[derive(Debug, Clone, Default)]
pub struct Burst {
    /// The tokens, each of which has gone through the network.
    pub tokens: Vec<u32>,
    /// What the sites did for each of them.
    pub activities: Vec<Activities>,
}

impl Gpu {
    /// How many of `count` tokens a burst can bring that is watched so: fewer, where much is watched.
    pub(crate) fn burst_length(&self, watch: &Watch, count: usize) -> Result<usize, GpuError> {
        passes_that_fit(&self.model.device, &self.model.config, watch, 1, count.clamp(1, BURST))
    }

    /// Chooses the next token and takes it through the network, up to `count` times, at most [`BURST`]; stops behind a token
    /// of `ends`. `recent` are the newest tokens so far, for the repetition penalty. After an error the state is not known.
    pub async fn burst(
        &mut self,
        count: usize,
        sampling: &Sampling,
        recent: &[u32],
        ends: &[u32],
        watch: &Watch,
        observer: &mut dyn Observer,
    ) -> Result<Burst, GpuError> {
        let count = self.burst_length(watch, count)?;
        let device = self.model.device.clone();
        self.send_controls();
        // The sampler adds one before the first token.
        self.send_cursor(1, u32::MAX);
        self.send_rotary(count);
        self.send_sampling(sampling, recent, ends);
        let capture = Capture::new(&device, &self.model.config, watch, 1, count).await?;
        let mut encoder = device.encoder();
        encoder.clear_buffer(&self.scratch.activity, 0, None);
        if count > 1 {
            self.state.copy_to(&mut encoder, &self.before);
            encoder.copy_buffer_to_buffer(&self.scratch.logits, 0, &self.logits_before, 0, self.logits_before.size());
        }
        for step in 0..count {
            self.encode(&mut encoder, [&self.plan.sample], 1);
            self.encode_layers(&mut encoder, 1, capture.as_ref().map(|capture| (capture, step)));
            self.encode(&mut encoder, &self.plan.head, 1);
        }
        let step_bytes = 4 * activity_words(&self.model.config, 1);
        let mut parts = vec![
            (&self.scratch.cursor, 16),
            (&self.scratch.tokens, 4 * count as u64),
            (&self.scratch.activity, (count * step_bytes) as u64),
        ];
        parts.extend(capture.as_ref().map(Capture::part));
        let read = device.read(encoder, &parts).await?;
        let cursor: Vec<u32> = bytemuck::pod_collect_to_vec(&read[0]);
        let done = (cursor[1].wrapping_add(1) as usize).min(count);
        if let Some(capture) = &capture {
            for step in 0..done {
                capture.show(&read[3], step, self.position + step as u64, observer);
            }
        }
        self.position += done as u64;
        let mut tokens: Vec<u32> = bytemuck::pod_collect_to_vec(&read[1]);
        tokens.truncate(done);
        let activities = read[2].chunks_exact(step_bytes).take(done).map(activities).collect();
        Ok(Burst { tokens, activities })
    }

    /// Undoes the last burst, which brought `all` tokens, but for the first of them, `kept`.
    pub fn rewind(&mut self, all: usize, kept: &[u32]) {
        let device = self.model.device.clone();
        self.position -= all as u64;
        let mut encoder = device.encoder();
        self.before.copy_to(&mut encoder, &self.state);
        encoder.copy_buffer_to_buffer(&self.logits_before, 0, &self.scratch.logits, 0, self.logits_before.size());
        device.queue.submit([encoder.finish()]);
        for token in kept {
            self.send_controls();
            self.send_cursor(1, 0);
            self.send_rotary(1);
            device.queue.write_buffer(&self.scratch.tokens, 0, bytemuck::bytes_of(token));
            let mut encoder = device.encoder();
            self.encode_layers(&mut encoder, 1, None);
            self.encode(&mut encoder, &self.plan.head, 1);
            device.queue.submit([encoder.finish()]);
            self.position += 1;
        }
    }

    /// `Sampling` of `shaders/sample.wgsl`, and the lists beside it.
    fn send_sampling(&self, sampling: &Sampling, recent: &[u32], ends: &[u32]) {
        let queue = &self.model.device.queue;
        let recent = &recent[recent.len().saturating_sub(RECENT)..];
        let ends = &ends[..ends.len().min(ENDS)];
        let words = [
            self.model.config.vocab_size as u32,
            sampling.seed,
            sampling.top_k,
            recent.len() as u32,
            self.position as u32,
            ends.len() as u32,
            sampling.temperature.to_bits(),
            sampling.top_p.to_bits(),
            // ln 0 would be infinite, which WGSL does not promise to keep.
            sampling.min_p.ln().max(-1e30).to_bits(),
            sampling.repetition_penalty.to_bits(),
        ];
        queue.write_buffer(&self.scratch.sampling, 0, bytemuck::cast_slice(&words));
        queue.write_buffer(&self.scratch.history, 0, bytemuck::cast_slice(recent));
        queue.write_buffer(&self.scratch.ends, 0, bytemuck::cast_slice(ends));
    }
}
