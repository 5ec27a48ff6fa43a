//! How the time of a prefill grows with the prompt.

use serde::Serialize;

/// The time of a prefill as a line: t = fixed + per_token · n, by least squares.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Fit {
    /// What every prompt takes, however short: milliseconds. Below 0 where long prompts take more than their share.
    pub fixed_ms: f64,
    /// What each token adds: milliseconds.
    pub per_token_ms: f64,
    /// The furthest that a measured time is from the line: milliseconds.
    pub largest_residual_ms: f64,
    /// The length of the prompt of which that is.
    pub largest_residual_at: usize,
}

impl Fit {
    /// Of (tokens, seconds). `None` for fewer than three lengths, as a line goes through any two points.
    pub fn of(points: &[(usize, f64)]) -> Option<Self> {
        let mut lengths: Vec<usize> = points.iter().map(|&(length, _)| length).collect();
        lengths.sort_unstable();
        lengths.dedup();
        if lengths.len() < 3 {
            return None;
        }
        let points = points.iter().map(|&(length, seconds)| (length, length as f64, seconds * 1e3));
        let mean = |value: &dyn Fn(f64, f64) -> f64| {
            let sum: f64 = points.clone().map(|(_, n, ms)| value(n, ms)).sum();
            sum / points.len() as f64
        };
        let (n_mean, ms_mean) = (mean(&|n, _| n), mean(&|_, ms| ms));
        let together = mean(&|n, ms| (n - n_mean) * (ms - ms_mean));
        let per_token_ms = together / mean(&|n, _| (n - n_mean).powi(2));
        let fixed_ms = ms_mean - per_token_ms * n_mean;
        let residuals = points.map(|(length, n, ms)| (length, (ms - fixed_ms - per_token_ms * n).abs()));
        let (largest_residual_at, largest_residual_ms) = residuals.max_by(|a, b| a.1.total_cmp(&b.1))?;
        Some(Self { fixed_ms, per_token_ms, largest_residual_ms, largest_residual_at })
    }
}

#[cfg(test)]
mod tests {
    use super::Fit;

    fn assert_near(found: f64, right: f64) {
        assert!((found - right).abs() < 1e-9, "{found}, expected {right}");
    }

    #[test]
    fn a_line_is_found() {
        let points = [64, 256, 1024].map(|n| (n, 0.005 + 0.002 * n as f64));
        let fit = Fit::of(&points).expect("three lengths");
        assert_near(fit.fixed_ms, 5.0);
        assert_near(fit.per_token_ms, 2.0);
        assert_near(fit.largest_residual_ms, 0.0);
    }

    #[test]
    fn what_is_off_the_line_is_told() {
        // Least squares of (0, 0), (1, 3), (2, 0), by hand: the level 1, and the middle is 2 off.
        let fit = Fit::of(&[(0, 0.0), (1, 0.003), (2, 0.0)]).expect("three lengths");
        assert_near(fit.per_token_ms, 0.0);
        assert_near(fit.fixed_ms, 1.0);
        assert_near(fit.largest_residual_ms, 2.0);
        assert_eq!(fit.largest_residual_at, 1);
    }

    #[test]
    fn two_lengths_are_no_evidence() {
        assert_eq!(Fit::of(&[(64, 0.1), (128, 0.2), (128, 0.3)]), None);
    }
}
