//! What a conversation is to the network: a state of constant size, and its form as bytes.

use sha2::{Digest, Sha256};

use super::Model;
use crate::config::Config;

/// The state after some tokens. All backends use this form to exchange states.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Tokens seen.
    pub position: u64,
    /// `[L, k-1, xbc]`: the convolution's past inputs, oldest first.
    pub conv: Vec<f32>,
    /// `[L, h, p, n]`: the scan's.
    pub ssm: Vec<f32>,
    /// `[L, S+W, kv heads, w]`: the window branch's rotated keys; empty without one.
    pub ring_k: Vec<f32>,
    /// As `ring_k`: its values.
    pub ring_v: Vec<f32>,
}

/// Why bytes are not a state of this model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// They do not begin as a state does.
    #[error("this is not a saved MAR state")]
    Foreign,
    /// Saved by another version of the program.
    #[error("the saved state has version {0}, and this program reads version {VERSION}; start the chat from its text")]
    Version(u32),
    /// Of another model.
    #[error("the saved state belongs to another model; load that model, or start the chat from its text")]
    OtherModel,
    /// Too short, too long, or changed since.
    #[error("the saved state is damaged; start the chat from its text")]
    Damaged,
}

const MAGIC: &[u8; 8] = b"MARSTATE";
const VERSION: u32 = 3;
const HEADER: usize = 8 + 4 + 32 + 8;
const HASH: usize = 32;

impl State {
    /// Before the first token: all zero.
    pub fn zero(config: &Config) -> Self {
        let layers = config.n_layers;
        let ring = layers * config.ring_slots() * config.kv_dim();
        Self {
            position: 0,
            conv: vec![0.0; layers * (config.d_conv - 1) * config.conv_dim()],
            ssm: vec![0.0; layers * config.d_inner() * config.d_state],
            ring_k: vec![0.0; ring],
            ring_v: vec![0.0; ring],
        }
    }

    /// Bytes of its numbers in memory.
    pub fn bytes(&self) -> usize {
        4 * self.parts().map(<[f32]>::len).iter().sum::<usize>()
    }

    /// Bytes of the numbers of a state of `config`.
    pub fn bytes_of(config: &Config) -> usize {
        let ring = 2 * config.ring_slots() * config.kv_dim();
        let conv = (config.d_conv - 1) * config.conv_dim();
        4 * config.n_layers * (conv + config.d_inner() * config.d_state + ring)
    }

    /// The state as bytes, and the `logits` of its next token, `[v]`, or none where they are not known: magic, version, the
    /// model's sha-256, position, the numbers, the logits, and a sha-256 of all that. With logits a conversation goes on from
    /// the bytes as if nothing had been; without, its last token would have to be computed again.
    pub fn to_bytes(&self, logits: &[f32], model_sha256: &[u8; 32]) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER + self.bytes() + 4 * logits.len() + HASH);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(model_sha256);
        out.extend_from_slice(&self.position.to_le_bytes());
        let numbers = self.parts().into_iter().chain([logits]).flatten();
        out.extend(numbers.flat_map(|x| x.to_le_bytes()));
        let hash = Sha256::digest(&out);
        out.extend_from_slice(&hash);
        out
    }

    /// The state and the logits that [`State::to_bytes`] wrote for the same model.
    pub fn from_bytes(bytes: &[u8], model: &Model) -> Result<(Self, Vec<f32>), StateError> {
        Self::parse(bytes, &model.config, &model.sha256)
    }

    /// As [`State::from_bytes`], for a model that need not be in main memory.
    pub fn parse(bytes: &[u8], config: &Config, model_sha256: &[u8; 32]) -> Result<(Self, Vec<f32>), StateError> {
        if bytes.len() < HEADER + HASH || !bytes.starts_with(MAGIC) {
            return Err(StateError::Foreign);
        }
        let version = u32::from_le_bytes(std::array::from_fn(|i| bytes[8 + i]));
        if version != VERSION {
            return Err(StateError::Version(version));
        }
        if bytes[12..44] != *model_sha256 {
            return Err(StateError::OtherModel);
        }
        let (body, hash) = bytes.split_at(bytes.len() - HASH);
        let logits = match body.len().checked_sub(HEADER + Self::bytes_of(config)) {
            Some(0) => 0,
            Some(bytes) if bytes == 4 * config.vocab_size => config.vocab_size,
            _ => return Err(StateError::Damaged),
        };
        if Sha256::digest(body)[..] != *hash {
            return Err(StateError::Damaged);
        }
        let mut numbers = body[HEADER..].as_chunks().0.iter().map(|&b| f32::from_le_bytes(b));
        if !numbers.clone().all(f32::is_finite) {
            return Err(StateError::Damaged);
        }
        let mut state = Self::zero(config);
        state.position = u64::from_le_bytes(std::array::from_fn(|i| bytes[44 + i]));
        let mut logits = vec![0.0; logits];
        for part in state.parts_mut().into_iter().chain([&mut logits]) {
            part.iter_mut().zip(&mut numbers).for_each(|(x, y)| *x = y);
        }
        Ok((state, logits))
    }

    fn parts(&self) -> [&[f32]; 4] {
        [&self.conv, &self.ssm, &self.ring_k, &self.ring_v]
    }

    fn parts_mut(&mut self) -> [&mut Vec<f32>; 4] {
        [&mut self.conv, &mut self.ssm, &mut self.ring_k, &mut self.ring_v]
    }
}
