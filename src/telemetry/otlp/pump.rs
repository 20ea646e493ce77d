//! The exporting task: sends full batches when they come, and the others once a second.

use super::Lanes;
use super::batch::{Batch, Pool};
use super::client::Client;
use super::request::Envelope;
use crate::telemetry::logs;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::values::ExportResult;
use std::mem;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

/// Time between exports of what fills no batch. Finished traces do not wake the task: waking it
/// costs a worker more than writing them.
const INTERVAL: Duration = Duration::from_secs(1);

/// All that exporting needs.
pub struct Pump {
    pub client: Client,
    pub envelope: Envelope,
    pub metrics: Arc<Metrics>,
    pub waiting: mpsc::Receiver<Batch>,
    pub asked: mpsc::Receiver<oneshot::Sender<()>>,
    pub lanes: Lanes,
    pub pool: Arc<Pool>,
}

impl Pump {
    /// Exports until the queue is gone.
    pub async fn run(mut self) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            tokio::select! {
                batch = self.waiting.recv() => match batch {
                    Some(batch) => self.export(batch, &mut failing).await,
                    None => return self.drain(&mut failing).await,
                },
                Some(done) = self.asked.recv() => {
                    self.drain(&mut failing).await;
                    // Whoever asked may have stopped waiting.
                    let _ = done.send(());
                }
                _ = ticks.tick() => self.drain(&mut failing).await,
            }
        }
    }

    /// Exports everything queued and everything written.
    async fn drain(&mut self, failing: &mut bool) {
        while let Ok(batch) = self.waiting.try_recv() {
            self.export(batch, failing).await;
        }
        for batch in self.written() {
            self.export(batch, failing).await;
        }
    }

    /// Takes what the lanes have written, and forgets those that are closed.
    fn written(&self) -> Vec<Batch> {
        let mut batches = Vec::new();
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).retain(|lane| {
            let is_closed = Arc::strong_count(lane) == 1;
            let mut open = lane.lock().unwrap_or_else(PoisonError::into_inner);
            if open.spans() > 0 {
                batches.push(mem::replace(&mut *open, self.pool.batch()));
            }
            !is_closed
        });
        batches
    }

    async fn export(&self, batch: Batch, failing: &mut bool) {
        let spans = batch.spans();
        let request = self.pool.request(batch, |bytes| self.envelope.seal(bytes));
        let result = self.client.send(request).await;
        self.metrics.exported(result, spans);
        let failed = result != ExportResult::Ok;
        if failed != *failing {
            *failing = failed;
            logs::export_changed(&self.metrics, result);
        }
    }
}
