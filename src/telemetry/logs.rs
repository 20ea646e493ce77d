//! Log lines: level, message and fields of each event. The only place that writes any.
//!
//! One structured line for each state change, failover, refusal and reload, with trace id, Call-ID,
//! set and destination. TRACE is per packet, DEBUG odd but handled, INFO what an operator would
//! tell a colleague, WARN worth an alert on its rate, ERROR broken. Callers' addresses are never
//! told above DEBUG. Text from the wire is escaped and cut.

mod limit;
mod text;

use super::metrics::{Index, Metrics};
use super::values::{ExportResult, Level};
use super::{LogFormat, Settings};
use crate::facts::event::{DnsResult, Event, ProbeRecord, Refusal, SelectionReason, StateChange};
use crate::facts::record::{TransactionRecord, WireText};
use crate::facts::trace::SpanRef;
use crate::facts::{SetId, State, Target};
use limit::Limit;
use std::fmt::Display;
use std::io::IsTerminal;
use std::time::Instant;
use text::{Code, Safe, SpanId, TraceId};
use tracing::field::{DisplayValue, display};
use tracing::{debug, error, info, trace, warn};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// Refusals told in a second, by each recorder and for each reason.
const REFUSALS: u32 = 1;
/// Failovers and failed requests told in a second, by each recorder.
const FAILOVERS: u32 = 20;

/// Sends log lines to standard error; called once by the process. Whether it was the first call.
pub fn init(settings: &Settings) -> bool {
    let stderr = std::io::stderr;
    let human = match settings.log_format {
        LogFormat::Auto => stderr().is_terminal(),
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let line = fmt().with_env_filter(filter(&settings.log_level)).with_writer(stderr).with_target(false);
    if human {
        line.with_ansi(stderr().is_terminal()).try_init().is_ok()
    } else {
        line.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init().is_ok()
    }
}

/// Whether a text is a level or a list of directives that the log understands.
pub fn is_level(level: &str) -> bool {
    EnvFilter::try_new(directives(level)).is_ok()
}

fn filter(level: &str) -> EnvFilter {
    EnvFilter::try_new(directives(level)).unwrap_or_else(|_| EnvFilter::new(directives("info")))
}

/// A bare level is ours; what other crates say is told from WARN up, but for the exporter, whose
/// failures [`export_changed`] tells once.
fn directives(level: &str) -> String {
    match level.chars().all(|c| c.is_ascii_alphabetic()) {
        true => format!("warn,opentelemetry=off,sipwarden={level}"),
        false => level.to_owned(),
    }
}

/// Tells that exporting spans began to fail, or works again.
pub fn export_changed(metrics: &Metrics, result: ExportResult) {
    if result == ExportResult::Ok {
        info!("spans are exported again");
    } else {
        metrics.logged(&metrics.index(), Level::Warn);
        warn!(%result, "spans cannot be exported");
    }
}

/// Writes the log lines of one recorder.
#[derive(Debug)]
pub struct Writer {
    refusals: [Limit; Refusal::ALL.len()],
    failovers: Limit,
    anyways: Limit,
}

impl Default for Writer {
    fn default() -> Self {
        let refusals = std::array::from_fn(|_| Limit::new(REFUSALS));
        let (failovers, anyways) = (Limit::new(FAILOVERS), Limit::new(REFUSALS));
        Self { refusals, failovers, anyways }
    }
}

/// Where an event's ids are put into names.
struct Line<'a> {
    index: &'a Index,
    metrics: &'a Metrics,
}

impl Writer {
    /// Tells what an event says; `reload` is the span of the reload that it ends, if there is one.
    pub fn on(&mut self, index: &Index, metrics: &Metrics, event: &Event, reload: Option<SpanRef>) {
        let line = Line { index, metrics };
        match event {
            Event::MessageReceived { transport, kind, bytes } => trace!(%transport, %kind, bytes, "received"),
            Event::MessageSent { transport, kind, bytes } => trace!(%transport, %kind, bytes, "sent"),
            Event::MessageForwarded { kind, since: _, delay } => trace!(%kind, ?delay, "forwarded"),
            Event::ParseFailed { transport, source, reason, answered } => {
                debug!(%transport, %source, %reason, answered = %Code(*answered), "message not understood");
            }
            Event::MessageDropped { direction, reason } => debug!(%direction, %reason, "message dropped"),
            Event::RequestReceived { listener, method } => {
                trace!(listener = line.listener(listener.index()), %method, "request");
            }
            Event::RequestAbsorbed { listener } => {
                trace!(listener = line.listener(listener.index()), "request absorbed");
            }
            Event::ResponseRetransmitted { listener } => {
                trace!(listener = line.listener(listener.index()), "response sent again");
            }
            Event::DestinationSelected { target, algorithm, reason, took } => {
                let (set, destination) = line.names(*target);
                trace!(set, destination, %algorithm, %reason, ?took, "selected");
                if *reason == SelectionReason::TryAnyway
                    && let Some(suppressed) = self.anyways.pass(Instant::now())
                {
                    line.warned();
                    warn!(set, destination, suppressed, "no destination is usable, one is tried anyway");
                }
            }
            Event::SelectionFailed { set, reason } => debug!(set = line.set(*set), %reason, "no destination"),
            Event::RequestRefused { set, reason, code, method, call_id, source, span } => {
                debug!(trace_id = %TraceId(*span), span_id = %SpanId(*span), %source, "refused request came from here");
                let limit = self.refusals.get_mut(*reason as usize);
                if let Some(suppressed) = limit.and_then(|limit| limit.pass(Instant::now())) {
                    let set = set.map_or("", |set| line.set(set));
                    line.refused(*reason, set, *code, method.as_str(), call_id, *span, suppressed);
                }
            }
            Event::AttemptStarted { target, method } => {
                let (set, destination) = line.names(*target);
                trace!(set, destination, %method, "attempt");
            }
            Event::ResponseReceived { target, method, code, first: _, total: _ } => {
                let (set, destination) = line.names(*target);
                trace!(set, destination, %method, code, "response");
            }
            Event::RequestRetransmitted { target } => {
                let (set, destination) = line.names(*target);
                trace!(set, destination, "request sent again");
            }
            Event::ResponseRepeated { target } => {
                let (set, destination) = line.names(*target);
                trace!(set, destination, "response received again");
            }
            Event::AttemptTimedOut { target, timer } => {
                let (set, destination) = line.names(*target);
                debug!(set, destination, %timer, "attempt timed out");
            }
            Event::FailedOver { set, from, to, cause, call_id, span } => {
                if let Some(suppressed) = self.failovers.pass(Instant::now()) {
                    line.warned();
                    let (set, destination, to) = (line.set(*set), line.target(*from), line.target(*to));
                    let (trace_id, span_id, call_id) =
                        (TraceId(*span), SpanId(*span), Safe(call_id.as_str()));
                    warn!(%trace_id, %span_id, %call_id, set, destination, to, %cause, suppressed, "failed over");
                }
            }
            Event::FailoversExhausted { set, last, cause, call_id, span } => {
                if let Some(suppressed) = self.failovers.pass(Instant::now()) {
                    line.warned();
                    let (set, destination) = (line.set(*set), line.target(*last));
                    let (trace_id, span_id, call_id) =
                        (TraceId(*span), SpanId(*span), Safe(call_id.as_str()));
                    warn!(%trace_id, %span_id, %call_id, set, destination, %cause, suppressed, "no destination left to try");
                }
            }
            Event::TransactionFinished(record) => line.transaction(record, "transaction finished"),
            Event::RequestUnanswered(record) => line.transaction(record, "request answered by nobody"),
            Event::ProbeSent { lag } => trace!(?lag, "probe sent"),
            Event::ProbeFinished(record) => line.probe(record),
            Event::ProbeUnmatched => debug!("response to a probe that is not under way"),
            Event::DestinationChanged(change) => line.changed(change),
            Event::EvidenceDropped => debug!("evidence of a request lost: the queue is full"),
            Event::SetChanged { set, all_down } => line.set_changed(*set, *all_down),
            Event::ConfigApplied(applied) => {
                let (added, removed, kept) = (applied.added, applied.removed, applied.kept);
                let hash = format!("{:012x}", applied.hash);
                let needs_restart = applied.needs_restart.join(" ");
                match applied.trigger {
                    None => info!(hash, destinations = added, "configuration loaded"),
                    Some(trigger) => {
                        let (trace_id, span_id) = (shown(reload, TraceId), shown(reload, SpanId));
                        info!(trace_id, span_id, %trigger, hash, added, removed, kept, needs_restart, "configuration reloaded");
                    }
                }
            }
            Event::ReloadFailed { trigger, error } => {
                line.metrics.logged(line.index, Level::Error);
                let (trace_id, span_id) = (shown(reload, TraceId), shown(reload, SpanId));
                error!(trace_id, span_id, %trigger, error = %Safe(error), "configuration refused, the old one stays");
            }
            Event::ReloadUnchanged { trigger } => {
                let (trace_id, span_id) = (shown(reload, TraceId), shown(reload, SpanId));
                info!(trace_id, span_id, %trigger, "configuration unchanged");
            }
            Event::FellBackToUdp { target, remote, reason } => {
                let (set, destination) = target.map_or(("", ""), |target| line.names(target));
                info!(set, destination, %remote, %reason, "no TCP connection, large requests go over UDP");
            }
            Event::DialogEnded { target, lasted } => {
                let (set, destination) = line.names(*target);
                trace!(set, destination, ?lasted, "dialog ended");
            }
            Event::DialogExpired { set } => debug!(set = line.set(*set), "dialog without a BYE forgotten"),
            Event::NameResolved { name, result, addresses, took } => match (result, addresses) {
                (DnsResult::Ok, _) => debug!(name = %Safe(name), ?took, "name resolved"),
                (DnsResult::NxDomain | DnsResult::Timeout | DnsResult::Error, 0) => {
                    line.warned();
                    warn!(name = %Safe(name), %result, ?took, "name not resolved, it has no address");
                }
                (DnsResult::NxDomain | DnsResult::Timeout | DnsResult::Error, _) => {
                    line.warned();
                    warn!(name = %Safe(name), %result, addresses, ?took, "name not resolved in full, known addresses count");
                }
            },
            Event::AddressesChanged { target, addresses } => {
                let (set, destination) = line.names(*target);
                info!(set, destination, ?addresses, "addresses changed");
            }
            Event::EndpointsChanged { set, id, endpoints } => {
                let (set, destination) = (line.set(*set), &**id);
                info!(set, destination, ?endpoints, "endpoints changed");
            }
            Event::ConnectionOpened { transport, role, result } => {
                debug!(%transport, %role, %result, "connection opened");
            }
            Event::ConnectionClosed { transport, role } => debug!(%transport, %role, "connection closed"),
            Event::HandedOver { result } => trace!(%result, "datagram handed to its worker"),
            Event::LingerDropped { kind, count } => {
                trace!(%kind, count, "finished transactions let go of early");
            }
            Event::SocketFailed { transport, operation, reason } => {
                debug!(%transport, %operation, %reason, "socket error");
            }
            Event::StateRestored { restored, ignored } => info!(restored, ignored, "state restored"),
            Event::StateIgnored { problem, detail } => {
                line.warned();
                warn!(%problem, error = %Safe(detail), "state file ignored, everything starts as configured");
            }
            Event::StateNotSaved { error } => {
                line.warned();
                warn!(error = %Safe(error), "state file not written, a restart would find an older one");
            }
            Event::DrainStarted { unfinished } => info!(unfinished, "draining: no new dialogs"),
            Event::DrainEnded { cancelled } => info!(cancelled, "drained"),
        }
    }
}

/// The id of a span as a field, which is left out where there is none.
fn shown<Id: Display>(span: Option<SpanRef>, id: impl Fn(SpanRef) -> Id) -> Option<DisplayValue<Id>> {
    span.map(|span| display(id(span)))
}

impl Line<'_> {
    fn warned(&self) {
        self.metrics.logged(self.index, Level::Warn);
    }

    fn set(&self, set: SetId) -> &str {
        self.index.directory.names.set(set)
    }

    fn target(&self, target: Target) -> &str {
        self.index.directory.names.target(target)
    }

    fn names(&self, target: Target) -> (&str, &str) {
        let names = &self.index.directory.names;
        (names.set_of(target).map_or("", |set| names.set(set)), names.target(target))
    }

    fn listener(&self, position: usize) -> &str {
        self.index.listeners.get(position).map_or("", |listener| &listener.name)
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one line")]
    fn refused(
        &self,
        reason: Refusal,
        set: &str,
        code: u16,
        method: &str,
        call_id: &WireText,
        span: SpanRef,
        suppressed: Option<u64>,
    ) {
        let (trace_id, span_id, call_id) = (TraceId(span), SpanId(span), Safe(call_id.as_str()));
        match reason {
            Refusal::NoneUsable | Refusal::AllFull | Refusal::Overload | Refusal::RateLimited => {
                self.warned();
                warn!(%trace_id, %span_id, %call_id, set, %reason, code, method, suppressed, "request refused");
            }
            Refusal::NoRoute
            | Refusal::ShuttingDown
            | Refusal::Forbidden
            | Refusal::BadRequest
            | Refusal::Loop => {
                info!(%trace_id, %span_id, %call_id, set, %reason, code, method, suppressed, "request refused");
            }
        }
    }

    fn transaction(&self, record: &TransactionRecord, what: &str) {
        let (trace_id, span_id) = (TraceId(record.span), SpanId(record.span));
        let call_id = Safe(record.call_id.as_str());
        let set = record.set.map_or("", |set| self.set(set));
        let last = record.attempts.last().and_then(|attempt| attempt.target);
        let destination = last.map_or("", |target| self.target(target));
        let took = record.ended.saturating_duration_since(record.started);
        let (method, code, client) = (record.method, record.code, record.client);
        debug!(%trace_id, %span_id, %call_id, set, destination, %method, code, ?took, %client, "{what}");
    }

    fn probe(&self, record: &ProbeRecord) {
        let (set, destination) = self.names(record.target);
        let took = record.ended.saturating_duration_since(record.started);
        let (trace_id, span_id) = (TraceId(record.span), SpanId(record.span));
        let failures = record.consecutive_failures;
        debug!(%trace_id, %span_id, set, destination, outcome = %record.outcome, failures, ?took, "probe finished");
    }

    fn changed(&self, change: &StateChange) {
        let (trace_id, span_id) = (shown(change.span, TraceId), shown(change.span, SpanId));
        let (set, destination) = self.names(change.target);
        let (from, to, reason) = (change.from, change.to, change.reason);
        let outcome = change.outcome.map(display);
        match to {
            State::Down | State::Ejected | State::Throttled | State::Failing => {
                self.warned();
                warn!(trace_id, span_id, set, destination, %from, %to, %reason, outcome, "destination changed state");
            }
            State::Up | State::Unknown | State::Draining | State::Disabled => {
                info!(trace_id, span_id, set, destination, %from, %to, %reason, outcome, "destination changed state");
            }
        }
    }

    fn set_changed(&self, set: SetId, all_down: bool) {
        let set = self.set(set);
        if all_down {
            self.metrics.logged(self.index, Level::Error);
            error!(set, "all destinations of the set are down");
        } else {
            info!(set, "the set is not all down any more");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::event::ReloadTrigger;
    use crate::facts::{Algorithm, Method};
    use crate::telemetry::samples;
    use serde_json::Value;
    use std::io::Write;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn told(level: &str, events: &[Event]) -> (Vec<Value>, Metrics) {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = fmt()
            .with_env_filter(filter(level))
            .with_writer(move || writer.clone())
            .with_target(false)
            .json()
            .flatten_event(true)
            .finish();
        let metrics = Metrics::default();
        metrics.apply(samples::directory(&["a", "b"]));
        let index = metrics.index();
        tracing::subscriber::with_default(subscriber, || {
            let mut writer = Writer::default();
            events.iter().for_each(|event| writer.on(&index, &metrics, event, None));
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), metrics)
    }

    fn refused(call_id: &[u8]) -> Event {
        Event::RequestRefused {
            set: Some(SetId::new(0)),
            reason: Refusal::NoneUsable,
            code: 503,
            method: Method::Invite,
            call_id: WireText::new(call_id),
            source: "198.51.100.7:5060".parse().unwrap(),
            span: SpanRef::new(0xabc, 0xdef),
        }
    }

    #[test]
    fn a_state_change_is_one_line_with_the_trace_of_its_probe() {
        let record = samples::failed_probe(Instant::now());
        let change = record.change.unwrap();
        let events = [Event::ProbeFinished(Box::new(record)), Event::DestinationChanged(change)];
        let (lines, metrics) = told("info", &events);
        assert_eq!(lines.len(), 1);
        let line = &lines[0];
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["trace_id"], format!("{:032x}", 77));
        assert_eq!((&line["set"], &line["destination"]), (&"pbx".into(), &"a".into()));
        assert_eq!((&line["from"], &line["to"]), (&"failing".into(), &"down".into()));
        assert_eq!((&line["reason"], &line["outcome"]), (&"probe".into(), &"timeout".into()));
        let index = metrics.index();
        let counted =
            index.process.read(crate::telemetry::table::Family::LogEvents, Level::Warn as usize).next();
        assert_eq!(counted, Some(1));
        let back = StateChange { to: State::Up, from: State::Down, outcome: None, span: None, ..change };
        let (lines, _) = told("info", &[Event::DestinationChanged(back)]);
        assert_eq!((&lines[0]["level"], lines[0].get("trace_id")), (&"INFO".into(), None));
        let reason = crate::facts::event::ChangeReason::Passive;
        let call = SpanRef::new(0xabc, 0xdef);
        let ejected = StateChange { to: State::Ejected, from: State::Up, reason, span: Some(call), ..change };
        let (lines, _) = told("info", &[Event::DestinationChanged(ejected)]);
        let ids = (format!("{:032x}", 0xabc), format!("{:016x}", 0xdef));
        assert_eq!((&lines[0]["trace_id"], &lines[0]["span_id"]), (&ids.0.into(), &ids.1.into()));
    }

    #[test]
    fn refusals_are_told_once_a_second_escaped_and_without_the_caller() {
        let events: Vec<Event> = (0..50).map(|_| refused(b"x\r\nfake: \"line\"\x1b[2J")).collect();
        let (lines, _) = told("info", &events);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["call_id"], "x\\r\\nfake: \\\"line\\\"\\u{1b}[2J");
        assert_eq!((&lines[0]["reason"], &lines[0]["code"]), (&"none_usable".into(), &503.into()));
        assert_eq!(lines[0]["trace_id"], "00000000000000000000000000000abc");
        assert_eq!(lines[0]["span_id"], "0000000000000def");
        assert!(!lines[0].to_string().contains("198.51.100.7"));
        let (lines, _) = told("debug", &events[..1]);
        assert!(lines.iter().any(|line| line["level"] == "DEBUG" && line["source"] == "198.51.100.7:5060"));
    }

    /// The line of an event in the format for people.
    fn told_to_people(event: &Event) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            fmt().with_writer(move || writer.clone()).with_target(false).with_ansi(false).finish();
        let metrics = Metrics::default();
        metrics.apply(samples::directory(&["a", "b"]));
        tracing::subscriber::with_default(subscriber, || {
            Writer::default().on(&metrics.index(), &metrics, event, None);
        });
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn the_format_for_people_has_the_same_fields_in_one_line_of_plain_text() {
        let line = told_to_people(&refused(b"x\r\n2026-01-01T00:00:00Z ERROR fake\x1b[2J\xff"));
        let (text, end) = line.split_at(line.len() - 1);
        assert!(end == "\n" && !text.chars().any(char::is_control), "{line:?}");
        for field in [
            " WARN request refused ",
            "trace_id=00000000000000000000000000000abc span_id=0000000000000def call_id=x\\r\\n2026",
            "set=\"pbx\" reason=none_usable code=503 method=\"INVITE\"",
        ] {
            assert!(line.contains(field), "{field} is not in {line}");
        }
    }

    #[test]
    fn text_from_the_wire_is_cut() {
        let long = "x".repeat(5_000);
        let (lines, _) = told("info", &[refused(long.as_bytes())]);
        assert_eq!(lines[0]["call_id"].as_str().map(str::len), Some(128));
        let failed = Event::ReloadFailed { trigger: ReloadTrigger::Api, error: long.as_str().into() };
        let (lines, _) = told("info", &[failed]);
        assert_eq!(lines[0]["error"].as_str().map(|error| error.chars().count()), Some(513));
    }

    /// What Grafana's Loki takes out of a line, as `docs/logs.md` has it.
    #[test]
    fn the_derived_fields_of_the_manual_find_trace_and_call_in_both_formats() {
        let manual = include_str!("../../docs/logs.md");
        let found = |line: &str| {
            let rules = manual.lines().filter_map(|text| {
                let rule = text.trim().strip_prefix("matcherRegex: '")?.strip_suffix('\'')?;
                regex::Regex::new(rule).unwrap().captures(line)?.get(1).map(|found| found.as_str().to_owned())
            });
            rules.collect::<Vec<_>>()
        };
        let event = refused(b"3c26@phone");
        let expected = ["00000000000000000000000000000abc", "3c26@phone"];
        let (lines, _) = told("info", std::slice::from_ref(&event));
        assert_eq!(found(&lines[0].to_string()), expected);
        assert_eq!(found(&told_to_people(&event)), expected);
    }

    #[test]
    fn the_manual_lists_what_is_told() {
        let manual = include_str!("../../docs/logs.md");
        let (result, took) = (DnsResult::NxDomain, Duration::from_secs(1));
        let looked_up = |addresses| Event::NameResolved { name: "a".into(), result, addresses, took };
        for event in [
            refused(b"x"),
            Event::SetChanged { set: SetId::new(0), all_down: true },
            Event::SetChanged { set: SetId::new(0), all_down: false },
            Event::DestinationChanged(samples::failed_probe(Instant::now()).change.unwrap()),
            Event::ReloadFailed { trigger: ReloadTrigger::Api, error: "x".into() },
            Event::ReloadUnchanged { trigger: ReloadTrigger::Api },
            Event::DrainStarted { unfinished: 1 },
            Event::DrainEnded { cancelled: 1 },
            looked_up(0),
            looked_up(1),
        ] {
            let (lines, _) = told("info", std::slice::from_ref(&event));
            let message = lines[0]["message"].as_str().unwrap();
            assert!(manual.contains(&format!("`{message}`")), "{message} is not in docs/logs.md");
            let row = manual.lines().find(|line| line.contains(&format!("`{message}`"))).unwrap();
            for (field, value) in lines[0].as_object().unwrap() {
                let is_listed = row.contains(&format!("`{field}`"));
                let is_common = matches!(field.as_str(), "timestamp" | "level" | "message");
                assert!(is_listed || is_common, "{field}={value} of {message}");
            }
        }
    }

    #[test]
    fn a_name_in_vain_is_told_with_the_addresses_that_count_all_the_same() {
        let event = |addresses| Event::NameResolved {
            name: "pbx.example".into(),
            result: DnsResult::Timeout,
            addresses,
            took: Duration::from_secs(1),
        };
        let (lines, _) = told("info", &[event(0), event(2)]);
        let messages: Vec<_> = lines.iter().map(|line| &line["message"]).collect();
        let expected =
            ["name not resolved, it has no address", "name not resolved in full, known addresses count"];
        assert_eq!(messages, expected);
        assert_eq!((&lines[0]["addresses"], &lines[1]["addresses"]), (&Value::Null, &2.into()));
    }

    #[test]
    fn what_is_tried_anyway_is_told_once_a_second() {
        let tried = |reason| Event::DestinationSelected {
            target: Target::new(0),
            algorithm: Algorithm::Hash,
            reason,
            took: Duration::ZERO,
        };
        let (lines, _) = told("info", &[tried(SelectionReason::Primary)]);
        assert_eq!(lines.len(), 0);
        let (lines, _) = told("info", &[(); 9].map(|()| tried(SelectionReason::TryAnyway)));
        assert_eq!(
            (lines.len(), &lines[0]["level"], &lines[0]["destination"]),
            (1, &"WARN".into(), &"a".into())
        );
    }

    #[test]
    fn a_level_is_ours_and_a_directive_is_taken_as_it_stands() {
        assert_eq!(filter("debug").to_string(), "opentelemetry=off,sipwarden=debug,warn");
        assert_eq!(filter("sipwarden=trace").to_string(), "sipwarden=trace");
        assert_eq!(filter("loud").to_string(), "opentelemetry=off,sipwarden=info,warn");
        assert!(is_level("trace") && is_level("warn,sipwarden::net=debug") && !is_level("loud"));
    }
}
