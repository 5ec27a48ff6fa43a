//! Logits: the embedding is also the head.

use crate::format::field;
use crate::model::Matrix;

/// `logits[t] = scale[t] · embed[t, :] · x` for every token t; `x` is `[d]` after the final norm.
/// Twin: `shaders/lm_head.wgsl`.
pub fn lm_head(embed: &Matrix, scale: &[f32], x: &[f32], logits: &mut [f32]) {
    for (token, (logit, scale)) in logits.iter_mut().zip(scale).enumerate() {
        let row = embed.row(token);
        let dot: f32 = x.iter().enumerate().map(|(column, x)| x * field(row, column, embed.kind) as f32).sum();
        *logit = scale * dot;
    }
}
