//! `mar bench --products`: the projections alone, by spikes and as dense products, over the share of neurons that fire.

use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use mar::config::Site;
use mar::cpu::{Cpu, Kernels, Logits, Observer, SpikeBatch};
use mar::model::{Matrix, Model};
use serde::Serialize;

use crate::output::line;

/// Tokens of a batch, as prefill has them.
const BATCH: usize = 64;

/// Milliseconds that all projections of a token take, at a share of firing neurons.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    kernels: &'static str,
    active: f64,
    /// One token: the rows of the neurons that fired.
    decode_events_ms: f64,
    /// One token: the dense product of the same weights.
    decode_dense_ms: f64,
    /// Of 64 tokens together.
    prefill_events_ms: f64,
    prefill_dense_ms: f64,
    /// The same shapes as a plain int4 engine has them: 8-bit activations, weights output-major.
    plain_matvec_ms: f64,
}

/// What fired where, in the order of layers and sites.
#[derive(Default)]
struct Seen(Vec<SpikeBatch>);

impl Observer for Seen {
    fn spikes(&mut self, _: u64, _: usize, _: Site, _: &[f32], spikes: &SpikeBatch) {
        self.0.push(spikes.clone());
    }
}

/// Times the projections of `model` on the spikes that a prompt makes in it.
pub fn time(model: &Arc<Model>, kernels: Kernels, plain_matvec_ms: f64, rounds: usize) -> Row {
    let tokens: Vec<u32> = (0..BATCH).map(|i| (i * 7919 % model.config.vocab_size) as u32).collect();
    let (mut seen, mut cpu) = (Seen::default(), Cpu::new(Arc::clone(model), kernels));
    cpu.forward(&tokens, Logits::Last, &mut Vec::new(), &mut seen);
    let many: Vec<(&Matrix, SpikeBatch)> = weights(model).zip(seen.0).collect();
    // Single tokens from all over the batch, another for each round.
    let one = |round: usize| -> Vec<(&Matrix, SpikeBatch)> {
        let token = (round * 7 + 3) % BATCH;
        let single = |(weight, spikes): &(_, SpikeBatch)| {
            let mut batch = SpikeBatch::default();
            batch.clear(spikes.counts(token).len());
            batch.push(spikes.counts(token));
            (*weight, batch)
        };
        many.iter().map(single).collect()
    };
    let singles: Vec<_> = (0..rounds).map(one).collect();
    let batches = std::slice::from_ref(&many);
    Row {
        kernels: kernels.name,
        active: many.iter().map(|(_, spikes)| f64::from(spikes.active())).sum::<f64>() / many.len() as f64,
        decode_events_ms: milliseconds(&singles, kernels.sparse_matmul),
        decode_dense_ms: milliseconds(&singles, kernels.dense_matmul),
        prefill_events_ms: milliseconds(batches, kernels.sparse_matmul) / BATCH as f64,
        prefill_dense_ms: milliseconds(batches, kernels.dense_matmul) / BATCH as f64,
        plain_matvec_ms,
    }
}

fn weights(model: &Model) -> impl Iterator<Item = &Matrix> {
    model.layers.iter().flat_map(|layer| Site::ALL.map(|site| &layer.projection(site).weight))
}

/// The mean time of a round, the first one left out.
fn milliseconds(rounds: &[Vec<(&Matrix, SpikeBatch)>], product: fn(&SpikeBatch, &Matrix, &mut [i32])) -> f64 {
    let mut sums = Vec::new();
    let mut run = |round: &Vec<(&Matrix, SpikeBatch)>| {
        for (weight, spikes) in round {
            sums.resize(spikes.tokens() * weight.columns, 0);
            product(black_box(spikes), weight, &mut sums);
            black_box(&mut sums);
        }
    };
    run(&rounds[0]);
    let start = Instant::now();
    rounds.iter().for_each(&mut run);
    1e3 * start.elapsed().as_secs_f64() / rounds.len() as f64
}

/// Prints rows as a table for each instruction set, with the shares at which the curves cross.
pub fn print(rows: &[Row]) -> io::Result<()> {
    let mut kernels: Vec<&str> = rows.iter().map(|row| row.kernels).collect();
    kernels.sort_unstable();
    kernels.dedup();
    for kernels in kernels {
        let mut of_these: Vec<Row> = rows.iter().filter(|row| row.kernels == kernels).cloned().collect();
        of_these.sort_by(|a, b| a.active.total_cmp(&b.active));
        print_one(kernels, &of_these)?;
    }
    Ok(())
}

fn print_one(kernels: &str, rows: &[Row]) -> io::Result<()> {
    line!("{kernels}: milliseconds for all projections of a token")?;
    line!(
        "{:>7} {:>14} {:>14} {:>14} {:>14} {:>14}",
        "active",
        "one: events",
        "dense",
        "of 64: events",
        "dense",
        "plain matvec"
    )?;
    for row in rows {
        line!(
            "{:>7.3} {:>14.3} {:>14.3} {:>14.3} {:>14.3} {:>14.3}",
            row.active,
            row.decode_events_ms,
            row.decode_dense_ms,
            row.prefill_events_ms,
            row.prefill_dense_ms,
            row.plain_matvec_ms
        )?;
    }
    type Curve = fn(&Row) -> f64;
    let curves: [(&str, Curve); 3] = [
        ("one token: events and dense product", |row| row.decode_events_ms - row.decode_dense_ms),
        ("one token: events and plain matvec", |row| row.decode_events_ms - row.plain_matvec_ms),
        ("64 tokens: events and dense product", |row| row.prefill_events_ms - row.prefill_dense_ms),
    ];
    for (what, lead) in curves {
        match crossing(rows, lead) {
            Some(share) => line!("{what} cross where {share:.2} of the neurons fire")?,
            None => line!("{what} do not cross")?,
        }
    }
    Ok(())
}

/// Where `lead`, a line from row to row, first becomes positive.
fn crossing(rows: &[Row], lead: fn(&Row) -> f64) -> Option<f64> {
    rows.windows(2).find_map(|pair| {
        let (a, b) = (lead(&pair[0]), lead(&pair[1]));
        (a <= 0.0 && b > 0.0).then(|| pair[0].active + (pair[1].active - pair[0].active) * a / (a - b))
    })
}
