//! Which tensors a network has: their names, types, shapes and the values they may hold, from its config alone.

use crate::config::{Config, Site, WeightKind};

/// A tensor's element type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// Little-endian float32.
    F32,
    /// Bytes of packed integers.
    U8,
}

/// The values a tensor may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    Finite,
    Positive,
    Negative,
    /// Rows of `columns` packed integers.
    Packed {
        kind: WeightKind,
        columns: usize,
    },
}

/// One tensor of `model.safetensors`, as config.json requires it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name.
    pub name: String,
    /// Its element type.
    pub dtype: Dtype,
    /// Its shape; packed matrices are `[rows, row_bytes]`.
    pub shape: Vec<usize>,
    pub(super) rule: Rule,
}

impl TensorSpec {
    /// Its size in bytes. No limit of the format lets this overflow 64 bits.
    pub fn bytes(&self) -> u64 {
        let element = match self.dtype {
            Dtype::F32 => 4,
            Dtype::U8 => 1,
        };
        self.shape.iter().map(|&n| n as u64).product::<u64>() * element
    }
}

/// Every tensor of a network (`models/FORMAT.md`, "Tensors").
pub fn tensors(config: &Config) -> Vec<TensorSpec> {
    let mut all = Vec::new();
    let mut float = |name: String, shape: &[usize], rule: Rule| {
        all.push(TensorSpec { name, dtype: Dtype::F32, shape: shape.to_vec(), rule });
    };
    let (d, inner, channels, heads) = (config.d_model, config.d_inner(), config.conv_dim(), config.n_heads);
    float("embed.scale".into(), &[config.vocab_size], Rule::Positive);
    float("final_norm.weight".into(), &[d], Rule::Finite);
    for layer in 0..config.n_layers {
        let mut part = |name: &str, shape: &[usize], rule| float(format!("layers.{layer}.{name}"), shape, rule);
        part("norm_mixer.weight", &[d], Rule::Finite);
        part("conv.weight", &[config.d_conv, channels], Rule::Finite);
        part("conv.bias", &[channels], Rule::Finite);
        part("dt_bias", &[heads], Rule::Finite);
        part("A", &[heads], Rule::Negative);
        part("D", &[heads], Rule::Finite);
        part("norm_gated.weight", &[inner], Rule::Finite);
        part("norm_ffn.weight", &[d], Rule::Finite);
        for site in Site::ALL {
            let (inputs, outputs) = config.site_shape(site);
            part(&format!("{site}.inv_threshold"), &[inputs], Rule::Positive);
            part(&format!("{site}.scale"), &[outputs], Rule::Positive);
        }
    }
    let mut packed = |name: String, rows: usize, columns: usize, kind: WeightKind| {
        let shape = vec![rows, kind.row_bytes(columns)];
        all.push(TensorSpec { name, dtype: Dtype::U8, shape, rule: Rule::Packed { kind, columns } });
    };
    packed("embed.weight".into(), config.vocab_size, d, config.embed_weights);
    for layer in 0..config.n_layers {
        for site in Site::ALL {
            let (inputs, outputs) = config.site_shape(site);
            packed(format!("layers.{layer}.{site}.weight"), inputs, outputs, config.weights[site.index()]);
        }
    }
    all
}
