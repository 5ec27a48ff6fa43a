//! What a bench compares with: the memory's bandwidth, and a dense engine's products.

use std::hint::black_box;
use std::time::Instant;

use mar::config::{Config, Site};
use mar::cpu::Kernels;
use mar::model::Matrix;

use super::table::Row;

/// The projections of one token as a dense engine does them: 8-bit activations, every weight read. Nothing else of the
/// network is in this row.
pub fn dense_row(config: &Config, kernels: Kernels, bandwidth: f64, tokens: usize) -> Row {
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
        asked: None,
        active: 1.0,
        firing_rate: 1.0,
        tokens_per_second: speed,
        bytes_per_token: bytes as f64,
        bandwidth_fraction: bytes as f64 * speed / bandwidth,
        prefill_fit: None,
    }
}

/// Bytes a second that one thread reads from a buffer larger than any cache: the best of several passes.
pub fn memory_bandwidth() -> f64 {
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
