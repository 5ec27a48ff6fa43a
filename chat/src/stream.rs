//! Tokens to text, one by one, never half a character.

use tokenizers::Tokenizer;
use tokenizers::tokenizer::step_decode_stream;

/// The text of tokens that come one by one. A character whose bytes are spread over tokens is held back until it is whole.
#[derive(Debug)]
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    ids: Vec<u32>,
    prefix: String,
    prefix_index: usize,
}

impl<'a> TextStream<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { tokenizer, ids: Vec::new(), prefix: String::new(), prefix_index: 0 }
    }

    /// The text that `token` completes; empty where it completes none. Special tokens have no text.
    pub fn push(&mut self, token: u32) -> String {
        // An id outside the vocabulary has no text; the decoder leaves it out.
        step_decode_stream(self.tokenizer, vec![token], true, &mut self.ids, &mut self.prefix, &mut self.prefix_index)
            .ok()
            .flatten()
            .unwrap_or_default()
    }

    /// What is still held back: bytes that never became a character, as replacement characters.
    pub fn finish(self) -> String {
        let text = self.tokenizer.decode(&self.ids, true).unwrap_or_default();
        text.strip_prefix(&self.prefix).unwrap_or_default().to_owned()
    }
}
