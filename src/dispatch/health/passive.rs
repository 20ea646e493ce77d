//! What real requests have shown of one destination: failures in a row, and how long it is set aside.
//!
//! The time doubles with each ejection and halves with each `base_ejection` that passes without one.
//! Whether an ejection is allowed is decided elsewhere; what probes say never comes here.

use crate::dispatch::PassiveSettings;
use std::time::{Duration, Instant};

/// After the last failure the workers tell of answers for so long: much longer than a call takes to
/// fail, so that the verdicts do not change with every failure and every answer.
const SUSPICION: Duration = Duration::from_secs(30);

/// The evidence of requests.
#[derive(Debug, Default, Clone)]
pub struct Passive {
    failures: u32,
    last_failure: Option<Instant>,
    is_suspect: bool,
    /// How often the next ejection's time is doubled.
    doublings: u32,
    /// When the last ejection ended or will end.
    ended: Option<Instant>,
}

impl Passive {
    /// Takes in a failure; tells whether there are enough in a row.
    pub fn on_failure(&mut self, settings: &PassiveSettings, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.last_failure = Some(now);
        self.is_suspect = true;
        self.failures >= settings.consecutive_failures
    }

    /// Takes in an answer.
    pub fn on_answer(&mut self, now: Instant) {
        self.failures = 0;
        let failed = |at: Instant| now.saturating_duration_since(at) < SUSPICION;
        self.is_suspect = self.last_failure.is_some_and(failed);
    }

    /// Begins an ejection and returns when it ends.
    pub fn eject(&mut self, settings: &PassiveSettings, now: Instant) -> Instant {
        let calm = self.ended.map_or(Duration::ZERO, |ended| now.saturating_duration_since(ended));
        let halvings = calm.as_nanos() / settings.base_ejection.as_nanos().max(1);
        self.doublings = self.doublings.saturating_sub(u32::try_from(halvings).unwrap_or(u32::MAX));
        let factor = 1_u32.checked_shl(self.doublings).unwrap_or(u32::MAX);
        let time = settings.base_ejection.saturating_mul(factor).min(settings.max_ejection);
        if time < settings.max_ejection {
            self.doublings += 1;
        }
        self.failures = 0;
        let until = now + time;
        self.ended = Some(until);
        until
    }

    /// An ejection was lifted before its time.
    pub fn on_lifted(&mut self, now: Instant) {
        self.ended = Some(now);
    }

    /// Whether answers matter.
    pub fn is_suspect(&self) -> bool {
        self.is_suspect
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn failures_count_in_a_row_and_an_answer_begins_anew() {
        let (settings, now) = (PassiveSettings::default(), Instant::now());
        let mut passive = Passive::default();
        assert!((0..4).all(|_| !passive.on_failure(&settings, now)));
        passive.on_answer(now);
        assert_eq!(passive.failures(), 0);
        assert!((0..4).all(|_| !passive.on_failure(&settings, now)));
        assert!(passive.on_failure(&settings, now));
        assert!(passive.on_failure(&settings, now), "one that could not be ejected is the next time");
    }

    #[test]
    fn answers_are_asked_for_until_failures_are_long_ago() {
        let (settings, now) = (PassiveSettings::default(), Instant::now());
        let mut passive = Passive::default();
        passive.on_answer(now);
        assert!(!passive.is_suspect());
        passive.on_failure(&settings, now);
        passive.on_answer(now + secs(1));
        assert!(passive.is_suspect());
        passive.on_answer(now + secs(31));
        assert!(!passive.is_suspect());
    }

    #[test]
    fn the_time_doubles_up_to_the_maximum_and_halves_with_every_calm_base() {
        let settings = PassiveSettings::default();
        let mut passive = Passive::default();
        let mut now = Instant::now();
        let mut next = |calm: u64| {
            now += secs(calm);
            let until = passive.eject(&settings, now);
            let time = (until - now).as_secs();
            now = until;
            time
        };
        let times: Vec<u64> = (0..6).map(|_| next(1)).collect();
        assert_eq!(times, [30, 60, 120, 240, 300, 300]);
        assert_eq!(next(30), 240, "one base without an ejection");
        assert_eq!(next(90), 60, "three more, of four");
        assert_eq!(next(10_000), 30);
    }

    #[test]
    fn calm_begins_when_an_ejection_is_lifted() {
        let (settings, now) = (PassiveSettings::default(), Instant::now());
        let mut passive = Passive::default();
        passive.eject(&settings, now);
        passive.on_lifted(now);
        assert_eq!(passive.eject(&settings, now + secs(29)), now + secs(29 + 60));
        passive.on_lifted(now + secs(30));
        assert_eq!(passive.eject(&settings, now + secs(90)), now + secs(90 + 30));
    }
}
