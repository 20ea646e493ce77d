//! Trace contexts in requests, and what a record tells of who calls whom.

use crate::call::establish;
use crate::sim::*;
use sipwarden::facts::record::TransactionRecord;
use sipwarden::facts::trace::TraceParent;

const THEIRS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const THEIR_TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;

/// Two destinations, with these lines more; the caller is at 192.0.2.7.
fn world(more: &str) -> World {
    World::new(&format!("{TWO}{more}\n"))
}

fn propagating(how: &str, trusted: &str) -> World {
    world(&format!("access: {{trusted_peers: [{trusted}]}}\ntracing: {{propagation: {how}}}"))
}

/// An INVITE with a trace context of its sender.
fn traced(id: &str) -> String {
    Call::new(id).request_with("INVITE", &format!("traceparent: {THEIRS}\r\nTracestate: vendor=1\r\n"))
}

/// The record of the only INVITE, which has been answered.
fn record(world: &World) -> TransactionRecord {
    let records = world.records("INVITE");
    assert_eq!(records.len(), 1);
    records[0].clone()
}

/// The trace context of a message: Traceparent and Tracestate.
fn context(message: &Sent) -> (Option<&str>, Option<&str>) {
    let parents =
        headers(&message.text, "Traceparent").count() + headers(&message.text, "traceparent").count();
    assert!(parents <= 1, "{}", message.text);
    let parent = header(&message.text, "Traceparent").or(header(&message.text, "traceparent"));
    (parent, header(&message.text, "Tracestate"))
}

fn parsed(message: &Sent) -> TraceParent {
    let (parent, _) = context(message);
    TraceParent::parse(parent.expect("it carries a Traceparent").as_bytes()).expect("it is well-formed")
}

#[test]
fn off_leaves_a_trace_context_alone_and_believes_none() {
    let mut world = world("");
    world.receive(CALLER, &traced("off"));
    let invite = world.sent_to(D1, "INVITE");
    assert_eq!(context(&invite), (Some(THEIRS), Some("vendor=1")));
    world.receive(D1, &reply(&invite.text, 486, "callee", ""));
    let record = record(&world);
    assert_ne!(record.span.trace(), THEIR_TRACE);
    assert_eq!(record.parent, None);
}

#[test]
fn inject_makes_each_attempt_the_parent_of_what_it_sends() {
    let mut world = propagating("inject", "");
    world.receive(CALLER, &traced("inject"));
    let first = world.sent_to(D1, "INVITE");
    assert_eq!(context(&first).1, None, "the Tracestate of somebody who is not believed");
    world.advance(600);
    assert_eq!(world.sent_to(D1, "INVITE").text, first.text, "Timer A repeats the same bytes");
    world.receive(D1, &reply(&first.text, 503, "callee", ""));
    let ack = world.sent_to(D1, "ACK");
    assert_eq!(context(&ack), (None, None));
    let second = world.sent_to(D2, "INVITE");
    world.receive(D2, &reply(&second.text, 486, "callee", ""));
    let record = record(&world);
    for (attempt, sent) in record.attempts.iter().zip([&first, &second]) {
        let parent = parsed(sent);
        assert_eq!(parent.span, record.span.attempt(attempt.number));
        assert_ne!(parent.span.trace(), THEIR_TRACE);
        assert!(parent.is_sampled, "every trace is kept by default");
    }
    assert_eq!(record.parent, None, "nobody is believed");
}

#[test]
fn a_trace_that_chance_does_not_keep_is_called_not_sampled() {
    let mut world = world("tracing: {propagation: inject, ratio: 0}");
    world.receive(CALLER, &Call::new("share").request("INVITE"));
    assert!(!parsed(&world.sent_to(D1, "INVITE")).is_sampled);
}

#[test]
fn accept_believes_trusted_peers_and_strips_what_others_say() {
    for (trusted, is_believed) in [("192.0.2.0/24", true), ("198.51.100.0/24", false)] {
        let mut world = propagating("accept", trusted);
        world.receive(CALLER, &traced("accept"));
        let invite = world.sent_to(D1, "INVITE");
        let expected = if is_believed { (Some(THEIRS), Some("vendor=1")) } else { (None, None) };
        assert_eq!(context(&invite), expected, "{trusted}");
        world.receive(D1, &reply(&invite.text, 486, "callee", ""));
        let record = record(&world);
        let parent = TraceParent::parse(THEIRS.as_bytes());
        assert_eq!(record.parent, parent.filter(|_| is_believed), "{trusted}");
        assert_eq!(record.span.trace() == THEIR_TRACE, is_believed, "{trusted}");
        assert_ne!(record.span, parent.expect("valid").span, "a span of our own");
    }
}

#[test]
fn an_ack_to_a_2xx_carries_no_trace_context_of_strangers() {
    for (how, goes_on) in [("off", true), ("accept", false), ("inject", false)] {
        let mut world = propagating(how, "198.51.100.1");
        let mut call = Call::new(how);
        world.receive(CALLER, &call.request("INVITE"));
        world.sent_to(CALLER, "SIP/2.0 100");
        let invite = world.sent_to(D1, "INVITE");
        world.receive(D1, &reply(&invite.text, 200, "callee", "sip:1000@10.0.1.1:5060"));
        call.learn(&world.sent_to(CALLER, "SIP/2.0 200").text);
        let ack = call.ack().replacen("Max-Forwards", &format!("Traceparent: {THEIRS}\r\nMax-Forwards"), 1);
        world.receive(CALLER, &ack);
        let ack = world.sent_to(D1, "ACK");
        assert_eq!(context(&ack).0, goes_on.then_some(THEIRS), "{how}");
    }
}

#[test]
fn both_continues_a_trusted_trace_through_us() {
    let mut world = propagating("both", "192.0.2.7");
    world.receive(CALLER, &traced("both"));
    let invite = world.sent_to(D1, "INVITE");
    assert_eq!(context(&invite).1, Some("vendor=1"));
    let parent = parsed(&invite);
    assert_eq!((parent.span.trace(), parent.is_sampled), (THEIR_TRACE, true));
    world.receive(D1, &reply(&invite.text, 486, "callee", ""));
    let record = record(&world);
    assert_eq!(parent.span, record.span.attempt(1));
}

#[test]
fn what_stands_beside_a_traceparent_that_is_none_does_not_go_on_beside_ours() {
    for broken in [format!("{THEIRS}\r\nTraceparent: {THEIRS}"), THEIRS.to_uppercase()] {
        let mut world = propagating("both", "192.0.2.7");
        let lines = format!("Traceparent: {broken}\r\nTracestate: vendor=1\r\n");
        world.receive(CALLER, &Call::new("broken").request_with("INVITE", &lines));
        let invite = world.sent_to(D1, "INVITE");
        assert_eq!(context(&invite).1, None, "W3C Trace Context §3.3");
        assert_ne!(parsed(&invite).span.trace(), THEIR_TRACE);
    }
}

#[test]
fn a_doubled_or_broken_traceparent_begins_a_trace_of_our_own() {
    for broken in [format!("{THEIRS}\r\nTraceparent: {THEIRS}"), THEIRS.to_uppercase(), String::new()] {
        let mut world = propagating("accept", "192.0.2.7");
        let line = format!("Traceparent: {broken}\r\n");
        world.receive(CALLER, &Call::new("broken").request_with("INVITE", &line));
        let invite = world.sent_to(D1, "INVITE");
        world.receive(D1, &reply(&invite.text, 486, "callee", ""));
        let record = record(&world);
        assert_eq!(record.parent, None, "{broken:?}");
    }
}

/// A key file of this content, and the configuration that names it.
fn keyed() -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config/valid/secret.txt");
    format!("tracing: {{trace_id_from: call_id, trace_id_key_file: {file}}}")
}

#[test]
fn with_call_id_all_transactions_of_a_call_are_one_trace_and_each_a_span_of_its_own() {
    let mut world = world(&keyed());
    let (mut call, _) = establish(&mut world, "one-trace", D1);
    world.receive(CALLER, &call.request("BYE"));
    let bye = world.sent_to(D1, "BYE");
    world.receive(D1, &reply(&bye.text, 200, "callee", ""));
    let (invites, byes) = (world.records("INVITE"), world.records("BYE"));
    assert_eq!(invites[0].span.trace(), byes[0].span.trace());
    assert_ne!(invites[0].span, byes[0].span);
    assert_eq!(byes[0].dialog, Some(invites[0].span));
    let mut other = self::world(&keyed());
    let (_, _) = establish(&mut other, "one-trace", D1);
    assert_eq!(other.records("INVITE")[0].span.trace(), invites[0].span.trace(), "of any instance");
    let (_, _) = establish(&mut other, "another", D1);
    assert_ne!(other.records("INVITE")[1].span.trace(), invites[0].span.trace());
}

#[test]
fn uris_are_recorded_as_configured() {
    let invite = || {
        let invite = Call::new("uris").request("INVITE");
        let from = header(&invite, "From").expect("From").to_owned();
        invite.replacen(&from, "<sip:alice:secret@192.0.2.7;x=1>;tag=a1", 1)
    };
    let recorded = |how: &str| {
        let mut world = world(&format!("tracing: {{capture_uris: {how}}}"));
        world.receive(CALLER, &invite());
        let sent = world.sent_to(D1, "INVITE");
        world.receive(D1, &reply(&sent.text, 486, "callee", ""));
        let uris = world.records("INVITE")[0].uris.clone();
        uris.map(|uris| [uris.request, uris.from, uris.to].map(|text| text.as_str().to_owned()))
    };
    assert_eq!(recorded("off"), None);
    let plain = recorded("plain").expect("recorded");
    assert!(plain[0].starts_with("sip:1000@"), "{plain:?}");
    assert_eq!(plain[1], "sip:alice@192.0.2.7");
    let hashed = recorded("hashed").expect("recorded");
    for (hash, uri) in hashed.iter().zip(&plain) {
        assert!(hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hash} of {uri}");
    }
    assert_ne!(hashed[0], hashed[1]);
    assert_eq!(recorded("hashed"), Some(hashed));
}

/// The UUIDs of the caller and the callee in Session-ID (RFC 7989 §5).
const SESSIONS: [&str; 2] = ["ab30317f1a784dc48ff824d0d3715d86", "47755a9de7794ba387653f2099600ef2"];
const NOBODY: &str = "00000000000000000000000000000000";

fn by_session(trusted: &str) -> World {
    world(&format!("access: {{trusted_peers: [{trusted}]}}\ntracing: {{trace_id_from: session_id}}"))
}

fn session(local: &str, remote: &str) -> String {
    format!("Session-ID: {local};remote={remote}\r\n")
}

/// The trace of an INVITE with these lines, which its destination refuses.
fn trace_of(world: &mut World, id: &str, lines: &str) -> u128 {
    for at in [D1, D2] {
        world.drain(at);
    }
    world.receive(CALLER, &Call::new(id).request_with("INVITE", lines));
    let at = if world.core_sent(D1) { D1 } else { D2 };
    let invite = world.sent_to(at, "INVITE");
    world.receive(at, &reply(&invite.text, 486, "callee", ""));
    world.records("INVITE").last().expect("it has ended").span.trace()
}

#[test]
fn with_session_id_the_uuid_of_the_caller_is_the_trace_of_the_whole_call() {
    let [caller, callee] = SESSIONS;
    let expected = u128::from_str_radix(caller, 16).expect("a UUID");
    // The destinations are no trusted peers: the dialog vouches for what they send.
    let mut world = by_session("192.0.2.7");
    let mut call = Call::new("session");
    world.receive(CALLER, &call.request_with("INVITE", &session(caller, NOBODY)));
    world.sent_to(CALLER, "SIP/2.0 100");
    let invite = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&invite.text, 200, "callee", &format!("sip:1000@{D1}")));
    call.learn(&world.sent_to(CALLER, "SIP/2.0 200").text);
    world.receive(CALLER, &call.ack());
    world.sent_to(D1, "ACK");
    world.receive(CALLER, &call.request_with("INFO", &session(caller, callee)));
    let info = world.sent_to(D1, "INFO");
    world.receive(D1, &reply(&info.text, 200, "callee", ""));
    world.sent_to(CALLER, "SIP/2.0 200");
    // From the other side, the UUIDs have changed places.
    let mut answering = Call::from("session", D1);
    answering.to_tag = Some("from-session".into());
    answering.routes = headers(&invite.text, "Record-Route").map(str::to_owned).collect();
    answering.uri = format!("sip:alice@{CALLER}");
    let bye = answering.request_with("BYE", &session(callee, caller));
    world.receive(D1, &bye.replace("tag=from-session\r\nTo", "tag=callee\r\nTo"));
    let bye = world.sent_to(CALLER, "BYE");
    world.receive(CALLER, &reply(&bye.text, 200, "", ""));
    let spans = ["INVITE", "INFO", "BYE"].map(|method| world.records(method)[0].span);
    for (span, method) in spans.iter().zip(["INVITE", "INFO", "BYE"]) {
        assert_eq!(format!("{:032x}", span.trace()), format!("{expected:032x}"), "{method}");
    }
    assert!(spans[0] != spans[1] && spans[1] != spans[2], "each is a span of its own");
}

#[test]
fn a_session_id_of_strangers_or_none_leaves_the_trace_to_chance() {
    let [caller, callee] = SESSIONS;
    let number = |uuid: &str| u128::from_str_radix(uuid, 16).expect("a UUID");
    let mut world = by_session("192.0.2.7");
    assert_eq!(trace_of(&mut world, "good", &session(caller, NOBODY)), number(caller));
    assert_eq!(trace_of(&mut world, "alone", &format!("Session-ID: {callee}\r\n")), number(callee));
    let doubled = [session(caller, NOBODY), session(callee, NOBODY)].concat();
    for (id, lines) in [
        ("absent", ""),
        ("nil", &session(NOBODY, callee)),
        ("upper", &session(&caller.to_uppercase(), NOBODY)),
        ("short", &session(&caller[1..], NOBODY)),
        ("doubled", &doubled),
    ] {
        let traces = [1, 2].map(|n| trace_of(&mut world, &format!("{id}-{n}"), lines));
        assert_ne!(traces[0], traces[1], "{id}");
        assert!(!traces.contains(&number(caller)) && !traces.contains(&0), "{id}");
    }
    let mut world = by_session("198.51.100.0/24");
    let theirs = trace_of(&mut world, "stranger", &session(caller, NOBODY));
    assert_ne!(theirs, number(caller), "a stranger chooses the trace");
}
