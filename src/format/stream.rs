//! A model from the stream of its weights, with every byte checked against the manifest before it is used.

use std::collections::VecDeque;

use sha2::{Digest, Sha256};

use super::error::FormatError;
use super::incoming::{self, Incoming, WeightsFile};
use super::layout::TensorSpec;
use super::reader::{Tensor, WeightsReader};
use crate::config::Config;
use crate::model::{Model, ModelBuilder};

/// What tensors are handed to as they come: main memory, or a GPU's.
pub trait Receiver {
    /// Takes a checked tensor.
    fn receive(&mut self, spec: &TensorSpec, tensor: Tensor);
}

/// Takes the files that hold a model's weights, one after the other, each in parts of any size.
///
/// Beside what its receiver has so far it holds a tensor and a chunk of 1 MiB, however many files there are.
#[derive(Debug)]
pub struct ModelStream<R = ModelBuilder> {
    reader: WeightsReader,
    receiver: R,
    /// What has not begun.
    files: VecDeque<WeightsFile>,
    current: Option<Incoming>,
    /// Of the hashes of the chunks: [`super::identity`].
    identity: Sha256,
}

impl ModelStream {
    /// For the weights of `config`, which lie in `files`, in this order.
    pub fn new(config: Config, files: Vec<WeightsFile>) -> Self {
        Self::into(ModelBuilder::new(config.clone()), &config, files)
    }

    /// The model, once the last byte of the last file is there.
    pub fn finish(self) -> Result<Model, FormatError> {
        let (builder, identity) = self.close()?;
        builder.build(identity)
    }
}

impl<R: Receiver> ModelStream<R> {
    /// For the weights of `config`, which lie in `files`, in this order; `receiver` gets them.
    pub fn into(receiver: R, config: &Config, files: Vec<WeightsFile>) -> Self {
        let reader = WeightsReader::new(config, incoming::total(&files));
        Self { reader, receiver, files: files.into(), current: None, identity: Sha256::new() }
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
            self.reader.push(checked, |spec, tensor| self.receiver.receive(spec, tensor))
        })
    }

    /// The receiver, with all tensors, and the model's identity ([`super::identity`]), once the last byte of the last file is
    /// there.
    pub fn close(mut self) -> Result<(R, [u8; 32]), FormatError> {
        self.end()?;
        if let Some(missing) = self.files.front() {
            return Err(FormatError::Pieces(format!("{} is missing; fetch it too", missing.name())));
        }
        self.reader.finish()?;
        Ok((self.receiver, self.identity.finalize().into()))
    }

    fn end(&mut self) -> Result<(), FormatError> {
        self.current.take().map_or(Ok(()), Incoming::finish)
    }
}
