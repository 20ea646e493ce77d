//! How late the timers of a runtime fire: what keeps a tick waiting keeps calls waiting too.

use super::metrics::Metrics;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Time from tick to tick.
const TICK: Duration = Duration::from_millis(100);

/// Observes the lateness of every tick.
pub async fn watch(metrics: Arc<Metrics>) {
    let mut due = Instant::now();
    loop {
        due += TICK;
        sleep_until(due).await;
        let late = due.elapsed();
        metrics.ticked(late);
        // A tick that was due meanwhile would only say the same again.
        due += late;
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
            tokio::spawn(watch(Arc::clone(&metrics)));
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
