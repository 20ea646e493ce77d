//! When the rounds of one endpoint are.
//!
//! The rounds of an endpoint are one interval apart and shifted by a hash of the endpoint, so that
//! many endpoints spread over the interval and each keeps its place whatever the others do. Jitter
//! comes on top of a round and never adds up, so from the end of a probe to the next it is never
//! longer than the interval and the jitter together (what [`Settings::detection`] counts on).

use super::Settings;
use std::time::{Duration, Instant};

/// The rounds of one endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    epoch: Instant,
    /// In nanoseconds, at least 1.
    interval: u64,
    /// From the epoch to the first round, below the interval.
    phase: u64,
    jitter: u64,
}

impl Schedule {
    /// The rounds of the endpoint with this key, counted from `epoch`.
    pub fn new(epoch: Instant, key: u128, settings: &Settings) -> Self {
        let interval = nanos(settings.interval).max(1);
        let phase = fold(key) % interval;
        let jitter = nanos(settings.interval * u32::from(settings.jitter_percent) / 100);
        Self { epoch, interval, phase, jitter }
    }

    /// The first round after `now`.
    pub fn next_round(&self, now: Instant) -> Instant {
        let elapsed = nanos(now.saturating_duration_since(self.epoch));
        let since = match elapsed.checked_sub(self.phase) {
            None => self.phase,
            Some(past) => self.phase + (past / self.interval + 1) * self.interval,
        };
        self.epoch + Duration::from_nanos(since)
    }

    /// The bound of the random part.
    pub fn jitter_nanos(&self) -> u64 {
        self.jitter
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Both halves of the key, mixed by a multiplication whose high and low half are both used.
fn fold(key: u128) -> u64 {
    let product = (key ^ (key >> 64)).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    let high = u64::try_from(product >> 64).unwrap_or(0);
    let low = u64::try_from(product & u128::from(u64::MAX)).unwrap_or(0);
    high ^ low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_one_interval_apart_and_after_now() {
        let epoch = Instant::now();
        let settings = Settings::default();
        for key in 0..50 {
            let schedule = Schedule::new(epoch, key, &settings);
            let first = schedule.next_round(epoch);
            assert!(first > epoch || schedule.phase == 0);
            assert!(first <= epoch + settings.interval);
            assert_eq!(schedule.next_round(first), first + settings.interval);
            let before = first - Duration::from_nanos(1);
            if before >= epoch {
                assert_eq!(schedule.next_round(before), first);
            }
        }
    }

    #[test]
    fn endpoints_spread_over_the_interval_by_their_keys() {
        let epoch = Instant::now();
        let settings = Settings::default();
        let mut tenths = [0_u32; 10];
        for key in 0..10_000_u128 {
            let place = Schedule::new(epoch, key << 32, &settings).phase / 1_000_000_000;
            tenths[usize::try_from(place).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|count| (850..1150).contains(count)), "{tenths:?}");
    }
}
