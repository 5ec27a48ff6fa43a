//! Exponentials and their kin, the same to the bit on every CPU, natively and in WebAssembly.
//!
//! The standard library's come from the platform and differ in the last place, which could move a spike. `exp` is written
//! here because the network calls it for most activations and no library has a form that compilers vectorise.

/// e^x, within 2 units in the last place; 0 below -87.3, and no larger than 2^127 above 88.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts, the first with trailing zeros so that n times it is exact (Cody and Waite).
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding 1.5 · 2^23 rounds to an integer, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let silent = x < -87.3;
    let x = if x > 88.0 { 88.0 } else { x };
    let rounded = x * LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    // Coefficients of Cephes' expf (Moshier): a minimax polynomial on [-ln 2 / 2, ln 2 / 2].
    let p = 1.987_569_2e-4;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 5.0e-1;
    let e = p * (r * r) + r + 1.0;
    let scaled = e * f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23));
    if silent { 0.0 } else { scaled }
}

/// `x / (1 + e^-x)`.
#[inline(always)]
pub fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// `ln(1 + e^x)`, without overflow.
#[inline]
pub fn softplus(x: f32) -> f32 {
    x.max(0.0) + libm::log1pf(exp(-x.abs()))
}

/// -ln softmax(`logits`)`[target]`: how much a token surprises, in nats.
pub fn nats(logits: &[f32], target: usize) -> f64 {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let total: f64 = logits.iter().map(|&x| (f64::from(x) - largest).exp()).sum();
    total.ln() + largest - f64::from(logits[target])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn exp_is_right(x in -87.3f32..88.0) {
            let right = f64::from(x).exp();
            let error = (f64::from(exp(x)) - right).abs() / right;
            prop_assert!(error < 2.0 * f64::from(f32::EPSILON), "{error}");
        }

        #[test]
        fn softplus_is_right(x in -100f32..100.0) {
            let right = f64::from(x).exp().ln_1p();
            prop_assert!((f64::from(softplus(x)) - right).abs() <= 3e-7 * right.max(1e-30), "{}", softplus(x));
        }
    }

    #[test]
    fn the_ends() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-1000.0), 0.0);
        assert!(exp(1000.0) > 1e38 && exp(1000.0).is_finite());
        assert!(exp(f32::NAN).is_nan());
        assert!(silu(-1000.0).abs() < 1e-30);
        assert_eq!(silu(1000.0), 1000.0);
    }
}
