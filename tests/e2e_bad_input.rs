//! What the real binary does with input that is wrong: configurations, command lines, ports in use,
//! datagrams. One clear message, the right exit code, nothing half started, never a crash.

#[path = "support/e2e/harness.rs"]
mod harness;

use harness::address;
use harness::http;
use harness::metrics::is;
use harness::process::Process;
use harness::product::{self, Config, Sipwarden};
use harness::sipp::{Callee, Calls, Transport};
use harness::sockets::{self, Kind};
use harness::wait;
use harness::workspace::Workspace;
use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

const DESTINATION: &str = "sip:127.0.0.1:5999";

/// Runs a configuration that must be refused; gives the message. Whatever it listens on must
/// stay closed all the time.
fn refused(workspace: &Workspace, config: &Config) -> String {
    let file = workspace.write("refused.yaml", config.text());
    let said_before = std::fs::read_to_string(workspace.path("refused.log")).unwrap_or_default();
    let mut process = Process::start(workspace, "refused", product::command(&["run", "-c"]).arg(&file));
    let status = wait::until("the end of a refused start", Duration::from_secs(10), || {
        assert!(!sockets::is_bound(Kind::Tcp, config.http), "the HTTP port was opened");
        process.ended()
    });
    let message = process.log().split_off(said_before.len());
    assert_eq!(status.code(), Some(1), "{message}");
    assert!(!message.contains("panicked"), "{message}");
    message
}

/// The same for a text that `check` must refuse with the same words.
fn refused_by_both(workspace: &Workspace, config: &Config) -> String {
    let message = refused(workspace, config);
    let file = workspace.path("refused.yaml").display().to_string();
    let checked = product::run(&["check", "-c", &file]);
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert_eq!(checked.stderr.trim(), message.trim(), "check and run differ");
    message
}

fn pbx(lines: &str) -> Config {
    Config::new().with(&format!("sets:\n  pbx:\n{lines}"))
}

#[test]
fn a_broken_configuration_is_refused_with_the_place_and_nothing_starts() {
    let workspace = Workspace::new("bad-config");
    let cases = [
        (Config::new().with("sets: {pbx: [unclosed"), "refused.yaml:"),
        (pbx(&format!("    algorithm: round_robbin\n    destinations: [\"{DESTINATION}\"]")), "round_robin"),
        (pbx("    algorithm: hash\n    destinations: []"), "destination"),
        (pbx("    algorithm: hash"), "destination"),
        (
            pbx(&format!(
                "    destinations:\n      - {{id: one, uri: \"{DESTINATION}\"}}\n      - {{id: one, uri: \"sip:127.0.0.1:5998\"}}"
            )),
            "one",
        ),
        (pbx(&format!("    algoritm: hash\n    destinations: [\"{DESTINATION}\"]")), "algorithm"),
        (
            pbx(&format!("    fallback: pbx\n    destinations: [\"{DESTINATION}\"]")),
            "it comes back to itself: pbx → pbx",
        ),
        (pbx("    destinations: [\"sips:127.0.0.1:5999\"]"), "not supported in this version"),
    ];
    for (config, expected) in cases {
        let message = refused_by_both(&workspace, &config);
        assert!(message.contains(expected), "no {expected:?} in: {message}");
        let place = message.split("refused.yaml:").nth(1).unwrap_or_else(|| panic!("no place in: {message}"));
        let mut numbers = place.split(':').map(str::parse::<u32>);
        assert!(matches!((numbers.next(), numbers.next()), (Some(Ok(1..)), Some(Ok(1..)))), "{message}");
    }
}

#[test]
fn a_token_file_that_cannot_be_read_is_refused() {
    let workspace = Workspace::new("bad-token");
    let (sip, http) = (address::endpoint(), address::endpoint());
    let missing = workspace.path("no-such-token");
    let text = format!(
        "listen: [udp://{sip}]\nhttp: {{listen: \"{http}\", token_file: {}}}\nsets: {{pbx: {{destinations: [\"{DESTINATION}\"]}}}}",
        missing.display()
    );
    let message = refused_by_both(&workspace, &Config::written(&text, sip, http));
    assert!(message.contains("no-such-token"), "{message}");
    // A directory can be opened but not read, even by root.
    let directory = text.replace("no-such-token", "");
    let message = refused_by_both(&workspace, &Config::written(&directory, sip, http));
    assert!(message.contains("token_file"), "{message}");
}

#[test]
fn a_port_in_use_is_refused_also_by_a_second_instance() {
    let workspace = Workspace::new("port-in-use");
    let first = pbx(&format!("    destinations: [\"{DESTINATION}\"]"));
    let running = Sipwarden::start(&workspace, &first);

    // The same SIP port, another HTTP port.
    let second = address::endpoint();
    let text = first.text().replace(&running.http.to_string(), &second.to_string());
    let message = refused(&workspace, &Config::written(&text, running.sip, second));
    assert!(message.contains("in use") && message.contains(&running.sip.to_string()), "{message}");

    // Another SIP port, the same HTTP port: the SIP port must not stay open either.
    let second = address::endpoint();
    let text = first.text().replace(&running.sip.to_string(), &second.to_string());
    let file = workspace.write("second.yaml", &text).display().to_string();
    let ended = product::run(&["run", "-c", &file]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let message = format!("{}{}", ended.stdout, ended.stderr);
    assert!(message.contains("in use") && message.contains(&running.http.to_string()), "{message}");
    assert!(!sockets::is_bound(Kind::Udp, second));

    // A stranger holds the UDP port.
    let stranger = UdpSocket::bind(address::endpoint()).expect("the address is free");
    let taken = stranger.local_addr().expect("a bound socket has an address");
    let third = pbx(&format!("    destinations: [\"{DESTINATION}\"]"));
    let text = third.text().replace(&third.sip.to_string(), &taken.to_string());
    let message = refused(&workspace, &Config::written(&text, taken, third.http));
    assert!(message.contains("in use") && message.contains(&taken.to_string()), "{message}");

    assert!(running.is_ready(), "the first instance is untouched");
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    for arguments in
        [&["frobnicate"][..], &["run", "--nonsense"], &["list", "--json", "--watch"], &["set-state", "pbx"]]
    {
        let ended = product::run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains("sage:"), "{arguments:?}: {ended:?}");
        assert!(ended.stdout.is_empty(), "{arguments:?}: {ended:?}");
    }
    let ended = product::run(&["run", "-c", "/nonexistent/sipwarden.yaml"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("/nonexistent/sipwarden.yaml"), "{ended:?}");
    let ended = product::run(&["list", "--url", "http://127.0.0.1:1"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("127.0.0.1:1"), "{ended:?}");
}

/// Cargo puts the variables of build.rs into the environment of whatever it runs.
#[test]
fn what_cargo_run_adds_to_the_environment_is_not_taken_for_configuration() {
    let workspace = Workspace::new("cargo-run");
    let file = workspace.write("good.yaml", &format!("sets: {{pbx: {{destinations: [\"{DESTINATION}\"]}}}}"));
    let mut check = Command::new(env!("CARGO_BIN_EXE_sipwarden"));
    let ended = check.arg("check").arg("-c").arg(file).output().expect("the binary runs");
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn a_result_that_cannot_be_written_is_an_error() {
    let workspace = Workspace::new("full-disk");
    let file = workspace.write("good.yaml", &format!("sets: {{pbx: {{destinations: [\"{DESTINATION}\"]}}}}"));
    for arguments in [&["completions", "bash"][..], &["check", "-c", &file.display().to_string()]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has /dev/full");
        let ended = Command::new(env!("CARGO_BIN_EXE_sipwarden")).args(arguments).stdout(full).output();
        let ended = ended.expect("the binary runs");
        let message = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {message}");
        assert!(message.contains("cannot write to standard output"), "{arguments:?}: {message}");
    }
}

/// An OPTIONS that is right but for what `change` does to it.
fn options(from: &UdpSocket, to: &Sipwarden, call: &str, change: (&str, &str)) -> String {
    let own = from.local_addr().expect("a bound socket has an address");
    let (before, after) = change;
    let text = format!(
        "OPTIONS sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK-{call};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:tester@{own}>;tag=1\r\nTo: <sip:{to}>\r\nCall-ID: {call}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
        to = to.sip
    );
    assert!(text.contains(before), "nothing to change: {before}");
    text.replace(before, after)
}

/// The first line of the answer, if one comes soon.
fn answer(socket: &UdpSocket) -> Option<String> {
    let mut buffer = [0; 4096];
    let (length, _) = socket.recv_from(&mut buffer).ok()?;
    String::from_utf8_lossy(buffer.get(..length)?).lines().next().map(str::to_owned)
}

#[test]
fn a_malformed_datagram_is_counted_answered_where_the_rfc_says_so_and_survived() {
    let workspace = Workspace::new("datagrams");
    let config =
        pbx(&format!("    destinations: [\"{DESTINATION}\"]")).with("sip: {options_reply: always_200}");
    let mut sipwarden = Sipwarden::start(&workspace, &config);
    let caller = UdpSocket::bind(address::endpoint()).expect("the address is free");
    caller.set_read_timeout(Some(Duration::from_secs(3))).expect("a timeout is accepted");
    let counted = |sipwarden: &Sipwarden, reason: &str| {
        sipwarden.scrape().sum("sipwarden_parse_errors_total", &[("transport", "udp"), ("reason", reason)])
    };
    let answered = [
        ("cseq-word", ("CSeq: 1 OPTIONS", "CSeq: one OPTIONS"), "cseq"),
        ("cseq-other", ("CSeq: 1 OPTIONS", "CSeq: 1 INVITE"), "cseq"),
        ("two-call-ids", ("CSeq:", "Call-ID: other\r\nCSeq:"), "call_id"),
        ("two-tags", (";tag=1", ";tag=1;tag=2"), "from_to"),
        ("too-long", ("Content-Length: 0", "Content-Length: 900"), "content_length"),
    ];
    for (call, change, reason) in answered {
        let before = counted(&sipwarden, reason);
        let message = options(&caller, &sipwarden, call, change);
        caller.send_to(message.as_bytes(), sipwarden.sip).expect("a datagram can be sent");
        let line = answer(&caller).unwrap_or_else(|| panic!("{call} was not answered"));
        assert!(line.starts_with("SIP/2.0 400 "), "{call}: {line}");
        assert!(is(counted(&sipwarden, reason), before + 1.0), "{call} is not counted as {reason}");
    }

    // Without what a response must copy there can be none.
    let headless = options(&caller, &sipwarden, "no-cseq", ("CSeq: 1 OPTIONS\r\n", ""));
    let noise: Vec<u8> = (0..=u8::MAX).cycle().take(1500).collect();
    let silent: [(&[u8], &str); 4] = [
        (headless.as_bytes(), "cseq"),
        (b"hello, world\r\n\r\n", "start_line"),
        (&noise, "start_line"),
        (b"SIP/2.0 200 OK\r\nCSeq: 1 OPTIONS\r\n\r\n", "via"),
    ];
    for (bytes, reason) in silent {
        let before = counted(&sipwarden, reason);
        caller.send_to(bytes, sipwarden.sip).expect("a datagram can be sent");
        wait::until_true(&format!("one more {reason}"), Duration::from_secs(5), || {
            is(counted(&sipwarden, reason), before + 1.0)
        });
    }

    // None of those was answered, and a good request still is.
    let good = options(&caller, &sipwarden, "good", ("70", "70"));
    caller.send_to(good.as_bytes(), sipwarden.sip).expect("a datagram can be sent");
    let line = answer(&caller).expect("a good OPTIONS is answered");
    assert!(line.starts_with("SIP/2.0 200 "), "{line}");
    sipwarden.process.expect_alive();
    assert!(!sipwarden.process.log().contains("panicked"));
}

#[test]
fn a_bad_reload_changes_nothing_but_the_gauge() {
    let workspace = Workspace::new("reload");
    let a = Callee::start(&workspace, "callee", Transport::Udp, Duration::ZERO);
    let b = Callee::start(&workspace, "callee", Transport::Udp, Duration::ZERO);
    let base = Config::new();
    let good = base.clone().with_set("pbx", "udp", &[("a", a.address)]);
    let grown = base.clone().with_set("pbx", "udp", &[("a", a.address), ("b", b.address)]);
    let mut sipwarden = Sipwarden::start(&workspace, &good);
    sipwarden.wait_until_up("pbx", 1);
    let successful =
        |sipwarden: &Sipwarden| sipwarden.scrape().sum("sipwarden_config_last_reload_successful", &[]);
    assert!(is(successful(&sipwarden), 1.0));

    let caller = Calls::to(sipwarden.sip, 120, 40).start(&workspace);
    caller.wait_for_successes(10);
    workspace.write("sipwarden.yaml", &good.text().replace("destinations", "destinatoins"));
    sipwarden.process.signal("HUP");
    wait::until_true("the reload has failed", Duration::from_secs(5), || is(successful(&sipwarden), 0.0));
    let failed = sipwarden.ask(&["reload"]);
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(
        failed.stderr.contains("sipwarden.yaml:") && failed.stderr.contains("destinations"),
        "{failed:?}"
    );

    workspace.write("sipwarden.yaml", grown.text());
    let done = sipwarden.ask(&["reload"]);
    assert_eq!((done.code, is(successful(&sipwarden), 1.0)), (Some(0), true), "{done:?}");
    assert!(done.stdout.contains("1 added"), "{done:?}");
    sipwarden.wait_until_up("pbx", 2);
    caller.finish().expect_all_successful();

    // Back to one: the series of the other vanish.
    workspace.write("sipwarden.yaml", good.text());
    sipwarden.process.signal("HUP");
    wait::until_true("the removed destination has vanished", Duration::from_secs(10), || {
        sipwarden.scrape().matching("sipwarden_destination_up", &[("destination", "b")]).next().is_none()
    });
    let scrape = sipwarden.scrape();
    for (trigger, result, count) in
        [("signal", "invalid", 1.0), ("api", "invalid", 1.0), ("api", "ok", 1.0), ("signal", "ok", 1.0)]
    {
        let labels = [("trigger", trigger), ("result", result)];
        let found = scrape.sum("sipwarden_config_reloads_total", &labels);
        assert!(is(found, count), "{found} reloads {labels:?}");
    }
    sipwarden.process.expect_alive();
}

#[test]
fn a_drain_ends_running_calls_well_and_refuses_new_ones() {
    let workspace = Workspace::new("drain");
    let callee = Callee::start(&workspace, "callee_slow", Transport::Udp, Duration::from_millis(1800));
    let config = Config::new().with_set("pbx", "udp", &[("a", callee.address)]).with("drain: {timeout: 20s}");
    let mut sipwarden = Sipwarden::start(&workspace, &config);
    sipwarden.wait_until_up("pbx", 1);
    let running = Calls::to(sipwarden.sip, 20, 100).scenario("caller_of_mortals").start(&workspace);
    wait::until_true("every call has arrived", Duration::from_secs(5), || {
        is(sipwarden.scrape().sum("sipwarden_requests_total", &[("method", "INVITE")]), 20.0)
    });
    sipwarden.process.signal("TERM");
    wait::until_true("it is not ready any more", Duration::from_secs(5), || !sipwarden.is_ready());
    sipwarden.process.expect_alive();
    Calls::to(sipwarden.sip, 5, 50).scenario("caller_refused").make(&workspace).expect_all_successful();
    let status = sipwarden.process.wait(Duration::from_secs(15));
    assert_eq!(status.code(), Some(0), "{}", sipwarden.process.log());
    running.finish().expect_all_successful();
}

#[test]
fn the_commands_speak_to_a_running_instance() {
    let workspace = Workspace::new("commands");
    let a = Callee::start(&workspace, "callee", Transport::Udp, Duration::ZERO);
    let b = Callee::start(&workspace, "callee", Transport::Udp, Duration::ZERO);
    let config = Config::new().with_set("pbx", "udp", &[("a", a.address), ("b", b.address)]);
    let mut sipwarden = Sipwarden::start(&workspace, &config);
    sipwarden.wait_until_up("pbx", 2);

    let healthy = sipwarden.ask(&["healthcheck"]);
    assert_eq!(healthy.code, Some(0), "{healthy:?}");

    let listed = sipwarden.ask(&["list", "--json"]);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let json: serde_json::Value = serde_json::from_str(&listed.stdout).expect("list --json prints JSON");
    let ids: Vec<_> = json
        .pointer("/sets/0/destinations")
        .and_then(|d| d.as_array())
        .into_iter()
        .flatten()
        .filter_map(|destination| {
            Some((destination.get("id")?.as_str()?, destination.get("state")?.as_str()?))
        })
        .collect();
    assert_eq!(ids, [("a", "up"), ("b", "up")], "{}", listed.stdout);
    let in_force = http::get(sipwarden.http, "/api/v1/config").expect("sipwarden answers").json();
    let destinations = in_force.pointer("/config/sets/pbx/destinations").and_then(|list| list.as_array());
    assert_eq!(destinations.map(Vec::len), Some(2), "{in_force}");
    let hash = in_force.pointer("/hash").and_then(serde_json::Value::as_f64).expect("a hash");
    assert!(is(sipwarden.scrape().sum("sipwarden_config_hash", &[]), hash), "{hash}");
    let table = sipwarden.ask(&["list", "pbx"]);
    assert!(table.code == Some(0) && table.stdout.contains("2 of 2 up"), "{table:?}");
    let unknown = sipwarden.ask(&["list", "pbxx"]);
    assert!(unknown.code == Some(1) && unknown.stderr.contains("pbx"), "{unknown:?}");

    // A drained destination gets no new call, and says so.
    let drained = sipwarden.ask(&["set-state", "pbx", "a", "draining"]);
    assert_eq!(drained.code, Some(0), "{drained:?}");
    sipwarden.wait_until_usable("pbx", "a", false);
    let labels = [("destination", "a"), ("state", "draining")];
    assert!(is(sipwarden.scrape().sum("sipwarden_destination_state", &labels), 1.0));
    Calls::to(sipwarden.sip, 20, 50).make(&workspace).expect_all_successful();
    assert!(is(sipwarden.scrape().sum("sipwarden_selections_total", &[("destination", "a")]), 0.0));
    let enabled = sipwarden.ask(&["set-state", "pbx", "a", "enabled"]);
    assert_eq!(enabled.code, Some(0), "{enabled:?}");
    sipwarden.wait_until_usable("pbx", "a", true);
    let unknown = sipwarden.ask(&["set-state", "pbx", "c", "draining"]);
    assert!(unknown.code == Some(1) && unknown.stderr.contains('c'), "{unknown:?}");
    let unchanged = sipwarden.ask(&["reload"]);
    assert_eq!(unchanged.code, Some(0), "{unchanged:?}");

    sipwarden.process.signal("TERM");
    assert_eq!(sipwarden.process.wait(Duration::from_secs(10)).code(), Some(0));
    let gone = sipwarden.ask(&["healthcheck"]);
    assert_eq!(gone.code, Some(1), "{gone:?}");
    assert!(!gone.stderr.is_empty());
}
