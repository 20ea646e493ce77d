//! Wall-clock time of the core's instants.
//!
//! Everything below the sockets counts in [`Instant`]s; whoever shows a time to a person or a
//! collector converts it here. Owns one pair of readings taken together; never reads a clock.

use std::time::{Duration, Instant, SystemTime};

/// Converts instants to wall-clock time by one pair of readings taken at start, so that a later
/// step of the wall clock never turns a duration negative.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    instant: Instant,
    wall: SystemTime,
    /// The latter in nanoseconds since 1970.
    nanos: u64,
}

impl Clock {
    /// Makes a clock of two readings taken together.
    pub fn new(instant: Instant, wall: SystemTime) -> Self {
        Self { instant, wall, nanos: nanos(wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()) }
    }

    /// The wall-clock time of an instant.
    pub fn wall(&self, instant: Instant) -> SystemTime {
        match instant.checked_duration_since(self.instant) {
            Some(later) => self.wall.checked_add(later).unwrap_or(self.wall),
            None => self.wall.checked_sub(self.instant.duration_since(instant)).unwrap_or(self.wall),
        }
    }

    /// The instant of a wall-clock time, as near as the readings tell.
    pub fn instant(&self, wall: SystemTime) -> Instant {
        let instant = match wall.duration_since(self.wall) {
            Ok(later) => self.instant.checked_add(later),
            Err(earlier) => self.instant.checked_sub(earlier.duration()),
        };
        instant.unwrap_or(self.instant)
    }

    /// The same in nanoseconds since 1970.
    pub fn unix_nanos(&self, instant: Instant) -> u64 {
        match instant.checked_duration_since(self.instant) {
            Some(later) => self.nanos.saturating_add(nanos(later)),
            None => self.nanos.saturating_sub(nanos(self.instant.duration_since(instant))),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converts_instants_before_and_after_the_readings() {
        let (instant, wall) = (Instant::now() + Duration::from_secs(60), SystemTime::UNIX_EPOCH);
        let clock = Clock::new(instant, wall + Duration::from_secs(1_000));
        let seconds = |at| clock.wall(at).duration_since(wall).unwrap().as_secs();
        assert_eq!(seconds(instant), 1_000);
        assert_eq!(seconds(instant + Duration::from_secs(5)), 1_005);
        assert_eq!(seconds(instant - Duration::from_secs(5)), 995);
        for at in [instant + Duration::from_secs(7), instant - Duration::from_secs(7)] {
            assert_eq!(clock.instant(clock.wall(at)), at);
        }
        assert_eq!(clock.unix_nanos(instant - Duration::from_nanos(5)), 999_999_999_995);
    }
}
