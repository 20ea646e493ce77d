//! The real binary exports its spans to an OTLP collector: the tree of a call that failed over, of
//! one that nobody could take, and the probes around them, with right parents, kinds and times; traces
//! that join by header or Call-ID; collectors that are gone, silent or refusing.

#[path = "support/e2e/harness.rs"]
mod harness;

use harness::answerer::Answerer;
use harness::collector::{Collector, Span};
use harness::phone::Phone;
use harness::product::{Config, QUICK_PROBE, Sipwarden};
use harness::sipp::{Callee, Calls, Transport};
use harness::wait;
use harness::workspace::Workspace;
use harness::{address, inbox};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use sha2::{Digest, Sha256};
use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Rounding of clocks between the steps of one trace.
const ROUNDING: Duration = Duration::from_millis(2);

fn tracing(collector: &Collector) -> String {
    format!("tracing: {{otlp: \"{}\", protocol: http, ratio: 1.0, probe_ratio: 1.0}}", collector.url())
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    u64::try_from(since.as_nanos()).expect("it is earlier than 2554")
}

/// Waits for the span of the server transaction and gives its whole trace.
fn trace_of(collector: &Collector, method: &str) -> (Span, Vec<Span>) {
    let server = wait::until(&format!("the server span of {method}"), Duration::from_secs(20), || {
        let of_method = |span: &Span| span.kind == SpanKind::Server && span.name == method;
        collector.spans().into_iter().find(of_method)
    });
    // A trace is exported in one piece, the root last; a batch may still cut it in two.
    let attempts: usize = server.attribute("sipwarden.attempts").parse().expect("attempts are counted");
    let spans = wait::until("the attempts of that trace", Duration::from_secs(10), || {
        let spans = collector.trace(&server.trace);
        (spans.iter().filter(|span| span.kind == SpanKind::Client).count() == attempts).then_some(spans)
    });
    (server, spans)
}

fn only<'a>(spans: &'a [Span], what: &str, is: impl Fn(&Span) -> bool) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|span| is(span)).collect();
    match found.as_slice() {
        [span] => span,
        _ => panic!("{} spans are {what} in {spans:#?}", found.len()),
    }
}

fn attempt<'a>(spans: &'a [Span], number: &str) -> &'a Span {
    let is = |span: &Span| span.kind == SpanKind::Client && span.attribute("sipwarden.attempt") == number;
    only(spans, &format!("attempt {number}"), is)
}

fn selection<'a>(spans: &'a [Span], reason: &str) -> &'a Span {
    let is = |span: &Span| span.name == "select pbx" && span.attribute("sipwarden.reason") == reason;
    only(spans, &format!("selections for {reason}"), is)
}

/// Checks the tree of a call that `first` gave up and `second` answered, and its order in time.
fn expect_failed_over(server: &Span, spans: &[Span], cause: &str) {
    let failover = only(spans, "the failover", |span| span.name == "failover");
    let (primary, again) = (selection(spans, "primary"), selection(spans, "failover"));
    let (one, two) = (attempt(spans, "1"), attempt(spans, "2"));
    assert_eq!(spans.len(), 6, "{spans:#?}");

    assert!(server.parent.is_empty(), "the server span is the root");
    for child in [primary, one, failover, two] {
        assert_eq!(child.parent, server.id, "the parent of {child:#?}");
    }
    assert_eq!(again.parent, failover.id, "the second selection belongs to the failover");
    assert_eq!(two.links, [(server.trace.clone(), one.id.clone())], "the second attempt links to the first");
    for internal in [primary, again, failover] {
        assert_eq!(internal.kind, SpanKind::Internal);
    }
    for (span, destination) in [(primary, "first"), (one, "first"), (again, "second"), (two, "second")] {
        assert_eq!(span.attribute("sipwarden.destination"), destination, "{span:#?}");
    }
    assert_eq!(failover.attribute("sipwarden.failover.from"), "first");
    assert_eq!(failover.attribute("sipwarden.failover.to"), "second");
    assert_eq!(failover.attribute("sipwarden.failover.cause"), cause);
    assert_eq!(server.attribute("sip.response.status_code"), "200");
    assert_eq!(server.attribute("sipwarden.response.origin"), "upstream");
    assert_eq!(server.attribute("sipwarden.set"), "pbx");
    assert!(one.is_error && !two.is_error && !server.is_error && !failover.is_error);

    for child in spans {
        assert!(server.encloses(child), "{} lies outside of its root: {child:#?} {server:#?}", child.name);
    }
    let in_order = [primary.end, one.start, one.end, failover.start, two.start, two.end];
    let rounding = u64::try_from(ROUNDING.as_nanos()).expect("small");
    for (earlier, later) in in_order.iter().zip(in_order.iter().skip(1)) {
        assert!(*earlier <= later + rounding, "steps out of order: {in_order:?}");
    }
}

#[test]
fn a_call_that_failed_over_is_one_trace_with_every_step_in_it() {
    let workspace = Workspace::new("trace-failover");
    let collector = Collector::start();
    let first = Callee::start(&workspace, "callee_refuses", Transport::Udp, Duration::ZERO);
    let second = Callee::start(&workspace, "callee_slow", Transport::Udp, Duration::from_millis(200));
    let sets = format!(
        "sets:\n  pbx:\n    probe: {QUICK_PROBE}\n    destinations:\n\
         \x20     - {{id: first, uri: \"sip:{}\", priority: 0}}\n\
         \x20     - {{id: second, uri: \"sip:{}\", priority: 1}}",
        first.address, second.address
    );
    let sipwarden = Sipwarden::start(&workspace, &Config::new().with(&sets).with(&tracing(&collector)));
    sipwarden.wait_until_up("pbx", 2);
    let before = now();
    Calls::to(sipwarden.sip, 1, 1).make(&workspace).expect_all_successful();
    let after = now();

    let (server, spans) = trace_of(&collector, "INVITE");
    expect_failed_over(&server, &spans, "503");
    assert_eq!(attempt(&spans, "1").attribute("sip.response.status_code"), "503");
    assert_eq!(attempt(&spans, "2").attribute("sip.response.status_code"), "200");
    assert_eq!(attempt(&spans, "2").attribute("server.port"), second.address.port().to_string());
    for span in [&server, attempt(&spans, "2")] {
        assert_eq!(span.attribute("network.local.address"), sipwarden.sip.ip().to_string());
        assert_eq!(span.attribute("network.local.port"), sipwarden.sip.port().to_string());
    }
    for (key, end) in [
        ("server", sipwarden.sip.ip().to_string()),
        ("network.peer", server.attribute("client.address").to_owned()),
    ] {
        assert_eq!(server.attribute(&format!("{key}.address")), end, "{key}");
    }
    assert_eq!(server.attribute("server.port"), sipwarden.sip.port().to_string());
    assert_eq!(server.attribute("network.peer.port"), server.attribute("client.port"));
    assert!(server.attribute("sip.call_id").contains('@'), "{server:#?}");
    assert!(before <= server.start && server.end <= after, "the span lies outside of the call");
    let answered_after = attempt(&spans, "2").duration();
    assert!(
        answered_after >= Duration::from_millis(195),
        "the callee took 200 ms, the span {answered_after:?}"
    );
    assert!(answered_after <= Duration::from_secs(2), "{answered_after:?}");
    assert_eq!(server.resource.get("service.name").map(String::as_str), Some("sipwarden"));

    // What happens in the dialog is a trace of its own.
    let (bye, of_bye) = trace_of(&collector, "BYE");
    assert_ne!(bye.trace, server.trace);
    assert_eq!(bye.attribute("sip.dialog.in_dialog"), "true");
    assert_eq!(bye.attribute("sip.call_id"), server.attribute("sip.call_id"));
    assert!(of_bye.iter().all(|span| !span.name.starts_with("select")), "a BYE is never dispatched");

    // Probes are roots of their own.
    let probe = wait::until("a probe span", Duration::from_secs(10), || {
        collector.spans().into_iter().find(|span| span.name == "OPTIONS probe")
    });
    assert!(probe.parent.is_empty() && probe.kind == SpanKind::Client && !probe.is_error, "{probe:#?}");
    assert_eq!(probe.attribute("sipwarden.probe.result"), "success");
}

#[test]
fn silence_shows_as_an_attempt_as_long_as_the_patience() {
    let workspace = Workspace::new("trace-silence");
    let collector = Collector::start();
    let silent = UdpSocket::bind(address::endpoint()).expect("the address is free");
    let first = silent.local_addr().expect("a bound socket has an address");
    let second = Callee::start(&workspace, "callee", Transport::Udp, Duration::ZERO);
    let sets = format!(
        "sets:\n  pbx:\n    probe: {QUICK_PROBE}\n    failover: {{no_response_after: 700ms}}\n    destinations:\n\
         \x20     - {{id: first, uri: \"sip:{first}\", priority: 0, probe: {{enabled: false}}}}\n\
         \x20     - {{id: second, uri: \"sip:{}\", priority: 1}}",
        second.address
    );
    let sipwarden = Sipwarden::start(&workspace, &Config::new().with(&sets).with(&tracing(&collector)));
    sipwarden.wait_until_up("pbx", 2);
    Calls::to(sipwarden.sip, 1, 1).make(&workspace).expect_all_successful();

    let (server, spans) = trace_of(&collector, "INVITE");
    expect_failed_over(&server, &spans, "timeout");
    let patience = attempt(&spans, "1").duration();
    assert!(
        patience >= Duration::from_millis(695) && patience <= Duration::from_millis(1500),
        "{patience:?}"
    );
    assert_eq!(
        attempt(&spans, "1").attribute("sip.retransmissions"),
        "1",
        "Timer A fired once within 700 ms"
    );
}

#[test]
fn a_refused_call_and_the_failed_probes_behind_it_are_errors() {
    let workspace = Workspace::new("trace-refusal");
    let collector = Collector::start();
    let config = Config::new().with_set("pbx", "udp", &[("first", address::endpoint())]);
    let sipwarden = Sipwarden::start(&workspace, &config.with(&tracing(&collector)));
    sipwarden.wait_until_all_down("pbx", true);
    Calls::to(sipwarden.sip, 1, 1).scenario("caller_refused").make(&workspace).expect_all_successful();

    let (server, spans) = trace_of(&collector, "INVITE");
    assert!(server.is_error && server.attribute("sipwarden.response.origin") == "local", "{server:#?}");
    assert_eq!(server.attribute("sip.response.status_code"), "503");
    let select = only(&spans, "the selection", |span| span.name == "select pbx");
    assert!(select.is_error && select.parent == server.id, "{select:#?}");
    assert_eq!(spans.len(), 2, "{spans:#?}");

    let probe = wait::until("the probe that found it down", Duration::from_secs(10), || {
        let changed = |span: &Span| span.events.iter().any(|event| event == "destination.state_change");
        collector.spans().into_iter().find(|span| span.name == "OPTIONS probe" && changed(span))
    });
    assert!(probe.is_error, "{probe:#?}");
    assert_eq!(probe.attribute("sipwarden.probe.result"), "transport_error");
    assert_eq!(probe.attribute("sipwarden.destination"), "first");
}

#[test]
fn an_ejection_names_the_call_that_caused_it_in_its_log_line_and_the_next_probe_links_to_it() {
    let workspace = Workspace::new("trace-ejection");
    let collector = Collector::start();
    let first = Callee::start(&workspace, "callee_refuses", Transport::Udp, Duration::ZERO);
    let second = Callee::start(&workspace, "callee", Transport::Udp, Duration::ZERO);
    let sets = format!(
        "workers: 2\nsets:\n  pbx:\n    probe: {QUICK_PROBE}\n    passive: {{consecutive_failures: 3}}\n    \
         destinations: [{{id: first, uri: \"sip:{}\"}}, {{id: second, uri: \"sip:{}\", priority: 1}}]",
        first.address, second.address
    );
    let sipwarden = Sipwarden::start(&workspace, &Config::new().with(&sets).with(&tracing(&collector)));
    sipwarden.wait_until_up("pbx", 2);
    Calls::to(sipwarden.sip, 10, 20).make(&workspace).expect_all_successful();
    let line = wait::until("the line of the ejection", Duration::from_secs(10), || {
        let log = sipwarden.process.log();
        log.lines().find(|line| line.contains("\"to\":\"ejected\"")).map(str::to_owned)
    });
    let line: serde_json::Value = serde_json::from_str(&line).expect("a line is JSON");
    let named = |key: &str| line.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
    let attempt = wait::until("the attempt that it names", Duration::from_secs(10), || {
        let is = |span: &Span| {
            named("trace_id") == Some(hex(&span.trace)) && named("span_id") == Some(hex(&span.id))
        };
        collector.spans().into_iter().find(is)
    });
    assert_eq!(attempt.kind, SpanKind::Client);
    assert_eq!(attempt.attribute("sipwarden.destination"), "first");
    assert_eq!(attempt.attribute("sip.response.status_code"), "503");
    wait::until_true("a probe that links to it", Duration::from_secs(10), || {
        let cause = [(attempt.trace.clone(), attempt.id.clone())];
        collector.spans().iter().any(|span| span.name == "OPTIONS probe" && span.links == cause)
    });
}

const THEIRS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_trace_of_a_trusted_peer_goes_on_through_us_and_one_of_a_stranger_does_not() {
    for is_trusted in [true, false] {
        let workspace = Workspace::new(&format!("trace-joined-{is_trusted}"));
        let collector = Collector::start();
        let desk = Answerer::start();
        let phone = address::host();
        let trusted = if is_trusted { phone } else { address::host() };
        let tracing = format!(
            "access: {{trusted_peers: [{trusted}]}}\n\
             tracing: {{otlp: \"{}\", protocol: http, ratio: 0, propagation: both, capture_uris: plain}}",
            collector.url()
        );
        let config = Config::new().with_set("pbx", "udp", &[("desk", desk.address)]).with(&tracing);
        let sipwarden = Sipwarden::start(&workspace, &config);
        sipwarden.wait_until_up("pbx", 1);
        let uri = format!("sip:1000@{}", sipwarden.sip);
        let mut phone = Phone::new(Transport::Udp, phone.into(), sipwarden.sip, &uri);
        phone.request("MESSAGE", &format!("Traceparent: {THEIRS}\r\nTracestate: a=b\r\n"), "");
        assert!(phone.wait_for(|message| message.is_final("MESSAGE")), "{}", phone.story());
        let sent = desk.last().expect("the desk was asked");
        let lines = |name: &str| sent.lines().filter_map(|line| line.strip_prefix(name)).collect::<Vec<_>>();
        let [parent] = lines("Traceparent: ")[..] else { panic!("one Traceparent is sent: {sent}") };
        let [_, trace, span, flags] = parent.split('-').collect::<Vec<_>>()[..] else { panic!("{parent}") };
        assert_eq!(trace == "0af7651916cd43dd8448eb211c80319c", is_trusted, "{parent}");
        assert_eq!(flags == "01", is_trusted, "a trace that chance does not keep: {parent}");
        assert_eq!(lines("Tracestate: "), if is_trusted { vec!["a=b"] } else { vec![] });
        let counted = |decision| sipwarden.scrape().sum("sipwarden_traces_total", &[("decision", decision)]);
        if !is_trusted {
            assert!(counted("discarded") >= 1.0 && counted("kept_parent") < 1.0);
            continue;
        }
        let (server, spans) = trace_of(&collector, "MESSAGE");
        assert_eq!((hex(&server.trace).as_str(), hex(&server.parent).as_str()), (trace, "b7ad6b7169203331"));
        assert_eq!(hex(&attempt(&spans, "1").id), span, "the attempt is the parent of what it sends");
        assert_eq!(server.attribute("sip.request.uri"), uri);
        assert!(counted("kept_parent") >= 1.0);
    }
}

#[test]
fn with_trace_id_from_call_id_the_call_id_gives_the_trace_of_the_whole_call() {
    let workspace = Workspace::new("trace-call-id");
    let collector = Collector::start();
    let callee = Callee::start(&workspace, "callee", Transport::Udp, Duration::ZERO);
    let key = "a key that two instances may share\n";
    workspace.write("trace.key", key);
    let tracing = format!(
        "tracing: {{otlp: \"{}\", protocol: http, trace_id_from: call_id, trace_id_key_file: trace.key}}",
        collector.url()
    );
    let config = Config::new().with_set("pbx", "udp", &[("a", callee.address)]).with(&tracing);
    let sipwarden = Sipwarden::start(&workspace, &config);
    sipwarden.wait_until_up("pbx", 1);
    Calls::to(sipwarden.sip, 1, 1).make(&workspace).expect_all_successful();
    let server = |method: &str| {
        wait::until(&format!("the server span of {method}"), Duration::from_secs(20), || {
            let is = |span: &Span| span.kind == SpanKind::Server && span.name == method;
            collector.spans().into_iter().find(is)
        })
    };
    let (invite, bye) = (server("INVITE"), server("BYE"));
    let hash = Sha256::digest(format!("{key}{}", invite.attribute("sip.call_id")));
    assert_eq!(invite.trace, hash[..16]);
    assert_eq!(bye.trace, invite.trace);
    assert_ne!(bye.id, invite.id);
    assert_eq!(bye.links, [(invite.trace, invite.id)]);
}

#[test]
fn a_collector_that_is_gone_silent_or_refusing_costs_no_call_and_shows_in_the_metrics() {
    let silent = TcpListener::bind(address::endpoint()).expect("the address is free");
    let refusing = inbox::start(|_, _| false);
    for (what, collector, result, loss) in [
        ("gone", address::endpoint(), "error", "export_failed"),
        ("silent", silent.local_addr().expect("it is bound"), "timeout", "timeout"),
        ("refusing", refusing, "error", "export_failed"),
    ] {
        let workspace = Workspace::new(&format!("trace-collector-{what}"));
        let callee = Callee::start(&workspace, "callee", Transport::Udp, Duration::ZERO);
        let tracing = format!("tracing: {{otlp: \"http://{collector}\", protocol: http}}");
        let config = Config::new().with_set("pbx", "udp", &[("a", callee.address)]).with(&tracing);
        let patience = [("OTEL_EXPORTER_OTLP_TIMEOUT", "700")];
        let mut sipwarden = Sipwarden::start_in(&workspace, &config, &patience);
        sipwarden.wait_until_up("pbx", 1);
        Calls::to(sipwarden.sip, 60, 30).make(&workspace).expect_all_successful();
        wait::until_true(&format!("the loss shows, {what}"), Duration::from_secs(20), || {
            let scrape = sipwarden.scrape();
            scrape.sum("sipwarden_otlp_exports_total", &[("result", result)]) >= 1.0
                && scrape.sum("sipwarden_otlp_spans_dropped_total", &[("reason", loss)]) >= 1.0
        });
        let scrape = sipwarden.scrape();
        assert!(scrape.sum("sipwarden_otlp_spans_exported_total", &[]) < 1.0, "{what}");
        assert!(scrape.sum("sipwarden_traces_total", &[("decision", "kept_ratio")]) >= 60.0, "{what}");
        let told = sipwarden.process.log().matches("spans cannot be exported").count();
        assert_eq!(told, 1, "{what}: once, not for every export");
        // Nor does it hold up the end.
        sipwarden.process.signal("TERM");
        assert!(sipwarden.process.wait(Duration::from_secs(20)).success(), "{what}");
    }
}
