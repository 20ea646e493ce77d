//! Metrics, spans and logs: the three readers of the event vocabulary.
//!
//! [`Recorder::record`] turns an event into counters, spans and a log line; [`Telemetry::render`]
//! adds the gauges of a snapshot to the counters at scrape. Nothing here is global but the
//! destination of log lines, which [`init_logs`] sets once, and the count of panics. Never decides
//! anything about traffic.

pub mod docs;
mod exemplars;
mod logs;
mod metrics;
mod otlp;
mod page;
mod panics;
mod reload;
#[cfg(test)]
mod samples;
mod scrape;
mod settings;
mod spans;
mod state;
mod table;
mod ticks;
pub mod values;

pub use metrics::Index as MetricsIndex;
pub use page::Format;
pub use panics::count_panics;
pub use scrape::Scrape;
pub use settings::{LogFormat, MetricsDetail, MetricsSettings, OtlpProtocol, Settings};
pub use ticks::Ticks;

use crate::facts::clock::Clock;
use crate::facts::directory::Directory;
use crate::facts::event::Event;
use crate::facts::event::Queue as QueueName;
use crate::facts::snapshot::{QueueSnapshot, Snapshot, Surroundings};
use exemplars::Marker;
use metrics::{Index, Metrics};
use otlp::Queue;
use reload::Reloads;
use state::View;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};
use tokio::runtime::Handle;

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Spans cannot go there.
    #[error("tracing.otlp: cannot export to {endpoint:?}: {reason}")]
    Endpoint {
        /// The endpoint as configured.
        endpoint: Arc<str>,
        /// What is wrong with it.
        reason: Arc<str>,
    },
    /// The operating system gives no random bytes.
    #[error("no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

/// Sends log lines to standard error, human on a terminal and JSON elsewhere unless configured.
/// The first call of a process counts; returns whether this was it.
pub fn init_logs(settings: &Settings) -> bool {
    logs::init(settings)
}

/// Whether a text can be a log level: a word like `info` or a list of `target=level`.
pub fn is_log_level(level: &str) -> bool {
    logs::is_level(level)
}

/// The telemetry of one process.
#[derive(Debug, Clone)]
pub struct Telemetry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    clock: Clock,
    metrics: Arc<Metrics>,
    queue: Option<Arc<Queue>>,
    reloads: Option<Reloads>,
    seed: u64,
}

impl Telemetry {
    /// Starts telemetry for a configuration: every bounded series exists from here on. Spans are
    /// exported by tasks on `handle`.
    pub fn start(settings: &Settings, directory: Arc<Directory>, handle: Handle) -> Result<Self, Error> {
        let metrics = Arc::new(Metrics::new(settings.metrics));
        metrics.apply(directory);
        let queue = match &settings.otlp {
            Some(endpoint) => {
                let shared = Arc::clone(&metrics);
                Some(Arc::new(Queue::start(endpoint, settings.protocol, shared, &handle)?))
            }
            None => None,
        };
        let reloads = queue.as_ref().map(|queue| Reloads::new(Arc::clone(queue), Arc::clone(&metrics)));
        let clock = Clock::new(Instant::now(), SystemTime::now());
        let (settings, seed) = (settings.clone(), getrandom::u64()?);
        Ok(Self(Arc::new(Inner { settings, clock, metrics, queue, reloads, seed })))
    }

    /// A recorder for one thread.
    pub fn recorder(&self) -> Recorder {
        let inner = &self.0;
        // A process without randomness did not start; two recorders must not share their span ids.
        let seed = getrandom::u64().unwrap_or(inner.seed);
        let lane = inner.queue.as_ref().map(Queue::lane);
        Recorder {
            index: inner.metrics.index(),
            spans: spans::Writer::new(&inner.settings, lane, inner.clock, seed),
            exemplars: (inner.metrics.has_exemplars() && inner.queue.is_some())
                .then(|| Marker::new(inner.clock)),
            logs: logs::Writer::default(),
            telemetry: self.clone(),
        }
    }

    /// Takes up a new configuration: series of what is new appear at zero, those of what is gone
    /// vanish, all others go on. Recorders notice with their next event. Gives what they have until
    /// then, to be kept until they have let go of it: a large one takes long to free.
    #[must_use = "a worker that lets go of it last takes no calls meanwhile"]
    pub fn apply(&self, directory: Arc<Directory>) -> Arc<Index> {
        self.0.metrics.apply(directory)
    }

    /// Goes back to what was in force before a configuration that no worker took. Gives what was in
    /// force meanwhile, to be kept as above.
    #[must_use = "a worker that lets go of it last takes no calls meanwhile"]
    pub fn take_back(&self, former: &Index) -> Arc<Index> {
        self.0.metrics.take_back(former)
    }

    /// Begins the span of a reload; the event that tells its result ends it.
    pub fn reload_started(&self) {
        if let Some(reloads) = &self.0.reloads {
            reloads.started();
        }
    }

    /// The answer to a scrape, in pieces, from the snapshots of all workers and what is around them.
    pub fn render(&self, snapshots: Vec<Snapshot>, mut surroundings: Surroundings, format: Format) -> Scrape {
        let (depth, capacity) = self.0.queue.as_ref().map_or((0, 0), |queue| queue.filled());
        surroundings.queues.push(QueueSnapshot { queue: QueueName::Traces, depth, capacity });
        Scrape::new(Arc::clone(&self.0.metrics), View::new(snapshots, surroundings, self.0.clock), format)
    }

    /// The detail of metrics in force, and the series that a configuration makes from the start.
    pub fn exposure(directory: Arc<Directory>, settings: &MetricsSettings) -> (&'static str, u64) {
        let exposure = Index::empty().follow(directory, settings).exposure;
        (exposure.detail.as_str(), exposure.series)
    }

    /// Exports the spans finished so far; whether that ended within this time.
    pub async fn flush(&self, limit: Duration) -> bool {
        match &self.0.queue {
            Some(queue) => queue.flush(limit).await,
            None => true,
        }
    }
}

/// Turns events into counters, spans and log lines; one for each thread that has events.
#[derive(Debug)]
pub struct Recorder {
    telemetry: Telemetry,
    index: Arc<Index>,
    spans: spans::Writer,
    exemplars: Option<Marker>,
    logs: logs::Writer,
}

impl Recorder {
    /// Ticks for a thread that keeps its own time: how late they pass is observed.
    pub fn ticks(&self) -> Ticks {
        Ticks::new(Arc::clone(&self.telemetry.0.metrics))
    }

    /// Observes, until it is dropped, how late timers fire on the runtime that it is spawned on.
    pub fn watch_lag(&self) -> impl Future<Output = ()> + Send + use<> {
        ticks::watch(self.ticks())
    }

    /// Records an event.
    pub fn record(&mut self, event: &Event) {
        let inner = &*self.telemetry.0;
        let metrics = &*inner.metrics;
        metrics.refresh(&mut self.index);
        let before = metrics.process.config_hash.load(Ordering::Relaxed);
        let reload = inner.reloads.as_ref().and_then(|reloads| reloads.on(event, before));
        metrics.on(&self.index, event);
        let kept = self.spans.on(&self.index, metrics, event);
        if let Some(exemplars) = &mut self.exemplars {
            exemplars.on(&self.index, event, kept);
        }
        self.logs.on(&self.index, metrics, event, reload);
    }
}
