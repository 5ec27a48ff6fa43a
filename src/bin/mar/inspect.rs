//! `mar inspect`: what a model directory holds.

use std::io;
use std::path::PathBuf;

use clap::Args;
use mar::config::{Config, Site};
use mar::format::{self, FormatError, Manifest, ModelFile, TensorSpec, tensors};
use sha2::{Digest, Sha256};

use crate::Failure;
use crate::output::line;
use crate::progress::Progress;

/// `mar inspect`
#[derive(Debug, Args)]
pub struct Inspect {
    /// A model directory
    model: PathBuf,
    /// Read every file and check it against the manifest and the format
    #[arg(long)]
    verify: bool,
    /// List every tensor
    #[arg(long)]
    tensors: bool,
}

impl Inspect {
    /// Prints what is there.
    pub fn run(&self) -> Result<(), Failure> {
        let config = Config::parse(&ModelFile::read(&self.model, "config.json", 1 << 20)?.bytes)?;
        let specs = tensors(&config);
        print_shape(&config)?;
        let pieces = format::weights_files(&self.model)?;
        line!(
            "weights: {} tensors, {} bytes, in {}; embedding {}",
            specs.len(),
            specs.iter().map(TensorSpec::bytes).sum::<u64>(),
            if pieces[0] == format::WEIGHTS { "one file".into() } else { format!("{} pieces", pieces.len()) },
            config.embed_weights.name()
        )?;
        if self.tensors {
            for spec in &specs {
                let shape = format!("{:?} {:?}", spec.dtype, spec.shape);
                line!("{:<40} {shape:<20} {:>12} bytes", spec.name, spec.bytes())?;
            }
        }
        match (self.manifest()?, self.verify) {
            (Some(manifest), verify) => {
                line!("files and sha-256, as manifest.json lists them:")?;
                for file in &manifest.files {
                    print_file(&file.path, file.bytes, &file.sha256)?;
                }
                if verify { self.check(&manifest) } else { Ok(()) }
            }
            (None, true) => Err(format!("{} has no manifest.json to verify it against", self.model.display()).into()),
            (None, false) => Ok(line!("no manifest.json, so no hashes")?),
        }
    }

    /// `manifest.json`, if there is one.
    fn manifest(&self) -> Result<Option<Manifest>, Failure> {
        match ModelFile::read(&self.model, "manifest.json", 8 << 20) {
            Ok(file) => Ok(Some(Manifest::parse(&file.bytes)?)),
            Err(FormatError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads every file and compares it with the manifest, and every value with the format.
    fn check(&self, manifest: &Manifest) -> Result<(), Failure> {
        for file in manifest.files.iter().filter(|file| !format::is_weights(&file.path)) {
            ModelFile::read(&self.model, &file.path, file.bytes)?;
        }
        let mut progress = Progress::patient("checking {bar:30} {bytes}/{total_bytes} {bytes_per_sec}");
        format::open(&self.model, |read, size| progress.set(read, size))?;
        drop(progress);
        let weights = manifest.weights();
        let mut whole = Sha256::new();
        for piece in &weights {
            format::verify_whole(&self.model, piece, |part| whole.update(part))?;
        }
        // The manifest has the hashes of the pieces; this one is of what they are pieces of.
        if weights.iter().any(|piece| piece.path != format::WEIGHTS) {
            let hash: String = whole.finalize().iter().map(|b| format!("{b:02x}")).collect();
            line!("all pieces together:")?;
            print_file(format::WEIGHTS, weights.iter().map(|file| file.bytes).sum(), &hash)?;
        }
        Ok(line!("every hash and every value is as it should be")?)
    }
}

/// What `config.json` says.
fn print_shape(config: &Config) -> io::Result<()> {
    line!(
        "{}: {} layers, d_model {}, d_ffn {}, vocabulary {}",
        config.name,
        config.n_layers,
        config.d_model,
        config.d_ffn,
        config.vocab_size
    )?;
    line!(
        "scan: {} heads of {}, state {}, {} groups, convolution over {} tokens",
        config.n_heads,
        config.head_dim,
        config.d_state,
        config.n_groups,
        config.d_conv
    )?;
    let theta = config.rope_theta;
    if config.window > 0 {
        line!(
            "window: {} tokens and {} sinks, {} heads, {} for keys and values, rope_theta {theta}",
            config.window,
            config.sinks,
            config.attn_heads,
            config.attn_kv_heads
        )?;
    } else {
        line!("window: none (rope_theta {theta} is not used)")?;
    }
    line!("norms: norm_eps {:?}", config.norm_eps)?;
    line!("neurons: ATMN, tau {}, precharge {}", config.tau, config.precharge)?;
    for site in Site::ALL {
        let (inputs, outputs) = config.site_shape(site);
        let (weights, steps) = (config.weights[site.index()].name(), config.steps[site.index()]);
        line!("{:<9} {inputs} x {outputs}, {weights}, T = {steps}", site.name())?;
    }
    Ok(())
}

fn print_file(name: &str, bytes: u64, hash: &str) -> io::Result<()> {
    line!("{name:<24} {bytes:>12} bytes  {hash}")
}
