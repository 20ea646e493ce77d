//! Durations in buckets of constant relative width, so that a quantile is good to under one per cent.

use serde::{Deserialize, Serialize};

/// Each power of two is split into this many buckets, as a power of two.
const SPLIT: u32 = 7;

/// Counts of durations in nanoseconds.
pub struct Histogram {
    buckets: Vec<u32>,
    count: u64,
    most: u64,
}

/// What a histogram comes down to, in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Quantiles {
    pub count: u64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Histogram {
    /// One without any duration.
    pub fn new() -> Self {
        Histogram { buckets: vec![0; (65 - SPLIT as usize) << SPLIT], count: 0, most: 0 }
    }

    /// Counts one duration.
    pub fn add(&mut self, nanoseconds: u64) {
        self.buckets[bucket(nanoseconds)] += 1;
        self.count += 1;
        self.most = self.most.max(nanoseconds);
    }

    /// The usual quantiles.
    pub fn quantiles(&self) -> Quantiles {
        let at = |share| self.at(share) as f64 / 1000.0;
        let max = self.most as f64 / 1000.0;
        Quantiles { count: self.count, p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max }
    }

    fn at(&self, share: f64) -> u64 {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (index, &count) in self.buckets.iter().enumerate() {
            seen += u64::from(count);
            if count > 0 && seen >= wanted {
                return lower_bound(index);
            }
        }
        0
    }
}

fn bucket(value: u64) -> usize {
    let shift = (64 - value.leading_zeros()).saturating_sub(SPLIT + 1);
    ((shift as usize) << SPLIT) + (value >> shift) as usize
}

fn lower_bound(index: usize) -> u64 {
    let shift = (index >> SPLIT).saturating_sub(1) as u32;
    (index - ((shift as usize) << SPLIT)) as u64 * (1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_narrow_and_begins_at_its_lower_bound() {
        for value in (0..2000).chain([1 << 20, (1 << 20) + 1, 123_456_789, 1 << 40, u64::MAX]) {
            let low = lower_bound(bucket(value));
            assert!(low <= value && (value - low) as f64 <= value as f64 / 128.0, "{value} in {low}");
        }
    }

    #[test]
    fn quantiles_are_those_of_the_durations() {
        let mut histogram = Histogram::new();
        (1..=1000).for_each(|n| histogram.add(n * 1000));
        let quantiles = histogram.quantiles();
        assert!((quantiles.p50 - 500.0).abs() < 5.0 && (quantiles.p99 - 990.0).abs() < 9.0, "{quantiles:?}");
        assert_eq!((quantiles.count, quantiles.max), (1000, 1000.0));
        assert_eq!(Histogram::new().quantiles().p99, 0.0);
    }
}
