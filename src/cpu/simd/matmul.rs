//! The projection behind a spike site. Twin of the reference kernel of the same name, equal to the bit.
//!
//! Rows of fired neurons are added in 16-bit lanes and widened to 32 bits before a lane can overflow. Fields are read
//! without their sign, as u = w + 2^(bits-1), which is one instruction less; Σ c · 2^(bits-1) is taken off at the end.

use crate::config::WeightKind;
use crate::cpu::SpikeBatch;
use crate::model::{Event, Matrix};

/// What a lane holds at most. One row adds no more than 127 · 255, which is less.
const LANE_MAX: i32 = i16::MAX as i32;

/// Bytes of a block: all rows are whole blocks.
const BLOCK: usize = 16;

/// Rows that are added in one pass over the accumulators.
const ROWS: usize = 4;

/// Blocks of a tile when several tokens share it: what a tile's rows take in cache is `inputs` · 16 · this.
const TILE_BLOCKS: usize = 4;

#[inline(always)]
pub(super) fn sparse_matmul(spikes: &SpikeBatch, weight: &Matrix, sums: &mut [i32]) {
    match weight.kind {
        WeightKind::Int8 => tiles::<8, 1>(spikes, weight, sums),
        WeightKind::Int4 => tiles::<4, 2>(spikes, weight, sums),
        WeightKind::Ternary => tiles::<2, 4>(spikes, weight, sums),
    }
}

#[inline(always)]
fn tiles<const BITS: usize, const FIELDS: usize>(spikes: &SpikeBatch, weight: &Matrix, sums: &mut [i32]) {
    let blocks = weight.row_bytes() / BLOCK;
    let width = if spikes.tokens() == 1 { blocks } else { TILE_BLOCKS };
    let mut lanes = vec![[[0i16; BLOCK]; FIELDS]; width.min(blocks)];
    for first in (0..blocks).step_by(width) {
        let lanes = &mut lanes[..width.min(blocks - first)];
        let start = first * BLOCK * FIELDS;
        let columns = start..weight.columns.min(start + lanes.len() * BLOCK * FIELDS);
        for (token, sums) in sums.chunks_exact_mut(weight.columns).enumerate() {
            add_rows::<BITS, FIELDS>(spikes.events(token), weight, first, lanes, &mut sums[columns.clone()]);
        }
    }
}

/// The sums of one token over the blocks from `first` on.
#[inline(always)]
fn add_rows<const BITS: usize, const FIELDS: usize>(
    events: &[Event],
    weight: &Matrix,
    first: usize,
    lanes: &mut [[[i16; BLOCK]; FIELDS]],
    sums: &mut [i32],
) {
    let bytes = first * BLOCK..(first + lanes.len()) * BLOCK;
    sums.fill(0);
    // No lane is larger than this.
    let mut bound = 0;
    let mut counts = 0;
    let mut left = events;
    while !left.is_empty() {
        let (size, grows) = next_group::<BITS>(left);
        if bound + grows > LANE_MAX {
            flush(lanes, sums);
            bound = 0;
        }
        bound += grows;
        // A group that is not full adds its first row again, zero times.
        let group: [Event; ROWS] =
            std::array::from_fn(|i| if i < size { left[i] } else { Event::new(left[0].neuron(), 0) });
        let count = group.map(|event| event.count() as i16);
        counts += count.iter().map(|&c| i32::from(c)).sum::<i32>();
        add_group::<BITS, FIELDS>(group.map(|event| &weight.row(event.neuron())[bytes.clone()]), count, lanes);
        left = &left[size..];
    }
    flush(lanes, sums);
    let offset = counts << (BITS - 1);
    sums.iter_mut().for_each(|sum| *sum -= offset);
}

/// How many of the first events can be added together, at least one, and how much that can add to a lane.
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
fn add_group<const BITS: usize, const FIELDS: usize>(
    rows: [&[u8]; ROWS],
    count: [i16; ROWS],
    lanes: &mut [[[i16; BLOCK]; FIELDS]],
) {
    let [a, b, c, d] = rows.map(|row| row.as_chunks::<BLOCK>().0.iter());
    for ((((lanes, a), b), c), d) in lanes.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        let rows = [a, b, c, d];
        for (field, lanes) in lanes.iter_mut().enumerate() {
            for i in 0..BLOCK {
                let mut sum = lanes[i];
                for r in 0..ROWS {
                    let u = (rows[r][i] ^ sign_bits::<BITS>()) >> (field * BITS) & (u8::MAX >> (8 - BITS));
                    sum = sum.wrapping_add(count[r].wrapping_mul(i16::from(u)));
                }
                lanes[i] = sum;
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

/// Moves the lanes to the sums, in the order of columns, and empties them.
#[inline(always)]
fn flush<const FIELDS: usize>(lanes: &mut [[[i16; BLOCK]; FIELDS]], sums: &mut [i32]) {
    for (lanes, sums) in lanes.iter_mut().zip(sums.chunks_mut(BLOCK * FIELDS)) {
        for (byte, sums) in sums.chunks_mut(FIELDS).enumerate() {
            for (sum, field) in sums.iter_mut().zip(lanes.iter()) {
                *sum += i32::from(field[byte]);
            }
        }
        *lanes = [[0; BLOCK]; FIELDS];
    }
}
