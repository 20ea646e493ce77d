//! What traces and logs can be told.

use std::sync::Arc;
use std::time::Duration;

/// Traces and logs.
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
