//! Control of the real binary at run time: what a request would meet, probes on demand, the history of
//! states, what survives a restart, and reload upon reload under traffic.
#![expect(clippy::indexing_slicing, reason = "what is missing fails the test")]

#[path = "support/e2e/harness.rs"]
mod harness;

use harness::answerer::Answerer;
use harness::http;
use harness::metrics::Scrape;
use harness::product::{Config, QUICK_PROBE, Sipwarden};
use harness::sipp::{Callee, Caller, Calls, Transport};
use harness::wait;
use harness::workspace::Workspace;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(10);

/// A set of answerers named a, b, c …, probed as told, with further keys.
fn set_of(answerers: &[&Answerer], probe: &str, keys: &str) -> String {
    let mut lines = format!("sets:\n  pbx:\n    probe: {probe}\n{keys}    destinations:\n");
    for (id, answerer) in ('a'..).zip(answerers) {
        lines.push_str(&format!("      - {{id: {id}, uri: \"sip:{}\"}}\n", answerer.address));
    }
    lines
}

/// What the interface says of a destination.
fn destination(sipwarden: &Sipwarden, id: &str) -> Value {
    let listing = http::get(sipwarden.http, "/api/v1/destinations").expect("the API answers").json();
    let members = listing["sets"][0]["destinations"].as_array().expect("a list").clone();
    members.into_iter().find(|member| member["id"] == id).unwrap_or_else(|| panic!("no {id}"))
}

fn wait_for_state(sipwarden: &Sipwarden, id: &str, state: &str) {
    wait::until_true(&format!("{id} is {state}"), SOON, || destination(sipwarden, id)["state"] == state);
}

/// Sends an INVITE and gives the destination that got it.
fn call(caller: &UdpSocket, to: SocketAddr, call_id: &str, answerers: &[&Answerer]) -> char {
    let from = caller.local_addr().expect("a bound socket has an address");
    let invite = format!(
        "INVITE sip:callee@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK-{call_id};rport\r\n\
         From: <sip:caller@{from}>;tag=1\r\nTo: <sip:callee@{to}>\r\nCall-ID: {call_id}\r\nCSeq: 1 INVITE\r\n\
         Max-Forwards: 70\r\nContact: <sip:caller@{from}>\r\nContent-Length: 0\r\n\r\n"
    );
    caller.send_to(invite.as_bytes(), to).expect("loopback takes datagrams");
    wait::until(&format!("the INVITE of {call_id}"), SOON, || {
        let got = |answerer: &&Answerer| answerer.calls().iter().any(|known| known == call_id);
        ('a'..).zip(answerers).find(|(_, answerer)| got(answerer)).map(|(id, _)| id)
    })
}

/// The ranking that `explain` gives, and the reasons against the others.
fn explain(sipwarden: &Sipwarden, query: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let answer = http::get(sipwarden.http, &format!("/api/v1/explain?set=pbx&{query}")).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let json = answer.json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (mut ranked, mut skipped) = (Vec::new(), BTreeMap::new());
    for candidate in json["candidates"].as_array().expect("a list") {
        match candidate["rank"].as_u64() {
            Some(rank) => {
                ranked.push(text(&candidate["id"]));
                assert_eq!(usize::try_from(rank), Ok(ranked.len()), "{json}");
            }
            None => drop(skipped.insert(text(&candidate["id"]), text(&candidate["skipped"]))),
        }
    }
    (ranked, skipped)
}

#[test]
fn explain_says_where_the_next_call_goes() {
    let workspace = Workspace::new("explain");
    let answerers: Vec<Answerer> = (0..4).map(|_| Answerer::start()).collect();
    let answerers: Vec<&Answerer> = answerers.iter().collect();
    answerers[3].set_alive(false);
    for algorithm in ["hash", "round_robin"] {
        let keys = format!("    algorithm: {algorithm}\n");
        let config = Config::new().with(&set_of(&answerers, QUICK_PROBE, &keys));
        let sipwarden = Sipwarden::start(&workspace, &config);
        for id in ["a", "b", "c"] {
            wait_for_state(&sipwarden, id, "up");
        }
        wait_for_state(&sipwarden, "d", "down");
        let caller = UdpSocket::bind("127.0.0.1:0").expect("a loopback port is free");
        let mut hit = BTreeMap::new();
        for number in 0..50 {
            let call_id = format!("{algorithm}-{number}@explain");
            let asked = || explain(&sipwarden, &format!("call_id={call_id}"));
            let (ranked, skipped) = asked();
            assert_eq!(asked(), (ranked.clone(), skipped.clone()), "asking moves nothing");
            assert_eq!(ranked.len(), 3, "{ranked:?}");
            assert_eq!(skipped, BTreeMap::from([("d".to_owned(), "down".to_owned())]));
            let got = call(&caller, sipwarden.sip, &call_id, &answerers);
            assert_eq!(ranked[0], got.to_string(), "{call_id}");
            *hit.entry(got).or_insert(0) += 1;
        }
        assert_eq!(hit.len(), 3, "{algorithm} sends everything to one: {hit:?}");
    }
}

#[test]
fn the_command_explain_names_ranks_reasons_and_what_is_missing() {
    let workspace = Workspace::new("explain-command");
    let (a, b) = (Answerer::start(), Answerer::start());
    let keys = "    algorithm: hash\n    hash: {key: [from, \"header:X-Account\"]}\n";
    let sipwarden = Sipwarden::start(&workspace, &Config::new().with(&set_of(&[&a, &b], QUICK_PROBE, keys)));
    sipwarden.wait_until_up("pbx", 2);
    assert_eq!(sipwarden.ask(&["set-state", "pbx", "a", "draining"]).code, Some(0));
    let vague = sipwarden.ask(&["explain", "pbx"]);
    assert_eq!(vague.code, Some(0), "{vague:?}");
    assert!(vague.stdout.contains("from, header"), "{vague:?}");
    let exact = sipwarden.ask(&["explain", "pbx", "--from", "sip:x@y", "--header", "X-Account: 7"]);
    assert!(!exact.stdout.contains("not given"), "{exact:?}");
    let line = |id: &str| {
        let line = exact.stdout.lines().find(|line| line.split_whitespace().nth(1) == Some(id));
        line.unwrap_or_else(|| panic!("{id}: {exact:?}")).to_owned()
    };
    assert!(line("b").trim_start().starts_with('1') && line("a").contains("admin"), "{exact:?}");
    let unknown = sipwarden.ask(&["explain", "carriers"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("no set \"carriers\""), "{unknown:?}");
}

#[test]
fn a_probe_on_demand_finds_out_at_once() {
    let workspace = Workspace::new("probe");
    let (a, b) = (Answerer::start(), Answerer::start());
    let hourly = "{interval: 60s, fast_interval: 59s, timeout: 500ms, down_after: 2}";
    let sipwarden = Sipwarden::start(&workspace, &Config::new().with(&set_of(&[&a, &b], hourly, "")));
    sipwarden.wait_until_up("pbx", 2);
    let well = sipwarden.ask(&["probe", "pbx", "--raw"]);
    assert_eq!(well.code, Some(0), "{well:?}");
    assert!(well.stdout.contains("OPTIONS sip:") && well.stdout.contains("SIP/2.0 200 OK"), "{well:?}");
    a.set_alive(false);
    for (round, state) in [(1, "failing"), (2, "down")] {
        let silent = sipwarden.ask(&["probe", "pbx", "a"]);
        assert_eq!(silent.code, Some(1), "{round}: {silent:?}");
        assert!(silent.stdout.contains("timeout") && silent.stdout.contains(state), "{silent:?}");
        assert!(!silent.stdout.lines().any(|line| line.trim_start().starts_with("b ")), "{silent:?}");
    }
    let exchange = destination(&sipwarden, "a")["exchange"].clone();
    assert!(exchange["request"].as_str().is_some_and(|text| text.starts_with("OPTIONS ")), "{exchange}");
    assert!(exchange["response"].is_null(), "{exchange}");
    a.set_alive(true);
    let back = sipwarden.ask(&["probe", "pbx", "a"]);
    assert_eq!(back.code, Some(0), "{back:?}");
    assert!(back.stdout.contains(" up"), "{back:?}");
    let unknown = sipwarden.ask(&["probe", "pbx", "z"]);
    assert!(unknown.code == Some(1) && unknown.stderr.contains("no destination \"z\""), "{unknown:?}");
}

#[test]
fn the_history_shows_death_and_recovery_with_their_reasons() {
    let workspace = Workspace::new("history");
    let (a, b) = (Answerer::start(), Answerer::start());
    let sipwarden = Sipwarden::start(&workspace, &Config::new().with(&set_of(&[&a, &b], QUICK_PROBE, "")));
    sipwarden.wait_until_up("pbx", 2);
    a.set_alive(false);
    wait_for_state(&sipwarden, "a", "down");
    let caller = UdpSocket::bind("127.0.0.1:0").expect("a loopback port is free");
    assert_eq!(call(&caller, sipwarden.sip, "meanwhile", &[&a, &b]), 'b');
    a.set_alive(true);
    wait_for_state(&sipwarden, "a", "up");
    let listed = sipwarden.ask(&["list", "pbx", "--changes"]);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let of_a: Vec<Vec<&str>> = listed
        .stdout
        .lines()
        .map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>())
        .filter(|cells| cells.get(1) == Some(&"a"))
        .collect();
    let words: Vec<String> = of_a.iter().map(|cells| cells[2..].join(" ")).collect();
    assert_eq!(
        words,
        [
            "unknown up start (code 200)",
            "up failing probe (timeout)",
            "failing down probe (timeout)",
            "down up probe (code 200)",
        ],
        "{listed:?}"
    );
}

#[test]
fn states_survive_a_restart_until_the_configuration_says_otherwise() {
    let workspace = Workspace::new("state-file");
    let (a, b, c) = (Answerer::start(), Answerer::start(), Answerer::start());
    let config = Config::new().with("state_file: state.json").with(&set_of(&[&a, &b, &c], QUICK_PROBE, ""));
    let mut first = Sipwarden::start(&workspace, &config);
    first.wait_until_up("pbx", 3);
    assert_eq!(first.ask(&["set-state", "pbx", "a", "draining"]).code, Some(0));
    b.set_alive(false);
    wait_for_state(&first, "b", "down");
    let since = |sipwarden: &Sipwarden, id: &str| {
        let text = destination(sipwarden, id)["since"].as_str().unwrap_or_default().to_owned();
        humantime::parse_rfc3339(&text).expect("a time")
    };
    let before = (since(&first, "a"), since(&first, "b"));
    // Without a word: what is in the file was written before.
    let saved = || std::fs::read_to_string(workspace.path("state.json")).unwrap_or_default();
    wait::until_true("both are in the file", SOON, || {
        saved().contains("\"draining\"") && saved().contains("\"down\": true")
    });
    first.process.kill();
    drop(first);

    let mut second = Sipwarden::start(&workspace, &config);
    let restored = destination(&second, "b");
    assert_eq!(restored["state"], "down", "{restored}");
    assert_eq!(restored["changes"][0]["reason"], "restored", "{restored}");
    assert_eq!(destination(&second, "a")["state"], "draining");
    let after = (since(&second, "a"), since(&second, "b"));
    for (before, after) in [(before.0, after.0), (before.1, after.1)] {
        let apart = before.max(after).duration_since(before.min(after)).expect("in order");
        assert!(apart < Duration::from_secs(1), "{before:?} became {after:?}");
    }
    b.set_alive(true);
    wait_for_state(&second, "b", "up");
    assert_eq!(second.ask(&["set-state", "pbx", "c", "disabled"]).code, Some(0));
    // A decent end saves at once.
    second.process.signal("TERM");
    second.process.wait(SOON);
    assert!(saved().contains("\"disabled\"") && !saved().contains("\"down\": true"), "{}", saved());
    drop(second);

    // The configured value of a has changed meanwhile, that of c has not.
    let text = config.text().replace("{id: a,", "{id: a, state: disabled,");
    let changed = Config::written(&text, config.sip, config.http);
    let third = Sipwarden::start(&workspace, &changed);
    assert_eq!(destination(&third, "a")["state"], "disabled");
    assert_eq!(destination(&third, "c")["state"], "disabled");
    let reset = third.ask(&["reload", "--reset"]);
    assert!(reset.code == Some(0) && reset.stdout.starts_with("reset: "), "{reset:?}");
    wait_for_state(&third, "c", "up");
    wait::until_true("the file has forgotten too", SOON, || !saved().contains("\"c\""));
}

#[test]
fn a_state_file_that_cannot_be_trusted_is_ignored_and_the_reason_logged() {
    let workspace = Workspace::new("state-file-bad");
    let a = Answerer::start();
    let config = Config::new().with("state_file: state.json").with(&set_of(&[&a], QUICK_PROBE, ""));
    for (content, reason) in [
        ("{\"version\": 1, \"destin", "broken"),
        ("{\"version\": 99, \"what\": \"ever\"}", "other_version"),
        ("{\"version\": 1, \"saved\": \"2020-01-01T00:00:00Z\", \"destinations\": []}", "old"),
    ] {
        workspace.write("state.json", content);
        let sipwarden = Sipwarden::start(&workspace, &config);
        let log = wait::until("the warning", SOON, || {
            let log = sipwarden.process.log();
            log.contains("state file ignored").then_some(log)
        });
        assert!(log.contains(reason) && log.contains("state.json"), "{reason}: {log}");
        wait_for_state(&sipwarden, "a", "up");
    }
}

/// The series that only ever grow, of destinations that stay.
fn counters(scrape: &Scrape) -> BTreeMap<String, f64> {
    let of_stayers = scrape.all().filter(|sample| {
        let counts = ["_total", "_count", "_bucket"].iter().any(|end| sample.name.ends_with(end));
        counts && sample.labels.values().all(|value| value != "guest")
    });
    of_stayers.map(|sample| (format!("{} {:?}", sample.name, sample.labels), sample.value)).collect()
}

#[test]
fn fifty_reloads_in_ten_seconds_lose_no_call_and_forget_nothing() {
    const RELOADS: u32 = 50;
    const STORM: Duration = Duration::from_secs(10);
    /// Calls in a second, and how many there are at most: for a minute, so that they outlast the reloads.
    const RATE: u32 = 100;
    const CALLS: u32 = 60 * RATE;
    let workspace = Workspace::new("reload-storm");
    let a = Callee::start(&workspace, "callee", Transport::Udp, Duration::ZERO);
    let b = Callee::start(&workspace, "callee", Transport::Udp, Duration::ZERO);
    let dead = Answerer::start();
    dead.set_alive(false);
    let members = [("a", a.address), ("b", b.address), ("dead", dead.address)];
    let with_guest: Vec<_> = members.iter().copied().chain([("guest", a.address)]).collect();
    let base = Config::new();
    // A guest at the address of another is up with it.
    let plain = base.clone().with_set("pbx", "udp", &members);
    let grown = base.clone().with_set("pbx", "udp", &with_guest);
    let broken = plain.text().replace("destinations", "destinatoins");
    let sipwarden = Sipwarden::start(&workspace, &plain);
    wait_for_state(&sipwarden, "dead", "down");
    sipwarden.wait_until_up("pbx", 2);
    let since = destination(&sipwarden, "dead")["since"].clone();
    let reload = || http::post(sipwarden.http, "/-/reload", "").expect("the API answers").status;

    let mut caller = Calls::to(sipwarden.sip, CALLS, RATE).start(&workspace);
    caller.wait_for_successes(50);
    let successes = |caller: &Caller| caller.tally().map_or(0, |tally| tally.successful);
    let (begun, before) = (Instant::now(), successes(&caller));
    let mut known = counters(&sipwarden.scrape());
    for number in 0..RELOADS {
        let next = if number % 4 < 2 { &grown } else { &plain };
        match number % 4 {
            1 => {
                workspace.write("sipwarden.yaml", &broken);
                assert_eq!(reload(), 400, "a broken file was taken");
            }
            3 => {
                workspace.write("sipwarden.yaml", next.text());
                let codes: Vec<u16> = std::thread::scope(|scope| {
                    let reloads: Vec<_> = (0..3).map(|_| scope.spawn(reload)).collect();
                    reloads.into_iter().map(|one| one.join().expect("a reload answers")).collect()
                });
                assert_eq!(codes, [200; 3]);
            }
            _ => {
                workspace.write("sipwarden.yaml", next.text());
                assert_eq!(reload(), 200);
            }
        }
        let now = counters(&sipwarden.scrape());
        for (series, before) in &known {
            let after = now.get(series).unwrap_or_else(|| panic!("{series} has vanished"));
            assert!(after >= before, "{series} fell from {before} to {after}");
        }
        known = now;
        let next = begun + STORM / RELOADS * (number + 1);
        let rest = next.saturating_duration_since(Instant::now()).max(Duration::from_millis(100));
        assert!(wait::stays_true(rest, || sipwarden.is_ready()), "it is not ready");
        caller.expect_calling();
    }
    // The load was there all the while: what SIPp counts is a second old at most, and the machine slow.
    let (took, made) = (begun.elapsed(), successes(&caller) - before);
    assert!(took >= STORM, "the reloads took {took:?}");
    let wanted = u64::from(RATE) * STORM.as_secs() / 2;
    assert!(u64::from(made) >= wanted, "{made} calls in {took:?}");
    let tally = caller.stop();
    assert!(tally.failed == 0 && tally.successful >= before + made, "{tally:?}");
    assert_eq!(dead.calls(), [""; 0], "calls went to the dead destination");
    let after = destination(&sipwarden, "dead");
    assert_eq!((after["state"].as_str(), &after["since"]), (Some("down"), &since), "{after}");
}
