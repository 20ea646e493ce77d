//! Every attribute, event, link and status of every kind of span, as a collector decodes them:
//! `tests/otlp/spans.txt`, which `BLESS=1 cargo test --test otlp` rewrites.

use crate::rig::{DEADLINE, TRACE, failed_over_call, grpc_collector, http_collector, probe, spans, start};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use sipwarden::facts::event::{
    AttemptOutcome, ConfigApplied, Event, FatalTimer, Origin, ProbeOutcome, Refusal, ReloadTrigger,
    SkipReason, TransportReason,
};
use sipwarden::facts::record::{SessionId, TransactionRecord, Uris, WireText};
use sipwarden::facts::trace::{SpanRef, TraceParent};
use sipwarden::facts::{Method, State, Target, Transport};
use sipwarden::telemetry::{OtlpProtocol, Telemetry};
use smallvec::smallvec;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// More events of a kind than a span keeps.
const MANY: u64 = 12;

/// The same call with whatever a record can say besides: nobody answered it in the end.
fn failed_call(began: Instant) -> TransactionRecord {
    let at = |millis| began + Duration::from_millis(millis);
    let mut call = failed_over_call(began);
    call.span = SpanRef::root(TRACE + 1);
    call.call_id = WireText::new(&[b'c'; 128]);
    call.session = SessionId::parse(b"ab30317f1a784dc48ff824d0d3715d86");
    call.client = "[2001:db8::7]:5090".parse().unwrap();
    call.transport = Transport::Tcp;
    (call.code, call.origin) = (408, Origin::Local);
    call.cancelled_at = Some(at(2_400));
    call.dialog = Some(SpanRef::root(TRACE));
    call.in_dialog = true;
    call.provisionals = (0..MANY).map(|n| (at(n), 180)).collect();
    call.selections[0].hash_key = Some("call_id");
    call.selections[1].destination = None;
    call.selections[1].skipped =
        smallvec![(Target::new(0), SkipReason::Tried), (Target::new(1), SkipReason::Ejected)];
    call.failovers[0].to = None;
    let mut third = call.attempts[0].clone();
    call.attempts[0].outcome = AttemptOutcome::Transport(TransportReason::Refused);
    call.attempts[0].transport = Transport::Tcp;
    call.attempts[0].retransmitted = (0..MANY).map(|n| at(10 + n)).collect();
    call.attempts[0].fell_back = Some((at(9), TransportReason::ConnectTimeout));
    call.attempts[1].outcome = AttemptOutcome::TimedOut(FatalTimer::B);
    call.attempts[1].code = 0;
    call.attempts[1].remote = "[::1]:5071".parse().unwrap();
    (third.number, third.target, third.ended) = (3, None, None);
    (third.code, third.outcome) = (0, AttemptOutcome::Pending);
    call.attempts.push(third);
    call
}

fn text(text: &str) -> WireText {
    WireText::new(text.as_bytes())
}

/// A request that we refused, and one whose refusal by its destination we passed on.
fn refused(began: Instant) -> [TransactionRecord; 2] {
    let mut ours = failed_over_call(began);
    ours.span = SpanRef::root(TRACE + 2);
    ours.parent = Some(TraceParent { span: SpanRef::new(TRACE + 2, 9), is_sampled: true });
    let [request, from, to] = ["sip:1000@pbx", "sip:alice@phone", "sip:1000@pbx"].map(text);
    ours.uris = Some(Box::new(Uris { request, from, to }));
    ours.method = Method::Message;
    (ours.code, ours.origin, ours.refusal) = (503, Origin::Local, Some(Refusal::NoneUsable));
    (ours.session, ours.set, ours.retransmissions_absorbed) = (None, None, 0);
    (ours.selections, ours.attempts, ours.failovers) = Default::default();
    let mut theirs = failed_over_call(began);
    theirs.span = SpanRef::root(TRACE + 3);
    theirs.selections.truncate(1);
    theirs.attempts.truncate(1);
    theirs.failovers = Default::default();
    (theirs.code, theirs.attempts[0].code) = (500, 500);
    theirs.attempts[0].outcome = AttemptOutcome::Answered;
    [ours, theirs]
}

fn record_everything(telemetry: &Telemetry) -> usize {
    let mut recorder = telemetry.recorder();
    let began = Instant::now();
    let [ours, theirs] = refused(began);
    let mut unanswered = ours.clone();
    (unanswered.span, unanswered.code, unanswered.refusal) = (SpanRef::root(TRACE + 4), 0, None);
    for call in [failed_over_call(began), failed_call(began), ours, theirs] {
        recorder.record(&Event::TransactionFinished(Box::new(call)));
    }
    recorder.record(&Event::RequestUnanswered(Box::new(unanswered)));
    let down = probe(began, ProbeOutcome::Timeout, State::Failing, State::Down);
    let mut again = probe(began, ProbeOutcome::Rejected(500), State::Down, State::Down);
    (again.change, again.remote) = (None, None);
    let mut up = probe(began, ProbeOutcome::Accepted(200), State::Down, State::Up);
    up.retransmissions = 0;
    for probe in [down, again, up] {
        let change = probe.change;
        recorder.record(&Event::ProbeFinished(Box::new(probe)));
        change.into_iter().for_each(|change| recorder.record(&Event::DestinationChanged(change)));
    }
    6 + 7 + 1 + 3 + 1 + 3
}

fn record_reloads(telemetry: &Telemetry) -> usize {
    let mut recorder = telemetry.recorder();
    let trigger = ReloadTrigger::Signal;
    let needs_restart = vec![];
    let (trigger, hash) = (Some(trigger), 0xabc);
    let applied = ConfigApplied {
        trigger,
        hash,
        added: 1,
        removed: 2,
        kept: 3,
        needs_restart,
        ..ConfigApplied::default()
    };
    recorder.record(&Event::ConfigApplied(Arc::new(applied)));
    let error = "line 3: unknown key".into();
    recorder.record(&Event::ReloadFailed { trigger: ReloadTrigger::Api, error });
    2
}

/// The spans in words. Ids by chance are numbered in the order in which they come; times count
/// from the beginning of the span, which a live span has of its own.
#[derive(Default)]
struct Page {
    text: String,
    ids: Vec<Vec<u8>>,
}

impl Page {
    fn id(&mut self, id: &[u8]) -> String {
        if id.is_empty() {
            return "none".into();
        }
        let known = self.ids.iter().position(|known| known == id);
        let number = known.unwrap_or_else(|| {
            self.ids.push(id.to_vec());
            self.ids.len() - 1
        });
        format!("#{number} of {} bytes", id.len())
    }

    fn span(&mut self, span: &Span, is_live: bool) {
        let after = |nanos: u64| i128::from(nanos) - i128::from(span.start_time_unix_nano);
        let (trace, id) = (self.id(&span.trace_id), self.id(&span.span_id));
        let parent = self.id(&span.parent_span_id);
        let _ = writeln!(self.text, "{:?} {:?}", span.name, span.kind());
        let _ = writeln!(self.text, "  trace {trace}, span {id}, parent {parent}, flags {:#x}", span.flags);
        let took = if is_live { "live".into() } else { after(span.end_time_unix_nano).to_string() };
        let _ = writeln!(self.text, "  took {took}; state {:?}", span.trace_state);
        attributes(&mut self.text, "  ", &span.attributes);
        for event in &span.events {
            let at = if is_live { "live".into() } else { after(event.time_unix_nano).to_string() };
            let _ = writeln!(self.text, "  event {:?} at {at}", event.name);
            attributes(&mut self.text, "    ", &event.attributes);
            assert_eq!(event.dropped_attributes_count, 0);
        }
        for link in &span.links {
            let (trace, id) = (self.id(&link.trace_id), self.id(&link.span_id));
            let _ = writeln!(self.text, "  link to trace {trace}, span {id}, flags {:#x}", link.flags);
            assert!(link.attributes.is_empty() && link.trace_state.is_empty());
        }
        let status = span.status.as_ref().expect("a span has a status");
        let _ = writeln!(self.text, "  status {:?} {:?}\n", status.code(), status.message);
        let dropped = [span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count];
        assert_eq!(dropped, [0; 3]);
    }
}

fn attributes(text: &mut String, indent: &str, attributes: &[KeyValue]) {
    for KeyValue { key, value, .. } in attributes {
        let value = value.as_ref().and_then(|value| value.value.as_ref()).expect("a value");
        let _ = match value {
            Value::DoubleValue(seconds) if key == "sipwarden.probe.scheduled_at" => {
                assert!(*seconds > 1e9, "{seconds} is no time of today");
                writeln!(text, "{indent}{key} = a time")
            }
            value => writeln!(text, "{indent}{key} = {value:?}"),
        };
    }
}

async fn compare(protocol: OtlpProtocol) {
    let (endpoint, mut exports) = match protocol {
        OtlpProtocol::Http => http_collector(200).await,
        OtlpProtocol::Grpc => grpc_collector().await,
    };
    let telemetry = start(&endpoint, protocol);
    let mut page = Page::default();
    for (record, is_live) in [(record_everything as fn(&Telemetry) -> usize, false), (record_reloads, true)] {
        let count = record(&telemetry);
        assert!(telemetry.flush(DEADLINE).await);
        let spans = spans(&mut exports, count).await;
        assert_eq!(spans.len(), count);
        spans.iter().for_each(|span| page.span(span, is_live));
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/otlp/spans.txt");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&file, &page.text).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap();
    assert!(page.text == expected, "differs from {} (BLESS=1 rewrites it):\n{}", file.display(), page.text);
}

#[tokio::test]
async fn every_kind_of_span_arrives_over_http_with_all_that_it_says() {
    compare(OtlpProtocol::Http).await;
}

#[tokio::test]
async fn every_kind_of_span_arrives_over_grpc_with_all_that_it_says() {
    compare(OtlpProtocol::Grpc).await;
}
