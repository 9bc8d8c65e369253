//! Error rates out of comparison scores. Arithmetic only.

use std::fmt;

use serde::Serialize;

/// Scores of one set: same person, and different persons.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scores {
    pub(crate) genuine: Vec<f32>,
    pub(crate) impostor: Vec<f32>,
}

/// One threshold and what it buys.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OperatingPoint {
    /// Share of impostor pairs aimed at.
    pub false_accept_rate: f64,
    /// Share of genuine pairs at or above `threshold`.
    pub true_accept_rate: f64,
    pub threshold: f32,
}

/// One threshold and both errors at it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    pub threshold: f32,
    pub false_match_rate: f64,
    pub false_non_match_rate: f64,
}

/// The greatest rate that `errors` in `trials` independent trials still allow with 95 % confidence (one-sided,
/// Clopper and Pearson 1934). With no error it is about three over the number of trials. 1 without trials.
pub fn upper_bound(errors: usize, trials: usize) -> f64 {
    if errors >= trials {
        return 1.0;
    }
    let (mut low, mut high) = (errors as f64 / trials as f64, 1.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if at_most(errors, trials, middle) > 0.05 { low = middle } else { high = middle }
    }
    high
}

/// Probability of at most `errors` in `trials` trials of probability `rate`.
fn at_most(errors: usize, trials: usize, rate: f64) -> f64 {
    let (hit, miss) = (rate.ln(), (-rate).ln_1p());
    let mut term = trials as f64 * miss;
    let mut sum = term.exp();
    for k in 0..errors {
        term += ((trials - k) as f64 / (k + 1) as f64).ln() + hit - miss;
        sum += term.exp();
    }
    sum
}

impl Scores {
    /// The point at which `rate` of the impostor pairs would be accepted; `None` when there are fewer than
    /// one such pair, because then the threshold would be a guess.
    pub(crate) fn at_false_accept_rate(&self, rate: f64) -> Option<OperatingPoint> {
        let mut impostor = self.impostor.clone();
        impostor.sort_by(|a, b| b.total_cmp(a));
        let allowed = (rate * impostor.len() as f64) as usize;
        if allowed < 1 || self.genuine.is_empty() {
            return None;
        }
        let threshold = *impostor.get(allowed - 1)?;
        let accepted = self.genuine.iter().filter(|&&s| s >= threshold).count();
        let true_accept_rate = accepted as f64 / self.genuine.len() as f64;
        Some(OperatingPoint { false_accept_rate: rate, true_accept_rate, threshold })
    }

    /// Share of impostor pairs at or above `threshold`, and of genuine pairs below it.
    pub(crate) fn rates_at(&self, threshold: f32) -> Option<(f64, f64)> {
        if self.genuine.is_empty() || self.impostor.is_empty() {
            return None;
        }
        let matched = self.impostor.iter().filter(|&&s| s >= threshold).count();
        let missed = self.genuine.iter().filter(|&&s| s < threshold).count();
        Some((matched as f64 / self.impostor.len() as f64, missed as f64 / self.genuine.len() as f64))
    }

    /// Both errors at thresholds evenly spread over the false match rates that the set can show.
    pub(crate) fn curve(&self) -> Vec<CurvePoint> {
        let mut impostor = self.impostor.clone();
        let mut genuine = self.genuine.clone();
        impostor.sort_by(|a, b| b.total_cmp(a));
        genuine.sort_by(f32::total_cmp);
        if impostor.is_empty() || genuine.is_empty() {
            return Vec::new();
        }
        let count = impostor.len() as f64;
        let mut ranks: Vec<_> =
            (0..=CURVE_POINTS).map(|i| count.powf(i as f64 / CURVE_POINTS as f64).round() as usize).collect();
        ranks.dedup();
        let point = |rank: usize| {
            let threshold = impostor[rank.clamp(1, impostor.len()) - 1];
            let matched = impostor.partition_point(|&s| s >= threshold) as f64 / count;
            let missed = genuine.partition_point(|&s| s < threshold) as f64 / genuine.len() as f64;
            CurvePoint { threshold, false_match_rate: matched, false_non_match_rate: missed }
        };
        ranks.into_iter().map(point).collect()
    }

    /// The rate at which as many genuine pairs are refused as impostor pairs are accepted.
    pub(crate) fn equal_error_rate(&self) -> Option<f64> {
        let mut genuine = self.genuine.clone();
        let mut impostor = self.impostor.clone();
        genuine.sort_by(f32::total_cmp);
        impostor.sort_by(f32::total_cmp);
        let rates = |threshold: f32| {
            let missed = genuine.partition_point(|&s| s < threshold) as f64 / genuine.len() as f64;
            let matched = (impostor.len() - impostor.partition_point(|&s| s < threshold)) as f64;
            (missed, matched / impostor.len() as f64)
        };
        let all = genuine.iter().chain(&impostor).map(|&threshold| rates(threshold));
        let nearest = all.min_by(|a, b| (a.0 - a.1).abs().total_cmp(&(b.0 - b.1).abs()))?;
        (!genuine.is_empty() && !impostor.is_empty()).then_some((nearest.0 + nearest.1) / 2.0)
    }
}

impl fmt::Display for OperatingPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:5.1} ({:.3})", self.true_accept_rate * 100.0, self.threshold)
    }
}

const CURVE_POINTS: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn scores() -> Scores {
        let impostor = (0..1000).map(|i| i as f32 / 2000.0).collect();
        let genuine = (0..100).map(|i| 0.4 + i as f32 / 200.0).collect();
        Scores { genuine, impostor }
    }

    #[test]
    fn threshold_lets_exactly_the_asked_share_in() {
        let scores = scores();
        for rate in [0.1, 0.01, 0.001] {
            let point = scores.at_false_accept_rate(rate).unwrap();
            let (matched, missed) = scores.rates_at(point.threshold).unwrap();
            assert!((matched - rate).abs() < 1e-9, "{rate} {matched}");
            assert!((point.true_accept_rate + missed - 1.0).abs() < 1e-9);
        }
        assert_eq!(scores.at_false_accept_rate(1e-4), None);
    }

    #[test]
    fn curve_goes_from_strict_to_loose() {
        let curve = scores().curve();
        assert!(curve.len() > 40);
        for pair in curve.windows(2) {
            assert!(pair[0].threshold >= pair[1].threshold);
            assert!(pair[0].false_match_rate <= pair[1].false_match_rate);
            assert!(pair[0].false_non_match_rate >= pair[1].false_non_match_rate);
        }
        assert!((curve[0].false_match_rate - 0.001).abs() < 1e-9);
        assert_eq!(curve.last().map(|p| p.false_match_rate), Some(1.0));
    }

    #[test]
    fn bounds_follow_the_rule_of_three_and_the_tables() {
        for trials in [30, 300, 3000] {
            let three = 3.0 / trials as f64;
            assert!((upper_bound(0, trials) / three - 1.0).abs() < 0.06, "{trials}");
        }
        // Published 95 % one-sided Clopper-Pearson limits.
        for (errors, trials, expected) in [(1, 10, 0.3942), (5, 100, 0.1023), (0, 10, 0.2589)] {
            assert!((upper_bound(errors, trials) - expected).abs() < 1e-3, "{errors} of {trials}");
        }
        assert_eq!((upper_bound(0, 0), upper_bound(4, 4)), (1.0, 1.0));
    }

    #[test]
    fn equal_error_rate_lies_where_the_curves_cross() {
        let rate = scores().equal_error_rate().unwrap();
        assert!((rate - 0.1).abs() < 0.01, "{rate}");
        let apart = Scores { genuine: vec![0.9, 0.8], impostor: vec![0.1, 0.2] };
        assert_eq!(apart.equal_error_rate(), Some(0.0));
        assert_eq!(Scores::default().equal_error_rate(), None);
    }
}
