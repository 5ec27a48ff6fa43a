//! The optional window branch: attention over the last W tokens and the first S, in rings of constant size.

use crate::config::Config;
use crate::math::exp;

/// The shape of a window branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowShape {
    /// W.
    pub window: usize,
    /// S.
    pub sinks: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// w, a head's width.
    pub head_dim: usize,
}

impl WindowShape {
    /// Of a network that has the branch.
    pub fn of(config: &Config) -> Self {
        Self {
            window: config.window,
            sinks: config.sinks,
            heads: config.attn_heads,
            kv_heads: config.attn_kv_heads,
            head_dim: config.attn_head_dim(),
        }
    }

    /// Where the rings keep a position.
    fn slot(&self, position: u64) -> usize {
        let sinks = self.sinks as u64;
        if position < sinks {
            position as usize
        } else {
            self.sinks + ((position - sinks) % self.window as u64) as usize
        }
    }

    /// Slots that hold a position the query may see, after `position` has been written.
    pub(super) fn seen(&self, position: u64) -> usize {
        (self.sinks + self.window).min(position as usize + 1)
    }

    /// Where, in a slot of a ring, the head begins that a query head reads.
    pub(super) fn kv_head(&self, head: usize) -> usize {
        head * self.kv_heads / self.heads * self.head_dim
    }

    /// Turns the new token's queries `[heads, w]` and keys `[kv_heads, w]` by its `angles`, which are [`Rotary::at`] its
    /// `position`, and writes keys and values to the rings `[S + W, kv_heads, w]`.
    pub fn take_in(
        &self,
        angles: &[(f32, f32)],
        position: u64,
        (q, k, v): (&mut [f32], &mut [f32], &[f32]),
        (ring_k, ring_v): (&mut [f32], &mut [f32]),
    ) {
        rotate(q, angles);
        rotate(k, angles);
        let place = self.slot(position) * k.len()..(self.slot(position) + 1) * k.len();
        ring_k[place.clone()].copy_from_slice(k);
        ring_v[place].copy_from_slice(v);
    }
}

/// Turns every head in `x`, `[heads, w]`, pairs (j, j + w/2), each by its (cos, sin).
fn rotate(x: &mut [f32], angles: &[(f32, f32)]) {
    for head in x.chunks_exact_mut(2 * angles.len()) {
        let (first, second) = head.split_at_mut(angles.len());
        for ((a, b), (cos, sin)) in first.iter_mut().zip(second).zip(angles) {
            (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
        }
    }
}

/// Rotary frequencies of a head, `theta^(-2j/w)`, `[w / 2]`.
#[derive(Debug, Clone)]
pub struct Rotary(Vec<f32>);

impl Rotary {
    /// For heads of width `head_dim`; empty for 0.
    pub fn new(theta: f64, head_dim: usize) -> Self {
        Self((0..head_dim / 2).map(|j| libm::pow(theta, -2.0 * j as f64 / head_dim as f64) as f32).collect())
    }

    /// (cos, sin) of each pair's angle at a position; the product is rounded to float32 before, as the format says.
    pub fn at(&self, position: u64) -> impl Iterator<Item = (f32, f32)> {
        self.0.iter().map(move |frequency| {
            let (sin, cos) = libm::sincos(f64::from(position as f32 * frequency));
            (cos as f32, sin as f32)
        })
    }
}

/// Attends the token at `position`, which [`WindowShape::take_in`] has taken in: its queries `q`, `[heads, w]`, over the rings of
/// keys and values, `[S + W, kv_heads, w]`. The answer is added to `out`, `[heads, w]`.
///
/// Keys carry their rotation, so the order of slots does not matter to the softmax. Twin: `shaders/window_attention.wgsl`.
pub fn window_attention(
    shape: WindowShape,
    position: u64,
    q: &[f32],
    (ring_k, ring_v): (&[f32], &[f32]),
    out: &mut [f32],
) {
    let (width, kv) = (shape.head_dim, shape.kv_heads * shape.head_dim);
    let inverse = 1.0 / (width as f32).sqrt();
    for (head, (q, out)) in q.chunks_exact(width).zip(out.chunks_exact_mut(width)).enumerate() {
        let at = |slot: usize| slot * kv + shape.kv_head(head);
        let mut weights: Vec<f32> = (0..shape.seen(position))
            .map(|slot| q.iter().zip(&ring_k[at(slot)..]).map(|(q, k)| q * k).sum::<f32>() * inverse)
            .collect();
        let largest = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        weights.iter_mut().for_each(|w| *w = exp(*w - largest));
        let total: f32 = weights.iter().sum();
        for (slot, weight) in weights.iter().enumerate() {
            for (out, v) in out.iter_mut().zip(&ring_v[at(slot)..]) {
                *out += weight / total * v;
            }
        }
    }
}
