//! Answers for names on their way from the resolver to the workers.
//!
//! Those that come close together are taken together, so that a plan is compiled at most some times
//! a second, however many names change.

use super::control::ControlPlane;
use crate::facts::lookup::Resolution;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Answers taken together, at most.
const BATCH: usize = 1_024;
/// Time between two batches.
const PAUSE: Duration = Duration::from_millis(50);

/// Takes answers until the resolver ends.
pub(super) async fn follow(control: Arc<ControlPlane>, mut resolutions: mpsc::Receiver<Resolution>) {
    let mut batch = Vec::new();
    while resolutions.recv_many(&mut batch, BATCH).await > 0 {
        control.take_answers(std::mem::take(&mut batch)).await;
        sleep(PAUSE).await;
    }
}
