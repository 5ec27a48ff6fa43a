//! ATMN. Twin of the reference kernel of the same name, equal to the bit.

use crate::cpu;
use crate::energy::Activity;
use crate::model::Neuron;

/// 1.5 · 2^23: a whole number below 128 that is added to it stands in the last bits of the sum. x86 has no conversion of
/// vectors that is `as` for every number, and compilers take the numbers one by one for its sake.
const INTEGERS: f32 = 12_582_912.0;

/// Without leak, and with nobody muted, counts are a line of arithmetic without a branch.
#[inline(always)]
pub(super) fn fire(
    current: &[f32],
    inv_threshold: &[f32],
    neuron: Neuron,
    muted: &[u32],
    counts: &mut [i8],
) -> Activity {
    if neuron.leak != 1.0 || !muted.is_empty() {
        return cpu::fire(current, inv_threshold, neuron, muted, counts);
    }
    let (inverse_scale, steps) = (1.0 / neuron.threshold_scale, neuron.steps as f32);
    for ((current, inv_threshold), count) in current.iter().zip(inv_threshold).zip(counts.iter_mut()) {
        let r = current * inv_threshold * inverse_scale;
        // The precharge is below 1, so the sign that r = 0 gets here moves no count.
        let h = r + neuron.precharge.copysign(r);
        let h = if h.is_nan() { 0.0 } else { h.clamp(-steps, steps).trunc() };
        *count = (h + INTEGERS).to_bits() as i8;
    }
    Activity::of(counts)
}
