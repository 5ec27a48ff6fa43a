//! Rust to WebAssembly, with its JavaScript face, made smaller by wasm-opt. The result is www/pkg/.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

use crate::fresh::Product;
use crate::paths;
use crate::run::{command, run, step};
use crate::setup;

const INPUTS: [&str; 8] = [
    "src",
    "chat",
    "shaders",
    "Cargo.toml",
    "Cargo.lock",
    ".cargo/config.toml",
    "xtask/src/build/wasm.rs",
    "www/package-lock.json",
];

/// Where the engine goes, for the front end to import.
pub fn pkg() -> PathBuf {
    paths::www().join("pkg")
}

/// Builds the engine, if its sources or its compiler have changed.
pub fn engine() -> Result<()> {
    let toolchain = setup::wasm::install()?;
    let product = Product::new("engine", &INPUTS, &stamp(toolchain)?)?;
    let output = pkg().join("mar_bg.wasm");
    if product.is_fresh(&[&output, &pkg().join("mar.js")]) {
        return Ok(());
    }
    setup::packages()?;
    step(&format!("compile the engine by {toolchain}"), || {
        let mut cargo = toolchain.cargo("rustc");
        cargo.args(["--package", "mar", "--lib", "--crate-type", "cdylib", "--profile", "wasm"]);
        run(cargo.args(["--", "-D", "warnings"]))
    })?;
    step("generate its JavaScript", || {
        let input = paths::root().join("target/wasm").join(setup::wasm::TARGET).join("wasm/mar.wasm");
        let mut bindgen = Bindgen::new();
        bindgen.input_path(input).web(true)?.typescript(true).remove_name_section(true).remove_producers_section(true);
        bindgen.generate(pkg())
    })?;
    step("optimise it by wasm-opt", || {
        let smaller = pkg().join("mar_bg.opt.wasm");
        // What rustc was told to use, and what it uses by itself.
        let features = ["--enable-simd", "--enable-bulk-memory", "--enable-nontrapping-float-to-int"];
        let more = ["--enable-sign-ext", "--enable-mutable-globals", "--enable-reference-types", "--enable-multivalue"];
        let mut opt = command(paths::node_bin("wasm-opt"));
        opt.arg("-Oz").args(features).args(more).arg(&output).arg("-o").arg(&smaller);
        run(&mut opt)?;
        fs::rename(&smaller, &output).context("cannot replace the engine by the smaller one")
    })?;
    product.made()
}

/// What counts beside the sources: which toolchain, and which version of its compiler.
fn stamp(toolchain: setup::wasm::Toolchain) -> Result<String> {
    Ok(format!("{toolchain}\n{}", toolchain.version()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::output;

    /// After an update of the compiler the engine is built anew.
    #[test]
    fn the_stamp_names_the_compiler() {
        let toolchain = setup::wasm::Toolchain::Active;
        let release = output(command("rustc").arg("--version")).expect("a compiler");
        let number = release.split(' ').nth(1).expect("a version");
        let stamp = stamp(toolchain).expect("a stamp");
        assert!(stamp.starts_with(&toolchain.to_string()) && stamp.contains(&format!("release: {number}")), "{stamp}");
    }
}
