//! From checked tensors to a [`Model`].

use std::collections::HashMap;

use super::{Layer, Matrix, Model, Projection};
use crate::config::{Config, Site};
use crate::format::{FormatError, Receiver, Tensor, TensorSpec};

/// Gathers a network's tensors, in any order.
#[derive(Debug)]
pub struct ModelBuilder {
    config: Config,
    tensors: HashMap<String, Tensor>,
}

impl Receiver for ModelBuilder {
    fn receive(&mut self, spec: &TensorSpec, tensor: Tensor) {
        self.insert(&spec.name, tensor);
    }
}

impl ModelBuilder {
    /// For the weights of `config`.
    pub fn new(config: Config) -> Self {
        Self { config, tensors: HashMap::new() }
    }

    /// Takes a tensor as [`crate::format::WeightsReader`] hands it out.
    pub fn insert(&mut self, name: &str, tensor: Tensor) {
        self.tensors.insert(name.into(), tensor);
    }

    /// The model, once all tensors are there; `sha256` is its identity (`format::identity`).
    pub fn build(mut self, sha256: [u8; 32]) -> Result<Model, FormatError> {
        let config = self.config.clone();
        let embed = self.matrix("embed.weight", config.d_model, config.embed_weights)?;
        Ok(Model {
            sha256,
            embed,
            embed_scale: self.floats("embed.scale")?,
            final_norm: self.floats("final_norm.weight")?,
            layers: (0..config.n_layers).map(|layer| self.layer(layer)).collect::<Result<_, _>>()?,
            config,
        })
    }

    fn layer(&mut self, layer: usize) -> Result<Layer, FormatError> {
        let mut floats = |name: &str| self.floats(&format!("layers.{layer}.{name}"));
        Ok(Layer {
            norm_mixer: floats("norm_mixer.weight")?,
            conv_weight: floats("conv.weight")?,
            conv_bias: floats("conv.bias")?,
            dt_bias: floats("dt_bias")?,
            a: floats("A")?,
            d: floats("D")?,
            norm_gated: floats("norm_gated.weight")?,
            norm_ffn: floats("norm_ffn.weight")?,
            projections: [
                self.projection(layer, Site::InProj)?,
                self.projection(layer, Site::OutProj)?,
                self.projection(layer, Site::GateUp)?,
                self.projection(layer, Site::Down)?,
            ],
        })
    }

    fn projection(&mut self, layer: usize, site: Site) -> Result<Projection, FormatError> {
        let (outputs, kind) = (self.config.site_shape(site).1, self.config.weights[site.index()]);
        Ok(Projection {
            inv_threshold: self.floats(&format!("layers.{layer}.{site}.inv_threshold"))?,
            weight: self.matrix(&format!("layers.{layer}.{site}.weight"), outputs, kind)?,
            scale: self.floats(&format!("layers.{layer}.{site}.scale"))?,
        })
    }

    fn floats(&mut self, name: &str) -> Result<Vec<f32>, FormatError> {
        match self.tensors.remove(name) {
            Some(Tensor::F32(values)) => Ok(values),
            _ => Err(FormatError::Missing(name.into())),
        }
    }

    fn matrix(&mut self, name: &str, columns: usize, kind: crate::config::WeightKind) -> Result<Matrix, FormatError> {
        match self.tensors.remove(name) {
            Some(Tensor::Packed(data)) => Ok(Matrix { kind, columns, data }),
            _ => Err(FormatError::Missing(name.into())),
        }
    }
}
