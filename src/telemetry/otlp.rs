//! Spans on their way to a collector: a bounded queue, batches, OTLP over gRPC or HTTP.
//!
//! Whoever finishes a trace never waits: what the queue cannot hold is dropped and counted, as is
//! what a collector refuses. One task of the control plane exports.

mod client;
mod resource;

use super::logs;
use super::metrics::Metrics;
use super::values::{ExportResult, Loss};
use super::{Error, OtlpProtocol};
use hyper::Uri;
use opentelemetry::Context;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _, SpanProcessor};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{sleep, timeout};

pub use resource::resource;

/// Traces waiting for export at most.
const QUEUE: usize = 4_096;
/// Spans in one request, about.
const BATCH: usize = 512;
/// Time between exports. Finished traces do not wake the exporting task before, unless the queue
/// is half full: waking it costs a worker more than queueing does.
const INTERVAL: Duration = Duration::from_secs(1);
/// Time for one export.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where finished traces go.
#[derive(Debug)]
pub struct Queue {
    traces: mpsc::Sender<Vec<SpanData>>,
    flushes: mpsc::Sender<oneshot::Sender<()>>,
    wake: Arc<Notify>,
}

impl Queue {
    /// Opens the way to a collector; nothing is sent yet.
    pub fn start(
        endpoint: &str,
        protocol: OtlpProtocol,
        metrics: Arc<Metrics>,
        handle: &Handle,
    ) -> Result<Self, Error> {
        let exporter = exporter(endpoint, protocol, handle)?;
        let (traces, waiting) = mpsc::channel(QUEUE);
        let (flushes, asked) = mpsc::channel(4);
        let wake = Arc::new(Notify::new());
        let pump = Pump { exporter, metrics, waiting, asked, wake: Arc::clone(&wake), failing: false };
        handle.spawn(pump.run());
        Ok(Self { traces, flushes, wake })
    }

    /// Queues the spans of one trace, or drops and counts them.
    pub fn push(&self, metrics: &Metrics, spans: Vec<SpanData>) {
        match self.traces.try_send(spans) {
            Ok(()) => {}
            Err(TrySendError::Full(spans)) => metrics.spans_lost(Loss::QueueFull, spans.len()),
            Err(TrySendError::Closed(spans)) => metrics.spans_lost(Loss::Shutdown, spans.len()),
        }
        if self.traces.capacity() < QUEUE / 2 {
            self.wake.notify_one();
        }
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

/// The exporting task.
struct Pump {
    exporter: SpanExporter,
    metrics: Arc<Metrics>,
    waiting: mpsc::Receiver<Vec<SpanData>>,
    asked: mpsc::Receiver<oneshot::Sender<()>>,
    wake: Arc<Notify>,
    failing: bool,
}

impl Pump {
    async fn run(mut self) {
        loop {
            let flush = tokio::select! {
                asked = self.asked.recv() => asked,
                () = self.wake.notified() => None,
                () = sleep(INTERVAL) => None,
            };
            let ended = self.drain().await;
            if let Some(done) = flush {
                // Whoever asked may have stopped waiting.
                let _ = done.send(());
            }
            if ended {
                return;
            }
        }
    }

    /// Exports everything queued; whether no more can come.
    async fn drain(&mut self) -> bool {
        let mut spans = Vec::new();
        let ended = loop {
            match self.waiting.try_recv() {
                Ok(trace) => spans.extend(trace),
                Err(error) => break error == mpsc::error::TryRecvError::Disconnected,
            }
            if spans.len() >= BATCH {
                self.export(std::mem::take(&mut spans)).await;
            }
        };
        if !spans.is_empty() {
            self.export(spans).await;
        }
        ended
    }

    async fn export(&mut self, spans: Vec<SpanData>) {
        let count = spans.len();
        // The client's own limit comes first; ours covers what it does not time.
        let result = match timeout(TIMEOUT + INTERVAL, self.exporter.export(spans)).await {
            Ok(Ok(())) => ExportResult::Ok,
            Ok(Err(OTelSdkError::Timeout(_))) | Err(_) => ExportResult::Timeout,
            Ok(Err(OTelSdkError::AlreadyShutdown | OTelSdkError::InternalFailure(_))) => ExportResult::Error,
        };
        self.metrics.exported(result, count);
        let failed = result != ExportResult::Ok;
        if failed != self.failing {
            self.failing = failed;
            logs::export_changed(&self.metrics, result);
        }
    }
}

/// Hands spans that the SDK finishes (live ones) to the queue.
#[derive(Debug)]
pub struct LiveSpans {
    /// Where they go.
    pub queue: Arc<Queue>,
    /// Where losses are counted.
    pub metrics: Arc<Metrics>,
}

impl SpanProcessor for LiveSpans {
    fn on_start(&self, _span: &mut opentelemetry_sdk::trace::Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.queue.push(&self.metrics, vec![span]);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn set_resource(&mut self, _resource: &Resource) {}
}

fn exporter(endpoint: &str, protocol: OtlpProtocol, handle: &Handle) -> Result<SpanExporter, Error> {
    let bad = |reason: &str| Error::Endpoint { endpoint: endpoint.into(), reason: reason.into() };
    let uri: Uri = endpoint.parse().map_err(|_| bad("it is not a URL"))?;
    if uri.scheme_str() != Some("http") || uri.host().is_none_or(str::is_empty) {
        return Err(bad("it must be http://HOST:PORT (TLS is not supported in this version)"));
    }
    // gRPC channels and HTTP connections belong to the control plane's runtime.
    let _inside = handle.enter();
    let built = match protocol {
        OtlpProtocol::Grpc => {
            SpanExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(TIMEOUT).build()
        }
        OtlpProtocol::Http => {
            let bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
            let url =
                if bare { format!("{}/v1/traces", endpoint.trim_end_matches('/')) } else { endpoint.into() };
            SpanExporter::builder()
                .with_http()
                .with_http_client(client::Client::default())
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(url)
                .with_timeout(TIMEOUT)
                .build()
        }
    };
    let mut exporter = built.map_err(|error| bad(&error.to_string()))?;
    exporter.set_resource(&resource());
    Ok(exporter)
}
