//! How many there are of something, by set: counted as they come and go, so that nobody who asks makes
//! calls wait for a walk through all of them.

use crate::facts::SetId;

/// Counts by set.
#[derive(Debug, Default)]
pub struct Tally(Vec<u64>);

impl Tally {
    /// Counts one in.
    pub fn add(&mut self, set: SetId) {
        if self.0.len() <= set.index() {
            self.0.resize(set.index() + 1, 0);
        }
        if let Some(count) = self.0.get_mut(set.index()) {
            *count += 1;
        }
    }

    /// Counts one out.
    pub fn take(&mut self, set: SetId) {
        if let Some(count) = self.0.get_mut(set.index()) {
            *count = count.checked_sub(1).expect("only what was counted in is counted out");
        }
    }

    /// The counts that are not 0, in the order of sets.
    pub fn counts(&self) -> Vec<(SetId, u64)> {
        let counted = (0_u16..).zip(&self.0).filter(|(_, count)| **count > 0);
        counted.map(|(set, count)| (SetId::new(set), *count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_there_by_set() {
        let mut tally = Tally::default();
        [3, 1, 3].into_iter().for_each(|set| tally.add(SetId::new(set)));
        assert_eq!(tally.counts(), [(SetId::new(1), 1), (SetId::new(3), 2)]);
        tally.take(SetId::new(1));
        assert_eq!(tally.counts(), [(SetId::new(3), 2)]);
    }
}
