//! The model format of `models/FORMAT.md`: what a reader must enforce, enforced.
//!
//! Bytes come from a directory, from memory, or in chunks from a network; nothing is allocated on a file's word before
//! its length has been checked, and no input makes this module panic.

mod directory;
mod error;
mod header;
mod incoming;
mod layout;
mod manifest;
mod packed;
mod pieces;
mod reader;
mod stream;
mod writer;

pub use directory::{ModelFile, open, verify_whole, weights_files};
pub use error::FormatError;
pub(crate) use error::clip;
pub use incoming::{WeightsFile, identity};
pub use layout::{Dtype, TensorSpec, tensors};
pub use manifest::{CHUNK_BYTES, FileEntry, Manifest, sha256_hex};
pub use packed::field;
pub use pieces::{WEIGHTS, is_weights, piece_name};
pub use reader::{Tensor, WeightsReader};
pub use stream::{ModelStream, Receiver};
pub(crate) use writer::tensor_bytes;
pub use writer::{files, weights};
