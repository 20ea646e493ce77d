//! The end: refuse new dialogs, let what runs finish, cut off the rest, leave.

use super::command::Command;
use super::control::ControlPlane;
use crate::facts::event::Event;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often the workers are asked what is left.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Time for the answers to our CANCELs after the deadline.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Time for the ACK of a call that was answered last: it is end to end, so no transaction waits for
/// it. A round trip as RFC 3261 estimates it (T1).
const LAST_ACK: Duration = Duration::from_millis(500);

/// Drains every worker: returns as soon as none has an unfinished transaction, and the last one has
/// had time for its ACK; at the latest a second after the configured deadline.
pub(super) async fn drain(control: &ControlPlane) {
    control.set_ready(false);
    let deadline = Instant::now() + control.drain_timeout().await;
    let running = unfinished(control).await;
    control.record(&Event::DrainStarted { unfinished: running });
    control.commands().to_all(|| Command::Drain).await;
    let left = wait_until(control, deadline).await;
    if left > 0 {
        control.commands().to_all(|| Command::Abort).await;
        wait_until(control, Instant::now() + LAST_WORDS).await;
    } else if running > 0 {
        sleep(LAST_ACK.min(deadline.saturating_duration_since(Instant::now()))).await;
    }
    control.record(&Event::DrainEnded { cancelled: left });
}

/// Waits for nothing to be left and returns what is.
async fn wait_until(control: &ControlPlane, deadline: Instant) -> u64 {
    loop {
        let left = unfinished(control).await;
        if left == 0 || Instant::now() >= deadline {
            return left;
        }
        sleep(LOOK_EVERY.min(deadline.saturating_duration_since(Instant::now()))).await;
    }
}

/// A worker that does not answer has nothing that could still finish.
async fn unfinished(control: &ControlPlane) -> u64 {
    control.commands().ask_all(Command::Unfinished).await.map_or(0, |counts| counts.iter().sum())
}
