//! The rows of `mar bench`: printed as they come, or as one JSON list at the end.

use std::io;

use mar::config::{Config, Site};
use mar::energy::Ledger;
use serde::Serialize;

use super::fit::Fit;
use crate::output::line;
use crate::progress::Progress;

/// One line of the result.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What was timed: `prefill 64`, `decode`.
    pub name: String,
    /// The kernels that ran it, or `gpu`.
    pub backend: String,
    /// The share of firing neurons that the thresholds were set for; none where the model came with its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<f64>,
    /// Neurons that fired at least once, as a share, in what this row measures.
    pub active: f64,
    /// Spikes per neuron and micro-step, the mean of layers and sites.
    pub firing_rate: f64,
    pub tokens_per_second: f64,
    /// Of weights and state, as the ledger counts them.
    pub bytes_per_token: f64,
    /// What those bytes are of what the machine's memory can deliver.
    pub bandwidth_fraction: f64,
    /// On the last prompt's row: a line through the times of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefill_fit: Option<Fit>,
}

impl Row {
    /// What `ledger` counted in `seconds`, on a machine that reads `bandwidth` bytes a second.
    pub fn new(name: String, backend: &str, ledger: &Ledger, config: &Config, seconds: f64, bandwidth: f64) -> Self {
        let (speed, operations) = (ledger.tokens as f64 / seconds, ledger.operations());
        let bytes = (operations.weight_bytes + operations.state_bytes) as f64 / ledger.tokens as f64;
        let mean = |measure: &dyn Fn(usize, Site) -> f64| {
            let sum: f64 = (0..config.n_layers).flat_map(|l| Site::ALL.map(|s| measure(l, s))).sum();
            sum / (4 * config.n_layers) as f64
        };
        Self {
            name,
            backend: backend.into(),
            asked: None,
            active: mean(&|l, s| ledger.active(l, s)),
            firing_rate: mean(&|l, s| ledger.firing_rate(l, s)),
            tokens_per_second: speed,
            bytes_per_token: bytes,
            bandwidth_fraction: bytes * speed / bandwidth,
            prefill_fit: None,
        }
    }
}

/// All rows so far, and how far the bench has come.
#[derive(Debug)]
pub struct Table {
    json: bool,
    rows: Vec<Row>,
    progress: Progress,
    /// Steps done, and in all.
    steps: (u64, u64),
}

impl Table {
    /// No rows yet, of a bench of so many steps: a row and the setting of a model's thresholds are one each.
    pub fn new(json: bool, steps: usize) -> Self {
        let progress = Progress::patient("measuring {bar:30} {percent}%");
        Self { json, rows: Vec::new(), progress, steps: (0, steps as u64) }
    }

    /// A line above the rows.
    pub fn head(&self, bandwidth: f64) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        self.progress.aside(|| {
            line!("one thread; it reads {:.1} GB/s from memory", bandwidth * 1e-9)?;
            line!(
                "{:<14} {:<10} {:>7} {:>7} {:>7} {:>10} {:>12} {:>10}",
                "what",
                "kernels",
                "asked",
                "active",
                "rate",
                "tokens/s",
                "MB a token",
                "bandwidth"
            )
        })
    }

    /// Such a part of the step that is being done is done.
    pub fn part(&mut self, done: usize, all: usize) {
        // In thousandths, so that a step can have parts.
        let (before, steps) = self.steps;
        self.progress.set(1000 * before + (1000 * done / all.max(1)) as u64, 1000 * steps);
    }

    /// A step is done.
    pub fn step(&mut self) {
        self.steps.0 += 1;
        self.part(0, 1);
    }

    /// Adds a row: a step.
    pub fn add(&mut self, row: Row) -> io::Result<()> {
        if !self.json {
            self.progress.aside(|| print(&row))?;
        }
        self.rows.push(row);
        self.step();
        Ok(())
    }

    /// Prints the list, if one was asked for.
    pub fn finish(self) -> io::Result<()> {
        drop(self.progress);
        if self.json { line!("{}", serde_json::to_string(&self.rows)?) } else { Ok(()) }
    }
}

fn print(row: &Row) -> io::Result<()> {
    line!(
        "{:<14} {:<10} {:>7} {:>7.3} {:>7.3} {:>10.1} {:>12.2} {:>9.0}%",
        row.name,
        row.backend,
        row.asked.map_or_else(|| "-".into(), |asked| asked.to_string()),
        row.active,
        row.firing_rate,
        row.tokens_per_second,
        row.bytes_per_token * 1e-6,
        row.bandwidth_fraction * 100.0
    )?;
    match row.prefill_fit {
        Some(fit) => line!(
            "  prefill of n tokens: t = {:.3} ms + {:.4} ms · n; largest residual {:.3} ms, at {} tokens",
            fit.fixed_ms,
            fit.per_token_ms,
            fit.largest_residual_ms,
            fit.largest_residual_at
        ),
        None => Ok(()),
    }
}
