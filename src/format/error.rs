//! What can be wrong with a model's files, in words that say which file, which tensor, what was expected and found.

use std::path::PathBuf;

use crate::config::ConfigError;

/// Characters of others that an error repeats.
const CLIPPED: usize = 200;

/// Why a model was refused. Nothing of it is loaded then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// `config.json`.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A safetensors header that breaks the safetensors rules, or ours on its size.
    #[error("model.safetensors: the header {0}")]
    Header(String),
    /// A file of another length than its header and config promise.
    #[error("model.safetensors: {found} bytes, but header and config.json make it {expected}; fetch the file again")]
    Length {
        /// 8 + header + tensors.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// A tensor that config.json requires.
    #[error("model.safetensors: tensor {0} is missing")]
    Missing(String),
    /// A tensor that config.json does not know.
    #[error("model.safetensors: tensor {0:?} is not part of this network")]
    Unknown(String),
    /// A tensor of another type, shape or place.
    #[error("model.safetensors: tensor {tensor}: {what} is {found}, expected {expected}")]
    Tensor {
        /// Its name.
        tensor: String,
        /// `type`, `shape` or `offset`.
        what: &'static str,
        /// By the file.
        found: String,
        /// By config.json and the format.
        expected: String,
    },
    /// A value that the format does not allow.
    #[error("model.safetensors: tensor {tensor}: element {index} is {found}, expected {expected}")]
    Value {
        /// The tensor's name.
        tensor: String,
        /// Place in row-major order (packed matrices: of the integer; of the byte where padding is meant).
        index: usize,
        /// What is there.
        found: String,
        /// What may be.
        expected: &'static str,
    },
    /// Not enough memory for a tensor whose size was checked.
    #[error("not enough memory for tensor {tensor} of {bytes} bytes; close other programs or take a smaller model")]
    OutOfMemory {
        /// Its name.
        tensor: String,
        /// Its size.
        bytes: usize,
    },
    /// The pieces of the weights are not those of one file.
    #[error("the weights are in pieces, but {0}")]
    Pieces(String),
    /// A file of the weights that is not the one that comes next.
    #[error("{found} came, but {expected} is next")]
    Order {
        /// What came.
        found: String,
        /// What the manifest has next.
        expected: String,
    },
    /// A file with more or fewer bytes than were announced.
    #[error("{file}: {found} bytes came, expected {expected}; fetch the file again")]
    Received {
        /// The file.
        file: String,
        /// Bytes that came: all, or so many that it is clear that they are too many.
        found: u64,
        /// Bytes that were announced.
        expected: u64,
    },
    /// A file that nothing vouches for.
    #[error("{0}: manifest.json does not list this file; fetch the model again")]
    NotListed(String),
    /// `manifest.json` breaks a rule.
    #[error("manifest.json: {0}")]
    Manifest(String),
    /// Bytes that are not those the manifest names.
    #[error("{file}: {part} has sha-256 {found}, but manifest.json says {expected}; fetch the file again")]
    Hash {
        /// The file.
        file: String,
        /// `chunk 3`, or `the file`.
        part: String,
        /// Of the bytes at hand.
        found: String,
        /// By the manifest.
        expected: String,
    },
    /// A file of another size than the manifest says.
    #[error("{file}: {found} bytes, but manifest.json says {expected}; fetch the file again")]
    Size {
        /// The file.
        file: String,
        /// Bytes at hand.
        found: u64,
        /// Bytes by the manifest.
        expected: u64,
    },
}

/// The beginning of a text of somebody else's: a sentence stays one, however long a name in a file is.
pub(crate) fn clip(text: &str) -> String {
    let mut clipped: String = text.chars().take(CLIPPED).collect();
    if clipped.len() < text.len() {
        clipped.push('…');
    }
    clipped
}
