//! `mar bench --watch`: what the ledger and a watcher cost, in turns in one run.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use mar::config::Site;
use mar::cpu::{Cpu, Kernels, Logits};
use mar::model::Model;
use mar::probe::Watch;
use mar::session::Session;
use mar::synth;
use pollster::block_on;
use serde::Serialize;

use crate::Failure;
use crate::output::line;

/// Times that each is measured, one after the other, because a machine's speed drifts.
const ROUNDS: usize = 8;

/// One way to decode.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    what: &'static str,
    tokens_per_second: f64,
    /// Its speed as a part of that where nobody watches.
    share: f64,
}

/// Decodes `tokens` tokens each way, [`ROUNDS`] times.
pub fn time(model: &Arc<Model>, kernels: Kernels, tokens: usize) -> Result<Vec<Row>, Failure> {
    let layers = model.config.n_layers;
    let watches = [
        ("nobody watches", Watch::default()),
        ("one site is watched", Watch::sites([(layers / 2, Site::ALL[0])])),
        ("all sites are watched", Watch::all(layers)),
    ];
    let mut seconds = [0.0; 4];
    for _ in 0..ROUNDS {
        seconds[0] += network_alone(model, kernels, tokens);
        for ((_, watch), seconds) in watches.iter().zip(&mut seconds[1..]) {
            *seconds += decode(model, kernels, tokens, watch)?;
        }
    }
    let names = ["the network alone: no ledger, no choice of a token"].into_iter().chain(watches.map(|(name, _)| name));
    let row = |(what, took): (_, f64)| Row {
        what,
        tokens_per_second: (ROUNDS * tokens) as f64 / took,
        share: seconds[1] / took,
    };
    Ok(names.zip(seconds).map(row).collect())
}

/// Seconds for `tokens` tokens, of which nobody sees anything.
fn network_alone(model: &Arc<Model>, kernels: Kernels, tokens: usize) -> f64 {
    let (mut cpu, mut logits) = (Cpu::new(Arc::clone(model), kernels), Vec::new());
    let vocabulary = model.config.vocab_size;
    cpu.forward(&[0], Logits::Last, &mut logits, &mut ());
    let start = Instant::now();
    for token in 0..tokens {
        cpu.forward(&[(token * 7919 % vocabulary) as u32], Logits::Last, &mut logits, &mut ());
    }
    start.elapsed().as_secs_f64()
}

/// Seconds for `tokens` tokens, whose records go when the token has gone.
fn decode(model: &Arc<Model>, kernels: Kernels, tokens: usize, watch: &Watch) -> Result<f64, Failure> {
    let mut session = Session::new(Cpu::new(Arc::clone(model), kernels));
    let mut ledger = session.ledger();
    session.watch(watch.clone());
    block_on(session.prefill(&[0], &mut ledger, |_, _| std::ops::ControlFlow::Continue(())))?;
    session.expect(&[], tokens);
    let start = Instant::now();
    for _ in 0..tokens {
        block_on(session.decode(&synth::SAMPLING, &mut ledger))?;
        session.take_records();
    }
    Ok(start.elapsed().as_secs_f64())
}

/// Prints rows as a table.
pub fn print(rows: &[Row]) -> io::Result<()> {
    line!("{:<52} {:>10} {:>24}", "what", "tokens/s", "of: nobody watches")?;
    for row in rows {
        line!("{:<52} {:>10.1} {:>23.1}%", row.what, row.tokens_per_second, 100.0 * row.share)?;
    }
    Ok(())
}
