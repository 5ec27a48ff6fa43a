//! `cargo xtask build`: the engine as WebAssembly, the front end, the models, together in dist/.

mod front;
mod models;
mod sizes;
mod wasm;

use std::path::PathBuf;

use anyhow::Result;

use crate::paths;

/// Builds what is stale; returns dist/.
pub fn page() -> Result<PathBuf> {
    wasm::engine()?;
    front::bundle()?;
    models::copy()?;
    sizes::check()?;
    Ok(paths::dist())
}

/// Builds the engine alone: what the front end's type checker needs.
pub fn engine() -> Result<()> {
    wasm::engine()
}
