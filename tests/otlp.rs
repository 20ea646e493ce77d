//! Spans reach a collector, over both protocols, as the tree that the record describes.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "collectors and lookups of a test fail by panicking"
)]

#[path = "otlp/rig.rs"]
mod rig;
#[path = "otlp/snapshot.rs"]
mod snapshot;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use rig::{
    DEADLINE, TRACE, directory, failed_over_call, grpc_collector, http_collector, probe, settings, spans,
    start,
};
use sipwarden::facts::State;
use sipwarden::facts::event::{
    AttemptOutcome, ChangeReason, ConfigApplied, Event, FatalTimer, Origin, ProbeOutcome, ReloadTrigger,
    StateChange,
};
use sipwarden::facts::snapshot::Surroundings;
use sipwarden::facts::trace::SpanRef;
use sipwarden::telemetry::{Format, OtlpProtocol, Telemetry};
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use tokio::runtime::Handle;
use tokio::time::timeout;

fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    found.value.as_ref()?.value.as_ref()
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    match value(attributes, key)? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        Value::BoolValue(flag) => Some(flag.to_string()),
        other => Some(format!("{other:?}")),
    }
}

fn failed(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error)
}

fn millis(span: &Span, root: &Span) -> (u64, u64) {
    let since = |nanos: u64| (nanos - root.start_time_unix_nano) / 1_000_000;
    (since(span.start_time_unix_nano), since(span.end_time_unix_nano))
}

fn assert_tree(spans: &[Span], wall: SystemTime) {
    assert_eq!(spans.len(), 6);
    assert!(spans.iter().all(|span| span.trace_id == TRACE.to_be_bytes()));
    let root = spans.iter().find(|span| span.parent_span_id.is_empty()).expect("a root");
    assert_eq!((root.name.as_str(), root.kind()), ("INVITE", SpanKind::Server));
    let expected = u64::try_from(wall.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos()).unwrap();
    assert!(root.start_time_unix_nano.abs_diff(expected) < 1_000_000_000);
    assert_eq!(millis(root, root), (0, 2_500));
    assert!(!failed(root));
    for (key, expected) in [
        ("sip.request.method", "INVITE"),
        ("sip.call_id", "c1@caller"),
        ("sip.session_id.local", "ab30317f1a784dc48ff824d0d3715d86"),
        ("sip.session_id.remote", "47755a9de7794ba387653f2099600ef2"),
        ("sip.cseq", "7"),
        ("sip.response.status_code", "200"),
        ("sip.dialog.in_dialog", "false"),
        ("sipwarden.set", "pbx"),
        ("sipwarden.listener", "main"),
        ("sipwarden.attempts", "2"),
        ("sipwarden.response.origin", "upstream"),
        ("client.address", "127.0.0.1"),
        ("network.transport", "udp"),
        ("network.peer.address", "127.0.0.1"),
        ("network.peer.port", "5090"),
        ("network.local.address", "127.0.0.1"),
        ("network.local.port", "5060"),
        ("server.address", "127.0.0.1"),
        ("server.port", "5060"),
    ] {
        assert_eq!(text(&root.attributes, key).as_deref(), Some(expected), "{key}");
    }
    let events: Vec<&str> = root.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(events, ["sip.provisional", "sip.provisional", "sip.retransmission_absorbed"]);

    let failover = spans.iter().find(|span| span.name == "failover").unwrap();
    assert_eq!((failover.kind(), &failover.parent_span_id), (SpanKind::Internal, &root.span_id));
    assert_eq!(text(&failover.attributes, "sipwarden.failover.from").as_deref(), Some("a"));
    assert_eq!(text(&failover.attributes, "sipwarden.failover.to").as_deref(), Some("b"));
    assert_eq!(text(&failover.attributes, "sipwarden.failover.cause").as_deref(), Some("timeout"));
    assert_eq!(millis(failover, root).0, 2_000);

    let selections: Vec<&Span> = spans.iter().filter(|span| span.name == "select pbx").collect();
    assert_eq!(selections.iter().map(|span| millis(span, root).0).collect::<Vec<_>>(), [0, 2_000]);
    assert_eq!(selections[0].parent_span_id, root.span_id);
    assert_eq!(selections[1].parent_span_id, failover.span_id);
    assert_eq!(selections[1].events[0].name, "candidate.skipped");
    assert_eq!(selections[0].end_time_unix_nano - selections[0].start_time_unix_nano, 250_000);

    let attempts: Vec<&Span> = spans.iter().filter(|span| span.kind() == SpanKind::Client).collect();
    assert_eq!(
        attempts.iter().map(|span| millis(span, root)).collect::<Vec<_>>(),
        [(1, 2_000), (2_001, 2_500)]
    );
    assert!(attempts.iter().all(|span| span.name == "INVITE" && span.parent_span_id == root.span_id));
    assert!(failed(attempts[0]) && !failed(attempts[1]));
    assert_eq!(text(&attempts[0].attributes, "error.type").as_deref(), Some("no_response"));
    assert_eq!(text(&attempts[0].attributes, "sip.retransmissions").as_deref(), Some("2"));
    assert_eq!(text(&attempts[1].attributes, "sipwarden.destination").as_deref(), Some("b"));
    for (key, expected) in [
        ("server.port", "5071"),
        ("network.peer.port", "5071"),
        ("network.local.address", "127.0.0.1"),
        ("network.local.port", "5060"),
    ] {
        assert_eq!(text(&attempts[1].attributes, key).as_deref(), Some(expected), "{key}");
    }
    assert_eq!(attempts[1].links[0].span_id, attempts[0].span_id);
    assert_eq!(attempts[1].links[0].trace_id, TRACE.to_be_bytes());
}

/// A trace that finds no room.
const LOST: u128 = 0xdead;

fn sample(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap())
}

#[tokio::test]
async fn a_failed_over_call_arrives_over_http_as_a_tree_with_its_own_times() {
    let (endpoint, mut exports) = http_collector(200).await;
    let telemetry = start(&endpoint, OtlpProtocol::Http);
    let (began, wall) = (Instant::now(), SystemTime::now());
    telemetry.recorder().record(&Event::TransactionFinished(Box::new(failed_over_call(began))));
    assert!(telemetry.flush(DEADLINE).await);
    assert_tree(&spans(&mut exports, 6).await, wall);
    let text = telemetry.render(vec![], Surroundings::default(), Format::Text).collect::<String>();
    assert_eq!(sample(&text, "sipwarden_traces_total{decision=\"kept_failover\"}"), Some(1.0));
    assert_eq!(sample(&text, "sipwarden_otlp_exports_total{result=\"ok\"}"), Some(1.0));
    assert_eq!(sample(&text, "sipwarden_otlp_spans_exported_total"), Some(6.0));
    assert!(sample(&text, "sipwarden_otlp_last_success_timestamp_seconds").unwrap() > 1e9);
}

#[tokio::test]
async fn a_failed_over_call_arrives_over_grpc_as_the_same_tree() {
    let (endpoint, mut exports) = grpc_collector().await;
    let telemetry = start(&endpoint, OtlpProtocol::Grpc);
    let (began, wall) = (Instant::now(), SystemTime::now());
    telemetry.recorder().record(&Event::TransactionFinished(Box::new(failed_over_call(began))));
    assert!(telemetry.flush(DEADLINE).await);
    assert_tree(&spans(&mut exports, 6).await, wall);
    assert_eq!(
        sample(
            &telemetry.render(vec![], Surroundings::default(), Format::Text).collect::<String>(),
            "sipwarden_otlp_spans_exported_total"
        ),
        Some(6.0)
    );
}

#[tokio::test]
async fn spans_carry_the_resource_of_this_service() {
    let (endpoint, mut exports) = http_collector(200).await;
    let telemetry = start(&endpoint, OtlpProtocol::Http);
    telemetry.recorder().record(&Event::TransactionFinished(Box::new(failed_over_call(Instant::now()))));
    assert!(telemetry.flush(DEADLINE).await);
    let export = timeout(DEADLINE, exports.recv()).await.unwrap().unwrap();
    let resource = export.resource_spans[0].resource.clone().unwrap().attributes;
    assert_eq!(text(&resource, "service.name").as_deref(), Some("sipwarden"));
    assert_eq!(text(&resource, "service.version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(text(&resource, "service.instance.id").map(|id| id.len()), Some(32));
}

#[tokio::test]
async fn a_probe_is_a_root_linked_to_the_probe_that_changed_the_state_before() {
    let (endpoint, mut exports) = http_collector(200).await;
    let telemetry = start(&endpoint, OtlpProtocol::Http);
    let mut recorder = telemetry.recorder();
    let down = probe(Instant::now(), ProbeOutcome::Timeout, State::Failing, State::Down);
    let up = probe(Instant::now(), ProbeOutcome::Accepted(200), State::Down, State::Up);
    for probe in [down, up] {
        let change = probe.change.unwrap();
        recorder.record(&Event::ProbeFinished(Box::new(probe)));
        recorder.record(&Event::DestinationChanged(change));
    }
    assert!(telemetry.flush(DEADLINE).await);
    let spans = spans(&mut exports, 2).await;
    assert!(spans.iter().all(|span| span.name == "OPTIONS probe" && span.parent_span_id.is_empty()));
    assert!(failed(&spans[0]) && !failed(&spans[1]));
    assert!(spans[0].links.is_empty());
    assert_eq!(spans[1].links[0].span_id, spans[0].span_id);
    let change = spans[0].events.iter().find(|event| event.name == "destination.state_change").unwrap();
    assert_eq!(text(&change.attributes, "to").as_deref(), Some("down"));
    assert_eq!(text(&spans[0].attributes, "sipwarden.probe.result").as_deref(), Some("timeout"));
    assert_eq!(value(&spans[0].attributes, "sipwarden.probe.lag_ms"), Some(&Value::DoubleValue(5.0)));
    let text = telemetry.render(vec![], Surroundings::default(), Format::Text).collect::<String>();
    assert_eq!(sample(&text, "sipwarden_traces_total{decision=\"kept_state_change\"}"), Some(2.0));
}

#[tokio::test]
async fn a_probe_after_an_ejection_is_linked_to_the_attempt_behind_that() {
    let (endpoint, mut exports) = http_collector(200).await;
    let telemetry = start(&endpoint, OtlpProtocol::Http);
    let mut recorder = telemetry.recorder();
    let mut up = probe(Instant::now(), ProbeOutcome::Accepted(200), State::Down, State::Up);
    let call = SpanRef::root(LOST).attempt(1);
    let ejected = StateChange {
        from: State::Up,
        to: State::Ejected,
        reason: ChangeReason::Passive,
        span: Some(call),
        ..up.change.take().unwrap()
    };
    recorder.record(&Event::DestinationChanged(ejected));
    let expired = StateChange { reason: ChangeReason::EjectionExpired, span: None, ..ejected };
    recorder.record(&Event::DestinationChanged(expired));
    recorder.record(&Event::ProbeFinished(Box::new(up)));
    assert!(telemetry.flush(DEADLINE).await);
    let links = spans(&mut exports, 1).await.remove(0).links;
    let ids = |trace: u128, span: u64| (trace.to_be_bytes().to_vec(), span.to_be_bytes().to_vec());
    assert_eq!(links.len(), 1);
    assert_eq!((links[0].trace_id.clone(), links[0].span_id.clone()), ids(call.trace(), call.span()));
}

#[tokio::test]
async fn a_reload_is_a_live_span_from_its_start_to_its_result() {
    let (endpoint, mut exports) = http_collector(200).await;
    let telemetry = start(&endpoint, OtlpProtocol::Http);
    let mut recorder = telemetry.recorder();
    let applied = ConfigApplied {
        trigger: Some(ReloadTrigger::Signal),
        hash: 0xabc,
        added: 1,
        removed: 2,
        kept: 3,
        changed: 1,
        sets_added: 4,
        sets_removed: 5,
        needs_restart: vec![],
    };
    telemetry.reload_started();
    recorder.record(&Event::ConfigApplied(Arc::new(applied)));
    let error = "line 3: unknown key".into();
    recorder.record(&Event::ReloadFailed { trigger: ReloadTrigger::Api, error });
    assert!(telemetry.flush(DEADLINE).await);
    let spans = spans(&mut exports, 2).await;
    assert!(spans.iter().all(|span| span.name == "config reload" && span.parent_span_id.is_empty()));
    for (key, expected) in [
        ("sipwarden.reload.trigger", "signal"),
        ("sipwarden.reload.result", "ok"),
        ("sipwarden.config.hash_before", "000000000000"),
        ("sipwarden.config.hash_after", "000000000abc"),
        ("sipwarden.destinations.added", "1"),
        ("sipwarden.destinations.removed", "2"),
        ("sipwarden.destinations.kept", "3"),
        ("sipwarden.destinations.changed", "1"),
        ("sipwarden.sets.added", "4"),
        ("sipwarden.sets.removed", "5"),
    ] {
        assert_eq!(text(&spans[0].attributes, key).as_deref(), Some(expected), "{key}");
    }
    assert!(!failed(&spans[0]) && failed(&spans[1]));
    assert_eq!(text(&spans[1].attributes, "sipwarden.reload.result").as_deref(), Some("invalid"));
    assert_eq!(spans[1].events[0].name, "config.rejected");
    assert_eq!(text(&spans[1].events[0].attributes, "error").as_deref(), Some("line 3: unknown key"));
    for span in &spans {
        documented("config reload", span);
    }
}

#[tokio::test]
async fn every_span_has_only_documented_attributes_and_events() {
    let (endpoint, mut exports) = http_collector(200).await;
    let telemetry = start(&endpoint, OtlpProtocol::Http);
    let mut recorder = telemetry.recorder();
    let began = Instant::now();
    let mut call = failed_over_call(began);
    call.code = 408;
    call.origin = Origin::Local;
    call.cancelled_at = Some(began);
    call.selections[1].destination = None;
    call.selections[1].hash_key = Some("call_id");
    call.failovers[0].to = None;
    call.attempts[0].outcome = AttemptOutcome::Transport(sipwarden::facts::event::TransportReason::Icmp);
    call.attempts[1].outcome = AttemptOutcome::TimedOut(FatalTimer::B);
    recorder.record(&Event::TransactionFinished(Box::new(call)));
    let down = probe(began, ProbeOutcome::Rejected(500), State::Failing, State::Down);
    recorder.record(&Event::ProbeFinished(Box::new(down)));
    assert!(telemetry.flush(DEADLINE).await);
    let spans = spans(&mut exports, 7).await;
    for span in &spans {
        let row = match (span.name.as_str(), span.kind()) {
            ("INVITE", SpanKind::Server) => "INVITE",
            ("INVITE", _) => "INVITE (attempt)",
            ("select pbx", _) => "select SET",
            (name, _) => name,
        };
        documented(row, span);
    }
    let root = spans.iter().find(|span| span.kind() == SpanKind::Server).unwrap();
    assert_eq!(text(&root.attributes, "error.type").as_deref(), Some("timer_B"));
    assert!(spans.iter().all(|span| failed(span) || span.name == "select pbx"));
}

fn documented(row: &str, span: &Span) {
    let page = sipwarden::telemetry::docs::spans();
    let section = page.split("\n## ").find(|section| section.starts_with(&format!("`{row}`\n")));
    let section = section.unwrap_or_else(|| panic!("{row} is not documented"));
    for attribute in &span.attributes {
        assert!(section.contains(&format!("`{}`", attribute.key)), "{row}: {}", attribute.key);
    }
    for event in &span.events {
        let line = section.lines().find(|line| line.starts_with(&format!("- event `{}`", event.name)));
        let line = line.unwrap_or_else(|| panic!("{row}: event {}", event.name));
        for KeyValue { key, .. } in &event.attributes {
            assert!(line.contains(key.as_str()), "{row}: {} of {}", key, event.name);
        }
    }
}

#[tokio::test]
async fn what_a_collector_refuses_is_counted() {
    let (endpoint, mut exports) = http_collector(400).await;
    let telemetry = start(&endpoint, OtlpProtocol::Http);
    telemetry.recorder().record(&Event::TransactionFinished(Box::new(failed_over_call(Instant::now()))));
    assert!(telemetry.flush(DEADLINE).await);
    assert_eq!(spans(&mut exports, 6).await.len(), 6);
    let text = telemetry.render(vec![], Surroundings::default(), Format::Text).collect::<String>();
    assert_eq!(sample(&text, "sipwarden_otlp_exports_total{result=\"error\"}"), Some(1.0));
    assert_eq!(sample(&text, "sipwarden_otlp_spans_dropped_total{reason=\"export_failed\"}"), Some(6.0));
    assert_eq!(sample(&text, "sipwarden_otlp_last_success_timestamp_seconds"), Some(0.0));
    assert_eq!(sample(&text, "sipwarden_log_events_total{level=\"warn\"}"), Some(1.0));
}

#[tokio::test]
async fn a_full_queue_loses_spans_and_counts_them_without_waiting() {
    // Nobody exports while this test does not await: the runtime has one thread.
    let (endpoint, _exports) = http_collector(200).await;
    let telemetry = start(&endpoint, OtlpProtocol::Http);
    let mut recorder = telemetry.recorder();
    let event = Event::TransactionFinished(Box::new(failed_over_call(Instant::now())));
    let figure = |series: &str| {
        sample(&telemetry.render(vec![], Surroundings::default(), Format::Text).collect::<String>(), series)
            .unwrap()
    };
    let lost = || figure("sipwarden_otlp_spans_dropped_total{reason=\"queue_full\"}");
    let mut recorded = 0.0;
    while lost() == 0.0 {
        for _ in 0..100 {
            recorder.record(&event);
            recorded += 6.0;
        }
        assert!(recorded < 1e6, "the queue has no end");
    }
    assert!(recorded > 10_000.0, "{recorded} spans filled the queue");
    let before = lost();
    let mut late = failed_over_call(Instant::now());
    late.span = SpanRef::root(LOST);
    recorder.record(&Event::TransactionFinished(Box::new(late)));
    let mut probe = probe(Instant::now(), ProbeOutcome::Accepted(200), State::Down, State::Up);
    probe.span = SpanRef::root(LOST);
    recorder.record(&Event::ProbeFinished(Box::new(probe)));
    assert_eq!(lost(), before + 7.0);
    recorded += 7.0;
    let scrape = telemetry.render(vec![], Surroundings::default(), Format::OpenMetrics).collect::<String>();
    assert!(scrape.contains(&format!("trace_id=\"{TRACE:032x}\"")), "what is queued has exemplars");
    assert!(!scrape.contains(&format!("trace_id=\"{LOST:032x}\"")), "an exemplar names a trace that is lost");

    // What it held arrives, and there is room again.
    assert!(telemetry.flush(DEADLINE).await);
    recorder.record(&event);
    recorded += 6.0;
    assert!(telemetry.flush(DEADLINE).await);
    assert_eq!(figure("sipwarden_otlp_spans_exported_total") + lost(), recorded);
    assert_eq!(lost(), before + 7.0);
}

/// A second recorder is another thread's: neither loses what the other has written.
#[tokio::test]
async fn what_every_recorder_wrote_is_exported_even_after_its_end() {
    let (endpoint, mut exports) = http_collector(200).await;
    let telemetry = start(&endpoint, OtlpProtocol::Http);
    let event = Event::TransactionFinished(Box::new(failed_over_call(Instant::now())));
    let mut recorders = [telemetry.recorder(), telemetry.recorder()];
    recorders.iter_mut().for_each(|recorder| recorder.record(&event));
    drop(recorders);
    assert!(telemetry.flush(DEADLINE).await);
    assert_eq!(spans(&mut exports, 12).await.len(), 12);
}

#[tokio::test]
async fn an_endpoint_that_cannot_work_is_refused_at_start() {
    for endpoint in ["https://collector:4317", "collector:4317", "not a url", "http://"] {
        let started =
            Telemetry::start(&settings(endpoint, OtlpProtocol::Grpc), directory(), Handle::current());
        let error = started.expect_err(endpoint).to_string();
        assert!(error.contains("tracing.otlp") && error.contains(endpoint), "{error}");
    }
}
