//! Where things are.

use std::path::{Path, PathBuf};

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The front end's sources.
pub fn www() -> PathBuf {
    root().join("www")
}

/// The built page.
pub fn dist() -> PathBuf {
    root().join("dist")
}

/// A command of a Node package of `www/`.
pub fn node_bin(name: &str) -> PathBuf {
    let suffix = if cfg!(windows) { ".cmd" } else { "" };
    www().join("node_modules/.bin").join(format!("{name}{suffix}"))
}

/// A command of the virtual environment of `training/`.
pub fn python_bin(name: &str) -> PathBuf {
    root().join(if cfg!(windows) { ".venv/Scripts" } else { ".venv/bin" }).join(name)
}

/// Where xtask keeps what is not for git: stamps, a bench's models.
pub fn scratch() -> PathBuf {
    root().join("target/xtask")
}
