//! A model from the stream of its weights, with every chunk checked against the manifest before it is used.

use super::error::FormatError;
use super::manifest::{CHUNK_BYTES, FileEntry};
use super::reader::WeightsReader;
use crate::config::Config;
use crate::model::{Model, ModelBuilder};

/// Takes `model.safetensors` in pieces of any size.
#[derive(Debug)]
pub struct ModelStream {
    reader: WeightsReader,
    builder: ModelBuilder,
    /// What the manifest says of the file, where there is one.
    entry: Option<FileEntry>,
    /// The bytes of a chunk that is not whole yet; empty without `entry`.
    chunk: Vec<u8>,
    /// Chunks checked.
    checked: usize,
}

impl ModelStream {
    /// For the weights of `config`, from a file of `file_bytes` bytes, which `entry` describes if it is given.
    pub fn new(config: Config, entry: Option<FileEntry>, file_bytes: u64) -> Result<Self, FormatError> {
        if let Some(entry) = &entry {
            entry.verify_size(file_bytes)?;
        }
        let reader = WeightsReader::new(&config, file_bytes);
        Ok(Self { reader, builder: ModelBuilder::new(config), entry, chunk: Vec::new(), checked: 0 })
    }

    /// Takes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), FormatError> {
        if self.entry.is_none() {
            return self.read(bytes);
        }
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES as usize - self.chunk.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
            if self.chunk.len() == CHUNK_BYTES as usize {
                self.take_chunk()?;
            }
        }
        Ok(())
    }

    /// The model, once the last byte is there.
    pub fn finish(mut self) -> Result<Model, FormatError> {
        if !self.chunk.is_empty() {
            self.take_chunk()?;
        }
        self.builder.build(self.reader.finish()?)
    }

    fn take_chunk(&mut self) -> Result<(), FormatError> {
        let mut chunk = std::mem::take(&mut self.chunk);
        if let Some(entry) = &self.entry {
            entry.verify_chunk(self.checked, &chunk)?;
        }
        self.read(&chunk)?;
        self.checked += 1;
        chunk.clear();
        self.chunk = chunk;
        Ok(())
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        self.reader.push(bytes, |spec, tensor| self.builder.insert(&spec.name, tensor))
    }
}
