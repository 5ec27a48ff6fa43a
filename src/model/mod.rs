//! The network as the paper names its parts: weights and state, no arithmetic. What is computed from them is in
//! `models/FORMAT.md`, "The network", and in [`crate::cpu`].

mod builder;
mod spikes;
mod state;

pub use builder::ModelBuilder;
pub use spikes::{Controls, Event, Neuron};
pub use state::{State, StateError};

use crate::config::{Config, Site, WeightKind};

/// A matrix of packed integers, input-major: one row for each input.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// The type of its integers.
    pub kind: WeightKind,
    /// Outputs: integers in a row.
    pub columns: usize,
    /// Rows of `kind.row_bytes(columns)` bytes.
    pub data: Vec<u8>,
}

impl Matrix {
    /// Bytes of a row.
    pub fn row_bytes(&self) -> usize {
        self.kind.row_bytes(self.columns)
    }

    /// Inputs.
    pub fn rows(&self) -> usize {
        self.data.len() / self.row_bytes()
    }

    /// The packed row of one input.
    #[inline]
    pub fn row(&self, input: usize) -> &[u8] {
        let bytes = self.row_bytes();
        &self.data[input * bytes..(input + 1) * bytes]
    }
}

/// A spike site and the projection behind it: `out = scale · Σ_j c_j · weight[j, :]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// 1 / V, `[inputs]`.
    pub inv_threshold: Vec<f32>,
    /// `[inputs, outputs]`, thresholds folded in.
    pub weight: Matrix,
    /// `[outputs]`.
    pub scale: Vec<f32>,
}

/// One layer: a Mamba-2 mixer and a SwiGLU FFN, with a projection behind each of the four spike sites.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// `[d]`.
    pub norm_mixer: Vec<f32>,
    /// `[k, xbc]`, oldest tap first.
    pub conv_weight: Vec<f32>,
    /// `[xbc]`.
    pub conv_bias: Vec<f32>,
    /// `[h]`.
    pub dt_bias: Vec<f32>,
    /// `[h]`, negative.
    pub a: Vec<f32>,
    /// `[h]`.
    pub d: Vec<f32>,
    /// `[i]`.
    pub norm_gated: Vec<f32>,
    /// `[d]`.
    pub norm_ffn: Vec<f32>,
    pub(crate) projections: [Projection; 4],
}

impl Layer {
    /// The projection behind a site.
    pub fn projection(&self, site: Site) -> &Projection {
        &self.projections[site.index()]
    }
}

/// A network whose weights are in main memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Its shape.
    pub config: Config,
    /// Of its `model.safetensors`, by [`crate::format::identity`]: what ties a state to a model.
    pub sha256: [u8; 32],
    /// `[v, d]`, embedding and head.
    pub embed: Matrix,
    /// `[v]`: a token's row is `embed_scale · embed`.
    pub embed_scale: Vec<f32>,
    /// `[d]`.
    pub final_norm: Vec<f32>,
    /// All layers.
    pub layers: Vec<Layer>,
}
