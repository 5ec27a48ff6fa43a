//! How a reply is made, as JavaScript says it.

use serde::Deserialize;

use crate::chat::Generation;
use crate::cpu::Sampling;
use crate::reply::ReplyOptions;

/// Tokens of a reply where neither caller nor model sets a limit.
const MAX_TOKENS: usize = 256;

/// `ChatOptions` of `web.d.ts`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ChatOptions {
    temperature: Option<f32>,
    top_k: Option<u32>,
    top_p: Option<f32>,
    min_p: Option<f32>,
    repetition_penalty: Option<f32>,
    seed: Option<u32>,
    max_tokens: Option<usize>,
    stop: Vec<String>,
}

impl ChatOptions {
    /// With the model's own settings where nothing is said.
    pub(super) fn fill(self, model: &Generation) -> ReplyOptions {
        let default = Sampling::default();
        ReplyOptions {
            sampling: Sampling {
                temperature: self.temperature.or(model.temperature).unwrap_or(default.temperature),
                top_k: self.top_k.unwrap_or(default.top_k),
                top_p: self.top_p.or(model.top_p).unwrap_or(default.top_p),
                min_p: self.min_p.unwrap_or(default.min_p),
                repetition_penalty: self
                    .repetition_penalty
                    .or(model.repetition_penalty)
                    .unwrap_or(default.repetition_penalty),
                seed: self.seed.unwrap_or(default.seed),
            },
            max_tokens: self.max_tokens.or(model.max_new_tokens).unwrap_or(MAX_TOKENS),
            stop: self.stop,
        }
    }
}
