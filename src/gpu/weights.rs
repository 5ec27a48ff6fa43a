//! A model's weights on the GPU, tensor by tensor, so that a stream of them need never be in main memory whole.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::GpuError;
use super::device::{Device, Guard};
use super::kernels::Kernels;
use crate::config::{Config, Site};
use crate::format::{Dtype, Receiver, Tensor, TensorSpec, tensor_bytes, tensors};
use crate::model::Model;

/// A piece of a packed matrix that fits one binding: some rows of the embedding, or some columns of a projection.
#[derive(Debug)]
pub(super) struct Part {
    pub buffer: wgpu::Buffer,
    /// Its first row, or its first column.
    pub first: usize,
    /// Its rows, or its columns.
    pub len: usize,
    pub row_words: usize,
}

/// A spike site's weights.
#[derive(Debug)]
pub(super) struct ProjectionBuffers {
    pub inv_threshold: wgpu::Buffer,
    pub parts: Vec<Part>,
    pub scale: wgpu::Buffer,
}

/// A layer's weights; shapes as in [`crate::model::Layer`].
#[derive(Debug)]
pub(super) struct LayerBuffers {
    pub norm_mixer: wgpu::Buffer,
    pub conv_weight: wgpu::Buffer,
    pub conv_bias: wgpu::Buffer,
    pub dt_bias: wgpu::Buffer,
    pub a: wgpu::Buffer,
    pub d: wgpu::Buffer,
    pub norm_gated: wgpu::Buffer,
    pub norm_ffn: wgpu::Buffer,
    pub projections: [ProjectionBuffers; 4],
}

/// A network whose weights are in the GPU's memory, with the kernels it needs. Several conversations share it.
#[derive(Debug)]
pub struct GpuModel {
    pub(super) device: Device,
    pub(super) kernels: Kernels,
    pub(super) config: Config,
    pub(super) sha256: [u8; 32],
    pub(super) embed: Vec<Part>,
    pub(super) embed_scale: wgpu::Buffer,
    pub(super) final_norm: wgpu::Buffer,
    pub(super) layers: Vec<LayerBuffers>,
    /// `[4·L]` of `[inputs]`: the thresholds in main memory too, for who looks at spike trains.
    inv_thresholds: Vec<Vec<f32>>,
}

impl GpuModel {
    /// Copies `model` to the GPU.
    pub async fn upload(device: &Device, model: &Model) -> Result<Arc<Self>, GpuError> {
        let mut builder = GpuModelBuilder::new(device, model.config.clone());
        for spec in tensors(&model.config) {
            builder.put(&spec, &tensor_bytes(model, &spec.name));
        }
        builder.build(model.sha256).await
    }

    /// Its shape.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Of its `model.safetensors`: what ties a state to a model.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// 1 / V of a site's neurons, `[inputs]`; `None` for a layer that is not there.
    pub fn inv_threshold(&self, layer: usize, site: Site) -> Option<&[f32]> {
        self.inv_thresholds.get(layer * 4 + site.index()).map(Vec::as_slice)
    }

    /// Where it is.
    pub fn device(&self) -> &Device {
        &self.device
    }
}

/// Gathers a network's tensors on the GPU, in any order.
pub struct GpuModelBuilder {
    device: Device,
    config: Config,
    guard: Guard,
    vectors: HashMap<String, wgpu::Buffer>,
    matrices: HashMap<String, Vec<Part>>,
    inv_thresholds: HashMap<String, Vec<f32>>,
}

impl fmt::Debug for GpuModelBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GpuModelBuilder").field("device", &self.device).finish_non_exhaustive()
    }
}

impl Receiver for GpuModelBuilder {
    fn receive(&mut self, spec: &TensorSpec, tensor: Tensor) {
        self.insert(spec, &tensor);
    }
}

impl GpuModelBuilder {
    /// For the weights of `config`.
    pub fn new(device: &Device, config: Config) -> Self {
        let guard = device.guard();
        let (vectors, matrices, inv_thresholds) = Default::default();
        Self { device: device.clone(), config, guard, vectors, matrices, inv_thresholds }
    }

    /// Takes a tensor as [`crate::format::WeightsReader`] hands it out.
    pub fn insert(&mut self, spec: &TensorSpec, tensor: &Tensor) {
        match tensor {
            Tensor::F32(values) => self.put(spec, bytemuck::cast_slice(values)),
            Tensor::Packed(bytes) => self.put(spec, bytes),
        }
    }

    fn put(&mut self, spec: &TensorSpec, bytes: &[u8]) {
        match (spec.dtype, spec.shape.as_slice()) {
            (Dtype::U8, &[rows, row_bytes]) if spec.name == "embed.weight" => {
                let parts = self.by_rows(&spec.name, rows, row_bytes, bytes);
                self.matrices.insert(spec.name.clone(), parts);
            }
            (Dtype::U8, &[rows, row_bytes]) => {
                let parts = self.by_columns(&spec.name, rows, row_bytes, bytes);
                self.matrices.insert(spec.name.clone(), parts);
            }
            _ => {
                if spec.name.ends_with("inv_threshold") {
                    self.inv_thresholds.insert(spec.name.clone(), bytemuck::pod_collect_to_vec(bytes));
                }
                let buffer = self.guard.upload(&spec.name, bytes);
                self.vectors.insert(spec.name.clone(), buffer);
            }
        }
    }

    fn by_rows(&mut self, name: &str, rows: usize, row_bytes: usize, bytes: &[u8]) -> Vec<Part> {
        let most = (self.device.binding_bytes() as usize / row_bytes).max(1);
        let firsts = (0..rows).step_by(most);
        firsts
            .map(|first| {
                let len = most.min(rows - first);
                let buffer = self.guard.upload(name, &bytes[first * row_bytes..(first + len) * row_bytes]);
                Part { buffer, first, len, row_words: row_bytes / 4 }
            })
            .collect()
    }

    /// Splits a projection's columns at the format's blocks of 16 bytes, so that parts write outputs of their own.
    fn by_columns(&mut self, name: &str, rows: usize, row_bytes: usize, bytes: &[u8]) -> Vec<Part> {
        let site = Site::ALL.into_iter().find(|site| name.contains(site.name())).unwrap_or(Site::InProj);
        let (outputs, bits) = (self.config.site_shape(site).1, self.config.weights[site.index()].bits());
        let most = (self.device.binding_bytes() as usize / rows / 16).max(1) * 16;
        let starts = (0..row_bytes).step_by(most);
        starts
            .map(|start| {
                let width = most.min(row_bytes - start);
                let buffer = if width == row_bytes {
                    self.guard.upload(name, bytes)
                } else {
                    let part: Vec<u8> =
                        bytes.chunks_exact(row_bytes).flat_map(|row| &row[start..start + width]).copied().collect();
                    self.guard.upload(name, &part)
                };
                let first = start * 8 / bits;
                Part { buffer, first, len: (width * 8 / bits).min(outputs - first), row_words: width / 4 }
            })
            .collect()
    }

    /// The model, once all tensors are there; `sha256` is its identity (`format::identity`).
    pub async fn build(mut self, sha256: [u8; 32]) -> Result<Arc<GpuModel>, GpuError> {
        let kinds: Vec<_> = self.config.weights.into_iter().chain([self.config.embed_weights]).collect();
        let kernels = self.guard.run("the kernels", 0, |device| Kernels::new(device, &kinds));
        let guard = std::mem::replace(&mut self.guard, self.device.guard());
        guard.finish().await?;
        let layers = (0..self.config.n_layers).map(|layer| self.layer(layer)).collect::<Result<_, _>>()?;
        #[cfg_attr(
            target_arch = "wasm32",
            expect(clippy::arc_with_non_send_sync, reason = "natively it is both; a browser has no threads for it")
        )]
        Ok(Arc::new(GpuModel {
            kernels,
            sha256,
            embed: self.matrix("embed.weight")?,
            embed_scale: self.vector("embed.scale")?,
            final_norm: self.vector("final_norm.weight")?,
            layers,
            inv_thresholds: (0..self.config.n_layers)
                .flat_map(|layer| Site::ALL.map(|site| format!("layers.{layer}.{site}.inv_threshold")))
                .map(|name| self.inv_thresholds.remove(&name).ok_or_else(|| missing(&name)))
                .collect::<Result<_, _>>()?,
            config: self.config,
            device: self.device,
        }))
    }

    fn layer(&mut self, layer: usize) -> Result<LayerBuffers, GpuError> {
        let mut vector = |name: &str| self.vector(&format!("layers.{layer}.{name}"));
        Ok(LayerBuffers {
            norm_mixer: vector("norm_mixer.weight")?,
            conv_weight: vector("conv.weight")?,
            conv_bias: vector("conv.bias")?,
            dt_bias: vector("dt_bias")?,
            a: vector("A")?,
            d: vector("D")?,
            norm_gated: vector("norm_gated.weight")?,
            norm_ffn: vector("norm_ffn.weight")?,
            projections: [
                self.projection(layer, Site::InProj)?,
                self.projection(layer, Site::OutProj)?,
                self.projection(layer, Site::GateUp)?,
                self.projection(layer, Site::Down)?,
            ],
        })
    }

    fn projection(&mut self, layer: usize, site: Site) -> Result<ProjectionBuffers, GpuError> {
        Ok(ProjectionBuffers {
            inv_threshold: self.vector(&format!("layers.{layer}.{site}.inv_threshold"))?,
            parts: self.matrix(&format!("layers.{layer}.{site}.weight"))?,
            scale: self.vector(&format!("layers.{layer}.{site}.scale"))?,
        })
    }

    fn vector(&mut self, name: &str) -> Result<wgpu::Buffer, GpuError> {
        self.vectors.remove(name).ok_or_else(|| missing(name))
    }

    fn matrix(&mut self, name: &str) -> Result<Vec<Part>, GpuError> {
        self.matrices.remove(name).ok_or_else(|| missing(name))
    }
}

fn missing(name: &str) -> GpuError {
    GpuError::Fault(format!("the tensor {name} was not given"))
}
