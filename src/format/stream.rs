//! A model from the stream of its weights, with every byte checked against the manifest before it is used.

use std::collections::VecDeque;

use sha2::{Digest, Sha256};

use super::error::FormatError;
use super::incoming::{self, Incoming, WeightsFile};
use super::reader::WeightsReader;
use crate::config::Config;
use crate::model::{Model, ModelBuilder};

/// Takes the files that hold a model's weights, one after the other, each in parts of any size.
///
/// Beside the model so far it holds a tensor and a chunk of 1 MiB, however many files there are.
#[derive(Debug)]
pub struct ModelStream {
    reader: WeightsReader,
    builder: ModelBuilder,
    /// What has not begun.
    files: VecDeque<WeightsFile>,
    current: Option<Incoming>,
    /// Of the hashes of the chunks: [`super::identity`].
    identity: Sha256,
}

impl ModelStream {
    /// For the weights of `config`, which lie in `files`, in this order.
    pub fn new(config: Config, files: Vec<WeightsFile>) -> Self {
        let reader = WeightsReader::new(&config, incoming::total(&files));
        Self { reader, builder: ModelBuilder::new(config), files: files.into(), current: None, identity: Sha256::new() }
    }

    /// Begins the next file, which must be called `name` and have `bytes` bytes.
    pub fn begin(&mut self, name: &str, bytes: u64) -> Result<(), FormatError> {
        self.end()?;
        let order = |next: &str| FormatError::Order { found: name.into(), expected: next.into() };
        match self.files.front() {
            None => return Err(order("the end of the weights")),
            Some(next) if next.name() != name => return Err(order(next.name())),
            Some(WeightsFile::Listed(entry)) => entry.verify_size(bytes)?,
            Some(WeightsFile::Unlisted { .. }) => {}
        }
        self.current = self.files.pop_front().map(Incoming::new);
        Ok(())
    }

    /// Takes the next bytes of the file that has begun.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        let Some(current) = &mut self.current else {
            let next = self.files.front().map_or("the end of the weights", WeightsFile::name);
            return Err(FormatError::Order { found: "a part of no file".into(), expected: next.into() });
        };
        current.push(bytes, |checked, digest| {
            self.identity.update(digest);
            self.reader.push(checked, |spec, tensor| self.builder.insert(&spec.name, tensor))
        })
    }

    /// The model, once the last byte of the last file is there.
    pub fn finish(mut self) -> Result<Model, FormatError> {
        self.end()?;
        if let Some(missing) = self.files.front() {
            return Err(FormatError::Pieces(format!("{} is missing; fetch it too", missing.name())));
        }
        self.reader.finish()?;
        self.builder.build(self.identity.finalize().into())
    }

    fn end(&mut self) -> Result<(), FormatError> {
        self.current.take().map_or(Ok(()), Incoming::finish)
    }
}
