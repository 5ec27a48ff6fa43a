//! One file of the weights, checked while its bytes come.

use sha2::{Digest, Sha256};

use super::error::FormatError;
use super::manifest::{CHUNK_BYTES, FileEntry};

/// A file that holds weights, or a piece of them, before it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WeightsFile {
    /// As a manifest describes it.
    Listed(FileEntry),
    /// Of a model without a manifest.
    Unlisted {
        /// Its name.
        name: String,
        /// Its size.
        bytes: u64,
    },
}

impl WeightsFile {
    /// The file's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Listed(entry) => &entry.path,
            Self::Unlisted { name, .. } => name,
        }
    }

    /// The file's size.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Listed(entry) => entry.bytes,
            Self::Unlisted { bytes, .. } => *bytes,
        }
    }
}

/// What ties a state to its model: the sha-256 of the sha-256 of each 1 MiB chunk of `model.safetensors`, one after the
/// other. A loader forms it from the hashes that it checks, so no byte is hashed twice, and pieces have that of the whole.
pub fn identity(weights: &[u8]) -> [u8; 32] {
    let chunks = weights.chunks(CHUNK_BYTES as usize);
    chunks.fold(Sha256::new(), |all, chunk| all.chain_update(Sha256::digest(chunk))).finalize().into()
}

/// The bytes of all files together. More than there can be stay more than there can be.
pub(super) fn total(files: &[WeightsFile]) -> u64 {
    files.iter().map(WeightsFile::bytes).fold(0, u64::saturating_add)
}

/// A file of which some bytes are there.
#[derive(Debug)]
pub(super) struct Incoming {
    file: WeightsFile,
    received: u64,
    /// The bytes of a chunk that is not whole yet.
    chunk: Vec<u8>,
    /// Chunks checked.
    checked: usize,
}

impl Incoming {
    /// Nothing of `file` yet.
    pub fn new(file: WeightsFile) -> Self {
        Self { file, received: 0, chunk: Vec::new(), checked: 0 }
    }

    /// Takes the next bytes; `sink` gets those that may be used, chunks that are what the manifest says, with their sha-256.
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        mut sink: impl FnMut(&[u8], [u8; 32]) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        self.received += bytes.len() as u64;
        if self.received > self.file.bytes() {
            return Err(self.wrong_length());
        }
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES as usize - self.chunk.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
            let last = bytes.is_empty() && self.received == self.file.bytes();
            if last || self.chunk.len() == CHUNK_BYTES as usize {
                let digest = match &self.file {
                    WeightsFile::Listed(entry) => entry.verify_chunk(self.checked, &self.chunk)?,
                    WeightsFile::Unlisted { .. } => Sha256::digest(&self.chunk).into(),
                };
                sink(&self.chunk, digest)?;
                self.checked += 1;
                self.chunk.clear();
            }
        }
        Ok(())
    }

    /// Checks that the file is whole. Its chunks have been checked, so its own hash would say nothing new.
    pub fn finish(self) -> Result<(), FormatError> {
        if self.received == self.file.bytes() { Ok(()) } else { Err(self.wrong_length()) }
    }

    fn wrong_length(&self) -> FormatError {
        FormatError::Received { file: self.file.name().into(), found: self.received, expected: self.file.bytes() }
    }
}
