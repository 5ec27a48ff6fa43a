//! Models, templates and saved conversations that somebody made to do harm are refused with a sentence, having been read a
//! little and having taken little memory. A test binary of its own: it counts what is allocated, one test at a time.
//!
//! Time is bounded by what is counted: bytes of files, bytes of memory, steps of a template.

mod directories;
mod states;
mod templates;
mod tokenizers;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes that refusing a model may take.
const MOST: usize = 256 << 20;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Does something, and returns what came of it and the bytes that it had allocated at most.
fn counted<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let done = work();
    (done, MEMORY.peak_usage().saturating_sub(before))
}

/// Checks that `work` refuses with a short sentence that says `says`, within `most` bytes.
fn refused<T, E: std::fmt::Display>(what: &str, says: &str, most: usize, work: impl FnOnce() -> Result<T, E>) {
    let (outcome, peak) = counted(work);
    let error = match outcome {
        Ok(_) => panic!("{what} was taken"),
        Err(error) => error.to_string(),
    };
    println!("{what}: {} KiB: {error:.200}", peak >> 10);
    assert!(error.contains(says), "{what}: {error:.500}");
    assert!(error.len() < 2_000, "{what}: a sentence of {} bytes", error.len());
    assert!(peak < most, "{what} took {peak} bytes");
}

/// Nobody else allocates meanwhile.
fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A model of the tests.
fn model_directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models").join(name)
}

/// A file of a shipped model.
fn shipped(model: &str, file: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(model).join(file)).expect("a shipped model")
}
