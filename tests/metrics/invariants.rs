//! What holds in every scrape, after each of ten thousand changes of state, and after a hundred
//! reloads.

use crate::sim::{CALLER, Call, Health, header, reply};
use crate::watched::{Chance, Watched};
use sipwarden::facts::Admin;
use sipwarden::telemetry::Format;
use std::collections::BTreeMap;

const CHANGES: usize = 10_000;
const STATES: [&str; 8] =
    ["disabled", "draining", "down", "ejected", "throttled", "failing", "up", "unknown"];

/// Two sets whose members fail, recover, are ejected, pause and are taken out of service; one has no weight.
const RESTLESS: &str = "
listen: [\"udp://10.0.0.1:5060\"]
metrics: {detail: state}
routes: [{set: pbx}]
sets:
  pbx:
    destinations: [{id: a, uri: \"sip:10.0.1.1:5060\"}, {id: b, uri: \"sip:10.0.1.2:5060\"}, {id: c, uri: \"sip:10.0.1.3:5060\"}]
    probe: {interval: 1s, fast_interval: 500ms, timeout: 400ms, down_after: 2}
    passive: {consecutive_failures: 1, base_ejection: 2s, max_ejection: 4s, max_ejected_percent: 100}
  spare:
    destinations: [{id: a, uri: \"sip:10.0.2.1:5060\"}, {id: b, uri: \"sip:10.0.2.2:5060\", weight: 0}]
    probe: {interval: 1s, fast_interval: 500ms, timeout: 400ms, down_after: 1}
";
const ADDRESSES: [&str; 5] =
    ["10.0.1.1:5060", "10.0.1.2:5060", "10.0.1.3:5060", "10.0.2.1:5060", "10.0.2.2:5060"];
/// Its name: new requests never go there.
const WEIGHTLESS: (&str, &str) = ("spare", "b");

/// The samples of a few families: set, destination, state (each empty without that label) and value.
fn samples<'a>(text: &'a str, family: &'a str) -> impl Iterator<Item = (&'a str, &'a str, &'a str, u64)> {
    let of = text.lines().filter_map(move |line| line.strip_prefix(family)?.strip_prefix('{'));
    of.map(|line| {
        let (labels, value) = line.rsplit_once("} ").expect("a sample with labels");
        let label = |name: &str| {
            let found = labels.split(',').find_map(|label| label.strip_prefix(name)?.strip_prefix("=\""));
            found.map_or("", |value| value.trim_end_matches('"'))
        };
        let value = value.parse::<f64>().expect("a number");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts and times")]
        let value = value as u64;
        (label("set"), label("destination"), label("state"), value)
    })
}

/// Fails unless a scrape is consistent in itself; which sets are all down.
fn check(text: &str) -> Vec<String> {
    let mut states: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for (set, destination, state, value) in samples(text, "sipwarden_destination_state") {
        assert!(value <= 1 && STATES.contains(&state), "{set}/{destination} {state} {value}");
        if value == 1 {
            let before = states.insert((set, destination), state);
            assert_eq!(before, None, "{set}/{destination} is in two states");
        }
    }
    assert_eq!(states.len(), ADDRESSES.len(), "every destination is in one state");
    let mut up: BTreeMap<&str, u64> = BTreeMap::new();
    for (set, destination, _, value) in samples(text, "sipwarden_destination_up") {
        *up.entry(set).or_default() += value;
        let state = states[&(set, destination)];
        match value {
            0 if (set, destination) == WEIGHTLESS => {}
            0 => assert!(!matches!(state, "up" | "failing"), "{set}/{destination} is {state} and not up"),
            _ => assert!(
                matches!(state, "up" | "failing" | "unknown"),
                "{set}/{destination} is up and {state}"
            ),
        }
    }
    for (set, _, state, value) in samples(text, "sipwarden_set_destinations") {
        let members = states.iter().filter(|((of, _), is)| *of == set && **is == state).count() as u64;
        assert_eq!(value, members, "{set} counts {value} {state}");
    }
    let judged: Vec<(&str, &str)> = samples(text, "sipwarden_probe_last_timestamp_seconds")
        .map(|(set, destination, _, _)| (set, destination))
        .collect();
    let counts =
        |family| samples(text, family).map(|(set, _, _, value)| (set, value)).collect::<BTreeMap<_, _>>();
    let available = counts("sipwarden_set_destinations_available");
    let enabled = counts("sipwarden_set_destinations_enabled");
    let mut all_down = Vec::new();
    for (set, _, _, value) in samples(text, "sipwarden_set_all_down") {
        assert_eq!(available[set], up[set], "{set}: available and the sum of up");
        let members = || states.iter().filter(|((of, _), _)| *of == set);
        let in_service = members()
            .filter(|(key, state)| **key != WEIGHTLESS && !matches!(**state, "disabled" | "draining"));
        let all_judged = in_service.clone().all(|(key, _)| judged.contains(key));
        assert_eq!(enabled[set], in_service.count() as u64, "{set}: enabled");
        let by_definition = enabled[set] > 0 && available[set] == 0 && all_judged;
        assert_eq!(value == 1, by_definition, "{set} all down:\n{states:?}\n{judged:?}");
        if value == 1 {
            all_down.push(set.to_owned());
        }
    }
    all_down
}

#[test]
fn every_scrape_is_consistent_over_ten_thousand_changes_of_state() {
    let mut watched = Watched::new(RESTLESS);
    let mut chance = Chance(0x5eed);
    let (mut changes, mut all_down, mut steps, mut met) = (0, 0, 0, BTreeMap::<String, u64>::new());
    check(&watched.scrape(Format::Text));
    while changes < CHANGES {
        steps += 1;
        assert!(steps < 20 * CHANGES, "only {changes} changes in {steps} steps");
        step(&mut watched, &mut chance, steps);
        let changed = watched.record();
        if changed > 0 {
            changes += changed;
            let text = watched.scrape(Format::Text);
            all_down += check(&text).len();
            for (_, _, state, value) in samples(&text, "sipwarden_destination_state") {
                *met.entry(state.to_owned()).or_default() += value;
            }
        }
    }
    println!("{changes} changes in {steps} steps, {all_down} times all down, {met:?}");
    assert!(all_down > 100, "all down {all_down} times only");
    for state in STATES.iter().filter(|state| **state != "unknown") {
        assert!(met[*state] > 50, "{state} is hardly met: {met:?}");
    }
    let text = watched.scrape(Format::Text);
    let counted: u64 =
        samples(&text, "sipwarden_destination_transitions_total").map(|(.., value)| value).sum();
    assert_eq!(counted, 0, "not told at this detail");
}

/// Something happens to somebody.
fn step(watched: &mut Watched, chance: &mut Chance, number: usize) {
    let world = &mut watched.world;
    let at = *chance.pick(&ADDRESSES);
    match chance.below(10) {
        0..=2 => {
            let answers = Health::Answers(200);
            world.set_health(at, *chance.pick(&[answers, answers, Health::Silent, Health::Answers(408)]));
        }
        3 => world.set_unreachable(at, chance.below(8) == 0),
        4 => {
            let id = *chance.pick(&["a", "b", "c"]);
            let enabled = Admin::Enabled;
            world.set_admin(id, *chance.pick(&[enabled, enabled, enabled, Admin::Draining, Admin::Disabled]));
        }
        _ => {
            let mut call = Call::new(&format!("c{number}"));
            world.receive(CALLER, &call.request("INVITE"));
            let sent = world.drain_all();
            for invite in sent.iter().filter(|sent| sent.text.starts_with("INVITE ")) {
                let at = invite.hop.remote.to_string();
                let refusal = reply(&invite.text, *chance.pick(&[503, 500, 486]), "callee", "");
                let pauses = chance.below(2) == 0;
                let refusal =
                    if pauses { refusal.replacen("\r\n", "\r\nRetry-After: 3\r\n", 1) } else { refusal };
                assert!(header(&refusal, "Via").is_some());
                world.receive(&at, &refusal);
            }
            world.drain_all();
        }
    }
    world.advance(200 + 100 * chance.below(12) as u64);
}

fn named(round: usize) -> String {
    let destination = |n: usize| {
        format!("{{id: d{round}-{n}, uri: \"sip:10.{}.{}.{}:5060\"}}", round % 200 + 10, n, round / 200 + 1)
    };
    let destinations: Vec<String> = (1..=6).map(destination).collect();
    let set = |name: String| format!("  {name}: {{destinations: [{}]}}\n", destinations.join(", "));
    let sets = format!("{}{}", set(format!("s{round}")), set(format!("t{round}")));
    format!(
        "listen: [\"udp://10.0.0.1:5060\"]\nmetrics: {{detail: full}}\nroutes: [{{set: s{round}}}]\nsets:\n{sets}"
    )
}

#[test]
fn a_hundred_reloads_with_other_names_leave_as_many_series_as_before() {
    let mut watched = Watched::new(&named(0));
    watched.world.advance(1_500);
    watched.record();
    let base = watched.series();
    for round in 1..=100 {
        watched.reload(&named(round));
        let fresh = watched.scrape(Format::Text);
        assert!(fresh.contains(&format!("set=\"s{round}\",destination=\"d{round}-6\"")));
        assert!(!fresh.contains(&format!("=\"s{}\"", round - 1)), "a series of a set that is gone");
        // Probes end and calls fail: what appears with events goes with the reload too.
        watched.world.advance(1_500);
        let mut call = Call::new(&format!("c{round}"));
        watched.world.receive(CALLER, &call.request("INVITE"));
        let invite = watched.world.drain_all().into_iter().find(|sent| sent.text.starts_with("INVITE "));
        let invite = invite.expect("the call goes somewhere");
        let at = invite.hop.remote.to_string();
        watched.world.receive(&at, &reply(&invite.text, 491, "callee", ""));
        watched.world.drain_all();
        watched.record();
        assert!(watched.series() > base, "an odd code has a series of its own");
    }
    watched.reload(&named(0));
    watched.world.advance(1_500);
    watched.record();
    let after = watched.scrape(Format::Text);
    let left =
        after.lines().filter(|line| line.contains("100")).filter(|line| line.contains("d100-")).count();
    assert_eq!((watched.series(), left), (base, 0));
}
