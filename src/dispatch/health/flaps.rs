//! Damping of a destination that goes up and down: who fell often of late has to prove more.
//!
//! The rule: of the falls within the last ten minutes, the third and each further one double the
//! number of successful probes in a row that bring the destination up again, up to 32 times. Each
//! comes `fast_interval` after the other, so that it waits a second or two at first and half a minute
//! at most. A member that nobody else can stand in for is spared; that is decided elsewhere.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a fall counts.
const WINDOW: Duration = Duration::from_secs(600);
/// Falls that cost nothing.
const FREE: usize = 2;
/// The number of successes is doubled so often at most.
const MAX_DOUBLINGS: usize = 5;

/// When a destination went down.
#[derive(Debug, Default, Clone)]
pub struct Flaps {
    falls: VecDeque<Instant>,
}

impl Flaps {
    /// Takes in that its probes took it down.
    pub fn on_fall(&mut self, now: Instant) {
        if self.falls.len() >= FREE + MAX_DOUBLINGS {
            self.falls.pop_front();
        }
        self.falls.push_back(now);
    }

    /// By how much the number of successes that it needs is multiplied: 1, 2, 4 … 32.
    pub fn factor(&self, now: Instant) -> u32 {
        let is_recent = |at: &&Instant| now.saturating_duration_since(**at) < WINDOW;
        1 << self.falls.iter().filter(is_recent).count().saturating_sub(FREE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fall_from_the_third_on_doubles_up_to_32() {
        let (mut flaps, now) = (Flaps::default(), Instant::now());
        let mut fall = || {
            flaps.on_fall(now);
            flaps.factor(now)
        };
        let factors: Vec<u32> = (0..9).map(|_| fall()).collect();
        assert_eq!(factors, [1, 1, 2, 4, 8, 16, 32, 32, 32]);
    }

    #[test]
    fn falls_are_forgotten_after_ten_minutes() {
        let (mut flaps, now) = (Flaps::default(), Instant::now());
        for minute in 0..4 {
            flaps.on_fall(now + minute * Duration::from_secs(60));
        }
        let after = |seconds| flaps.factor(now + Duration::from_secs(seconds));
        assert_eq!([after(599), after(600), after(660), after(3_600)], [4, 2, 1, 1]);
    }
}
