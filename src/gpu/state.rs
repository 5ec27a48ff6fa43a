//! A conversation's state on the GPU, and its way to and from [`crate::model::State`].

use super::GpuError;
use super::device::{Device, Guard};
use crate::config::Config;
use crate::model::State;

/// One buffer a layer and part: conv, ssm, ring_k, ring_v, as [`State`] has them.
#[derive(Debug)]
pub(super) struct StateBuffers {
    pub conv: Vec<wgpu::Buffer>,
    pub ssm: Vec<wgpu::Buffer>,
    pub ring_k: Vec<wgpu::Buffer>,
    pub ring_v: Vec<wgpu::Buffer>,
    /// Bytes of a layer's part.
    bytes: [u64; 4],
}

impl StateBuffers {
    /// All zero.
    pub fn new(guard: &mut Guard, config: &Config) -> Self {
        let bytes = layer_bytes(config);
        let mut part = |bytes: u64| {
            (0..config.n_layers)
                .map(|_| guard.run("the conversation's state", bytes, |device| device.storage(bytes)))
                .collect()
        };
        let [conv, ssm, ring_k, ring_v] = bytes.map(&mut part);
        Self { conv, ssm, ring_k, ring_v, bytes }
    }

    /// Bytes of its largest buffer.
    pub fn largest(config: &Config) -> u64 {
        layer_bytes(config).into_iter().max().unwrap_or(0)
    }

    /// (buffer, bytes) of every part that is not empty, in [`State`]'s order.
    fn parts(&self) -> Vec<(&wgpu::Buffer, u64)> {
        let all = [&self.conv, &self.ssm, &self.ring_k, &self.ring_v].into_iter().zip(self.bytes);
        all.filter(|(_, bytes)| *bytes > 0).flat_map(|(part, bytes)| part.iter().map(move |b| (b, bytes))).collect()
    }

    /// Gives its memory back now.
    pub fn destroy(&self) {
        self.parts().into_iter().for_each(|(buffer, _)| buffer.destroy());
    }

    /// Copies it to `other`, of the same shape.
    pub fn copy_to(&self, encoder: &mut wgpu::CommandEncoder, other: &Self) {
        for ((from, bytes), (to, _)) in self.parts().into_iter().zip(other.parts()) {
            encoder.copy_buffer_to_buffer(from, 0, to, 0, bytes);
        }
    }

    /// Overwrites it with `state`, of the same network.
    pub fn upload(&self, device: &Device, state: &State) {
        let floats = [&state.conv, &state.ssm, &state.ring_k, &state.ring_v];
        let all = [&self.conv, &self.ssm, &self.ring_k, &self.ring_v].into_iter().zip(self.bytes).zip(floats);
        for ((buffers, bytes), floats) in all.filter(|((_, bytes), _)| *bytes > 0) {
            for (buffer, values) in buffers.iter().zip(floats.chunks_exact(bytes as usize / 4)) {
                device.queue.write_buffer(buffer, 0, bytemuck::cast_slice(values));
            }
        }
    }

    /// The state after `position` tokens, and the contents of `more`: (buffer, bytes).
    pub async fn download(
        &self,
        device: &Device,
        position: u64,
        more: &[(&wgpu::Buffer, u64)],
    ) -> Result<(State, Vec<Vec<u8>>), GpuError> {
        let mut parts = self.parts();
        let count = parts.len();
        parts.extend_from_slice(more);
        let mut read = device.read(device.encoder(), &parts).await?;
        let more = read.split_off(count);
        let layers = self.conv.len();
        let mut read = read.chunks(layers);
        let mut floats = |bytes: u64| -> Vec<f32> {
            let part = if bytes > 0 { read.next().unwrap_or(&[]) } else { &[] };
            part.iter().flat_map(|layer| bytemuck::pod_collect_to_vec::<u8, f32>(layer)).collect()
        };
        let [conv, ssm, ring_k, ring_v] = self.bytes.map(&mut floats);
        Ok((State { position, conv, ssm, ring_k, ring_v }, more))
    }
}

/// Bytes of a layer's part: conv, ssm, ring_k, ring_v.
fn layer_bytes(config: &Config) -> [u64; 4] {
    let ring = config.ring_slots() * config.kv_dim();
    let sizes = [(config.d_conv - 1) * config.conv_dim(), config.d_inner() * config.d_state, ring, ring];
    sizes.map(|size| 4 * size as u64)
}
