//! A limit of lines per second, and how many were left out.

use std::time::{Duration, Instant};

/// Lets so many lines pass in each second.
#[derive(Debug)]
pub struct Limit {
    per_second: u32,
    second: Option<Instant>,
    passed: u32,
    suppressed: u64,
}

impl Limit {
    /// A limit that nothing has used yet.
    pub const fn new(per_second: u32) -> Self {
        Self { per_second, second: None, passed: 0, suppressed: 0 }
    }

    /// Whether a line may pass at `now`, and how many were suppressed since the last that did, if
    /// any were.
    pub fn pass(&mut self, now: Instant) -> Option<Option<u64>> {
        let fresh =
            self.second.is_none_or(|second| now.saturating_duration_since(second) >= Duration::from_secs(1));
        if fresh {
            self.second = Some(now);
            self.passed = 0;
        }
        if self.passed >= self.per_second {
            self.suppressed += 1;
            return None;
        }
        self.passed += 1;
        let suppressed = std::mem::take(&mut self.suppressed);
        Some((suppressed > 0).then_some(suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suppresses_within_a_second_and_says_how_many_afterwards() {
        let start = Instant::now();
        let mut limit = Limit::new(2);
        let passes: Vec<_> = (0..5).map(|n| limit.pass(start + Duration::from_millis(n * 100))).collect();
        assert_eq!(passes, [Some(None), Some(None), None, None, None]);
        assert_eq!(limit.pass(start + Duration::from_secs(1)), Some(Some(3)));
        assert_eq!(limit.pass(start + Duration::from_secs(1)), Some(None));
    }
}
