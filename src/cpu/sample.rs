//! From logits to a token. Twin: `shaders/sample.wgsl`, which takes the same steps in the same order.

/// How to choose the next token. The default is greedy.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 takes the likeliest token, the first of equals.
    pub temperature: f32,
    /// Keeps this many of the likeliest tokens; 0 keeps all.
    pub top_k: u32,
    /// Keeps the likeliest tokens whose probabilities together reach this; 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens at least this likely, as a fraction of the likeliest; 0 keeps all.
    pub min_p: f32,
    /// Divides positive logits of recent tokens, multiplies negative ones; 1 changes nothing (CTRL, arXiv 1909.05858).
    pub repetition_penalty: f32,
    /// The same seed gives the same text on the same backend.
    pub seed: u32,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0, seed: 0 }
    }
}

/// Why sampling settings were refused.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("{name} is {found}, but must be {expected}")]
pub struct SamplingError {
    /// The setting.
    pub name: &'static str,
    /// Its value.
    pub found: f32,
    /// What it may be.
    pub expected: &'static str,
}

impl Sampling {
    /// Checks every setting's range.
    pub fn check(&self) -> Result<(), SamplingError> {
        for (name, found, holds, expected) in [
            ("temperature", self.temperature, (0.0..=100.0).contains(&self.temperature), "from 0 to 100"),
            ("top_p", self.top_p, self.top_p > 0.0 && self.top_p <= 1.0, "above 0 and at most 1"),
            ("min_p", self.min_p, (0.0..=1.0).contains(&self.min_p), "from 0 to 1"),
            (
                "repetition_penalty",
                self.repetition_penalty,
                self.repetition_penalty > 0.0 && self.repetition_penalty <= 10.0,
                "above 0 and at most 10",
            ),
        ] {
            if !holds {
                return Err(SamplingError { name, found, expected });
            }
        }
        Ok(())
    }
}

/// The next token after `position` tokens; `recent` are those that the repetition penalty looks at. Changes `logits`.
///
/// Penalty, temperature, softmax, top-k, top-p of what is left, min-p; then the token with the largest logit + Gumbel noise
/// among those kept, which is a draw from their softmax. The noise depends on seed, position and token alone, so that no
/// backend needs to sum probabilities in an order.
pub fn sample(logits: &mut [f32], recent: &[u32], sampling: &Sampling, position: u64) -> u32 {
    penalise(logits, recent, sampling.repetition_penalty);
    if sampling.temperature == 0.0 {
        return best(logits.iter().copied());
    }
    logits.iter_mut().for_each(|x| *x /= sampling.temperature);
    let kept = threshold(logits, sampling);
    best(logits.iter().enumerate().map(|(token, &x)| {
        if x >= kept { x + gumbel(sampling.seed, position, token as u32) } else { f32::NEG_INFINITY }
    }))
}

fn penalise(logits: &mut [f32], recent: &[u32], penalty: f32) {
    if penalty == 1.0 {
        return;
    }
    let mut recent: Vec<u32> = recent.to_vec();
    recent.sort_unstable();
    recent.dedup();
    for token in recent {
        if let Some(x) = logits.get_mut(token as usize) {
            *x = if *x > 0.0 { *x / penalty } else { *x * penalty };
        }
    }
}

/// The least logit that top-k, top-p and min-p keep. Equal logits are kept or dropped together.
fn threshold(logits: &[f32], sampling: &Sampling) -> f32 {
    let mut ordered: Vec<f32> = logits.to_vec();
    ordered.sort_unstable_by(|a, b| b.total_cmp(a));
    let largest = ordered[0];
    if sampling.top_k > 0 {
        let least = ordered[(sampling.top_k as usize).min(ordered.len()) - 1];
        ordered.retain(|&x| x >= least);
    }
    let mut least = ordered[ordered.len() - 1];
    if sampling.top_p < 1.0 {
        let total: f32 = ordered.iter().map(|x| (x - largest).exp()).sum();
        let mut sum = 0.0;
        for &x in &ordered {
            sum += (x - largest).exp();
            if sum >= sampling.top_p * total {
                least = x;
                break;
            }
        }
    }
    least.max(largest + sampling.min_p.ln())
}

/// The place of the largest value, the first of equals; 0 where there is none but NaN.
fn best(values: impl Iterator<Item = f32>) -> u32 {
    let first = (0, f32::NEG_INFINITY);
    values.enumerate().fold(first, |best, (i, x)| if x > best.1 { (i as u32, x) } else { best }).0
}

/// Noise of the standard Gumbel distribution, from a hash of where it is wanted.
fn gumbel(seed: u32, position: u64, token: u32) -> f32 {
    let uniform = open_unit(pcg(token ^ pcg(position as u32 ^ pcg(seed))));
    -(-uniform.ln()).ln()
}

/// A number in (0, 1) from a hash: 23 bits and a half, which float32 holds. With one more bit the largest would round to 1.
fn open_unit(hash: u32) -> f32 {
    ((hash >> 9) as f32 + 0.5) * (1.0 / 8_388_608.0)
}

/// PCG's output function as a hash (Jarzynski and Olano, "Hash Functions for GPU Rendering", JCGT 2020).
fn pcg(x: u32) -> u32 {
    let state = x.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
    (word >> 22) ^ word
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 6] = [2.0, 1.0, 0.5, 0.0, -1.0, -4.0];

    #[test]
    fn noise_is_finite_at_the_ends() {
        for hash in [0, 511, 512, u32::MAX - 512, u32::MAX] {
            let uniform = open_unit(hash);
            assert!(0.0 < uniform && uniform < 1.0, "{hash}: {uniform}");
            assert!((-(-uniform.ln()).ln()).is_finite(), "{hash}");
        }
    }

    fn frequencies(sampling: &Sampling, recent: &[u32]) -> Vec<f64> {
        let draws = 40_000;
        let mut counts = vec![0.0; LOGITS.len()];
        for position in 0..draws {
            counts[sample(&mut LOGITS.clone(), recent, sampling, position) as usize] += 1.0 / draws as f64;
        }
        counts
    }

    fn softmax(logits: &[f64]) -> Vec<f64> {
        let total: f64 = logits.iter().map(|x| x.exp()).sum();
        logits.iter().map(|x| x.exp() / total).collect()
    }

    fn near(found: &[f64], right: &[f64]) {
        for (a, b) in found.iter().zip(right) {
            assert!((a - b).abs() < 0.01, "{found:?} {right:?}");
        }
    }

    #[test]
    fn greedy_takes_the_first_of_the_largest() {
        assert_eq!(sample(&mut [0.0, 3.0, 3.0, 1.0], &[], &Sampling::default(), 0), 1);
        let penalty = Sampling { repetition_penalty: 4.0, ..Default::default() };
        assert_eq!(sample(&mut [0.9, 3.0, 3.0, -1.0], &[1, 2, 1, 99], &penalty, 0), 0);
        assert_eq!(sample(&mut [-3.0, -1.0], &[1], &penalty, 0), 0);
    }

    #[test]
    fn draws_follow_the_softmax() {
        let sampling = Sampling { temperature: 0.5, seed: 3, ..Default::default() };
        near(&frequencies(&sampling, &[]), &softmax(&LOGITS.map(|x| f64::from(x) / 0.5)));
    }

    #[test]
    fn filters_keep_what_they_say() {
        let all = Sampling { temperature: 1.0, seed: 5, ..Default::default() };
        let p = softmax(&LOGITS.map(f64::from));
        let kept = |n: usize| {
            let total: f64 = p[..n].iter().sum();
            p.iter().enumerate().map(|(i, p)| if i < n { p / total } else { 0.0 }).collect::<Vec<_>>()
        };
        near(&frequencies(&Sampling { top_k: 2, ..all.clone() }, &[]), &kept(2));
        // 0.55 + 0.20 is the first sum of 0.7 or more.
        near(&frequencies(&Sampling { top_p: 0.7, ..all.clone() }, &[]), &kept(2));
        // e^-1.5 = 0.22 is the last above 0.2.
        near(&frequencies(&Sampling { min_p: 0.2, ..all.clone() }, &[]), &kept(3));
        near(&frequencies(&Sampling { top_k: 1, ..all.clone() }, &[]), &kept(1));
        near(&frequencies(&Sampling { top_p: 1e-9, ..all }, &[]), &kept(1));
    }

    #[test]
    fn settings_have_ranges() {
        assert_eq!(Sampling::default().check(), Ok(()));
        for bad in [
            Sampling { temperature: -1.0, ..Default::default() },
            Sampling { temperature: f32::NAN, ..Default::default() },
            Sampling { top_p: 0.0, ..Default::default() },
            Sampling { min_p: 1.5, ..Default::default() },
            Sampling { repetition_penalty: 0.0, ..Default::default() },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
