//! Numbers in a row: the counters and buckets of one owner, laid out as the table says.
//!
//! An addition is one relaxed atomic add at a computed place: no lock, no look-up, no allocation.
//! Dropping the block of a removed destination drops all its series, whichever they were.

use crate::telemetry::table::{BlockKind, Family, Kind, Values, block_len, offset};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The counters and histograms of one owner.
#[derive(Debug)]
pub struct Block {
    numbers: Box<[AtomicU64]>,
}

impl Block {
    /// A block of zeros.
    pub fn new(kind: BlockKind) -> Self {
        Self { numbers: (0..block_len(kind)).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Adds to the counter with these label values, given as positions in their lists.
    #[inline]
    pub fn add(&self, family: Family, labels: &[usize], amount: u64) {
        self.bump(offset(family) + combination(family, labels), amount);
    }

    /// Adds one.
    #[inline]
    pub fn count(&self, family: Family, labels: &[usize]) {
        self.add(family, labels, 1);
    }

    /// Observes a duration.
    #[inline]
    pub fn observe(&self, family: Family, labels: &[usize], value: Duration) {
        let spec = family.spec();
        let Kind::Histogram(bounds) = spec.kind else { return };
        let start = offset(family) + combination(family, labels) * spec.width();
        let seconds = value.as_secs_f64();
        let bucket = bounds.iter().position(|bound| seconds <= *bound).unwrap_or(bounds.len());
        self.bump(start + bucket, 1);
        // The sum is kept in billionths, so that it is an atomic add too; 584 years fit.
        self.bump(start + bounds.len() + 1, u64::try_from(value.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The numbers of the nth label set of a family.
    pub fn read(&self, family: Family, combination: usize) -> impl Iterator<Item = u64> {
        let width = family.spec().width();
        let start = offset(family) + combination * width;
        let numbers = self.numbers.get(start..start + width).unwrap_or_default();
        numbers.iter().map(|number| number.load(Ordering::Relaxed))
    }

    #[inline]
    fn bump(&self, place: usize, amount: u64) {
        if let Some(number) = self.numbers.get(place) {
            number.fetch_add(amount, Ordering::Relaxed);
        }
    }
}

/// The position of a label set among all of its family: mixed radix, the last label fastest.
#[inline]
fn combination(family: Family, labels: &[usize]) -> usize {
    family.spec().labels.iter().zip(labels).fold(0, |position, (label, value)| match label.values {
        Values::Closed(words) => position * words.len() + value,
        Values::Configured(_) => position,
    })
}

/// The positions of the nth label set of a family: the inverse of [`combination`].
pub fn label_positions(family: Family, mut combination: usize) -> [usize; 4] {
    let mut positions = [0; 4];
    let labels = family.spec().labels;
    for (position, label) in positions.iter_mut().take(labels.len()).rev().zip(labels.iter().rev()) {
        if let Values::Closed(words) = label.values {
            *position = combination % words.len();
            combination /= words.len();
        }
    }
    positions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::table::{Source, TABLE, block_of};

    #[test]
    fn label_sets_and_positions_are_inverse() {
        for family in Family::ALL {
            for index in 0..family.spec().combinations() {
                let positions = label_positions(*family, index);
                assert_eq!(combination(*family, &positions), index, "{family:?}");
            }
        }
    }

    #[test]
    fn every_number_belongs_to_one_label_set() {
        for kind in [BlockKind::Process, BlockKind::Listener, BlockKind::Set, BlockKind::Destination] {
            let block = Block::new(kind);
            for family in Family::ALL {
                let spec = family.spec();
                if spec.source == Source::Event && block_of(spec.scope) == kind {
                    for index in 0..spec.combinations() * spec.width() {
                        block.bump(offset(*family) + index, 1);
                    }
                }
            }
            assert!(block.numbers.iter().all(|number| number.load(Ordering::Relaxed) == 1), "{kind:?}");
        }
        assert!(TABLE.len() > 60);
    }

    #[test]
    fn observations_fall_into_the_bucket_whose_bound_they_reach() {
        let block = Block::new(BlockKind::Destination);
        for millis in [500, 501, 40_000] {
            block.observe(Family::FirstResponse, &[1], Duration::from_millis(millis));
        }
        let numbers: Vec<u64> = block.read(Family::FirstResponse, 1).collect();
        assert_eq!(numbers, [0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 41_001_000_000]);
        assert!(block.read(Family::FirstResponse, 0).all(|number| number == 0));
    }
}
