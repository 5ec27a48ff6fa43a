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

/// The bytes of all files together. More than there can be stay more than there can be.
pub(super) fn total(files: &[WeightsFile]) -> u64 {
    files.iter().map(WeightsFile::bytes).fold(0, u64::saturating_add)
}

/// A file of which some bytes are there.
#[derive(Debug)]
pub(super) struct Incoming {
    file: WeightsFile,
    received: u64,
    /// The bytes of a chunk that is not whole yet; always empty for a file that no manifest lists.
    chunk: Vec<u8>,
    /// Chunks checked.
    checked: usize,
    hash: Sha256,
}

impl Incoming {
    /// Nothing of `file` yet.
    pub fn new(file: WeightsFile) -> Self {
        Self { file, received: 0, chunk: Vec::new(), checked: 0, hash: Sha256::new() }
    }

    /// Takes the next bytes; `sink` gets those that may be used: chunks that are what the manifest says.
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        mut sink: impl FnMut(&[u8]) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        self.received += bytes.len() as u64;
        if self.received > self.file.bytes() {
            return Err(self.wrong_length());
        }
        let WeightsFile::Listed(entry) = &self.file else { return sink(bytes) };
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES as usize - self.chunk.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
            let last = bytes.is_empty() && self.received == entry.bytes;
            if last || self.chunk.len() == CHUNK_BYTES as usize {
                entry.verify_chunk(self.checked, &self.chunk)?;
                self.hash.update(&self.chunk);
                sink(&self.chunk)?;
                self.checked += 1;
                self.chunk.clear();
            }
        }
        Ok(())
    }

    /// Checks that the file is whole.
    pub fn finish(self) -> Result<(), FormatError> {
        if self.received != self.file.bytes() {
            return Err(self.wrong_length());
        }
        match self.file {
            WeightsFile::Listed(entry) => entry.verify_hash(&self.hash.finalize()),
            WeightsFile::Unlisted { .. } => Ok(()),
        }
    }

    fn wrong_length(&self) -> FormatError {
        FormatError::Received { file: self.file.name().into(), found: self.received, expected: self.file.bytes() }
    }
}
