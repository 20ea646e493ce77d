//! Numbers in a row: the counters and buckets of one owner, laid out as the table says.
//!
//! An addition is one relaxed atomic add at a computed place: no lock, no look-up, no allocation.
//! Dropping the block of a removed destination drops all its series, whichever they were.

use crate::telemetry::exemplars::{self, Exemplar};
use crate::telemetry::table::{BlockKind, Family, Kind, Spec, TABLE, Values, block_len, block_of, offset};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The counters and histograms of one owner.
#[derive(Debug)]
pub struct Block {
    kind: BlockKind,
    numbers: Box<[AtomicU64]>,
    /// Empty until the first one; written with the call at hand if nobody reads them, else not.
    exemplars: Mutex<Vec<Exemplar>>,
}

impl Block {
    /// A block of zeros.
    pub fn new(kind: BlockKind) -> Self {
        let numbers = (0..block_len(kind)).map(|_| AtomicU64::new(0)).collect();
        Self { kind, numbers, exemplars: Mutex::default() }
    }

    /// The numbers of one family, summed up over blocks of a kind; all others are 0.
    pub fn sum(kind: BlockKind, family: Family, blocks: &[&Self]) -> Self {
        let sum = Self::new(kind);
        let start = offset(family);
        let end = start + family.spec().combinations() * family.spec().width();
        for block in blocks {
            for place in start..end {
                sum.bump(place, block.numbers.get(place).map_or(0, |number| number.load(Ordering::Relaxed)));
            }
        }
        sum
    }

    /// Keeps an exemplar of a label set in place of the one before.
    pub fn exemplify(&self, family: Family, labels: &[usize], exemplar: Exemplar) {
        let Ok(mut exemplars) = self.exemplars.try_lock() else { return };
        if exemplars.is_empty() {
            let count = SLOTS.1.get(self.kind as usize).copied().unwrap_or(0);
            exemplars.resize(count, Exemplar::default());
        }
        let start = slots(family).start + combination(family, labels) * slots_each(family.spec());
        if let Some(place) = exemplars.get_mut(start + exemplars::slot(family, exemplar.value())) {
            *place = exemplar;
        }
    }

    /// The exemplars of a family, if this block has any: those of the first label set first.
    pub fn exemplars(&self, family: Family) -> Vec<Exemplar> {
        let exemplars = self.exemplars.lock().unwrap_or_else(PoisonError::into_inner);
        exemplars.get(slots(family)).map_or_else(Vec::new, <[_]>::to_vec)
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
        self.rows(family).nth(combination).into_iter().flatten()
    }

    /// The numbers of a family, by label set.
    pub fn rows(&self, family: Family) -> impl Iterator<Item = impl Iterator<Item = u64> + Clone> {
        let spec = family.spec();
        let start = offset(family);
        let numbers = self.numbers.get(start..start + spec.combinations() * spec.width()).unwrap_or_default();
        numbers.chunks_exact(spec.width()).map(|row| row.iter().map(|number| number.load(Ordering::Relaxed)))
    }

    #[inline]
    fn bump(&self, place: usize, amount: u64) {
        if let Some(number) = self.numbers.get(place) {
            number.fetch_add(amount, Ordering::Relaxed);
        }
    }
}

/// Where the slots of each family begin among those of its block, and how many there are: none for a
/// family without exemplars. Then how many the blocks of each kind have.
#[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
const SLOTS: ([(usize, usize); TABLE.len()], [usize; 4]) = {
    let (mut slots, mut ends) = ([(0, 0); TABLE.len()], [0; 4]);
    let mut index = 0;
    while index < exemplars::FAMILIES.len() {
        let family = exemplars::FAMILIES[index] as usize;
        let kind = block_of(TABLE[family].scope) as usize;
        let count = TABLE[family].combinations() * slots_each(&TABLE[family]);
        slots[family] = (ends[kind], count);
        ends[kind] += count;
        index += 1;
    }
    (slots, ends)
};

/// How many slots for exemplars a label set has: one for each bucket, or one for a counter.
pub const fn slots_each(spec: &Spec) -> usize {
    match spec.kind {
        Kind::Counter | Kind::Gauge => 1,
        Kind::Histogram(bounds) => bounds.len() + 1,
    }
}

/// The slots of a family among those of its block.
fn slots(family: Family) -> Range<usize> {
    let (start, count) = SLOTS.0.get(family as usize).copied().unwrap_or((0, 0));
    start..start + count
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
    use crate::telemetry::table::Source;

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

    #[test]
    fn each_bucket_keeps_the_last_exemplar_of_its_own() {
        let block = Block::new(BlockKind::Destination);
        assert!(block.exemplars(Family::SetupDelay).is_empty(), "nothing is kept before the first");
        let mark = |trace, value| Exemplar::new(trace, 1, value, 0.0);
        for (trace, value) in [(1, 0.3), (2, 0.4), (3, 99.0)] {
            block.exemplify(Family::SetupDelay, &[1], mark(trace, value));
        }
        block.exemplify(Family::Failovers, &[2], mark(4, 1.0));
        let kept = block.exemplars(Family::SetupDelay);
        let set: Vec<_> = kept.iter().enumerate().filter(|(_, kept)| kept.is_set()).collect();
        // Fourteen buckets of `success`, then those of `failure`.
        assert_eq!(set, [(14 + 3, &mark(2, 0.4)), (14 + 13, &mark(3, 99.0))]);
        let failovers = block.exemplars(Family::Failovers);
        assert_eq!(failovers.get(2), Some(&mark(4, 1.0)));
        assert_eq!(block.exemplars(Family::ProbeRtt).iter().filter(|kept| kept.is_set()).count(), 0);
        assert!(block.exemplars(Family::Probes).is_empty(), "none of a family that has none");
    }
}
