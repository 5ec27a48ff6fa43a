//! The records that `mar eval` reads: JSON lines, each a chat or a text.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use mar::chat::Message;
use serde::Deserialize;

/// One line.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Record {
    /// A conversation.
    Chat {
        /// Its turns.
        messages: Vec<Message>,
    },
    /// A text without turns.
    Text {
        /// All of it.
        text: String,
    },
}

/// Why a file of records was refused.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not there, or not readable.
    #[error("cannot read {}: {source}", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    /// Bytes in another encoding, or no text at all.
    #[error(
        "{}, line {line}: byte {at} of the line is 0x{byte:02x}, which is not UTF-8; convert the file, for example with \
         iconv -f ISO-8859-1 -t UTF-8, or remove the line",
        file.display()
    )]
    NotUtf8 {
        file: PathBuf,
        /// From 1.
        line: usize,
        /// From 1.
        at: usize,
        byte: u8,
    },
    /// Text, but no record.
    #[error("{}, line {line}: not a chat or text: {source}", file.display())]
    NotRecord {
        file: PathBuf,
        /// From 1.
        line: usize,
        source: serde_json::Error,
    },
}

/// The records on the first `lines` lines of `file`. Empty lines are skipped.
pub fn read(file: &Path, lines: usize) -> Result<Vec<Record>, RecordError> {
    let unreadable = |source| RecordError::Unreadable { file: file.into(), source };
    let contents = BufReader::new(File::open(file).map_err(unreadable)?);
    let mut records = Vec::new();
    for (line, bytes) in (1..).zip(contents.split(b'\n').take(lines)) {
        let bytes = bytes.map_err(unreadable)?;
        let text = str::from_utf8(&bytes).map_err(|error| {
            let at = error.valid_up_to();
            RecordError::NotUtf8 { file: file.into(), line, at: at + 1, byte: bytes[at] }
        })?;
        if text.trim().is_empty() {
            continue;
        }
        let record = serde_json::from_str(text);
        records.push(record.map_err(|source| RecordError::NotRecord { file: file.into(), line, source })?);
    }
    Ok(records)
}
