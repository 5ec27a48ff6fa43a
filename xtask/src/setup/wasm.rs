//! Which Rust builds for WebAssembly.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::system::apt_install;
use crate::paths;
use crate::run::{cargo, command, output, which};

/// The target.
pub const TARGET: &str = "wasm32-unknown-unknown";

const DEBIAN_PACKAGES: [&str; 5] = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm", "lld-19"];

/// A toolchain that can build for [`TARGET`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toolchain {
    /// The active one, which has the target's standard library.
    Active,
    /// Debian's, which builds the standard library from source.
    Debian,
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Toolchain::Active => "the active Rust toolchain, which has wasm32-unknown-unknown",
            Toolchain::Debian => "Debian's rustc-web, which builds the standard library from source",
        })
    }
}

impl Toolchain {
    /// cargo of this toolchain, in a target folder of its own: two compilers in one would evict each other's work.
    pub fn cargo(self, subcommand: &str) -> Command {
        let mut cargo = match self {
            Toolchain::Active => cargo(&[subcommand]),
            Toolchain::Debian => {
                let mut cargo = command("/usr/bin/cargo");
                cargo.args([subcommand, "-Z", "build-std=std,panic_abort"]);
                cargo.envs([
                    ("RUSTC", "/usr/bin/rustc"),
                    ("RUSTDOC", "/usr/bin/rustdoc"),
                    ("RUSTC_BOOTSTRAP", "1"),
                    ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld-19"),
                ]);
                // Set by rustup for the toolchain that runs xtask.
                cargo.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
                cargo
            }
        };
        cargo.args(["--target", TARGET, "--target-dir"]).arg(paths::root().join("target/wasm"));
        cargo
    }
}

/// The toolchain to build with; installs one if there is none.
pub fn install() -> Result<Toolchain> {
    if let Some(found) = find() {
        return Ok(found);
    }
    if which("rustup").is_some() && output(command("rustup").args(["target", "add", TARGET])).is_some() && active() {
        return Ok(Toolchain::Active);
    }
    apt_install(
        &DEBIAN_PACKAGES,
        "this Rust cannot build for WebAssembly; run: rustup target add wasm32-unknown-unknown",
    )?;
    find().context("the packages are installed, but their compiler does not list wasm32-unknown-unknown")
}

fn find() -> Option<Toolchain> {
    if active() {
        return Some(Toolchain::Active);
    }
    debian().then_some(Toolchain::Debian)
}

/// Whether the active toolchain has the target's standard library.
fn active() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    output(command(rustc).args(["--print", "target-libdir", "--target", TARGET])).is_some_and(|dir| has_std(dir.into()))
}

fn has_std(directory: PathBuf) -> bool {
    let Ok(files) = std::fs::read_dir(directory) else { return false };
    files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
}

/// Whether Debian's compiler, linker and sources of the standard library are there.
fn debian() -> bool {
    let source = output(command("/usr/bin/rustc").args(["--print", "sysroot"]))
        .is_some_and(|root| Path::new(&root).join("lib/rustlib/src/rust/library/std").exists());
    source && Path::new("/usr/bin/cargo").exists() && which("wasm-ld-19").is_some()
}
