//! The dense integer product. Twin of the reference kernel of the same name, equal to the bit.
//!
//! Four rows are interleaved, so that each 32-bit lane has the weights of four inputs to one output: what the dot product
//! instructions want. Fields are read without their sign, as u = w + 2^(bits-1), and Σ c · 2^(bits-1) is taken off at
//! the end. config.json's limit, Σ |c| · |w| ≤ 2^24, keeps Σ |c| · u below 2^26, so no lane of 32 bits can overflow.
//!
//! One token streams the rows, four at a time. Several tokens share them: a panel of columns is unpacked once, and each
//! vector of it meets the counts of several tokens, whose sums stay in registers.

use bytemuck::{Pod, Zeroable};

use crate::config::WeightKind;
use crate::cpu::SpikeBatch;
use crate::cpu::simd::isa::{Isa, load, load_inside};
use crate::model::Matrix;

/// Bytes that the machine fetches at once.
const LINE: usize = 64;

/// How many fours of rows ahead those of a panel are fetched: they lie too far apart for the machine to guess.
const AHEAD: usize = 4;

/// What the dense product needs beside [`Isa`]. Vectors are in lanes of 16 bytes.
pub(super) trait Dense: Isa {
    /// A vector of 32-bit sums, as large as one of bytes.
    type Sums: Pod;

    /// Four counts in every 32 bits.
    fn splat_counts(counts: [i8; 4]) -> Self::Bytes;

    /// Bytes of a and b by turns: those of each lane's first half, those of its second.
    fn pairs(a: Self::Bytes, b: Self::Bytes) -> [Self::Bytes; 2];

    /// The same of 16-bit numbers.
    fn pairs_of_pairs(a: Self::Bytes, b: Self::Bytes) -> [Self::Bytes; 2];

    /// `sums[i] + Σ weights[4i + k] · counts[4i + k]` over k below 4.
    fn dot<const BITS: usize>(sums: Self::Sums, weights: Self::Bytes, counts: Self::Bytes) -> Self::Sums;

    /// A field as [`Dense::dot`] takes it: w + [`Dense::offset`].
    fn dense_field<const BITS: usize>(bytes: Self::Bytes, field: usize) -> Self::Bytes;

    /// What a field is larger by than its weight.
    fn offset<const BITS: usize>() -> i32;

    /// Four vectors by turns: in quad q, lane l, bytes 4k … 4k + 3 are byte 16l + 4q + k of each.
    #[inline(always)]
    fn quads([a, b, c, d]: [Self::Bytes; 4]) -> [Self::Bytes; 4] {
        let (ab, cd) = (Self::pairs(a, b), Self::pairs(c, d));
        let (low, high) = (Self::pairs_of_pairs(ab[0], cd[0]), Self::pairs_of_pairs(ab[1], cd[1]));
        [low[0], low[1], high[0], high[1]]
    }
}

/// The sums of `TOKENS` tokens, four vectors each, stay in registers.
#[inline(always)]
pub(super) fn dense_matmul<D: Dense, const TOKENS: usize>(spikes: &SpikeBatch, weight: &Matrix, sums: &mut [i32]) {
    match weight.kind {
        WeightKind::Int8 => matmul::<8, 1, TOKENS, D>(spikes, weight, sums),
        WeightKind::Int4 => matmul::<4, 2, TOKENS, D>(spikes, weight, sums),
        WeightKind::Ternary => matmul::<2, 4, TOKENS, D>(spikes, weight, sums),
    }
}

#[inline(always)]
fn matmul<const BITS: usize, const FIELDS: usize, const TOKENS: usize, D: Dense>(
    spikes: &SpikeBatch,
    weight: &Matrix,
    sums: &mut [i32],
) {
    // By fours, the last filled up with zeros.
    let quads = weight.rows().div_ceil(4);
    let mut counts = vec![[0i8; 4]; quads * spikes.tokens()];
    for (token, counts) in counts.chunks_exact_mut(quads).enumerate() {
        let row = spikes.counts(token);
        counts.as_flattened_mut()[..row.len()].copy_from_slice(row);
    }
    if spikes.tokens() == 1 {
        stream_rows::<BITS, FIELDS, D>(&counts, weight, sums);
    } else {
        share_rows::<BITS, FIELDS, TOKENS, D>(&counts, weight, sums);
    }
}

/// The sums of one token.
#[inline(always)]
fn stream_rows<const BITS: usize, const FIELDS: usize, D: Dense>(
    counts: &[[i8; 4]],
    weight: &Matrix,
    sums: &mut [i32],
) {
    let vector = size_of::<D::Bytes>();
    let mut lanes = vec![[[D::Sums::zeroed(); 4]; FIELDS]; weight.row_bytes().div_ceil(vector)];
    for (quad, &counts) in counts.iter().enumerate() {
        let counts = D::splat_counts(counts);
        // The last block of a row reads into the next one.
        if (quad + 1) * 4 * weight.row_bytes() + vector <= weight.data.len() {
            add_quad::<BITS, FIELDS, true, D>(counts, weight, quad, &mut lanes);
        } else {
            add_quad::<BITS, FIELDS, false, D>(counts, weight, quad, &mut lanes);
        }
    }
    let offset = total(counts) * D::offset::<BITS>();
    for (lanes, sums) in lanes.iter().zip(sums.chunks_mut(vector * FIELDS)) {
        let lanes: [[&[[i32; 4]]; 4]; FIELDS] =
            lanes.each_ref().map(|field| field.each_ref().map(|quad| bytemuck::cast_slice(std::slice::from_ref(quad))));
        // Sixteen bytes of a row have 16 · FIELDS columns.
        for (lane, sums) in sums.chunks_mut(16 * FIELDS).enumerate() {
            for (byte, sums) in sums.chunks_mut(FIELDS).enumerate() {
                for (sum, field) in sums.iter_mut().zip(&lanes) {
                    *sum = field[byte / 4][lane][byte % 4] - offset;
                }
            }
        }
    }
}

/// Adds four rows, while the next four are fetched. More rows side by side would spare loads and stores of the lanes, but
/// are more than the machine foresees: eight take a third longer, sixteen nearly twice as long.
#[inline(always)]
fn add_quad<const BITS: usize, const FIELDS: usize, const WHOLE: bool, D: Dense>(
    counts: D::Bytes,
    weight: &Matrix,
    quad: usize,
    lanes: &mut [[[D::Sums; 4]; FIELDS]],
) {
    let vector = size_of::<D::Bytes>();
    let next = (quad + 1) * 4 * weight.row_bytes();
    for (block, lanes) in lanes.iter_mut().enumerate() {
        for line in (0..4 * vector).step_by(LINE) {
            D::prefetch(&weight.data, next + block * 4 * vector + line);
        }
        let rows = D::quads(four_rows::<WHOLE, D>(weight, quad, block * vector));
        for (f, lanes) in lanes.iter_mut().enumerate() {
            for (lanes, row) in lanes.iter_mut().zip(rows) {
                *lanes = D::dot::<BITS>(*lanes, D::dense_field::<BITS>(row, f), counts);
            }
        }
    }
}

/// A vector of each of four rows, from byte `at` on. `WHOLE` says that all of them are there; else a row that is not is a
/// zero, as its count is.
#[inline(always)]
fn four_rows<const WHOLE: bool, D: Dense>(weight: &Matrix, quad: usize, at: usize) -> [D::Bytes; 4] {
    let row_bytes = weight.row_bytes();
    let (data, first) = (&weight.data[..], 4 * quad * row_bytes + at);
    let read = |place| if WHOLE { load_inside::<D>(data, place) } else { load::<D>(data, place) };
    [read(first), read(first + row_bytes), read(first + 2 * row_bytes), read(first + 3 * row_bytes)]
}

#[inline(always)]
fn total(counts: &[[i8; 4]]) -> i32 {
    counts.as_flattened().iter().map(|&count| i32::from(count)).sum()
}

/// The sums of several tokens.
#[inline(always)]
fn share_rows<const BITS: usize, const FIELDS: usize, const TOKENS: usize, D: Dense>(
    counts: &[[i8; 4]],
    weight: &Matrix,
    sums: &mut [i32],
) {
    let (vector, quads) = (size_of::<D::Bytes>(), weight.rows().div_ceil(4));
    let offsets: Vec<i32> = counts.chunks_exact(quads).map(|counts| total(counts) * D::offset::<BITS>()).collect();
    // One for each sixteenth, in columns, of what lies in a lane.
    let mut panels: [Vec<[D::Bytes; 4]>; FIELDS] = std::array::from_fn(|_| vec![[D::Bytes::zeroed(); 4]; quads]);
    for block in 0..weight.row_bytes().div_ceil(vector) {
        for quad in 0..quads {
            for row in 0..4 {
                D::prefetch(&weight.data, (4 * (quad + AHEAD) + row) * weight.row_bytes() + block * vector);
            }
            // The last block of a row reads into the next one.
            let whole = (4 * quad + 3) * weight.row_bytes() + (block + 1) * vector <= weight.data.len();
            let rows = if whole {
                four_rows::<true, D>(weight, quad, block * vector)
            } else {
                four_rows::<false, D>(weight, quad, block * vector)
            };
            let rows = rows.map(in_columns::<BITS, FIELDS, D>);
            for (part, panel) in panels.iter_mut().enumerate() {
                panel[quad] = D::quads(rows.map(|row| row[part]));
            }
        }
        for (part, panel) in panels.iter().enumerate() {
            let start = block * vector * FIELDS + 16 * part;
            let mut token = 0;
            while token < offsets.len() {
                let left = &counts[token * quads..];
                let place = Place { weight, start, lane: 16 * FIELDS };
                let (offsets, sums) = (&offsets[token..], &mut sums[token * weight.columns..]);
                if offsets.len() >= TOKENS {
                    tile::<BITS, TOKENS, D>(left, panel, offsets, place, sums);
                    token += TOKENS;
                } else if offsets.len() >= 2 {
                    tile::<BITS, 2, D>(left, panel, offsets, place, sums);
                    token += 2;
                } else {
                    tile::<BITS, 1, D>(left, panel, offsets, place, sums);
                    token += 1;
                }
            }
        }
    }
}

/// The fields of a vector, a byte each, in the order of columns within each lane: 16 columns, the next 16, …
#[inline(always)]
fn in_columns<const BITS: usize, const FIELDS: usize, D: Dense>(bytes: D::Bytes) -> [D::Bytes; FIELDS] {
    let field = |f| D::dense_field::<BITS>(bytes, f);
    let mut out = [field(0); FIELDS];
    match FIELDS {
        2 => out.copy_from_slice(&D::pairs(field(0), field(1))),
        4 => out.copy_from_slice(&D::quads([field(0), field(1), field(2), field(3)])),
        _ => {}
    }
    out
}

/// Where a panel's sums go: lane l of vector q has the columns from `start + l · lane + 4q` on.
#[derive(Clone, Copy)]
struct Place<'a> {
    weight: &'a Matrix,
    start: usize,
    lane: usize,
}

/// The sums of `TOKENS` tokens over a panel.
#[inline(always)]
fn tile<const BITS: usize, const TOKENS: usize, D: Dense>(
    counts: &[[i8; 4]],
    panel: &[[D::Bytes; 4]],
    offsets: &[i32],
    place: Place,
    sums: &mut [i32],
) {
    let counts: [&[[i8; 4]]; TOKENS] = std::array::from_fn(|token| &counts[token * panel.len()..][..panel.len()]);
    let mut own = [[D::Sums::zeroed(); 4]; TOKENS];
    for (quad, weights) in panel.iter().enumerate() {
        for (own, counts) in own.iter_mut().zip(&counts) {
            let counts = D::splat_counts(counts[quad]);
            for (own, weights) in own.iter_mut().zip(weights) {
                *own = D::dot::<BITS>(*own, *weights, counts);
            }
        }
    }
    let rows = sums.chunks_exact_mut(place.weight.columns).zip(offsets);
    for (own, (sums, offset)) in own.iter().zip(rows) {
        for (q, vector) in own.iter().enumerate() {
            let lanes: &[[i32; 4]] = bytemuck::cast_slice(std::slice::from_ref(vector));
            for (l, lane) in lanes.iter().enumerate() {
                let column = place.start + l * place.lane + 4 * q;
                let lane = lane.map(|sum| sum - offset);
                match sums.get_mut(column..column + 4) {
                    Some(sums) => sums.copy_from_slice(&lane),
                    None => sums.iter_mut().skip(column).zip(lane).for_each(|(sum, lane)| *sum = lane),
                }
            }
        }
    }
}
