//! The `mar` command as a shell sees it: what it prints, where, and what it ends with.

mod common;
mod eval;
mod files;
mod talk;
