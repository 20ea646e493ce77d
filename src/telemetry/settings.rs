//! What telemetry can be told.

use std::sync::Arc;
use std::time::Duration;

/// Metrics, traces and logs.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where spans go; `None` turns tracing off.
    pub otlp: Option<Arc<str>>,
    /// How they go there. Default grpc.
    pub protocol: OtlpProtocol,
    /// Share of unremarkable traces kept, 0 to 1, as a function of the trace id. Default 1.
    pub ratio: f64,
    /// The same for probes. Default 0.01.
    pub probe_ratio: f64,
    /// A call set up slower than this is kept. Default 2 s.
    pub slow: Duration,
    /// How log lines look.
    pub log_format: LogFormat,
    /// The least severe level logged, or an `EnvFilter` directive. Default info.
    pub log_level: Arc<str>,
    /// What is exposed.
    pub metrics: MetricsSettings,
}

/// How much is exposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsSettings {
    /// How much is told of each destination. Default auto.
    pub detail: MetricsDetail,
    /// Series at most; what is above is summed up under `other`. Default 50,000.
    pub max_series: u32,
    /// Whether OpenMetrics has exemplars. Default true.
    pub exemplars: bool,
    /// Threads of all runtimes, each of which has a series.
    pub threads: u16,
}

impl MetricsSettings {
    /// Threads of the control plane: one may be busy with a scrape while another reloads.
    pub const CONTROL_THREADS: u16 = 2;
}

impl Default for MetricsSettings {
    fn default() -> Self {
        Self { detail: MetricsDetail::Auto, max_series: 50_000, exemplars: true, threads: 3 }
    }
}

crate::words! {
    /// How much is told of each destination.
    MetricsDetail {
        /// The richest that fits into `max_series`.
        Auto => "auto",
        /// Everything.
        Full => "full",
        /// All but exact status codes and four histograms.
        Basic => "basic",
        /// How it is and what it has to do.
        State => "state",
    }
}

crate::words! {
    /// The OTLP transport.
    OtlpProtocol {
        /// gRPC over HTTP/2, usually port 4317.
        Grpc => "grpc",
        /// Protobuf over HTTP/1.1, usually port 4318; `/v1/traces` is appended to a bare origin.
        Http => "http",
    }
}

crate::words! {
    /// How log lines look.
    LogFormat {
        /// Human on a terminal, JSON elsewhere.
        Auto => "auto",
        /// Human.
        Human => "human",
        /// One JSON object a line.
        Json => "json",
    }
}
