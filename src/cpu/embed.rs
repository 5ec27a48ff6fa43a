//! A token's row of the embedding.

use crate::format::field;
use crate::model::Matrix;

/// `x = scale[token] · embed[token, :]`, `[d]`. Twin: `shaders/embed.wgsl`.
pub fn embed(embed: &Matrix, scale: &[f32], token: usize, x: &mut [f32]) {
    let row = embed.row(token);
    for (column, x) in x.iter_mut().enumerate() {
        *x = scale[token] * field(row, column, embed.kind) as f32;
    }
}
