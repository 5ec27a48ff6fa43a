//! A model directory on disk.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::FormatError;
use super::manifest::{CHUNK_BYTES, Manifest};
use super::stream::ModelStream;
use crate::config::Config;
use crate::model::Model;

/// The weights, whole.
const WEIGHTS: &str = "model.safetensors";

/// Pieces that the weights may lie in: two digits number them.
const MAX_PIECES: u32 = 100;

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
/// `progress` gets (bytes read, bytes in all) of `model.safetensors`, which may lie there in pieces.
pub fn open(directory: &Path, mut progress: impl FnMut(u64, u64)) -> Result<Model, FormatError> {
    let config = Config::parse(&ModelFile::read(directory, "config.json", 1 << 20)?.bytes)?;
    let manifest = manifest(directory)?;
    let entry = |name: &str| manifest.as_ref().and_then(|m| m.file(name));
    let pieces = weights_files(directory)?;
    let mut size = 0;
    for name in &pieces {
        let (_, bytes) = open_file(&directory.join(name))?;
        entry(name).map_or(Ok(()), |entry| entry.verify_size(bytes))?;
        size += bytes;
    }
    // Chunks are checked here, each against its piece's entry.
    let mut stream = ModelStream::new(config, None, size)?;
    let mut chunk = Vec::with_capacity(CHUNK_BYTES as usize);
    let mut read = 0;
    for name in &pieces {
        let path = directory.join(name);
        let (mut file, _) = open_file(&path)?;
        for index in 0.. {
            chunk.clear();
            (&mut file).take(CHUNK_BYTES).read_to_end(&mut chunk).map_err(|e| io(&path, e))?;
            if chunk.is_empty() {
                break;
            }
            entry(name).map_or(Ok(()), |entry| entry.verify_chunk(index, &chunk))?;
            stream.push(&chunk)?;
            read += chunk.len() as u64;
            progress(read, size);
        }
    }
    stream.finish()
}

/// The names of the files that hold a directory's weights, in order: `model.safetensors`, or its pieces `.00`, `.01`, …
pub fn weights_files(directory: &Path) -> Result<Vec<String>, FormatError> {
    let piece = |number| format!("{WEIGHTS}.{number:02}");
    let there = |name: &str| directory.join(name).exists();
    let last = (0..MAX_PIECES).rev().find(|&number| there(&piece(number)));
    let Some(last) = last else {
        return Ok(vec![WEIGHTS.into()]);
    };
    if there(WEIGHTS) {
        return Err(FormatError::Pieces(format!("{WEIGHTS} lies beside {}; remove what is old", piece(last))));
    }
    let pieces: Vec<String> = (0..=last).map(piece).collect();
    match pieces.iter().find(|name| !there(name)) {
        Some(missing) => Err(FormatError::Pieces(format!("{missing} is missing; fetch the model again"))),
        None => Ok(pieces),
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
