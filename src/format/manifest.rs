//! `manifest.json`: the size and sha-256 of every file, and of each of its 1 MiB chunks.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::{FormatError, clip};
use super::pieces;

/// The size of every chunk but a file's last.
pub const CHUNK_BYTES: u64 = 1 << 20;

/// The largest manifest that is read, in bytes: hashes of about 70 GB of model.
pub(super) const MAX_BYTES: usize = 8 << 20;

/// The most files that a manifest lists: a hundred pieces of weights, and room for others.
const MAX_FILES: usize = 1_000;

/// `manifest.json`, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: String,
    format_version: u32,
    chunk_bytes: u64,
    /// Every file but the manifest.
    pub files: Vec<FileEntry>,
}

/// What the manifest says of one file. Hashes are 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// A plain file name.
    pub path: String,
    /// The file's size.
    pub bytes: u64,
    /// Of the whole file.
    pub sha256: String,
    /// Of each chunk.
    pub chunks: Vec<String>,
}

impl Manifest {
    /// Reads and checks the bytes of a `manifest.json`.
    pub fn parse(json: &[u8]) -> Result<Self, FormatError> {
        if json.len() > MAX_BYTES {
            return Err(FormatError::Manifest(format!("has {} bytes, expected at most {MAX_BYTES}", json.len())));
        }
        let manifest: Self = serde_json::from_slice(json)
            .map_err(|e| FormatError::Manifest(format!("is not a MAR manifest: {}", clip(&e.to_string()))))?;
        manifest.check().map_err(FormatError::Manifest)?;
        Ok(manifest)
    }

    /// The manifest of these files: (name, contents).
    pub fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let files = files.into_iter().map(|(path, contents)| FileEntry {
            path: path.into(),
            bytes: contents.len() as u64,
            sha256: sha256_hex(contents),
            chunks: contents.chunks(CHUNK_BYTES as usize).map(sha256_hex).collect(),
        });
        Self { format: "mar-manifest".into(), format_version: 1, chunk_bytes: CHUNK_BYTES, files: files.collect() }
    }

    /// The `manifest.json` of this manifest.
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("a plain struct of numbers and strings");
        json.push('\n');
        json
    }

    /// The entry of a file, if it is listed.
    pub fn file(&self, path: &str) -> Option<&FileEntry> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The files that hold the weights, in order: `model.safetensors`, or its pieces.
    pub fn weights(&self) -> Vec<&FileEntry> {
        let mut weights: Vec<_> = self.files.iter().filter(|file| pieces::is_weights(&file.path)).collect();
        weights.sort_unstable_by_key(|file| &file.path);
        weights
    }

    fn check(&self) -> Result<(), String> {
        let head = (self.format.as_str(), self.format_version, self.chunk_bytes);
        if head != ("mar-manifest", 1, CHUNK_BYTES) {
            return Err(format!(
                "format, version and chunk size are {}, expected \"mar-manifest\", 1, {CHUNK_BYTES}",
                clip(&format!("{head:?}"))
            ));
        }
        if self.files.len() > MAX_FILES {
            return Err(format!("lists {} files, expected at most {MAX_FILES}", self.files.len()));
        }
        let mut names = HashSet::new();
        for file in &self.files {
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            let name = &file.path;
            if name.is_empty() || name.len() > 255 || name.starts_with('.') || !name.chars().all(plain) {
                return Err(format!("file {:?} is not a plain file name", clip(name)));
            }
            if !names.insert(name) {
                return Err(format!("file {name} is listed twice"));
            }
            let chunks = file.bytes.div_ceil(CHUNK_BYTES);
            if file.chunks.len() as u64 != chunks {
                return Err(format!("file {name} has {} chunk hashes, expected {chunks}", file.chunks.len()));
            }
            let digest =
                |hash: &String| hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            if let Some(hash) = file.chunks.iter().chain([&file.sha256]).find(|hash| !digest(hash)) {
                return Err(format!(
                    "file {name} has the hash {:?}, expected 64 lower-case hexadecimal digits",
                    clip(hash)
                ));
            }
        }
        let weights = self.weights();
        if weights.is_empty() {
            return Err(format!("lists neither {} nor pieces of it", pieces::WEIGHTS));
        }
        pieces::check_names(weights.iter().map(|file| file.path.as_str()))
            .and_then(|()| pieces::check_sizes(weights.iter().map(|file| (file.path.as_str(), file.bytes))))
            .map_err(|problem| format!("of the pieces of the weights, {problem}"))
    }
}

impl FileEntry {
    /// Checks a whole file: its size, the hash of every chunk, and its own.
    pub fn verify(&self, contents: &[u8]) -> Result<(), FormatError> {
        self.verify_size(contents.len() as u64)?;
        let mut chunks = contents.chunks(CHUNK_BYTES as usize).enumerate();
        chunks.try_for_each(|(index, chunk)| self.verify_chunk(index, chunk).map(drop))?;
        self.verify_hash(&Sha256::digest(contents))
    }

    /// Checks a file's size.
    pub fn verify_size(&self, found: u64) -> Result<(), FormatError> {
        if found == self.bytes {
            return Ok(());
        }
        Err(FormatError::Size { file: self.path.clone(), found, expected: self.bytes })
    }

    /// Checks one chunk: exactly the bytes from `index` · [`CHUNK_BYTES`] on. Returns its sha-256.
    pub fn verify_chunk(&self, index: usize, contents: &[u8]) -> Result<[u8; 32], FormatError> {
        let part = format!("chunk {index}");
        match self.chunks.get(index) {
            Some(expected) => {
                let digest: [u8; 32] = Sha256::digest(contents).into();
                self.compare(part, hex(&digest), expected)?;
                Ok(digest)
            }
            None => Err(FormatError::Manifest(format!("{} has no {part}", self.path))),
        }
    }

    /// Checks the sha-256 of a whole file.
    pub fn verify_hash(&self, digest: &[u8]) -> Result<(), FormatError> {
        self.compare("the file".into(), hex(digest), &self.sha256)
    }

    fn compare(&self, part: String, found: String, expected: &str) -> Result<(), FormatError> {
        if found == expected {
            return Ok(());
        }
        Err(FormatError::Hash { file: self.path.clone(), part, found, expected: expected.into() })
    }
}

/// The sha-256 of some bytes, as a manifest writes it.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|b| format!("{b:02x}")).collect()
}
