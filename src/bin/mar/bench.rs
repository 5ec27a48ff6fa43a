//! `mar bench`: tokens a second, against how much fires and against what the memory could deliver.

mod fit;
mod machine;
mod products;
mod table;
mod watch;

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use mar::cpu::{Cpu, Crossover, Kernels};
use mar::engine::Engine;
use mar::model::Model;
use mar::session::Session;
use mar::synth;
use pollster::block_on;

use crate::Failure;
use crate::load::{self, Backend};
use crate::output::line;

use fit::Fit;
use table::{Row, Table};

/// `mar bench`
#[derive(Debug, Args)]
pub struct Bench {
    /// A model directory; without one, random weights in the shape of --config
    model: Option<PathBuf>,
    /// A preset (tiny, smol-135m), or a config.json
    #[arg(long, default_value = "smol-135m", conflicts_with = "model")]
    config: String,
    /// Shares of neurons that fire in decode, for random weights; each row says what it measured ("active")
    #[arg(long, value_delimiter = ',', default_values_t = [0.02, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0], value_parser = crate::synth::share)]
    active: Vec<f64>,
    /// Tokens decoded for each row
    #[arg(long, default_value = "48")]
    tokens: NonZeroUsize,
    /// Lengths of the prompts that prefill is timed on; of three or more, a line through the times is fitted
    #[arg(long, value_delimiter = ',', default_values_t = [64, 256, 1024])]
    prompts: Vec<usize>,
    /// Kernels of this CPU that are timed: avx512, avx2, portable, neon, where it has them; several may be given
    /// [default: the fastest; with --products, all that have a fast dense product]
    #[arg(long, value_delimiter = ',', value_name = "NAMES", value_parser = kernels)]
    kernels: Vec<Kernels>,
    /// Time the readable kernels too
    #[arg(long)]
    reference: bool,
    /// Time the GPU too, or a software one
    #[arg(long)]
    gpu: bool,
    /// Time the projections alone: by spikes, as dense products, and as a plain int4 engine does them
    #[arg(long)]
    products: bool,
    /// Time decode alone, with nobody, one site and all sites watched
    #[arg(long, conflicts_with_all = ["products", "gpu", "reference"])]
    watch: bool,
    /// Print one JSON list instead of a table
    #[arg(long)]
    json: bool,
}

/// The kernels of this name.
fn kernels(name: &str) -> Result<Kernels, String> {
    Kernels::all().find(|kernels| kernels.name == name).ok_or_else(|| {
        let names: Vec<_> = Kernels::all().map(|kernels| kernels.name).collect();
        format!("this machine has {}", names.join(", "))
    })
}

impl Bench {
    /// Prints the table. One thread, everything in one run.
    pub fn run(&self) -> Result<(), Failure> {
        let models = if self.model.is_some() { 1 } else { self.active.len() };
        if self.products {
            return self.run_products(Table::new(self.json, models * self.steps()));
        }
        if self.watch {
            return self.run_watch(Table::new(self.json, models * self.steps()));
        }
        let mut table = Table::new(self.json, models * self.steps() + 1);
        let bandwidth = machine::memory_bandwidth();
        let mut dense = None;
        self.each_model(&mut table, |model, asked, table| {
            let engines = self.engines(model)?;
            if dense.is_none() {
                table.head(bandwidth)?;
            }
            let kernels = self.kernels.first().copied().unwrap_or_else(Kernels::best);
            dense.get_or_insert_with(|| (model.config.clone(), kernels));
            engines.into_iter().try_for_each(|engine| self.time(engine, asked, bandwidth, table))
        })?;
        if let Some((config, kernels)) = dense {
            table.add(machine::dense_row(&config, kernels, bandwidth, self.tokens.get()))?;
        }
        Ok(table.finish()?)
    }

    /// What is done for each model: its thresholds set, and its rows.
    fn steps(&self) -> usize {
        let engines = usize::from(self.reference) + self.kernels.len().max(1) + usize::from(self.gpu);
        1 + if self.products || self.watch { 1 } else { engines * (self.prompts.len() + 1) }
    }

    /// The model given, or one with random weights for each share of firing neurons, with that share.
    fn each_model(
        &self,
        table: &mut Table,
        mut work: impl FnMut(&Arc<Model>, Option<f64>, &mut Table) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if let Some(path) = &self.model {
            let model = Arc::new(load::model(path)?);
            table.step();
            return work(&model, None, table);
        }
        let config = crate::synth::config(&self.config)?;
        let mut made: Option<Model> = None;
        for &active in &self.active {
            let progress = |done: usize, all: usize| table.part(done, all);
            let model = match made.take() {
                None => synth::model(config.clone(), active, 0, progress),
                Some(mut model) => {
                    synth::calibrate(&mut model, active, progress);
                    model
                }
            };
            table.step();
            let shared = Arc::new(model);
            work(&shared, Some(active), table)?;
            made = Some(Arc::unwrap_or_clone(shared));
        }
        Ok(())
    }

    fn run_products(&self, mut table: Table) -> Result<(), Failure> {
        let mut rows = Vec::new();
        let tokens = self.tokens.get();
        self.each_model(&mut table, |model, _, table| {
            let fast = Kernels::all().filter(|kernels| kernels.crossover != Crossover::NEVER);
            let chosen = if self.kernels.is_empty() { fast.collect() } else { self.kernels.clone() };
            rows.extend(chosen.into_iter().map(|kernels| {
                let plain = 1e3 / machine::dense_row(&model.config, kernels, 1.0, tokens).tokens_per_second;
                products::time(model, kernels, plain, tokens)
            }));
            table.step();
            Ok(())
        })?;
        // Its bar would stand in the lines.
        drop(table);
        if self.json {
            line!("{}", serde_json::to_string(&rows)?)?
        } else {
            products::print(&rows)?
        }
        Ok(())
    }

    fn run_watch(&self, mut table: Table) -> Result<(), Failure> {
        let kernels = self.kernels.first().copied().unwrap_or_else(Kernels::best);
        let mut rows = Vec::new();
        self.each_model(&mut table, |model, _, table| {
            rows.push(watch::time(model, kernels, self.tokens.get())?);
            table.step();
            Ok(())
        })?;
        // Its bar would stand in the lines.
        drop(table);
        if self.json {
            line!("{}", serde_json::to_string(&rows.concat())?)?;
            return Ok(());
        }
        Ok(rows.iter().try_for_each(|rows| watch::print(rows))?)
    }

    /// All that is timed.
    fn engines(&self, model: &Arc<Model>) -> Result<Vec<Engine>, Failure> {
        let fastest = self.kernels.is_empty().then(Kernels::best);
        let kernels = self.reference.then_some(Kernels::REFERENCE).into_iter().chain(fastest);
        let kernels = kernels.chain(self.kernels.iter().copied());
        let mut engines: Vec<Engine> = kernels.map(|kernels| Cpu::new(Arc::clone(model), kernels).into()).collect();
        if self.gpu {
            engines.push(load::engine(Arc::clone(model), Backend::Gpu)?);
        }
        Ok(engines)
    }

    /// The rows of an engine: prefill, then decode behind the last prompt.
    fn time(&self, engine: Engine, asked: Option<f64>, bandwidth: f64, table: &mut Table) -> Result<(), Failure> {
        let mut session = Session::new(engine);
        let config = session.engine().config().clone();
        let backend = match session.engine().gpu() {
            Some(_) => "gpu".to_owned(),
            None => session.engine().name().to_owned(),
        };
        let mut points = Vec::new();
        for &length in &self.prompts {
            let prompt: Vec<u32> = (0..length).map(|i| (i * 7919 % config.vocab_size) as u32).collect();
            session.reset();
            let (mut ledger, start) = (session.ledger(), Instant::now());
            block_on(session.prefill(&prompt, &mut ledger, |_, _| ControlFlow::Continue(())))?;
            let seconds = start.elapsed().as_secs_f64();
            points.push((length, seconds));
            let row = Row::new(format!("prefill {length}"), &backend, &ledger, &config, seconds, bandwidth);
            let fit = (points.len() == self.prompts.len()).then(|| Fit::of(&points)).flatten();
            table.add(Row { asked, prefill_fit: fit, ..row })?;
        }
        let (mut ledger, start) = (session.ledger(), Instant::now());
        session.expect(&[], self.tokens.get());
        for _ in 0..self.tokens.get() {
            block_on(session.decode(&synth::SAMPLING, &mut ledger))?;
        }
        let seconds = start.elapsed().as_secs_f64();
        table.add(Row { asked, ..Row::new("decode".into(), &backend, &ledger, &config, seconds, bandwidth) })?;
        Ok(())
    }
}
