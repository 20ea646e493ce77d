//! Spans, their traces and log lines.

use super::{MAKE_SECRET, check_length, read_secret};
use crate::config::cursor::Problems;
use crate::config::error::Problem;
use crate::config::keys::Root;
use crate::config::path::KeyPath;
use crate::proxy::{Propagation, TraceIdFrom, TraceIds, TraceKey, Tracing};
use crate::telemetry;
use std::path::Path;

/// How traces are joined, and what of a caller they tell.
pub(super) fn joined(root: &Root, directory: &Path, problems: &Problems) -> Tracing {
    let at = KeyPath::root().key("tracing");
    let peers = &root.access.trusted_peers;
    match root.tracing.propagation {
        Propagation::Accept | Propagation::Both if peers.is_empty() => {
            let message =
                format!("{} needs `access.trusted_peers`, which is empty", root.tracing.propagation);
            let help = "a Traceparent is believed from those networks only";
            problems.add(Problem::value(&at.key("propagation"), message).help(help));
        }
        Propagation::Off | Propagation::Inject | Propagation::Accept | Propagation::Both => {}
    }
    Tracing {
        ids: trace_ids(root, &at, directory, problems),
        propagation: root.tracing.propagation,
        trusted_peers: peers.iter().map(|network| network.0).collect(),
        capture_uris: root.tracing.capture_uris,
        ratio: root.tracing.ratio,
    }
}

fn trace_ids(root: &Root, at: &KeyPath, directory: &Path, problems: &Problems) -> TraceIds {
    let path = at.key("trace_id_key_file");
    let key = root.tracing.trace_id_key_file.as_deref().and_then(|name| {
        let content = read_secret(name, directory, &path, problems)?;
        check_length(&content, name, &path, problems);
        Some(TraceKey::new(&content))
    });
    match (root.tracing.trace_id_from, key) {
        (TraceIdFrom::Random, _) => TraceIds::Random,
        (TraceIdFrom::SessionId, _) => {
            if root.access.trusted_peers.is_empty() {
                let message = "session_id needs `access.trusted_peers`, which is empty";
                let help = "a Session-ID is believed from those networks only";
                problems.add(Problem::value(&at.key("trace_id_from"), message).help(help));
            }
            TraceIds::SessionId
        }
        (TraceIdFrom::CallId, Some(key)) => TraceIds::CallId(key),
        (TraceIdFrom::CallId, None) => {
            if root.tracing.trace_id_key_file.is_none() {
                let message = "call_id needs `tracing.trace_id_key_file`";
                problems.add(Problem::value(&at.key("trace_id_from"), message).help(MAKE_SECRET));
            }
            TraceIds::Random
        }
    }
}

/// Where spans and log lines go.
pub(super) fn telemetry(root: &Root, problems: &Problems) -> telemetry::Settings {
    let at = KeyPath::root();
    if let Some(url) = &root.tracing.otlp {
        let path = at.key("tracing").key("otlp");
        let host = url.strip_prefix("http://").map(|rest| rest.split('/').next().unwrap_or_default());
        match host {
            _ if url.starts_with("https://") => {
                problems.add(Problem::value(&path, "https is not supported in this version; use http"));
            }
            Some(host) if !host.is_empty() && !url.contains(char::is_whitespace) => {}
            Some(_) | None => {
                problems.add(Problem::value(&path, "expected a URL such as http://127.0.0.1:4317"));
            }
        }
    }
    if !root.log.level.split(',').all(is_directive) {
        let path = at.key("log").key("level");
        let message = "expected error, warn, info, debug, trace or off, also by module as in `info,sipwarden::net=debug`";
        problems.add(Problem::value(&path, message));
    }
    telemetry::Settings {
        otlp: root.tracing.otlp.as_deref().map(Into::into),
        protocol: root.tracing.protocol,
        ratio: root.tracing.ratio,
        probe_ratio: root.tracing.probe_ratio,
        slow: root.tracing.slow,
        log_format: root.log.format,
        log_level: root.log.level.as_str().into(),
        metrics: telemetry::MetricsSettings {
            detail: root.metrics.detail,
            max_series: root.metrics.max_series,
            exemplars: root.metrics.exemplars,
            threads: telemetry::MetricsSettings::CONTROL_THREADS + u16::from(root.workers.count()),
        },
    }
}

fn is_directive(text: &str) -> bool {
    let (target, level) = text.trim().rsplit_once('=').unwrap_or(("x", text.trim()));
    let is_target = target.bytes().all(|b| b.is_ascii_alphanumeric() || b == b':' || b == b'_');
    is_target && !target.is_empty() && ["off", "error", "warn", "info", "debug", "trace"].contains(&level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_log_directives() {
        assert!(is_directive("info"));
        assert!(is_directive("sipwarden::net=debug"));
        assert!(!is_directive("loud"));
        assert!(!is_directive("=debug"));
    }
}
