//! What the documentation, the alerts and the dashboards say exists, and moves as documented.
#![expect(clippy::unwrap_used, reason = "samples and files of a test fail by panicking")]

use sipwarden::facts::directory::{Directory, DirectoryListener, DirectorySet};
use sipwarden::facts::event::{
    AttemptOutcome, Cause, ChangeReason, ConfigApplied, ConnectResult, ConnectionRole, Direction, DnsResult,
    DropReason, Event, FatalTimer, HandoverResult, LingerKind, MessageKind, Origin, ParseReason,
    ProbeOutcome, ProbeRecord, Refusal, ReloadTrigger, SelectionFailure, SelectionReason, SocketOperation,
    StateChange, StateProblem, TransportReason,
};
use sipwarden::facts::names::Names;
use sipwarden::facts::record::{AttemptRecord, SelectionRecord, TransactionRecord, WireText};
use sipwarden::facts::snapshot::{
    DestinationSnapshot, LoadSnapshot, ProbeSnapshot, ReceiveBuffer, SetSnapshot, Snapshot, Surroundings,
};
use sipwarden::facts::trace::SpanRef;
use sipwarden::facts::{Admin, Algorithm, ListenerId, Method, SetId, State, Target, Transport, WorkerId};
use sipwarden::telemetry::{Format, LogFormat, MetricsSettings, OtlpProtocol, Settings, Telemetry, docs};
use smallvec::smallvec;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs};

const A: Target = Target::new(0);
const B: Target = Target::new(1);
const PBX: SetId = SetId::new(0);
const MAIN: ListenerId = ListenerId::new(0);
const MS: Duration = Duration::from_millis(1);

/// An event and the series it moves, as name with labels (`S` for those of the set, `D` for those
/// of destination a), each by one unless a number follows.
type Row = (Event, &'static [&'static str]);

#[expect(clippy::too_many_lines, reason = "one row for each variant")]
fn samples(now: Instant) -> Vec<Row> {
    let (transport, kind, text) = (Transport::Udp, MessageKind::Request, WireText::default);
    let role = ConnectionRole::Inbound;
    vec![
        (
            Event::MessageReceived { transport, kind, bytes: 7 },
            &[
                r#"messages_total{transport="udp",direction="received",kind="request"}"#,
                r#"message_bytes_total{transport="udp",direction="received"} 7"#,
            ],
        ),
        (
            Event::MessageSent { transport, kind, bytes: 9 },
            &[
                r#"messages_total{transport="udp",direction="sent",kind="request"}"#,
                r#"message_bytes_total{transport="udp",direction="sent"} 9"#,
            ],
        ),
        (
            Event::ParseFailed {
                transport,
                source: "192.0.2.1:5060".parse().unwrap(),
                reason: ParseReason::Via,
                answered: None,
            },
            &[r#"parse_errors_total{transport="udp",reason="via"}"#],
        ),
        (
            Event::MessageDropped { direction: Direction::Received, reason: DropReason::Loop },
            &[r#"dropped_messages_total{direction="received",reason="loop"}"#],
        ),
        (
            Event::MessageForwarded { kind, since: now, delay: MS },
            &[
                r#"forward_delay_seconds_count{kind="request"}"#,
                r#"forward_delay_seconds_bucket{kind="request",le="0.001"}"#,
            ],
        ),
        (
            Event::RequestReceived { listener: MAIN, method: Method::Bye },
            &[r#"requests_total{listener="main",method="BYE"}"#],
        ),
        (
            Event::RequestAbsorbed { listener: MAIN },
            &[r#"client_retransmissions_total{listener="main",kind="request"}"#],
        ),
        (
            Event::ResponseRetransmitted { listener: MAIN },
            &[r#"client_retransmissions_total{listener="main",kind="response"}"#],
        ),
        (
            Event::DestinationSelected {
                target: A,
                algorithm: Algorithm::RoundRobin,
                reason: SelectionReason::Primary,
                took: MS,
            },
            &[
                r#"selections_total{D,algorithm="round_robin",reason="primary"}"#,
                r#"selection_duration_seconds_count{S,algorithm="round_robin"}"#,
            ],
        ),
        (
            Event::SelectionFailed { set: PBX, reason: SelectionFailure::NoneUsable },
            &[r#"selection_failures_total{S,reason="none_usable"}"#],
        ),
        (
            Event::RequestRefused {
                set: None,
                reason: Refusal::NoRoute,
                code: 404,
                method: Method::Invite,
                call_id: text(),
                source: "192.0.2.1:5060".parse().unwrap(),
                span: SpanRef::root(1),
            },
            &[r#"rejections_total{set="",reason="no_route"}"#],
        ),
        (
            Event::AttemptStarted { target: A, method: Method::Invite },
            &[r#"destination_requests_total{D,method="INVITE"}"#],
        ),
        (
            Event::ResponseReceived {
                target: A,
                method: Method::Bye,
                code: 200,
                first: Some(MS),
                total: Some(2 * MS),
            },
            &[
                r#"destination_responses_total{D,method="BYE",class="2xx"}"#,
                r#"destination_response_codes_total{D,code="200"}"#,
                r#"destination_first_response_seconds_count{D,method="OTHER"}"#,
                r#"destination_transaction_seconds_count{D,method="OTHER"}"#,
            ],
        ),
        (
            Event::RequestRetransmitted { target: A },
            &[r#"destination_retransmissions_total{D,kind="request"}"#],
        ),
        (Event::ResponseRepeated { target: A }, &[r#"destination_retransmissions_total{D,kind="response"}"#]),
        (
            Event::AttemptTimedOut { target: A, timer: FatalTimer::B },
            &[r#"destination_timeouts_total{D,timer="B"}"#],
        ),
        (
            Event::FailedOver {
                set: PBX,
                from: A,
                to: B,
                cause: Cause::Code503,
                call_id: text(),
                span: SpanRef::root(1),
            },
            &[
                r#"failovers_total{D,cause="503"}"#,
                r#"failover_edges_total{S,from="a",to="b"}"#,
                r#"log_events_total{level="warn"}"#,
            ],
        ),
        (
            Event::FailoversExhausted {
                set: PBX,
                last: B,
                cause: Cause::Timeout,
                call_id: text(),
                span: SpanRef::root(1),
            },
            &[r#"failovers_exhausted_total{S}"#, r#"log_events_total{level="warn"}"#],
        ),
        (
            Event::TransactionFinished(Box::new(call(now))),
            &[
                r#"transactions_total{S,method="INVITE",code="200",origin="upstream"}"#,
                r#"attempts_count{S,method="INVITE"}"#,
                r#"attempts_sum{S,method="INVITE"}"#,
                r#"session_request_delay_seconds_count{D,result="success"}"#,
                r#"traces_total{decision="kept_ratio"}"#,
            ],
        ),
        (Event::ProbeSent { lag: MS }, &["probe_schedule_lag_seconds_count"]),
        (
            Event::ProbeFinished(Box::new(probe(now))),
            &[
                r#"probes_total{D,result="success"}"#,
                r#"probe_rtt_seconds_count{D}"#,
                r#"traces_total{decision="kept_state_change"}"#,
            ],
        ),
        (Event::ProbeUnmatched, &["probe_unmatched_total"]),
        (
            Event::DestinationChanged(change(now)),
            &[
                r#"destination_transitions_total{D,to="down",reason="probe"}"#,
                r#"log_events_total{level="warn"}"#,
            ],
        ),
        (Event::SetChanged { set: PBX, all_down: true }, &[r#"log_events_total{level="error"}"#]),
        (
            Event::ConfigApplied(Arc::new(ConfigApplied {
                trigger: Some(ReloadTrigger::File),
                hash: 5,
                kept: 2,
                ..ConfigApplied::default()
            })),
            &[r#"config_reloads_total{trigger="file",result="ok"}"#, "config_hash 5"],
        ),
        (
            Event::ReloadFailed { trigger: ReloadTrigger::Api, error: "no".into() },
            &[
                r#"config_reloads_total{trigger="api",result="invalid"}"#,
                "config_last_reload_successful -1",
                r#"log_events_total{level="error"}"#,
            ],
        ),
        (
            Event::ReloadUnchanged { trigger: ReloadTrigger::Signal },
            &[
                r#"config_reloads_total{trigger="signal",result="unchanged"}"#,
                "config_last_reload_successful",
            ],
        ),
        (
            Event::NameResolved { name: "a".into(), result: DnsResult::Ok, addresses: 1, took: MS },
            &[r#"dns_resolutions_total{result="ok"}"#, "dns_resolution_seconds_count"],
        ),
        (Event::AddressesChanged { target: A, addresses: vec![] }, &["destination_address_changes_total{D}"]),
        (
            Event::ConnectionOpened { transport: Transport::Tcp, role, result: ConnectResult::Ok },
            &[
                r#"transport_connects_total{transport="tcp",role="inbound",result="ok"}"#,
                r#"transport_connections{transport="tcp",role="inbound"}"#,
            ],
        ),
        (
            Event::ConnectionClosed { transport: Transport::Tcp, role },
            &[r#"transport_connections{transport="tcp",role="inbound"} -1"#],
        ),
        (
            Event::SocketFailed {
                transport,
                operation: SocketOperation::Send,
                reason: TransportReason::Icmp,
            },
            &[r#"transport_errors_total{transport="udp",operation="send",reason="icmp_unreachable"}"#],
        ),
        (Event::DrainStarted { unfinished: 1 }, &[]),
        (Event::DrainEnded { cancelled: 1 }, &[]),
        (Event::DialogExpired { set: PBX }, &["dialogs_expired_total{S}"]),
        (
            Event::RequestUnanswered(Box::new(TransactionRecord {
                method: Method::Bye,
                in_dialog: true,
                code: 0,
                origin: Origin::Local,
                ..call(now)
            })),
            &[
                r#"session_disconnect_delay_seconds_count{D,result="failure"}"#,
                r#"traces_total{decision="kept_error"}"#,
            ],
        ),
        (Event::HandedOver { result: HandoverResult::Full }, &[r#"worker_handover_total{result="full"}"#]),
        (
            Event::LingerDropped { kind: LingerKind::Response, count: 2 },
            &[r#"linger_dropped_total{kind="response"} 2"#],
        ),
        (
            Event::FellBackToUdp {
                target: Some(A),
                remote: "192.0.2.1:5060".parse().unwrap(),
                reason: TransportReason::Refused,
            },
            &[],
        ),
        (Event::EvidenceDropped, &["evidence_dropped_total"]),
        (
            Event::EndpointsChanged { set: PBX, id: "a".into(), endpoints: vec!["a@10.0.0.1:5060".into()] },
            &[],
        ),
        (Event::StateRestored { restored: 1, ignored: 0 }, &[]),
        (
            Event::StateIgnored { problem: StateProblem::Broken, detail: "no JSON".into() },
            &[r#"log_events_total{level="warn"}"#],
        ),
        (Event::StateNotSaved { error: "disk full".into() }, &[r#"log_events_total{level="warn"}"#]),
        (
            Event::DialogEnded { target: A, lasted: 45 * Duration::from_secs(1) },
            &["session_duration_seconds_count{D}"],
        ),
    ]
}

/// A number for each variant; a new one does not compile until it has one and `samples` a row.
fn variant(event: &Event) -> usize {
    match event {
        Event::MessageReceived { .. } => 0,
        Event::MessageSent { .. } => 1,
        Event::ParseFailed { .. } => 2,
        Event::MessageDropped { .. } => 3,
        Event::MessageForwarded { .. } => 4,
        Event::RequestReceived { .. } => 5,
        Event::RequestAbsorbed { .. } => 6,
        Event::ResponseRetransmitted { .. } => 7,
        Event::DestinationSelected { .. } => 8,
        Event::SelectionFailed { .. } => 9,
        Event::RequestRefused { .. } => 10,
        Event::AttemptStarted { .. } => 11,
        Event::ResponseReceived { .. } => 12,
        Event::RequestRetransmitted { .. } => 13,
        Event::ResponseRepeated { .. } => 14,
        Event::AttemptTimedOut { .. } => 15,
        Event::FailedOver { .. } => 16,
        Event::FailoversExhausted { .. } => 17,
        Event::TransactionFinished(_) => 18,
        Event::ProbeSent { .. } => 19,
        Event::ProbeFinished(_) => 20,
        Event::ProbeUnmatched => 21,
        Event::DestinationChanged(_) => 22,
        Event::SetChanged { .. } => 23,
        Event::ConfigApplied(_) => 24,
        Event::ReloadFailed { .. } => 25,
        Event::ReloadUnchanged { .. } => 26,
        Event::NameResolved { .. } => 27,
        Event::AddressesChanged { .. } => 28,
        Event::ConnectionOpened { .. } => 29,
        Event::ConnectionClosed { .. } => 30,
        Event::SocketFailed { .. } => 31,
        Event::DrainStarted { .. } => 32,
        Event::DrainEnded { .. } => 33,
        Event::DialogExpired { .. } => 34,
        Event::RequestUnanswered(_) => 35,
        Event::HandedOver { .. } => 36,
        Event::LingerDropped { .. } => 37,
        Event::FellBackToUdp { .. } => 38,
        Event::EvidenceDropped => 39,
        Event::StateRestored { .. } => 41,
        Event::StateIgnored { .. } => 42,
        Event::StateNotSaved { .. } => 43,
        Event::EndpointsChanged { .. } => 40,
        Event::DialogEnded { .. } => 44,
    }
}

fn call(now: Instant) -> TransactionRecord {
    TransactionRecord {
        span: SpanRef::root(1),
        parent: None,
        uris: None,
        method: Method::Invite,
        call_id: WireText::default(),
        session: None,
        cseq: 1,
        listener: MAIN,
        transport: Transport::Udp,
        client: "127.0.0.1:5090".parse().unwrap(),
        set: Some(PBX),
        in_dialog: false,
        dialog: None,
        started: now,
        ended: now + MS,
        code: 200,
        origin: Origin::Upstream,
        refusal: None,
        cancelled_at: None,
        retransmissions_absorbed: 0,
        provisionals: smallvec![],
        selections: smallvec![SelectionRecord {
            at: now,
            took: MS,
            set: PBX,
            algorithm: Algorithm::RoundRobin,
            reason: SelectionReason::Primary,
            hash_key: None,
            destination: Some(A),
            candidates: 2,
            available: 2,
            skipped: smallvec![],
        }],
        attempts: smallvec![AttemptRecord {
            number: 1,
            target: Some(A),
            remote: "127.0.0.1:5070".parse().unwrap(),
            listener: ListenerId::new(0),
            transport: Transport::Udp,
            started: now,
            ended: Some(now + MS),
            code: 200,
            outcome: AttemptOutcome::Answered,
            first_response: None,
            provisionals: smallvec![],
            retransmissions: 0,
            retransmitted: smallvec::smallvec![],
            fell_back: None,
        }],
        failovers: smallvec![],
    }
}

fn change(now: Instant) -> StateChange {
    StateChange {
        target: A,
        at: now,
        from: State::Failing,
        to: State::Down,
        reason: ChangeReason::Probe,
        outcome: Some(ProbeOutcome::Timeout),
        span: Some(SpanRef::root(2)),
        admin: Admin::Enabled,
    }
}

fn probe(now: Instant) -> ProbeRecord {
    ProbeRecord {
        target: A,
        span: SpanRef::root(2),
        scheduled: now,
        started: now,
        ended: now + MS,
        remote: None,
        listener: None,
        transport: Transport::Udp,
        outcome: ProbeOutcome::Accepted(200),
        retransmissions: 0,
        consecutive_failures: 0,
        consecutive_successes: 1,
        change: Some(change(now)),
    }
}

/// Telemetry of the set pbx with destinations a and b; spans go to a port where nobody listens.
fn telemetry() -> Telemetry {
    let settings = Settings {
        otlp: Some("http://127.0.0.1:9".into()),
        protocol: OtlpProtocol::Http,
        ratio: 1.0,
        probe_ratio: 1.0,
        slow: Duration::from_secs(2),
        log_format: LogFormat::Json,
        log_level: "info".into(),
        metrics: MetricsSettings::default(),
    };
    let mut names = Names::default();
    let id = names.intern_set("pbx");
    let targets = ["a", "b"].map(|name| names.intern_target(id, name)).into();
    let sets = vec![DirectorySet { id, algorithm: Algorithm::RoundRobin, targets, has_fallback: false }];
    let directory = Directory {
        names,
        sets,
        listeners: vec![DirectoryListener::at("main", ([127, 0, 0, 1], 5060).into())],
    };
    Telemetry::start(&settings, Arc::new(directory), tokio::runtime::Handle::current()).unwrap()
}

fn snapshot(now: Instant) -> Snapshot {
    let probe = ProbeSnapshot {
        enabled: true,
        last_finished: Some(now),
        last_success: Some(now),
        ..ProbeSnapshot::default()
    };
    let destination = |target, id: &str| DestinationSnapshot {
        target,
        id: id.into(),
        uri: "sip:192.0.2.1:5060".into(),
        transport: Transport::Udp,
        address: None,
        addresses: vec![],
        name: None,
        resolved: None,
        dns_stale: false,
        weight: 1,
        priority: 0,
        state: State::Up,
        usable: true,
        admin: Admin::Enabled,
        passive_failures: 0,
        ejected_until: Some(now + Duration::from_secs(30)),
        retry_after_until: Some(now + Duration::from_secs(10)),
        added: now,
        since: now,
        last_change: None,
        probe: probe.clone(),
        load: LoadSnapshot::default(),
        changes: vec![],
        probes: vec![],
        exchange: None,
    };
    let set = SetSnapshot {
        id: PBX,
        name: "pbx".into(),
        algorithm: Algorithm::RoundRobin,
        objective: 0.999,
        all_down: false,
        detection: Duration::from_secs(19),
        destinations: vec![destination(A, "a"), destination(B, "b")],
    };
    Snapshot {
        worker: WorkerId(0),
        at: now,
        in_flight: vec![],
        waiting: vec![],
        early: vec![],
        dialogs: vec![],
        linger: 0,
        probes_in_flight: vec![],
        sets: vec![set],
    }
}

fn surroundings() -> Surroundings {
    Surroundings {
        receive: vec![(MAIN, ReceiveBuffer { waiting: 7, dropped: 3 })],
        threads: vec![("worker-0".into(), MS)],
        ..Surroundings::default()
    }
}

/// The samples of a scrape, by series without the prefix.
fn scrape(telemetry: &Telemetry, now: Instant) -> BTreeMap<String, f64> {
    let text = telemetry.render(vec![snapshot(now)], surroundings(), Format::Text).collect::<String>();
    let samples = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let series = series.strip_prefix("sipwarden_").unwrap_or(series);
        (series.to_owned(), value.parse().unwrap())
    });
    samples.collect()
}

#[tokio::test]
async fn each_event_moves_the_metrics_that_its_row_names_and_no_others() {
    let now = Instant::now();
    let rows = samples(now);
    let variants: Vec<usize> = rows.iter().map(|(event, _)| variant(event)).collect();
    assert_eq!(variants, (0..rows.len()).collect::<Vec<_>>(), "one row for each variant, in order");
    let telemetry = telemetry();
    let mut recorder = telemetry.recorder();
    for (event, expected) in &rows {
        let before = scrape(&telemetry, now);
        recorder.record(event);
        let after = scrape(&telemetry, now);
        let mut moved: BTreeMap<&str, f64> = BTreeMap::new();
        for (series, value) in &after {
            let change = value - before.get(series).copied().unwrap_or(0.0);
            let family = series.split('{').next().unwrap();
            // What moves by itself, and what goes with the count that the row names.
            let silent = [
                "process_",
                "scrape_duration",
                "metric_series",
                "otlp_",
                "queue_depth",
                "config_last_reload_success_t",
            ]
            .iter()
            .any(|prefix| family.starts_with(prefix));
            let implied = family.ends_with("_bucket") || family.ends_with("_seconds_sum");
            if change != 0.0 && !change.is_nan() && !silent && !implied {
                moved.insert(series, change);
            }
        }
        for row in *expected {
            let row = row.replace("{S", r#"{set="pbx""#).replace("{D", r#"{set="pbx",destination="a""#);
            let (series, by) = match row.rsplit_once(' ') {
                Some((series, by)) => (series.to_owned(), by.parse().unwrap()),
                None => (row, 1.0),
            };
            let change = after.get(&series).unwrap_or(&0.0) - before.get(&series).unwrap_or(&0.0);
            assert_eq!(change, by, "{event:?} moves {series}");
            moved.remove(series.as_str());
        }
        assert!(moved.is_empty(), "{event:?} also moves {moved:?}");
    }
}

#[tokio::test]
async fn every_family_of_the_table_is_exposed_with_its_type_and_nothing_else_is() {
    let now = Instant::now();
    let telemetry = telemetry();
    telemetry.render(vec![snapshot(now)], surroundings(), Format::Text).for_each(drop);
    let text = telemetry.render(vec![snapshot(now)], surroundings(), Format::Text).collect::<String>();
    let exposed: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let table = docs::families();
    assert_eq!(exposed, table.iter().map(String::as_str).collect());
    assert_eq!(text.matches("# TYPE ").count(), table.len(), "each family is exposed once");
    let samples = text.lines().filter(|line| !line.starts_with('#')).count();
    let told = text.lines().find_map(|line| line.strip_prefix("sipwarden_metric_series "));
    assert_eq!(told, Some(samples.to_string().as_str()));
}

#[test]
fn the_generated_pages_are_up_to_date() {
    for (name, page) in [("docs/metrics.md", docs::metrics()), ("docs/spans.md", docs::spans())] {
        let path = root().join(name);
        if env::var_os("BLESS").is_some() {
            fs::write(&path, &page).unwrap();
        }
        let file = fs::read_to_string(&path).unwrap_or_default();
        assert!(file == page, "{name} differs from the tables; BLESS=1 cargo test --test vocabulary");
    }
}

#[test]
fn alerts_and_dashboards_name_only_metrics_that_exist() {
    let families: BTreeSet<String> = docs::families().into_iter().collect();
    let mut unknown = Vec::new();
    for path in
        files(&root().join("alerts"), "yml").into_iter().chain(files(&root().join("dashboards"), "json"))
    {
        let text = fs::read_to_string(&path).unwrap();
        for name in metric_names(&text) {
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            if !families.contains(name) && !base.is_some_and(|base| families.contains(base)) {
                unknown.push(format!("{}: {name}", path.display()));
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}

/// The tokens `sipwarden_…` of a text, without those that are part of a recording rule's name and
/// without the names of groups.
fn metric_names(text: &str) -> BTreeSet<&str> {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    let names_groups = |line: &str| ["name:", "group_eval_order:"].iter().any(|key| line.starts_with(key));
    let lines = text.lines().filter(|line| !names_groups(line.trim_start_matches([' ', '-'])));
    let tokens = lines.flat_map(|line| line.split(|c| !part(c))).filter(|token| !token.contains(':'));
    tokens.filter(|token| token.strip_prefix("sipwarden_").is_some_and(|rest| !rest.is_empty())).collect()
}

#[test]
fn metric_names_are_found_in_expressions_and_recording_rules_are_not() {
    let text = r#"  - name: sipwarden_group
        expr: set:sipwarden_ser:ratio > sum(rate(sipwarden_x_total{a="b"}[5m])) "sipwarden_y""#;
    assert_eq!(metric_names(text).into_iter().collect::<Vec<_>>(), ["sipwarden_x_total", "sipwarden_y"]);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below a folder with this ending, if the folder exists.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found
}
