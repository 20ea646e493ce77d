//! The two formats of one scrape.

use crate::families::{self, Values};
use crate::openmetrics::parse;
use crate::sim::{CALLER, Call, D1, D2, TWO, reply};
use crate::watched::Watched;
use sipwarden::telemetry::{Format, docs};
use std::collections::{BTreeMap, BTreeSet};

/// A world in which a call has failed over and one has found nobody, with every trace kept.
fn eventful(metrics: &str) -> Watched {
    let mut watched = Watched::new(&format!(
        "{TWO}\ntracing: {{otlp: \"http://127.0.0.1:9\", probe_ratio: 1.0}}\nmetrics: {metrics}\n"
    ));
    let world = &mut watched.world;
    world.advance(1_500);
    let mut call = Call::new("over");
    world.receive(CALLER, &call.request("INVITE"));
    let first = world.sent_to(D1, "INVITE");
    world.advance(30);
    world.receive(D1, &reply(&first.text, 503, "callee", ""));
    world.sent_to(D1, "ACK");
    let second = world.sent_to(D2, "INVITE");
    world.advance(200);
    world.receive(D2, &reply(&second.text, 180, "callee", ""));
    world.receive(D2, &reply(&second.text, 200, "callee", "sip:1000@10.0.1.2:5060"));
    call.learn(&world.drain(CALLER).last().unwrap().text);
    world.receive(CALLER, &call.ack());
    for at in [D1, D2] {
        world.set_health(at, crate::sim::Health::Silent);
    }
    world.advance(40_000);
    assert!(world.is_all_down());
    world.receive(CALLER, &Call::new("nowhere").request("INVITE"));
    world.drain_all();
    watched.record();
    watched
}

#[test]
fn openmetrics_is_strictly_what_it_says_and_tells_the_same_as_text() {
    let watched = eventful("{}");
    let open = watched.scrape(Format::OpenMetrics);
    let families = parse(&open);
    let names: BTreeSet<String> = docs::families().into_iter().collect();
    let total = |(name, family): (&String, &crate::openmetrics::Family)| match &*family.kind {
        "counter" => format!("{name}_total"),
        _ => name.clone(),
    };
    let exposed: BTreeSet<String> = families.iter().map(total).collect();
    assert_eq!(exposed, names, "every family of the table, and nothing else");
    let series = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let lines = lines.map(|line| line.split(" # ").next().unwrap_or(line));
        lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(series(&open), series(&watched.scrape(Format::Text)), "series are named alike in both");
}

#[test]
fn exemplars_are_traces_that_were_kept_in_the_buckets_and_counters_they_belong_to() {
    let watched = eventful("{}");
    let families = parse(&watched.scrape(Format::OpenMetrics));
    let mut with = BTreeSet::new();
    for (name, family) in &families {
        for sample in &family.samples {
            let Some(exemplar) = &sample.exemplar else { continue };
            with.insert(name.as_str());
            assert!(sample.value >= 1.0, "{sample:?} was never counted");
            let is_hex =
                |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
            assert_eq!(exemplar.labels.len(), 2, "{sample:?}");
            assert!(
                is_hex(&exemplar.labels["trace_id"], 32) && is_hex(&exemplar.labels["span_id"], 16),
                "{sample:?}"
            );
        }
    }
    let expected = [
        "sipwarden_destination_first_response_seconds",
        "sipwarden_failovers",
        "sipwarden_probe_rtt_seconds",
        "sipwarden_selection_failures",
        "sipwarden_session_request_delay_seconds",
    ];
    // Delays inside the process are measured by the worker, which this world has not.
    assert_eq!(with, BTreeSet::from(expected));
    let failover = families["sipwarden_failovers"].samples.iter().find(|sample| sample.value >= 1.0).unwrap();
    assert_eq!(failover.labels["cause"], "503");
    let setup = &families["sipwarden_session_request_delay_seconds"].samples;
    let traces: BTreeSet<&String> =
        setup.iter().filter_map(|sample| sample.exemplar.as_ref()).map(|e| &e.labels["trace_id"]).collect();
    assert!(traces.contains(&failover.exemplar.as_ref().unwrap().labels["trace_id"]), "the same call");
}

#[test]
fn there_are_none_without_kept_traces_and_none_if_nobody_wants_them() {
    let off = eventful("{exemplars: false}");
    assert!(!off.scrape(Format::OpenMetrics).contains("trace_id"));
    let on = eventful("{}");
    assert!(!on.scrape(Format::Text).contains("trace_id"), "text has no place for them");
    assert!(on.scrape(Format::OpenMetrics).contains("trace_id"));
    let mut untraced = Watched::new(TWO);
    untraced.world.advance(1_500);
    untraced.record();
    assert!(!untraced.scrape(Format::OpenMetrics).contains("trace_id"));
}

/// Families of which only the usual label sets are there from the start: codes, methods, the set's algorithm.
const GROWING: [&str; 4] = [
    "sipwarden_transactions_total",
    "sipwarden_destination_response_codes_total",
    "sipwarden_selections_total",
    "sipwarden_selection_duration_seconds",
];

/// Every choice of one value for each label, as they are written.
fn choices(labels: &BTreeMap<String, Values>) -> Vec<Vec<String>> {
    let closed = labels.iter().filter_map(|(label, values)| Some((label, values.as_ref()?)));
    closed.fold(vec![vec![]], |choices, (label, values)| {
        let more = |choice: &Vec<String>| {
            let with = |value| [choice.clone(), vec![format!("{label}=\"{value}\"")]].concat();
            values.iter().map(with).collect::<Vec<_>>()
        };
        choices.iter().flat_map(more).collect()
    })
}

#[test]
fn every_counter_is_there_before_anything_has_happened() {
    let text = Watched::new(TWO).scrape(Format::Text);
    let lines = |name: &str| -> Vec<&str> {
        let of = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        text.lines().filter(of).collect()
    };
    let mut checked = 0;
    for (name, family) in families::load() {
        // Configured labels have their values from the configuration: owners, edges, threads.
        let is_open = |(label, values): (&String, &Values)| {
            values.is_none() && !["set", "destination", "listener"].contains(&label.as_str())
        };
        if family.kind == "gauge" || GROWING.contains(&name.as_str()) || family.labels.iter().any(is_open) {
            continue;
        }
        let series = if family.kind == "histogram" { format!("{name}_count") } else { name };
        let lines = lines(&series);
        for choice in choices(&family.labels) {
            let is_there = lines.iter().any(|line| choice.iter().all(|label| line.contains(label.as_str())));
            assert!(
                is_there,
                "{series} {choice:?} appears only when it is counted, and rate() does not see that"
            );
            checked += 1;
        }
    }
    assert!(checked > 200, "only {checked} label sets were looked for");
    for set in ["", "pbx"] {
        for code in ["200", "408", "500", "503"] {
            let line = format!(
                "sipwarden_transactions_total{{set=\"{set}\",method=\"INVITE\",code=\"{code}\",origin=\"local\"}} 0"
            );
            assert!(text.lines().any(|other| other == line), "{line}");
        }
    }
}
