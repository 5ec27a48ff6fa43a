//! The `mar` command as a shell sees it: what it prints, where, and what it ends with.

mod bench;
mod common;
mod eval;
mod files;
mod pipes;
mod talk;
#[cfg(target_os = "linux")]
mod terminal;
