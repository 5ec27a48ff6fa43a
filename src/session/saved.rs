//! A conversation as bytes: its tokens, and the state after them.
//!
//! Magic, version, the number of tokens, the tokens, the state as [`State::to_bytes`](crate::model::State::to_bytes) writes it,
//! and a sha-256 of all that. Numbers are little-endian.

use sha2::{Digest, Sha256};

use super::{Session, SessionError};
use crate::model::StateError;

const MAGIC: &[u8; 8] = b"MARTALK\0";
const VERSION: u32 = 1;
const HEADER: usize = 8 + 4 + 4;
const HASH: usize = 32;

impl Session {
    /// The conversation, to be taken up later by the same model, on any backend.
    pub async fn to_bytes(&mut self) -> Result<Vec<u8>, SessionError> {
        let state = self.save().await?;
        let mut bytes = Vec::with_capacity(HEADER + 4 * self.tokens.len() + state.len() + HASH);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(self.tokens.len() as u32).to_le_bytes());
        bytes.extend(self.tokens.iter().flat_map(|token| token.to_le_bytes()));
        bytes.extend_from_slice(&state);
        let hash = Sha256::digest(&bytes);
        bytes.extend_from_slice(&hash);
        Ok(bytes)
    }

    /// Takes up what [`Session::to_bytes`] wrote. Where it is refused, the session goes on as it was.
    pub fn load_bytes(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        if bytes.len() < HEADER + HASH || !bytes.starts_with(MAGIC) {
            return Err(StateError::Foreign.into());
        }
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        if word(8) != VERSION {
            return Err(StateError::Version(word(8)).into());
        }
        let (body, hash) = bytes.split_at(bytes.len() - HASH);
        let (count, rest) = (word(12) as usize, &body[HEADER..]);
        if Sha256::digest(body)[..] != *hash || count > rest.len() / 4 {
            return Err(StateError::Damaged.into());
        }
        let (tokens, state) = rest.split_at(4 * count);
        let tokens: Vec<u32> = tokens.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b)).collect();
        self.load(state, &tokens)
    }
}
