//! Route sets of every kind: strict routers, maddr, two Record-Routes, more than one element of
//! ours, early dialogs, subscriptions.

use crate::call::establish;
use crate::sim::*;
use sipwarden::facts::{Hop, ListenerId, Transport};
use sipwarden::proxy::Input;

/// The Record-Route URI of the INVITE that set a call up, without its brackets.
fn own_uri(invite: &Sent) -> String {
    header(&invite.text, "Record-Route").expect("it opens a dialog").trim_matches(['<', '>']).to_owned()
}

#[test]
fn behind_a_strict_router_the_request_uri_is_restored_from_the_last_route() {
    let mut world = World::new(TWO);
    let (mut call, invite) = establish(&mut world, "strict-before", D1);
    // RFC 3261 §16.4: it put our Record-Route URI into the Request-URI, the target behind the Routes.
    call.uri = own_uri(&invite);
    call.routes = vec![format!("<sip:1000@{D1}>")];
    world.receive(CALLER, &call.request("INFO"));
    let info = world.sent_to(D1, &format!("INFO sip:1000@{D1} SIP/2.0"));
    assert_eq!(header(&info.text, "Route"), None);
    world.receive(D1, &reply(&info.text, 200, "callee", ""));
    world.sent_to(CALLER, "SIP/2.0 200");

    // With another element between.
    call.routes = vec![format!("<sip:{D2};lr>"), format!("<sip:1000@{D1}>")];
    world.receive(CALLER, &call.request("INFO"));
    let info = world.sent_to(D2, &format!("INFO sip:1000@{D1} SIP/2.0"));
    assert_eq!(header(&info.text, "Route"), Some(format!("<sip:{D2};lr>").as_str()));
}

#[test]
fn before_a_strict_router_request_uri_and_route_change_places() {
    let mut world = World::new(TWO);
    let (mut call, _) = establish(&mut world, "strict-after", D1);
    // RFC 3261 §16.6 step 6: the next Route has no lr.
    call.routes.push(format!("<sip:{D2}>"));
    call.routes.push("<sip:third.example;lr>".into());
    world.receive(CALLER, &call.request("INFO"));
    let info = world.sent_to(D2, &format!("INFO sip:{D2} SIP/2.0"));
    let routes: Vec<&str> = headers(&info.text, "Route").collect();
    assert_eq!(routes, ["<sip:third.example;lr>", &format!("<sip:1000@{D1}>")]);
}

/// RFC 3261 §9.1 and §17.1.1.3: Request-URI and Routes of both are those of the INVITE as it was sent.
#[test]
fn before_a_strict_router_cancel_and_ack_go_the_way_of_their_re_invite() {
    let mut world = World::new(TWO);
    let (mut call, _) = establish(&mut world, "strict-cancel", D1);
    call.routes.push(format!("<sip:{D2}>"));
    call.routes.push("<sip:third.example;lr>".into());
    world.receive(CALLER, &call.request("INVITE"));
    let invite = world.sent_to(D2, &format!("INVITE sip:{D2} SIP/2.0"));
    let routes: Vec<&str> = headers(&invite.text, "Route").collect();
    assert_eq!(routes, ["<sip:third.example;lr>", &format!("<sip:1000@{D1}>")]);
    world.receive(D2, &reply(&invite.text, 180, "callee", ""));
    world.receive(CALLER, &call.companion("CANCEL"));
    let cancel = world.sent_to(D2, &format!("CANCEL sip:{D2} SIP/2.0"));
    assert_eq!(headers(&cancel.text, "Route").collect::<Vec<_>>(), routes);
    world.receive(D2, &reply(&cancel.text, 200, "callee", ""));
    world.receive(D2, &reply(&invite.text, 487, "callee", ""));
    let ack = world.sent_to(D2, &format!("ACK sip:{D2} SIP/2.0"));
    assert_eq!(headers(&ack.text, "Route").collect::<Vec<_>>(), routes);
    world.receive(CALLER, &call.companion("ACK"));
    world.quiet(D1);
}

#[test]
fn an_maddr_that_names_us_is_taken_off_the_request_uri() {
    let mut world = World::new(TWO);
    let mut call = Call::new("maddr-us");
    call.uri = "sip:1000@office.example:5060;maddr=10.0.0.1;transport=udp;user=phone".into();
    world.receive(CALLER, &call.request("INVITE"));
    world.sent_to(D1, "INVITE sip:1000@office.example:5060;user=phone SIP/2.0");
    // One that names somebody else is theirs.
    let mut other = Call::new("maddr-other");
    other.uri = "sip:1000@office.example;maddr=192.0.2.99".into();
    world.receive(CALLER, &other.request("INVITE"));
    world.sent_to(D1, "INVITE sip:1000@office.example;maddr=192.0.2.99 SIP/2.0");
    world.quiet("192.0.2.99:5060");
}

#[test]
fn an_maddr_decides_the_next_hop_and_never_leads_to_a_group() {
    let mut world = World::new(TWO);
    let (mut call, _) = establish(&mut world, "maddr-hop", D1);
    call.uri = "sip:1000@pbx.example:5060;maddr=10.0.1.2".into();
    world.receive(CALLER, &call.request("INFO"));
    world.sent_to(D2, "INFO sip:1000@pbx.example:5060;maddr=10.0.1.2 SIP/2.0");
    for group in ["224.0.1.75", "255.255.255.255", "0.0.0.0"] {
        call.uri = format!("sip:1000@10.0.1.1:5060;maddr={group}");
        world.receive(CALLER, &call.request("INFO"));
        world.sent_to(CALLER, "SIP/2.0 404");
        world.quiet(&format!("{group}:5060"));
    }
    world.quiet(D1);
}

#[test]
fn both_record_routes_of_a_call_between_transports_come_off_from_either_side() {
    let mut world = World::new(TWO);
    let mut call = Call::new("double");
    let invite = call.request("INVITE").replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    world.receive_over(Transport::Tcp, CALLER, &invite);
    let invite = world.sent_to(D1, "INVITE");
    assert_eq!(headers(&invite.text, "Record-Route").count(), 2);
    world.receive(D1, &reply(&invite.text, 200, "callee", &format!("sip:1000@{D1}")));
    world.drain(CALLER);

    let mut callee = Call::from("double", D1);
    callee.to_tag = Some("from-double".into());
    callee.routes = headers(&invite.text, "Record-Route").map(str::to_owned).collect();
    callee.uri = format!("sip:alice@{CALLER};transport=tcp");
    world.receive(D1, &callee.request("BYE").replace("tag=from-double\r\nTo", "tag=callee\r\nTo"));
    let bye = world.sent_to(CALLER, "BYE sip:alice@");
    assert_eq!((bye.hop.transport, header(&bye.text, "Route")), (Transport::Tcp, None));
}

#[test]
fn prack_and_update_of_an_early_dialog_follow_its_route_set() {
    let mut world = World::new(TWO);
    let mut call = Call::new("early");
    world.receive(CALLER, &call.request_with("INVITE", "Require: 100rel\r\n"));
    let first = world.sent_to(D1, "INVITE");
    // The second destination rings: the early dialog is its own.
    world.receive(D1, &reply(&first.text, 503, "one", ""));
    world.drain(D1);
    let invite = world.sent_to(D2, "INVITE");
    let ringing = reply(&invite.text, 183, "two", &format!("sip:1000@{D2}"))
        .replace("Content-Length", "Require: 100rel\r\nRSeq: 1\r\nContent-Length");
    world.receive(D2, &ringing);
    world.sent_to(CALLER, "SIP/2.0 100");
    let progress = world.sent_to(CALLER, "SIP/2.0 183");
    assert_eq!(header(&progress.text, "RSeq"), Some("1"));
    let mut early = call.clone();
    early.learn(&progress.text);
    for (method, line) in [("PRACK", "RAck: 1 1 INVITE\r\n"), ("UPDATE", "")] {
        world.receive(CALLER, &early.request_with(method, line));
        let sent = world.sent_to(D2, &format!("{method} sip:1000@{D2}"));
        assert_eq!(header(&sent.text, "Route"), None);
        world.receive(D2, &reply(&sent.text, 200, "two", ""));
        world.sent_to(CALLER, "SIP/2.0 200");
    }
    world.receive(D2, &reply(&invite.text, 200, "two", &format!("sip:1000@{D2}")));
    world.sent_to(CALLER, "SIP/2.0 200");
    world.quiet(D1);
    world.settle();
}

#[test]
fn a_notify_that_overtakes_the_200_to_its_subscribe_arrives() {
    let mut world = World::new(TWO);
    let mut call = Call::new("subscribe");
    world.receive(CALLER, &call.request_with("SUBSCRIBE", "Event: presence\r\n"));
    let subscribe = world.sent_to(D1, "SUBSCRIBE");
    let route = header(&subscribe.text, "Record-Route").unwrap().to_owned();
    let mut notifier = Call::from("subscribe", D1);
    notifier.to_tag = Some("from-subscribe".into());
    notifier.routes = vec![route];
    notifier.uri = format!("sip:alice@{CALLER}");
    world.receive(D1, &notifier.request("NOTIFY").replace("tag=from-subscribe\r\nTo", "tag=notifier\r\nTo"));
    let notify = world.sent_to(CALLER, "NOTIFY sip:alice@");
    world.receive(CALLER, &reply(&notify.text, 200, "x", ""));
    world.sent_to(D1, "SIP/2.0 200");
    world.receive(D1, &reply(&subscribe.text, 200, "notifier", &format!("sip:1000@{D1}")));
    world.sent_to(CALLER, "SIP/2.0 200");
    world.settle();
}

#[test]
fn a_callee_that_lost_the_route_set_reaches_the_caller() {
    let mut world = World::new(TWO);
    establish(&mut world, "lost", D1);
    let mut callee = Call::from("lost", D1);
    callee.to_tag = Some("from-lost".into());
    callee.uri = format!("sip:{PROXY}");
    world.receive(D1, &callee.request("BYE").replace("tag=from-lost\r\nTo", "tag=callee\r\nTo"));
    let bye = world.sent_to(CALLER, &format!("BYE sip:alice@{CALLER}"));
    world.receive(CALLER, &reply(&bye.text, 200, "x", ""));
    world.sent_to(D1, "SIP/2.0 200");
}

#[test]
fn an_ack_without_a_to_tag_or_without_hops_left_goes_nowhere() {
    let mut world = World::new(TWO);
    let (mut call, _) = establish(&mut world, "acks", D1);
    world.receive(CALLER, &call.ack().replace("Max-Forwards: 70", "Max-Forwards: 0"));
    call.to_tag = None;
    world.receive(CALLER, &call.ack().replace("branch=z9hG4bK", "branch=z9hG4bKother"));
    world.quiet(CALLER);
    world.quiet(D1);
    world.quiet(D2);
}

/// A call through `yaml` from `caller` to `callee`: the INVITE as the callee gets it, and the BYEs of
/// both sides, each as the other gets it.
fn call_through(yaml: &str, caller: &str, callee: &str) -> (Sent, Sent, Sent) {
    let mut world = World::new(yaml);
    let mut call = Call::from("through", caller);
    let listener = |party: &str| u8::from(party.starts_with('['));
    let receive = |world: &mut World, from: &str, text: &str| {
        let listener = ListenerId::new(listener(from));
        let hop = Hop { transport: Transport::Udp, listener, remote: address(from), connection: None };
        world.input(Input::Message { hop, bytes: text.as_bytes() });
    };
    receive(&mut world, caller, &call.request("INVITE"));
    let invite = world.sent_to(callee, "INVITE");
    receive(&mut world, callee, &reply(&invite.text, 200, "callee", &format!("sip:1000@{callee}")));
    call.learn(&world.drain(caller).pop().expect("the 200 goes up").text);
    receive(&mut world, caller, &call.request("BYE"));
    let forth = world.sent_to(callee, "BYE");
    let mut back = Call::from("through", callee);
    back.to_tag = Some("from-through".into());
    back.routes = headers(&invite.text, "Record-Route").map(str::to_owned).collect();
    back.uri = format!("sip:alice@{caller}");
    receive(&mut world, callee, &back.request("BYE").replace("tag=from-through\r\nTo", "tag=callee\r\nTo"));
    let back = world.sent_to(caller, "BYE");
    (invite, forth, back)
}

fn hosts_of_record_routes(invite: &Sent) -> Vec<&str> {
    let values = headers(&invite.text, "Record-Route");
    values.map(|value| value.trim_start_matches("<sip:").split(";lr").next().unwrap_or_default()).collect()
}

#[test]
fn between_address_families_two_record_routes_lead_either_side_through_us() {
    // RFC 5658 §4, RFC 5118 §4.
    let yaml = "
listen: [\"udp://10.0.0.1:5060\", \"udp://[2001:db8::1]:5060\"]
sets: {pbx: {destinations: [\"sip:[2001:db8::21]:5060\"]}}
";
    let (invite, forth, back) = call_through(yaml, CALLER, "[2001:db8::21]:5060");
    assert!(header(&invite.text, "Via").unwrap().starts_with("SIP/2.0/UDP [2001:db8::1]:5060;rport;branch="));
    assert_eq!(hosts_of_record_routes(&invite), ["[2001:db8::1]:5060", "10.0.0.1:5060"]);
    for (bye, via) in [(&forth, "SIP/2.0/UDP [2001:db8::1]:5060;"), (&back, "SIP/2.0/UDP 10.0.0.1:5060;")] {
        assert_eq!(header(&bye.text, "Route"), None);
        assert!(header(&bye.text, "Via").unwrap().starts_with(via));
    }
    let via = headers(&back.text, "Via").nth(1).unwrap();
    assert!(
        via.ends_with(";rport=5060;received=2001:db8::21") || via.contains(";received=2001:db8::21"),
        "{via}"
    );
}

#[test]
fn between_an_advertised_and_a_local_address_two_record_routes_lead_either_side_through_us() {
    let yaml = "
listen: [{bind: \"udp://10.0.0.1:5060\", advertise: \"sip.example.net:5080\", local: [10.0.0.0/8]}]
sets: {pbx: {destinations: [\"sip:10.0.1.1:5060\"]}}
";
    let (invite, forth, back) = call_through(yaml, CALLER, D1);
    assert!(header(&invite.text, "Via").unwrap().starts_with("SIP/2.0/UDP 10.0.0.1:5060;"));
    assert_eq!(hosts_of_record_routes(&invite), ["10.0.0.1:5060", "sip.example.net:5080"]);
    assert_eq!((header(&forth.text, "Route"), header(&back.text, "Route")), (None, None));
    assert!(header(&back.text, "Via").unwrap().starts_with("SIP/2.0/UDP sip.example.net:5080;"));
    // Inside the local networks there is one name, and one value.
    let (invite, ..) = call_through(yaml, "10.0.3.7:5070", D1);
    assert_eq!(hosts_of_record_routes(&invite), ["10.0.0.1:5060"]);
}

#[test]
fn record_route_can_be_turned_off() {
    let mut world = World::new(&format!("{TWO}sip: {{record_route: false}}\n"));
    for method in ["INVITE", "SUBSCRIBE", "REFER"] {
        world.receive(CALLER, &Call::new(method).request(method));
        let sent = world.sent_to(D1, method);
        assert_eq!(header(&sent.text, "Record-Route"), None);
    }
}

#[test]
fn only_what_may_open_a_dialog_is_record_routed() {
    let mut world = World::new(TWO);
    for (method, count) in [
        ("INVITE", 1),
        ("SUBSCRIBE", 1),
        ("REFER", 1),
        ("REGISTER", 0),
        ("MESSAGE", 0),
        ("OPTIONS", 0),
        ("PUBLISH", 0),
    ] {
        world.receive(CALLER, &Call::new(method).request(method));
        let sent = world.sent_to(D1, method);
        assert_eq!(headers(&sent.text, "Record-Route").count(), count, "{method}");
    }
}
