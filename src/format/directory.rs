//! A model directory on disk.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::FormatError;
use super::manifest::{CHUNK_BYTES, Manifest};
use super::stream::ModelStream;
use crate::config::Config;
use crate::model::Model;

/// A file of a model directory, read whole and checked against the manifest where there is one.
#[derive(Debug)]
pub struct ModelFile {
    /// Where it was read.
    pub path: PathBuf,
    /// Its contents.
    pub bytes: Vec<u8>,
}

impl ModelFile {
    /// Reads `name` in `directory`; files over `limit` bytes are refused before they are read.
    pub fn read(directory: &Path, name: &str, limit: u64) -> Result<Self, FormatError> {
        let path = directory.join(name);
        let (file, size) = open_file(&path)?;
        if size > limit {
            let message = format!("{size} bytes, expected at most {limit}");
            return Err(io(&path, std::io::Error::new(std::io::ErrorKind::FileTooLarge, message)));
        }
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes).map_err(|e| io(&path, e))?;
        if let Some(entry) = manifest(directory)?.as_ref().and_then(|m| m.file(name)) {
            entry.verify(&bytes)?;
        }
        Ok(Self { path, bytes })
    }
}

/// Loads a model directory. Where it has a `manifest.json`, every byte is checked against it.
///
/// `progress` gets (bytes read, bytes in all) of `model.safetensors`.
pub fn open(directory: &Path, mut progress: impl FnMut(u64, u64)) -> Result<Model, FormatError> {
    let config = Config::parse(&ModelFile::read(directory, "config.json", 1 << 20)?.bytes)?;
    let entry = manifest(directory)?.as_ref().and_then(|m| m.file("model.safetensors")).cloned();
    let path = directory.join("model.safetensors");
    let (mut file, size) = open_file(&path)?;
    let mut stream = ModelStream::new(config, entry, size)?;
    let mut piece = Vec::with_capacity(CHUNK_BYTES as usize);
    let mut read = 0;
    loop {
        piece.clear();
        (&mut file).take(CHUNK_BYTES).read_to_end(&mut piece).map_err(|e| io(&path, e))?;
        if piece.is_empty() {
            return stream.finish();
        }
        stream.push(&piece)?;
        read += piece.len() as u64;
        progress(read, size);
    }
}

fn manifest(directory: &Path) -> Result<Option<Manifest>, FormatError> {
    let path = directory.join("manifest.json");
    match fs::read(&path) {
        Ok(json) => Manifest::parse(&json).map(Some),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io(&path, e)),
    }
}

fn open_file(path: &Path) -> Result<(File, u64), FormatError> {
    let file = File::open(path).map_err(|e| io(path, e))?;
    let size = file.metadata().map_err(|e| io(path, e))?.len();
    Ok((file, size))
}

fn io(path: &Path, source: std::io::Error) -> FormatError {
    FormatError::Io { path: path.into(), source }
}
