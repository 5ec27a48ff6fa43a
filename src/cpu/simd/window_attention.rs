//! The window branch. Twin of the reference kernel of the same name.

use super::elementwise::block;
use super::{LANES, dot, sum};
use crate::cpu::WindowShape;
use crate::math::exp;

#[inline(always)]
pub(super) fn window_attention(
    shape: WindowShape,
    position: u64,
    q: &[f32],
    (ring_k, ring_v): (&[f32], &[f32]),
    out: &mut [f32],
) {
    let (width, kv) = (shape.head_dim, shape.kv_heads * shape.head_dim);
    let inverse = 1.0 / (width as f32).sqrt();
    let mut weights = vec![0.0; shape.seen(position)];
    for (head, (q, out)) in q.chunks_exact(width).zip(out.chunks_exact_mut(width)).enumerate() {
        let at = shape.kv_head(head);
        for (weight, k) in weights.iter_mut().zip(ring_k.chunks_exact(kv)) {
            *weight = dot(q, &k[at..at + width]) * inverse;
        }
        softmax(&mut weights);
        let whole = width - width % LANES;
        for start in (0..whole).step_by(LANES) {
            add_values::<LANES>(&weights, ring_v, kv, at + start, &mut out[start..]);
        }
        for start in whole..width {
            add_values::<1>(&weights, ring_v, kv, at + start, &mut out[start..]);
        }
    }
}

/// Adds `WIDTH` columns of the values, from `at` on in each slot, by the slots' weights.
#[inline(always)]
fn add_values<const WIDTH: usize>(weights: &[f32], ring_v: &[f32], kv: usize, at: usize, out: &mut [f32]) {
    let mut own = block::<WIDTH>(out, 0);
    for (weight, v) in weights.iter().zip(ring_v.chunks_exact(kv)) {
        let v = block::<WIDTH>(v, at);
        for i in 0..WIDTH {
            own[i] += weight * v[i];
        }
    }
    out[..WIDTH].copy_from_slice(&own);
}

/// In place, `[slots]`.
#[inline(always)]
fn softmax(x: &mut [f32]) {
    let (blocks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for block in blocks {
        for i in 0..LANES {
            lanes[i] = if block[i] > lanes[i] { block[i] } else { lanes[i] };
        }
    }
    let largest = lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max);
    x.iter_mut().for_each(|x| *x = exp(*x - largest));
    let (blocks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for block in blocks {
        for i in 0..LANES {
            lanes[i] += block[i];
        }
    }
    let total = sum(lanes) + rest.iter().sum::<f32>();
    x.iter_mut().for_each(|x| *x /= total);
}
