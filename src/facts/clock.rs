//! Wall-clock time of the core's instants.
//!
//! Everything below the sockets counts in [`Instant`]s; whoever shows a time to a person or a
//! collector converts it here. Owns one pair of readings taken together; never reads a clock.

use std::time::{Instant, SystemTime};

/// Converts instants to wall-clock time by one pair of readings taken at start, so that a later
/// step of the wall clock never turns a duration negative.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    instant: Instant,
    wall: SystemTime,
}

impl Clock {
    /// Makes a clock of two readings taken together.
    pub const fn new(instant: Instant, wall: SystemTime) -> Self {
        Self { instant, wall }
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
    }
}
