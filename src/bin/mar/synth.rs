//! `mar synth`: a model with random weights, for benches and tests.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use mar::config::Config;
use mar::model::Model;
use mar::{format, synth};

use crate::Failure;
use crate::output::note;
use crate::progress::Progress;

/// `mar synth`
#[derive(Debug, Args)]
pub struct Synth {
    /// A preset (tiny, smol-135m), or a config.json
    #[arg(long)]
    config: String,
    /// Where the model directory goes
    #[arg(long)]
    out: PathBuf,
    /// The share of each site's neurons that fire in decode
    #[arg(long, default_value_t = 0.35, value_parser = share)]
    active: f64,
    /// The same seed gives the same weights
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// A share of neurons, as the command line says it.
pub fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().map_err(|e| e.to_string())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("a share is from 0 to 1".into()) }
}

/// The shape that a preset or a file names.
pub fn config(name: &str) -> Result<Config, Failure> {
    if let Some(config) = synth::preset(name) {
        return Ok(config?);
    }
    let json = fs::read(name)
        .map_err(|e| format!("{name} is neither a preset ({}) nor a file to read: {e}", synth::PRESETS.join(", ")))?;
    Ok(Config::parse(&json)?)
}

impl Synth {
    fn model(&self) -> Result<Model, Failure> {
        let mut progress = Progress::patient("making {bar:30} {percent}%");
        let watch = |done: usize, all: usize| progress.set(done as u64, all as u64);
        Ok(synth::model(config(&self.config)?, self.active, self.seed, watch))
    }

    /// Writes the directory, over a model that may lie there.
    pub fn run(&self) -> Result<(), Failure> {
        let files = format::files(&self.model()?);
        fs::create_dir_all(&self.out)?;
        for entry in fs::read_dir(&self.out)? {
            let entry = entry?;
            // Another model may have lain here in more pieces, or in none.
            if format::is_weights(&entry.file_name().to_string_lossy()) {
                fs::remove_file(entry.path())?;
            }
        }
        for (name, bytes) in files {
            let path = self.out.join(name);
            fs::write(&path, &bytes).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
            note!("{}: {} bytes", path.display(), bytes.len());
        }
        Ok(())
    }
}
