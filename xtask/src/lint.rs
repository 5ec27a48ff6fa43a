//! `cargo xtask lint`: formatting, lints, types, documentation, dependencies.

use anyhow::Result;

use crate::run::{cargo, command, run, step};
use crate::{build, paths, setup, supply};

/// All of them.
pub fn all() -> Result<()> {
    rust()?;
    supply::check()?;
    python()?;
    front()
}

/// fmt, clippy, rustdoc.
pub fn rust() -> Result<()> {
    step("cargo fmt", || run(&mut cargo(&["fmt", "--all", "--check"])))?;
    step("cargo clippy", || {
        run(&mut cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    })?;
    wasm()?;
    step("cargo doc", || {
        let mut doc = cargo(&["doc", "--quiet", "--workspace", "--no-deps"]);
        run(doc.env("RUSTDOCFLAGS", "-D warnings"))
    })
}

/// clippy on the engine's library as the browser gets it, where a toolchain for WebAssembly and its clippy are there: parts
/// of the library are compiled for no other target.
fn wasm() -> Result<()> {
    let Some(toolchain) = setup::wasm::find() else {
        println!("== no clippy for WebAssembly: there is no toolchain for it; run: cargo xtask setup");
        return Ok(());
    };
    let Some(mut clippy) = toolchain.clippy() else {
        println!("== no clippy for WebAssembly: install it (Debian: apt-get install rust-web-clippy)");
        return Ok(());
    };
    step("cargo clippy for WebAssembly", || {
        run(clippy.args(["--quiet", "--package", "mar", "--package", "mar-chat", "--lib", "--", "-D", "warnings"]))
    })
}

/// ruff.
pub fn python() -> Result<()> {
    setup::environment()?;
    step("ruff", || {
        run(command(paths::python_bin("ruff")).args(["check", "--quiet", "training"]))?;
        run(command(paths::python_bin("ruff")).args(["format", "--check", "--quiet", "training"]))
    })
}

/// Biome and TypeScript. Types include the engine's, so it is built first.
pub fn front() -> Result<()> {
    setup::packages()?;
    build::engine()?;
    step("biome", || {
        let mut biome = command(paths::node_bin("biome"));
        biome.args(["ci", "--error-on-warnings", "--config-path", ".", ".", "../tests/e2e"]);
        run(biome.current_dir(paths::www()))
    })?;
    step("tsc", || {
        run(command(paths::node_bin("tsc")).args(["--noEmit", "--project", "www"]))?;
        run(command(paths::node_bin("tsc")).args(["--noEmit", "--project", "tests/e2e"]))
    })
}
