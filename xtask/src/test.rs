//! `cargo xtask test`: everything that can fail, quickest first.

use std::process::Command;
use std::time::Instant;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::run::{cargo, command, run, step};
use crate::server::Server;
use crate::{build, lint, paths, setup};

/// `cargo xtask test`
#[derive(Args)]
pub struct Test {
    /// Only these parts
    #[arg(value_enum)]
    parts: Vec<Part>,
}

/// A part of the tests.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Formatting, lints, types, documentation
    Lint,
    /// The engine and the `mar` command
    Rust,
    /// The built page in a browser, and the engine's size
    Browser,
    /// The trainer
    Training,
}

impl Test {
    /// Runs the parts in order; the first failure ends it.
    pub fn run(&self) -> Result<()> {
        let start = Instant::now();
        for part in Part::value_variants() {
            if self.parts.is_empty() || self.parts.contains(part) {
                part.run()?;
            }
        }
        println!("all tests passed in {:.0} s", start.elapsed().as_secs_f64());
        Ok(())
    }
}

impl Part {
    fn run(self) -> Result<()> {
        match self {
            Part::Lint => lint::all(),
            Part::Rust => {
                println!("software Vulkan: {}", setup::software_vulkan()?);
                step("cargo test", || run(&mut cargo(&["test", "--quiet", "--workspace"])))?;
                kernels_in_wasm()
            }
            Part::Browser => browser(),
            Part::Training => {
                setup::environment()?;
                // Compiling, which is most of it, uses one core.
                let two = ["-m", "pytest", "--numprocesses", "2", "--dist", "loadfile", "training/tests"];
                step("pytest", || run(command(paths::python_bin("python")).args(two)))
            }
        }
    }
}

/// The fast kernels' tests in WebAssembly, where they have instructions of their own.
fn kernels_in_wasm() -> Result<()> {
    if !setup::wasm::can_test() {
        println!("== no test of the kernels in WebAssembly; run: rustup target add {}", setup::wasm::TEST_TARGET);
        return Ok(());
    }
    step("cargo test in WebAssembly", || {
        let mut test = cargo(&["test", "--quiet", "--package", "mar-wasm-tests", "--target", setup::wasm::TEST_TARGET]);
        // What a failed test captured is lost: it ends the process.
        run(test.args(["--lib", "cpu::simd", "--", "--nocapture"]))
    })
}

/// The page's parts that need no browser, then the page as it is shipped, served as it is served.
fn browser() -> Result<()> {
    setup::packages()?;
    step("vitest", || run(command(paths::node_bin("vitest")).args(["run", "--silent"]).current_dir(paths::www())))?;
    step("Playwright", || playwright(|_| {}))
}

/// Runs Playwright on the page as it is shipped; `change` may add to its command line.
pub fn playwright(change: impl FnOnce(&mut Command)) -> Result<()> {
    setup::packages()?;
    let (dist, chromium) = (build::page()?, setup::chromium()?);
    // As `cargo test` has built it: a few short answers are worth no build of their own.
    let mar = mar(Profile::Dev)?;
    let fixtures = paths::root().join("tests/golden/models");
    let server = Server::start(&dist, &[("/golden", &fixtures)], 0)?;
    let mut playwright = command(paths::node_bin("playwright"));
    playwright.args(["test", "--config", "tests/e2e"]);
    playwright.env("MAR_URL", format!("http://{}", server.address)).env("MAR", &mar).env("CHROMIUM", &chromium);
    change(&mut playwright);
    run(&mut playwright)
}

/// How the `mar` command is built.
#[derive(Clone, Copy)]
pub enum Profile {
    /// As for `cargo test`
    Dev,
    /// As it is measured
    Release,
}

/// The `mar` command, which the browser is compared with.
pub fn mar(profile: Profile) -> Result<std::path::PathBuf> {
    let (what, folder): (&[&str], _) = match profile {
        // By way of a test that runs it: `cargo build` takes other features, and would compile most of it once more.
        Profile::Dev => (&["test", "--workspace", "--no-run", "--test", "cli"], "debug"),
        Profile::Release => (&["build", "--package", "mar", "--release"], "release"),
    };
    step("build the mar command", || run(cargo(what).arg("--quiet")))?;
    Ok(paths::root().join("target").join(folder).join(if cfg!(windows) { "mar.exe" } else { "mar" }))
}
