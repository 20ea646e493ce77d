//! Waiting for a condition, always with a deadline.

use std::time::{Duration, Instant};

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks until `look` gives something; panics with `what` when `within` is over.
pub fn until<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {within:?} in vain for: {what}");
        pause();
    }
}

/// Looks until `look` is true; panics with `what` when `within` is over.
pub fn until_true(what: &str, within: Duration, mut look: impl FnMut() -> bool) {
    until(what, within, || look().then_some(()));
}

/// Whether `look` stays true for the whole of `during`.
pub fn stays_true(during: Duration, mut look: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + during;
    while Instant::now() < deadline {
        if !look() {
            return false;
        }
        pause();
    }
    true
}

fn pause() {
    std::thread::park_timeout(LOOK_EVERY);
}
