//! Counts panics: each is a defect that somebody should hear of, even if only one task ended.

use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

static PANICS: AtomicU64 = AtomicU64::new(0);
static HOOK: Once = Once::new();

/// Counts every panic of the process from here on; they are reported as before.
pub fn count_panics() {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            before(info);
        }));
    });
}

/// How many there have been.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_any_thread_is_counted() {
        count_panics();
        let before = panics();
        let ended = std::thread::spawn(|| panic!("on purpose, to be counted")).join();
        assert!(ended.is_err() && panics() > before);
    }
}
