//! `mar inspect`: what a model directory holds.

use std::path::PathBuf;

use clap::Args;
use mar::config::{Config, Site};
use mar::format::{self, Manifest, ModelFile, tensors};
use sha2::{Digest, Sha256};

use crate::Failure;

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
        println!(
            "{}: {} layers, d_model {}, d_ffn {}, vocabulary {}",
            config.name, config.n_layers, config.d_model, config.d_ffn, config.vocab_size
        );
        println!(
            "scan: {} heads of {}, state {}, {} groups, convolution over {} tokens",
            config.n_heads, config.head_dim, config.d_state, config.n_groups, config.d_conv
        );
        if config.window > 0 {
            println!(
                "window: {} tokens and {} sinks, {} heads, {} for keys and values",
                config.window, config.sinks, config.attn_heads, config.attn_kv_heads
            );
        }
        for site in Site::ALL {
            let (inputs, outputs) = config.site_shape(site);
            println!(
                "{:<9} {inputs} x {outputs}, {}, T = {}",
                site.name(),
                config.weights[site.index()].name(),
                config.steps[site.index()]
            );
        }
        let pieces = format::weights_files(&self.model)?;
        println!(
            "weights: {} tensors, {} bytes, in {}; embedding {}",
            specs.len(),
            specs.iter().map(|s| s.bytes()).sum::<u64>(),
            if pieces[0] == format::WEIGHTS { "one file".into() } else { format!("{} pieces", pieces.len()) },
            config.embed_weights.name()
        );
        if self.tensors {
            for spec in &specs {
                println!("{:<40} {:?} {:?}", spec.name, spec.dtype, spec.shape);
            }
        }
        if self.verify {
            self.verify()?;
        }
        Ok(())
    }

    fn verify(&self) -> Result<(), Failure> {
        let manifest = Manifest::parse(&ModelFile::read(&self.model, "manifest.json", 8 << 20)?.bytes)?;
        let print = |name: &str, bytes: u64, hash: &str| println!("{name:<24} {bytes:>12} bytes  {hash}");
        for file in manifest.files.iter().filter(|file| !format::is_weights(&file.path)) {
            ModelFile::read(&self.model, &file.path, file.bytes)?;
            print(&file.path, file.bytes, &file.sha256);
        }
        format::open(&self.model, |_, _| {})?;
        let weights = manifest.weights();
        let mut whole = Sha256::new();
        for piece in &weights {
            format::verify_whole(&self.model, piece, |part| whole.update(part))?;
            if piece.path != format::WEIGHTS {
                print(&piece.path, piece.bytes, &piece.sha256);
            }
        }
        let hash: String = whole.finalize().iter().map(|b| format!("{b:02x}")).collect();
        print(format::WEIGHTS, weights.iter().map(|file| file.bytes).sum(), &hash);
        println!("every hash and every value is as it should be");
        Ok(())
    }
}
