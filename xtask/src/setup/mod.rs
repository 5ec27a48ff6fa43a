//! `cargo xtask setup`: what building and testing need, installed where it may be, named where it may not.

mod browser;
mod node;
mod python;
mod system;
pub mod wasm;

pub use browser::chromium;
pub use node::packages;
pub use python::environment;
pub use system::software_vulkan;

use anyhow::Result;

/// Everything.
pub fn all() -> Result<()> {
    let toolchain = wasm::install()?;
    println!("WebAssembly: {toolchain}");
    packages()?;
    println!("Node packages: www/node_modules");
    environment()?;
    println!("Python environment: .venv");
    println!("browser: {}", chromium()?.display());
    println!("software Vulkan: {}", software_vulkan()?);
    Ok(())
}
