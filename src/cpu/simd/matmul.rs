//! The projection behind a spike site. Twin of the reference kernel of the same name, equal to the bit.
//!
//! Σ c · w is formed as Σ over k of k · (Σ w where c = k, less Σ w where c = -k): rows of neurons that fired equally often are
//! added as bytes, and only their sum is widened and multiplied. One token reads each row once and unpacks it as it adds
//! it. Several tokens share rows, so these are unpacked once, a tile of columns at a time, and each token's sums stay in
//! registers while its rows are added.

use super::groups::{Groups, Rows};
use super::isa::{Isa, Masks, field_bytes, load, load_inside};
use crate::config::WeightKind;
use crate::cpu::SpikeBatch;
use crate::model::Matrix;

/// What a 16-bit lane holds at most. One group adds no more than 127 · 127, which is less.
const LANE_MAX: i32 = i16::MAX as i32;

/// Vectors of a row that one pass over its group adds: enough to be worth the loop around them.
const STREAM: usize = if cfg!(target_arch = "wasm32") { 2 } else { 1 };

/// Vectors of a tile: so many sums of bytes and twice as many of 16 bits stay in sixteen registers.
const TILE: usize = 4;

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
    // So many weights can be added in a byte.
    let most = (i8::MAX as i32 / weight.kind.max()) as usize;
    let groups = |token| {
        let mut groups = Groups::default();
        groups.sort(spikes.counts(token), most);
        groups
    };
    if spikes.tokens() == 1 {
        stream_rows::<BITS, FIELDS, I>(&groups(0), weight, sums);
    } else {
        let groups: Vec<Groups> = (0..spikes.tokens()).map(groups).collect();
        share_rows::<BITS, FIELDS, I>(&groups, weight, sums);
    }
}

/// How much a group can add to a lane.
#[inline(always)]
fn grows(rows: &Rows, weight: &Matrix) -> i32 {
    i32::from(rows.count) * rows.len() as i32 * weight.kind.max()
}

/// The sums of one token.
#[inline(always)]
fn stream_rows<const BITS: usize, const FIELDS: usize, I: Isa>(groups: &Groups, weight: &Matrix, sums: &mut [i32]) {
    let width = STREAM * size_of::<I::Bytes>();
    let zero: I::Words = bytemuck::Zeroable::zeroed();
    let masks = I::masks::<BITS>();
    let mut lanes = vec![[[zero; FIELDS]; STREAM]; weight.row_bytes().div_ceil(width)];
    sums.fill(0);
    // No lane is larger than this.
    let mut bound = 0;
    let mut rest = groups.iter();
    while let Some(rows) = rest.next() {
        let grows = grows(&rows, weight);
        if bound + grows > LANE_MAX {
            flush_stream::<FIELDS, I>(&mut lanes, sums);
            bound = 0;
        }
        bound += grows;
        add_rows::<BITS, FIELDS, I>(&rows, rest.clone().next(), weight, &masks, &mut lanes);
    }
    flush_stream::<FIELDS, I>(&mut lanes, sums);
}

/// Vectors of a row, and their fields.
type Block<T, const FIELDS: usize> = [[T; FIELDS]; STREAM];

/// `lanes += count · (Σ plus - Σ minus)`, while the group after it is fetched.
#[inline(always)]
fn add_rows<const BITS: usize, const FIELDS: usize, I: Isa>(
    rows: &Rows,
    next: Option<Rows>,
    weight: &Matrix,
    masks: &Masks<I>,
    lanes: &mut [Block<I::Words, FIELDS>],
) {
    let (row_bytes, width) = (weight.row_bytes(), STREAM * size_of::<I::Bytes>());
    let next = next.map_or([&[][..], &[]], |next| [next.plus, next.minus]);
    for (block, lanes) in lanes.iter_mut().enumerate() {
        let at = block * width;
        for &neuron in next.iter().copied().flatten() {
            I::prefetch(&weight.data, usize::from(neuron) * row_bytes + at);
        }
        // The last block of a row reads into the next one, and that of the last row beyond the end.
        if (weight.rows() - 1) * row_bytes + at + width <= weight.data.len() {
            add_block::<BITS, FIELDS, true, I>(rows, weight, at, masks, lanes);
        } else {
            add_block::<BITS, FIELDS, false, I>(rows, weight, at, masks, lanes);
        }
    }
}

/// The same from byte `at` of each row on. `WHOLE` says that all of it is there.
///
/// Fields are read without their sign, as u = w + 2^(bits-1), and bytes may wrap: what is right modulo 256 is right, as
/// the sum of the weights themselves fits.
#[inline(always)]
fn add_block<const BITS: usize, const FIELDS: usize, const WHOLE: bool, I: Isa>(
    rows: &Rows,
    weight: &Matrix,
    at: usize,
    masks: &Masks<I>,
    lanes: &mut Block<I::Words, FIELDS>,
) {
    let read = |neuron: u16, v: usize| {
        let place = usize::from(neuron) * weight.row_bytes() + at + v * size_of::<I::Bytes>();
        if WHOLE { load_inside::<I>(&weight.data, place) } else { load::<I>(&weight.data, place) }
    };
    let offset = (rows.plus.len() as u8).wrapping_sub(rows.minus.len() as u8) << (BITS - 1);
    let mut total = [[I::splat(0u8.wrapping_sub(offset)); FIELDS]; STREAM];
    for &neuron in rows.plus {
        for (v, total) in total.iter_mut().enumerate() {
            let bytes = read(neuron, v);
            for (f, total) in total.iter_mut().enumerate() {
                *total = I::add(*total, I::field::<BITS>(bytes, f, masks));
            }
        }
    }
    for &neuron in rows.minus {
        for (v, total) in total.iter_mut().enumerate() {
            let bytes = read(neuron, v);
            for (f, total) in total.iter_mut().enumerate() {
                *total = I::sub(*total, I::field::<BITS>(bytes, f, masks));
            }
        }
    }
    for (lanes, total) in lanes.iter_mut().flatten().zip(total.iter().flatten()) {
        *lanes = I::add_product(*lanes, *total, rows.count);
    }
}

/// Moves the lanes to the sums in the order of columns, and empties them.
#[inline(always)]
fn flush_stream<const FIELDS: usize, I: Isa>(lanes: &mut [Block<I::Words, FIELDS>], sums: &mut [i32]) {
    let vector = size_of::<I::Bytes>();
    for (lanes, sums) in lanes.iter_mut().flatten().zip(sums.chunks_mut(vector * FIELDS)) {
        let fields = lanes.each_ref().map(|lanes| bytemuck::cast_slice::<I::Words, i16>(std::slice::from_ref(lanes)));
        for (byte, sums) in sums.chunks_mut(FIELDS).enumerate() {
            for (sum, field) in sums.iter_mut().zip(&fields) {
                *sum += i32::from(field[byte]);
            }
        }
        *lanes = [bytemuck::Zeroable::zeroed(); FIELDS];
    }
}

/// The sums of several tokens.
#[inline(always)]
fn share_rows<const BITS: usize, const FIELDS: usize, I: Isa>(groups: &[Groups], weight: &Matrix, sums: &mut [i32]) {
    let width = TILE * size_of::<I::Bytes>();
    let zero: I::Bytes = bytemuck::Zeroable::zeroed();
    let mut tile = vec![[zero; TILE]; weight.rows()];
    for start in (0..weight.columns).step_by(width) {
        let columns = start..weight.columns.min(start + width);
        for (row, tile) in tile.iter_mut().enumerate() {
            field_bytes::<BITS, FIELDS>(&weight.row(row)[start / FIELDS..], bytemuck::cast_slice_mut(tile));
        }
        for (groups, sums) in groups.iter().zip(sums.chunks_exact_mut(weight.columns)) {
            add_tile::<I>(groups, weight, &tile, &mut sums[columns.clone()]);
        }
    }
}

/// The sums of one token over the columns of a tile.
#[inline(always)]
fn add_tile<I: Isa>(groups: &Groups, weight: &Matrix, tile: &[[I::Bytes; TILE]], sums: &mut [i32]) {
    let zero: [I::Words; TILE] = bytemuck::Zeroable::zeroed();
    sums.fill(0);
    let (mut lanes, mut bound) = (zero, 0);
    for rows in groups.iter() {
        let grows = grows(&rows, weight);
        if bound + grows > LANE_MAX {
            add_lanes(bytemuck::cast_slice(&lanes), sums);
            (lanes, bound) = (zero, 0);
        }
        bound += grows;
        let mut total: [I::Bytes; TILE] = bytemuck::Zeroable::zeroed();
        for &neuron in rows.plus {
            let row = &tile[usize::from(neuron)];
            for v in 0..TILE {
                total[v] = I::add(total[v], row[v]);
            }
        }
        for &neuron in rows.minus {
            let row = &tile[usize::from(neuron)];
            for v in 0..TILE {
                total[v] = I::sub(total[v], row[v]);
            }
        }
        for v in 0..TILE {
            lanes[v] = I::add_product(lanes[v], total[v], rows.count);
        }
    }
    add_lanes(bytemuck::cast_slice(&lanes), sums);
}

#[inline(always)]
fn add_lanes(lanes: &[i16], sums: &mut [i32]) {
    sums.iter_mut().zip(lanes).for_each(|(sum, lane)| *sum += i32::from(*lane));
}
