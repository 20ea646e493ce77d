//! Spans on their way to a collector: written as OTLP where they end, sent in batches over gRPC or
//! HTTP.
//!
//! Whoever finishes a trace never waits: what the bounded queue cannot hold is dropped and counted,
//! as is what a collector refuses. One task of the control plane exports.

mod batch;
mod client;
mod environment;
mod pump;
mod request;
mod resource;
mod sdk;
pub mod wire;

use super::metrics::Metrics;
use super::values::Loss;
use super::{Error, OtlpProtocol};
use batch::{Batch, Pool};
use client::Client;
use pump::Pump;
use request::Envelope;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

pub use resource::resource;
pub use sdk::LiveSpans;

/// Full batches waiting for export at most: 8 MiB, about 15,000 spans.
const QUEUE: usize = 32;

/// The batches being written, one for each lane.
type Lanes = Arc<Mutex<Vec<Arc<Mutex<Batch>>>>>;

/// Where finished traces go.
#[derive(Debug)]
pub struct Queue {
    batches: mpsc::Sender<Batch>,
    flushes: mpsc::Sender<oneshot::Sender<()>>,
    lanes: Lanes,
    pool: Arc<Pool>,
}

impl Queue {
    /// Opens the way to a collector; nothing is sent yet.
    pub fn start(
        endpoint: &str,
        protocol: OtlpProtocol,
        metrics: Arc<Metrics>,
        handle: &Handle,
    ) -> Result<Self, Error> {
        let bad = |reason: &str| Error::Endpoint { endpoint: endpoint.into(), reason: reason.into() };
        let client = Client::new(endpoint, protocol).map_err(bad)?;
        let envelope = Envelope::new(&resource(), protocol);
        let pool = Arc::new(Pool::new(envelope.room()));
        let (batches, waiting) = mpsc::channel(QUEUE);
        let (flushes, asked) = mpsc::channel(4);
        let lanes = Lanes::default();
        let (shared, spare) = (Arc::clone(&lanes), Arc::clone(&pool));
        handle.spawn(Pump { client, envelope, metrics, waiting, asked, lanes: shared, pool: spare }.run());
        Ok(Self { batches, flushes, lanes, pool })
    }

    /// A way into the queue for one thread.
    pub fn lane(self: &Arc<Self>) -> Lane {
        let open = Arc::new(Mutex::new(self.pool.batch()));
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&open));
        Lane { queue: Arc::clone(self), open }
    }

    /// Queues a trace as a batch of its own.
    pub fn push(&self, metrics: &Metrics, spans: usize, write: impl FnOnce(&mut Vec<u8>)) -> Fate {
        let mut batch = self.pool.batch();
        batch.add(spans, write);
        match self.batches.try_send(batch) {
            Ok(()) => Fate::Queued,
            Err(TrySendError::Full(_)) => Fate::lost(metrics, Loss::QueueFull, spans),
            Err(TrySendError::Closed(_)) => Fate::lost(metrics, Loss::Shutdown, spans),
        }
    }

    /// Batches that wait, and how many may.
    pub fn filled(&self) -> (u64, u64) {
        let (room, all) = (self.batches.capacity(), self.batches.max_capacity());
        (u64::try_from(all - room).unwrap_or(u64::MAX), u64::try_from(all).unwrap_or(u64::MAX))
    }

    /// Exports what is queued; whether that ended within this time.
    pub async fn flush(&self, limit: Duration) -> bool {
        let exported = async {
            let (done, waiting) = oneshot::channel();
            self.flushes.send(done).await.is_ok() && waiting.await.is_ok()
        };
        timeout(limit, exported).await.unwrap_or(false)
    }
}

/// What became of a trace that was to be queued.
#[must_use = "what is lost may not be referred to"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is on its way.
    Queued,
    /// There was no room, or there is no queue any more; its spans are counted.
    Lost,
}

impl Fate {
    fn lost(metrics: &Metrics, why: Loss, spans: usize) -> Self {
        metrics.spans_lost(why, spans);
        Self::Lost
    }
}

/// The way of one thread into the queue: a batch that it fills, and that the exporting task takes
/// once a second as it is.
#[derive(Debug)]
pub struct Lane {
    queue: Arc<Queue>,
    /// Locked by nobody else but for the moment in which the exporting task takes it.
    open: Arc<Mutex<Batch>>,
}

impl Lane {
    /// Queues a trace of so many spans, or drops and counts them.
    pub fn write(&self, metrics: &Metrics, spans: usize, write: impl FnOnce(&mut Vec<u8>)) -> Fate {
        let Queue { batches, pool, .. } = &*self.queue;
        if batches.is_closed() {
            return Fate::lost(metrics, Loss::Shutdown, spans);
        }
        let mut open = match self.open.try_lock() {
            Ok(open) => open,
            Err(TryLockError::Poisoned(open)) => open.into_inner(),
            Err(TryLockError::WouldBlock) => return self.queue.push(metrics, spans, write),
        };
        if open.is_full() {
            match batches.try_reserve() {
                Ok(place) => place.send(mem::replace(&mut *open, pool.batch())),
                Err(_) => return Fate::lost(metrics, Loss::QueueFull, spans),
            }
        }
        open.add(spans, write);
        Fate::Queued
    }
}
