//! `mar bench`: tokens a second, against how much fires and against what the memory could deliver.

mod products;

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use mar::config::{Config, Site};
use mar::cpu::{Crossover, Kernels, Sampling};
use mar::energy::Ledger;
use mar::model::{Matrix, Model};
use mar::session::Session;
use mar::{format, synth};
use pollster::block_on;
use serde::Serialize;

use crate::Failure;
use crate::load::{Backend, engine};

/// `mar bench`
#[derive(Debug, Args)]
pub struct Bench {
    /// A model directory; without one, random weights in the shape of --config
    model: Option<PathBuf>,
    /// A preset (tiny, smol-135m), or a config.json
    #[arg(long, default_value = "smol-135m", conflicts_with = "model")]
    config: String,
    /// Shares of neurons that fire, for random weights
    #[arg(long, value_delimiter = ',', default_values_t = [0.02, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0])]
    active: Vec<f64>,
    /// Tokens decoded for each row
    #[arg(long, default_value_t = 48)]
    tokens: usize,
    /// Lengths of the prompts that prefill is timed on
    #[arg(long, value_delimiter = ',', default_values_t = [64, 256, 1024])]
    prompts: Vec<usize>,
    /// Time the readable kernels too
    #[arg(long)]
    reference: bool,
    /// Time the GPU too, or a software one
    #[arg(long)]
    gpu: bool,
    /// Time the projections alone: by spikes, as dense products, and as a plain int4 engine does them
    #[arg(long)]
    products: bool,
    /// Print one JSON list instead of a table
    #[arg(long)]
    json: bool,
}

/// One line of the result.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    backend: String,
    /// Neurons that fire at least once, as a share; spikes per neuron and micro-step are in `firing_rate`.
    active: f64,
    firing_rate: f64,
    tokens_per_second: f64,
    bytes_per_token: f64,
    bandwidth_fraction: f64,
}

impl Bench {
    /// Prints the table. One thread, everything in one run.
    pub fn run(&self) -> Result<(), Failure> {
        if self.products {
            return self.run_products();
        }
        let bandwidth = memory_bandwidth();
        if !self.json {
            println!("one thread; it reads {:.1} GB/s from memory", bandwidth * 1e-9);
            println!(
                "{:<14} {:<10} {:>7} {:>7} {:>10} {:>12} {:>10}",
                "what", "kernels", "active", "rate", "tokens/s", "MB a token", "bandwidth"
            );
        }
        let mut rows = Vec::new();
        let mut add = |row: Row| {
            if !self.json {
                println!(
                    "{:<14} {:<10} {:>7.3} {:>7.3} {:>10.1} {:>12.2} {:>9.0}%",
                    row.name,
                    row.backend,
                    row.active,
                    row.firing_rate,
                    row.tokens_per_second,
                    row.bytes_per_token * 1e-6,
                    row.bandwidth_fraction * 100.0
                );
            }
            rows.push(row);
        };
        self.each_model(|model| self.time(model, bandwidth, &mut add))?;
        let config = match &self.model {
            Some(path) => format::open(path, |_, _| {})?.config,
            None => crate::synth::config(&self.config)?,
        };
        add(dense_row(&config, bandwidth, self.tokens));
        if self.json {
            println!("{}", serde_json::to_string(&rows)?);
        }
        Ok(())
    }

    /// The model given, or one with random weights for each share of firing neurons.
    fn each_model(&self, mut work: impl FnMut(&Arc<Model>) -> Result<(), Failure>) -> Result<(), Failure> {
        if let Some(path) = &self.model {
            return work(&Arc::new(format::open(path, |_, _| {})?));
        }
        let mut model = synth::model(crate::synth::config(&self.config)?, 1.0, 0);
        for &active in &self.active {
            synth::calibrate(&mut model, active);
            let shared = Arc::new(model);
            work(&shared)?;
            model = Arc::unwrap_or_clone(shared);
        }
        Ok(())
    }

    fn run_products(&self) -> Result<(), Failure> {
        let mut rows = Vec::new();
        self.each_model(|model| {
            let plain = 1e3 / dense_row(&model.config, 1.0, self.tokens).tokens_per_second;
            // The others have no dense product but the reference's.
            for kernels in Kernels::all().filter(|kernels| kernels.crossover != Crossover::NEVER) {
                rows.push(products::time(model, kernels, plain, self.tokens));
            }
            Ok(())
        })?;
        if self.json {
            println!("{}", serde_json::to_string(&rows)?);
        } else {
            products::print(&rows);
        }
        Ok(())
    }

    fn time(&self, model: &Arc<Model>, bandwidth: f64, add: &mut impl FnMut(Row)) -> Result<(), Failure> {
        let mut all = vec![Backend::Cpu];
        if self.reference {
            all.insert(0, Backend::Reference);
        }
        if self.gpu {
            all.push(Backend::Gpu);
        }
        for backend in all {
            let mut session = Session::new(engine(Arc::clone(model), backend)?);
            let name = if backend == Backend::Gpu { "gpu" } else { session.engine().name() }.to_owned();
            let mut row = |what: String, ledger: &Ledger, seconds: f64| {
                let (speed, operations) = (ledger.tokens as f64 / seconds, ledger.operations());
                let bytes = (operations.weight_bytes + operations.state_bytes) as f64 / ledger.tokens as f64;
                let config = &model.config;
                let mean = |measure: &dyn Fn(usize, Site) -> f64| {
                    let sum: f64 = (0..config.n_layers).flat_map(|l| Site::ALL.map(|s| measure(l, s))).sum();
                    sum / (4 * config.n_layers) as f64
                };
                add(Row {
                    name: what,
                    backend: name.clone(),
                    active: mean(&|l, s| ledger.active(l, s)),
                    firing_rate: mean(&|l, s| ledger.firing_rate(l, s)),
                    tokens_per_second: speed,
                    bytes_per_token: bytes,
                    bandwidth_fraction: bytes * speed / bandwidth,
                });
            };
            for &length in &self.prompts {
                let prompt: Vec<u32> = (0..length).map(|i| (i * 7919 % model.config.vocab_size) as u32).collect();
                session.reset();
                let (mut ledger, start) = (session.ledger(), Instant::now());
                block_on(session.prefill(&prompt, &mut ledger, |_, _| ControlFlow::Continue(())))?;
                row(format!("prefill {length}"), &ledger, start.elapsed().as_secs_f64());
            }
            let (mut ledger, start) = (session.ledger(), Instant::now());
            session.expect(&[], self.tokens);
            for _ in 0..self.tokens {
                block_on(session.decode(&Sampling::default(), &mut ledger))?;
            }
            row("decode".into(), &ledger, start.elapsed().as_secs_f64());
        }
        Ok(())
    }
}

/// The projections of one token as a dense engine does them: 8-bit activations, every weight read. Nothing else of the
/// network is in this row.
fn dense_row(config: &Config, bandwidth: f64, tokens: usize) -> Row {
    let kernels = Kernels::best();
    let weights: Vec<(Vec<i8>, Matrix)> = (0..config.n_layers)
        .flat_map(|_| Site::ALL)
        .map(|site| {
            let ((inputs, outputs), kind) = (config.site_shape(site), config.weights[site.index()]);
            let data = (0..outputs * kind.row_bytes(inputs)).map(|i| (i * 31 % 7) as u8 * 17).collect();
            ((0..inputs).map(|j| (j * 37 % 255) as i8).collect(), Matrix { kind, columns: inputs, data })
        })
        .collect();
    let mut sums = vec![0; Site::ALL.map(|site| config.site_shape(site).1).into_iter().max().unwrap_or(0)];
    let start = Instant::now();
    for _ in 0..tokens {
        for (activation, weight) in &weights {
            (kernels.dense_matvec)(black_box(activation), weight, &mut sums[..weight.rows()]);
            black_box(&mut sums);
        }
    }
    let speed = tokens as f64 / start.elapsed().as_secs_f64();
    let bytes: usize = weights.iter().map(|(_, weight)| weight.data.len()).sum();
    Row {
        name: "dense matvecs".into(),
        backend: kernels.name.into(),
        active: 1.0,
        firing_rate: 1.0,
        tokens_per_second: speed,
        bytes_per_token: bytes as f64,
        bandwidth_fraction: bytes as f64 * speed / bandwidth,
    }
}

/// Bytes a second that one thread reads from a buffer larger than any cache: the best of several passes.
fn memory_bandwidth() -> f64 {
    let buffer = vec![1u64; 32 << 20];
    let pass = || {
        let start = Instant::now();
        let mut lanes = [0u64; 16];
        for block in black_box(&buffer).as_chunks::<16>().0 {
            for (lane, x) in lanes.iter_mut().zip(block) {
                *lane = lane.wrapping_add(*x);
            }
        }
        black_box(lanes);
        8.0 * buffer.len() as f64 / start.elapsed().as_secs_f64()
    };
    (0..5).map(|_| pass()).fold(0.0, f64::max)
}
