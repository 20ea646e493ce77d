//! How late the timers of a runtime fire: what keeps a tick waiting keeps calls waiting too.

use super::metrics::Metrics;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::sleep_until;

/// Time from tick to tick.
const TICK: Duration = Duration::from_millis(100);

/// The ticks of one thread, whose lateness is observed.
#[derive(Debug)]
pub struct Ticks {
    metrics: Arc<Metrics>,
    due: Instant,
}

impl Ticks {
    /// Ticks that begin now.
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, due: Instant::now() + TICK }
    }

    /// When the next one is due.
    pub const fn due(&self) -> Instant {
        self.due
    }

    /// Lets the tick pass that is due, if one is.
    pub fn pass(&mut self, now: Instant) {
        if now < self.due {
            return;
        }
        self.metrics.ticked(now - self.due);
        // A tick that was due meanwhile would only say the same again.
        self.due = now + TICK;
    }
}

/// Lets the ticks of a runtime pass, for ever.
pub(super) async fn watch(mut ticks: Ticks) {
    loop {
        sleep_until(ticks.due().into()).await;
        ticks.pass(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::table::Family;

    #[test]
    fn a_runtime_that_was_held_up_shows_it() {
        let metrics = Arc::new(Metrics::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let seen = || metrics.index().process.read(Family::TickLag, 0).collect::<Vec<u64>>();
        runtime.block_on(async {
            tokio::spawn(watch(Ticks::new(Arc::clone(&metrics))));
            tokio::task::yield_now().await;
            let held_up_until = Instant::now() + TICK + Duration::from_millis(300);
            while Instant::now() < held_up_until {
                std::hint::spin_loop();
            }
            while seen().iter().take(13).sum::<u64>() == 0 {
                tokio::task::yield_now().await;
            }
        });
        let late: u64 = seen().iter().skip(7).take(6).sum();
        assert_eq!(late, 1, "a lateness above 250 ms: {:?}", seen());
    }
}
