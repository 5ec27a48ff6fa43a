//! ATMN: currents to spike counts. Twin: `shaders/fire.wgsl`. Paper, section 3.2.

use crate::energy::Activity;
use crate::model::Neuron;

/// How often each neuron fires, with sign; returns what that adds up to.
///
/// `current` and `inv_threshold` are `[neurons]`, `counts` gets c in -T … T; a neuron whose bit is set in `muted` stays
/// silent. With tau = 1 the micro-step loop is exactly `trunc` and a clamp; a test holds the two together.
pub fn fire(current: &[f32], inv_threshold: &[f32], neuron: Neuron, muted: &[u32], counts: &mut [i8]) -> Activity {
    let inverse_scale = 1.0 / neuron.threshold_scale;
    for (j, ((current, inv_threshold), count)) in current.iter().zip(inv_threshold).zip(&mut *counts).enumerate() {
        let silent = muted.get(j / 32).is_some_and(|word| word >> (j % 32) & 1 == 1);
        let c = if silent { 0 } else { count_spikes(current * inv_threshold * inverse_scale, neuron) };
        *count = c as i8;
    }
    Activity::of(counts)
}

/// The membrane of one neuron before each micro-step's spike, in units of the threshold, and the spike itself, +1, 0 or -1,
/// from the ratio r = I / V: `[T]` of (h_t, s_t).
pub fn membrane(r: f32, neuron: Neuron) -> impl Iterator<Item = (f32, i32)> {
    let mut next = charge(r, neuron);
    (0..neuron.steps).map(move |_| {
        let h = next;
        let s = i32::from(h >= 1.0) - i32::from(h <= -1.0);
        next = (h - s as f32) * neuron.leak;
        (h, s)
    })
}

/// The spikes of one neuron at each micro-step: `[T]`.
pub fn spike_train(r: f32, neuron: Neuron) -> impl Iterator<Item = i32> {
    membrane(r, neuron).map(|(_, spike)| spike)
}

/// h_0 = r + precharge · sign(r), with sign(0) = 0.
fn charge(r: f32, neuron: Neuron) -> f32 {
    if r > 0.0 {
        r + neuron.precharge
    } else if r < 0.0 {
        r - neuron.precharge
    } else {
        0.0
    }
}

fn count_spikes(r: f32, neuron: Neuron) -> i32 {
    if neuron.leak == 1.0 {
        let steps = neuron.steps as i32;
        return (charge(r, neuron) as i32).clamp(-steps, steps);
    }
    spike_train(r, neuron).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn neuron(steps: u32, tau: f64, precharge: f32) -> Neuron {
        Neuron { steps, leak: (1.0 / tau) as f32, precharge, threshold_scale: 1.0 }
    }

    fn counts(current: &[f32], neuron: Neuron) -> Vec<i8> {
        let mut counts = vec![0; current.len()];
        fire(current, &vec![1.0; current.len()], neuron, &[], &mut counts);
        counts
    }

    #[test]
    fn counts_by_hand() {
        let current = [0.0, 0.49, 0.5, -0.5, 2.6, -9.0];
        assert_eq!(counts(&current, neuron(4, 1.0, 0.5)), [0, 0, 1, -1, 3, -4]);
        assert_eq!(counts(&current, neuron(4, 1.0, 0.0)), [0, 0, 0, 0, 2, -4]);
        // 2.6: 1.6 / 2 = 0.8 stays below the threshold; -9: fires at -9 and at -8 / 2.
        assert_eq!(counts(&current, neuron(2, 2.0, 0.0)), [0, 0, 0, 0, 1, -2]);
    }

    #[test]
    fn nothing_but_a_number_counts() {
        assert_eq!(counts(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY], neuron(127, 1.0, 0.5)), [0, 127, -127]);
    }

    #[test]
    fn muted_neurons_and_scaled_thresholds() {
        let mut counts = [0; 3];
        let scaled = Neuron { threshold_scale: 2.0, ..neuron(4, 1.0, 0.0) };
        let activity = fire(&[3.0, -3.0, -4.0], &[1.0; 3], scaled, &[0b010], &mut counts);
        assert_eq!(counts, [1, 0, -2]);
        assert_eq!(activity, Activity { fired: 2, positive: 1, negative: 2 });
    }

    proptest! {
        /// Without leak the loop of the paper and `trunc` are one.
        #[test]
        fn loop_is_trunc(r in -200f32..200.0, steps in 1u32..128, precharge in 0f32..0.5) {
            let neuron = neuron(steps, 1.0, precharge);
            prop_assert_eq!(spike_train(r, neuron).sum::<i32>(), count_spikes(r, neuron));
        }
    }
}
