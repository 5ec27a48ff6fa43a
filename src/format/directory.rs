//! A model directory on disk.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::FormatError;
use super::incoming::{self, WeightsFile};
use super::manifest::{CHUNK_BYTES, FileEntry, MAX_BYTES, Manifest};
use super::pieces::{self, WEIGHTS, is_weights};
use super::stream::ModelStream;
use crate::config::Config;
use crate::model::Model;

/// Bytes that are read at once: they come beside the chunk that they become part of, and a small model has few of those.
const PART_BYTES: u64 = 64 << 10;

/// The one file that a manifest does not list: itself.
const MANIFEST: &str = "manifest.json";

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
        let bytes = read(&path, limit)?;
        if let Some(manifest) = manifest(directory)?.filter(|_| name != MANIFEST) {
            manifest.file(name).ok_or_else(|| FormatError::NotListed(name.into()))?.verify(&bytes)?;
        }
        Ok(Self { path, bytes })
    }
}

/// Loads a model directory. Where it has a `manifest.json`, every byte is checked against it.
///
/// `progress` gets (bytes read, bytes in all) of the weights, which may lie there in pieces.
pub fn open(directory: &Path, mut progress: impl FnMut(u64, u64)) -> Result<Model, FormatError> {
    let config = Config::parse(&ModelFile::read(directory, "config.json", 1 << 20)?.bytes)?;
    let files = weights(directory)?;
    let total = incoming::total(&files);
    let mut stream = ModelStream::new(config, files.clone());
    let mut part = Vec::with_capacity(PART_BYTES as usize);
    let mut read = 0;
    for file in &files {
        let path = directory.join(file.name());
        let (mut contents, size) = open_file(&path)?;
        stream.begin(file.name(), size)?;
        loop {
            part.clear();
            (&mut contents).take(PART_BYTES).read_to_end(&mut part).map_err(|e| io(&path, e))?;
            if part.is_empty() {
                break;
            }
            stream.push(&part)?;
            read += part.len() as u64;
            progress(read, total);
        }
    }
    stream.finish()
}

/// Reads a file through, and checks its size and the hash of the whole, which loading leaves out as it checks every chunk.
/// `each` gets the bytes, part by part.
pub fn verify_whole(directory: &Path, entry: &FileEntry, mut each: impl FnMut(&[u8])) -> Result<(), FormatError> {
    let path = directory.join(&entry.path);
    let (mut contents, size) = open_file(&path)?;
    entry.verify_size(size)?;
    let (mut hash, mut part) = (Sha256::new(), Vec::with_capacity(CHUNK_BYTES as usize));
    loop {
        part.clear();
        (&mut contents).take(CHUNK_BYTES).read_to_end(&mut part).map_err(|e| io(&path, e))?;
        if part.is_empty() {
            return entry.verify_hash(&hash.finalize());
        }
        hash.update(&part);
        each(&part);
    }
}

/// The names of the files that hold a directory's weights, in order: `model.safetensors`, or its pieces `.00`, `.01`, …
pub fn weights_files(directory: &Path) -> Result<Vec<String>, FormatError> {
    let entries = fs::read_dir(directory).map_err(|e| io(directory, e))?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<Result<Vec<_>, _>>().map_err(|e| io(directory, e))?;
    names.retain(|name| is_weights(name));
    names.sort_unstable();
    pieces::check_names(names.iter().map(String::as_str)).map_err(FormatError::Pieces)?;
    // Whoever opens it says that it is not there.
    Ok(if names.is_empty() { vec![WEIGHTS.into()] } else { names })
}

/// The files that hold a directory's weights: those that its manifest lists, where it has one, and no others.
fn weights(directory: &Path) -> Result<Vec<WeightsFile>, FormatError> {
    let (manifest, names) = (manifest(directory)?, weights_files(directory)?);
    let listed = manifest.as_ref().map(Manifest::weights).unwrap_or_default();
    if let Some(missing) = listed.iter().find(|entry| !names.contains(&entry.path)) {
        return Err(FormatError::Pieces(format!("{} is missing; fetch the model again", missing.path)));
    }
    let mut files = Vec::new();
    for name in names {
        let (_, bytes) = open_file(&directory.join(&name))?;
        let Some(manifest) = &manifest else {
            files.push(WeightsFile::Unlisted { name, bytes });
            continue;
        };
        let entry = manifest.file(&name).ok_or(FormatError::NotListed(name))?;
        entry.verify_size(bytes)?;
        files.push(WeightsFile::Listed(entry.clone()));
    }
    pieces::check_sizes(files.iter().map(|file| (file.name(), file.bytes()))).map_err(FormatError::Pieces)?;
    Ok(files)
}

fn manifest(directory: &Path) -> Result<Option<Manifest>, FormatError> {
    match read(&directory.join(MANIFEST), MAX_BYTES as u64) {
        Ok(json) => Manifest::parse(&json).map(Some),
        Err(FormatError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// A file's bytes; one over `limit` is refused before it is read.
fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FormatError> {
    let (file, size) = open_file(path)?;
    if size > limit {
        let message = format!("{size} bytes, expected at most {limit}");
        return Err(io(path, std::io::Error::new(std::io::ErrorKind::FileTooLarge, message)));
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(|e| io(path, e))?;
    Ok(bytes)
}

/// A file and its size. A pipe or a device, which would keep its reader waiting or never end, is none.
fn open_file(path: &Path) -> Result<(File, u64), FormatError> {
    let about = fs::metadata(path).map_err(|e| io(path, e))?;
    if !about.is_file() {
        return Err(io(path, std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is not a plain file")));
    }
    let file = File::open(path).map_err(|e| io(path, e))?;
    Ok((file, about.len()))
}

fn io(path: &Path, source: std::io::Error) -> FormatError {
    FormatError::Io { path: path.into(), source }
}
