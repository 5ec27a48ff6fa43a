//! The projection behind a spike site. Twin of the reference kernel of the same name, equal to the bit.
//!
//! Rows of fired neurons are added in 16-bit lanes and widened to 32 bits before a lane can overflow. One token reads each
//! row once and unpacks it as it adds it. Several tokens share rows, so these are unpacked once, a tile of columns at a
//! time, and each token's sums stay in registers while its events are added.

use super::{BLOCK, Fields, Isa, fields};
use crate::config::WeightKind;
use crate::cpu::SpikeBatch;
use crate::model::{Event, Matrix};

/// What a lane holds at most. One row adds no more than 127 · 255, which is less.
const LANE_MAX: i32 = i16::MAX as i32;

/// Rows that are added in one pass over the accumulators.
const ROWS: usize = 4;

/// Vectors of a tile: so many sums stay in registers, and so many again are free.
const VECTORS: usize = if cfg!(target_arch = "wasm32") { 4 } else { 8 };

#[inline(always)]
pub(super) fn sparse_matmul<I: Isa>(spikes: &SpikeBatch, weight: &Matrix, sums: &mut [i32]) {
    match weight.kind {
        WeightKind::Int8 => matmul::<8, 1, I>(spikes, weight, sums),
        WeightKind::Int4 => matmul::<4, 2, I>(spikes, weight, sums),
        WeightKind::Ternary => matmul::<2, 4, I>(spikes, weight, sums),
    }
}

/// `FIELDS` integers of `BITS` bits are in a byte.
#[inline(always)]
fn matmul<const BITS: usize, const FIELDS: usize, I: Isa>(spikes: &SpikeBatch, weight: &Matrix, sums: &mut [i32]) {
    if spikes.tokens() == 1 {
        stream_rows::<BITS, FIELDS, I>(spikes.events(0), weight, sums);
    } else {
        share_rows::<BITS, FIELDS>(spikes, weight, sums);
    }
}

/// The sums of one token. Fields are read without their sign, as u = w + 2^(bits-1), which is one instruction less;
/// Σ c · 2^(bits-1) is taken off at the end.
#[inline(always)]
fn stream_rows<const BITS: usize, const FIELDS: usize, I: Isa>(events: &[Event], weight: &Matrix, sums: &mut [i32]) {
    let mut lanes = vec![[[0i16; BLOCK]; FIELDS]; weight.row_bytes() / BLOCK];
    sums.fill(0);
    // No lane is larger than this.
    let mut bound = 0;
    let mut counts = 0;
    let mut left = events;
    while !left.is_empty() {
        let (size, grows) = next_group::<BITS>(left);
        if bound + grows > LANE_MAX {
            flush(lanes.as_flattened_mut(), FIELDS, sums);
            bound = 0;
        }
        bound += grows;
        // A group that is not full adds its first row again, zero times.
        let group: [Event; ROWS] =
            std::array::from_fn(|i| if i < size { left[i] } else { Event::new(left[0].neuron(), 0) });
        let count = group.map(|event| event.count() as i8);
        counts += count.iter().map(|&c| i32::from(c)).sum::<i32>();
        left = &left[size..];
        left.iter().take(ROWS).for_each(|event| I::prefetch(weight.row(event.neuron())));
        add_group::<BITS, FIELDS, I>(group.map(|event| weight.row(event.neuron())), count, &mut lanes);
    }
    flush(lanes.as_flattened_mut(), FIELDS, sums);
    let offset = counts << (BITS - 1);
    sums.iter_mut().for_each(|sum| *sum -= offset);
}

/// How many of the first events can be added together, at least one, and how much that can add to a lane: never more than
/// a lane holds.
#[inline(always)]
fn next_group<const BITS: usize>(events: &[Event]) -> (usize, i32) {
    let mut grows = 0;
    for (size, event) in events.iter().take(ROWS).enumerate() {
        let one = event.count().abs() * ((1 << BITS) - 1);
        if grows + one > LANE_MAX {
            return (size, grows);
        }
        grows += one;
    }
    (ROWS.min(events.len()), grows)
}

/// `lanes += Σ count · u` over four rows.
#[inline(always)]
fn add_group<const BITS: usize, const FIELDS: usize, I: Isa>(
    rows: [&[u8]; ROWS],
    count: [i8; ROWS],
    lanes: &mut [[Fields; FIELDS]],
) {
    let [a, b, c, d] = rows.map(|row| row.as_chunks::<BLOCK>().0.iter());
    for ((((lanes, a), b), c), d) in lanes.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        // By value, so that the compiler need not ask whether rows and lanes overlap.
        let rows = [*a, *b, *c, *d].map(|row| row.map(|byte| byte ^ sign_bits::<BITS>()));
        for (field, lanes) in lanes.iter_mut().enumerate() {
            let [a, b, c, d] = rows.map(|row| row.map(|byte| byte >> (field * BITS) & (u8::MAX >> (8 - BITS))));
            let first = I::pair_sum(a, b, [count[0], count[1]]);
            let second = I::pair_sum(c, d, [count[2], count[3]]);
            for i in 0..BLOCK {
                lanes[i] = lanes[i].wrapping_add(first[i]).wrapping_add(second[i]);
            }
        }
    }
}

/// The sign bit of every field in a byte: flipping it makes u = w + 2^(bits-1).
const fn sign_bits<const BITS: usize>() -> u8 {
    match BITS {
        8 => 0x80,
        4 => 0x88,
        _ => 0xaa,
    }
}

/// The sums of several tokens.
#[inline(always)]
fn share_rows<const BITS: usize, const FIELDS: usize>(spikes: &SpikeBatch, weight: &Matrix, sums: &mut [i32]) {
    let blocks = weight.row_bytes() / BLOCK;
    let tile_blocks = VECTORS / FIELDS;
    let mut tile = vec![[[0i16; BLOCK]; VECTORS]; weight.rows()];
    for first in (0..blocks).step_by(tile_blocks) {
        let width = tile_blocks.min(blocks - first);
        for (row, tile) in tile.iter_mut().enumerate() {
            let bytes = weight.row(row)[first * BLOCK..][..width * BLOCK].as_chunks::<BLOCK>().0;
            for (bytes, tile) in bytes.iter().zip(tile.as_chunks_mut::<FIELDS>().0) {
                *tile = std::array::from_fn(|field| fields::<BITS>(bytes, field));
            }
        }
        let start = first * BLOCK * FIELDS;
        let columns = start..weight.columns.min(start + width * BLOCK * FIELDS);
        for (token, sums) in sums.chunks_exact_mut(weight.columns).enumerate() {
            add_events::<BITS, FIELDS>(spikes.events(token), &tile, &mut sums[columns.clone()]);
        }
    }
}

/// The sums of one token over the columns of a tile.
#[inline(always)]
fn add_events<const BITS: usize, const FIELDS: usize>(events: &[Event], tile: &[[Fields; VECTORS]], sums: &mut [i32]) {
    let largest = (1 << (BITS - 1)) - 1;
    sums.fill(0);
    let mut left = events;
    while !left.is_empty() {
        let mut bound = 0;
        let fits = left.iter().take_while(|event| {
            bound += event.count().abs() * largest;
            bound <= LANE_MAX
        });
        let (now, later) = left.split_at(fits.count());
        let mut lanes = [[0i16; BLOCK]; VECTORS];
        for event in now {
            let (row, count) = (&tile[event.neuron()], event.count() as i16);
            for v in 0..VECTORS {
                for i in 0..BLOCK {
                    lanes[v][i] = lanes[v][i].wrapping_add(count.wrapping_mul(row[v][i]));
                }
            }
        }
        flush(&mut lanes, FIELDS, sums);
        left = later;
    }
}

/// Moves the lanes, `fields` vectors a block, to the sums in the order of columns, and empties them.
#[inline(always)]
fn flush(lanes: &mut [Fields], fields: usize, sums: &mut [i32]) {
    for (lanes, sums) in lanes.chunks_exact_mut(fields).zip(sums.chunks_mut(BLOCK * fields)) {
        for (byte, sums) in sums.chunks_mut(fields).enumerate() {
            for (sum, field) in sums.iter_mut().zip(lanes.iter()) {
                *sum += i32::from(field[byte]);
            }
        }
        lanes.fill([0; BLOCK]);
    }
}
