//! Which Rust builds for WebAssembly.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::system::apt_install;
use crate::paths;
use crate::run::{cargo, command, output, which};

/// The target.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// The target of tests, which print what they find.
pub const TEST_TARGET: &str = "wasm32-wasip1";

const DEBIAN_PACKAGES: [&str; 6] =
    ["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm", "rust-web-clippy", "lld-19"];

const DEBIAN_CLIPPY: &str = "/usr/bin/cargo-clippy";

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
            Toolchain::Debian => debian_command("/usr/bin/cargo", subcommand),
        };
        into_own_folder(&mut cargo);
        cargo
    }

    /// clippy of this toolchain; `None` where it is not there.
    pub fn clippy(self) -> Option<Command> {
        let mut clippy = match self {
            Toolchain::Active => {
                output(&mut cargo(&["clippy", "--version"]))?;
                cargo(&["clippy"])
            }
            // Asked for by name, as /usr/bin/cargo would find rustup's first.
            Toolchain::Debian if Path::new(DEBIAN_CLIPPY).exists() => debian_command(DEBIAN_CLIPPY, "clippy"),
            Toolchain::Debian => return None,
        };
        into_own_folder(&mut clippy);
        Some(clippy)
    }

    /// What its rustc says of itself: what is built by another one is stale.
    pub fn version(self) -> Result<String> {
        let rustc = match self {
            Toolchain::Active => active_rustc(),
            Toolchain::Debian => "/usr/bin/rustc".into(),
        };
        output(command(&rustc).arg("-vV")).with_context(|| format!("{} -vV does not run", rustc.display()))
    }
}

/// A program of Debian's toolchain, which builds the standard library too.
fn debian_command(program: &str, subcommand: &str) -> Command {
    let mut command = command(program);
    command.args([subcommand, "-Z", "build-std=std,panic_abort"]);
    // rustup sets both for the toolchain that runs xtask.
    command.env_remove("RUSTUP_TOOLCHAIN").env("CARGO", "/usr/bin/cargo");
    command.envs([
        ("RUSTC", "/usr/bin/rustc"),
        ("RUSTDOC", "/usr/bin/rustdoc"),
        ("RUSTC_BOOTSTRAP", "1"),
        ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld-19"),
    ]);
    command
}

fn into_own_folder(cargo: &mut Command) {
    cargo.args(["--target", TARGET, "--target-dir"]).arg(paths::root().join("target/wasm"));
}

fn active_rustc() -> OsString {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

/// The toolchain to build with; installs one if there is none.
pub fn install() -> Result<Toolchain> {
    if let Some(found) = find() {
        return Ok(found);
    }
    if add(TARGET) {
        return Ok(Toolchain::Active);
    }
    apt_install(
        &DEBIAN_PACKAGES,
        "this Rust cannot build for WebAssembly; run: rustup target add wasm32-unknown-unknown",
    )?;
    find().context("the packages are installed, but their compiler does not list wasm32-unknown-unknown")
}

/// A toolchain that is there already.
pub fn find() -> Option<Toolchain> {
    if active(TARGET) {
        return Some(Toolchain::Active);
    }
    debian().then_some(Toolchain::Debian)
}

/// Whether tests can be built for WebAssembly; asks rustup for what they lack. Debian has no library of this target.
pub fn can_test() -> bool {
    active(TEST_TARGET) || add(TEST_TARGET)
}

/// Has rustup add a target's standard library, and says whether it is there then.
fn add(target: &str) -> bool {
    which("rustup").is_some() && output(command("rustup").args(["target", "add", target])).is_some() && active(target)
}

/// Whether the active toolchain has a target's standard library.
fn active(target: &str) -> bool {
    output(command(active_rustc()).args(["--print", "target-libdir", "--target", target]))
        .is_some_and(|dir| has_std(dir.into()))
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
