//! Who may send what.

use crate::sim::*;
use sipwarden::facts::Transport;
use sipwarden::facts::event::{Event, Refusal};

fn refusals(world: &World) -> Vec<Refusal> {
    let refusals = world.events.iter().filter_map(|event| match event {
        Event::RequestRefused { reason, .. } => Some(*reason),
        _ => None,
    });
    refusals.collect()
}

#[test]
fn a_call_from_a_destination_goes_out_by_its_request_uri_and_not_back_into_the_set() {
    let mut world = World::new(TWO);
    let mut call = Call::from("outbound", D1);
    call.uri = "sip:+4930@198.51.100.20:5062".into();
    world.receive(D1, &call.request("INVITE"));
    let invite = world.sent_to("198.51.100.20:5062", "INVITE sip:+4930@198.51.100.20:5062");
    world.quiet(D2);
    // The carrier's BYE comes back along our Record-Route, whose mark lets it in.
    world.receive("198.51.100.20:5062", &reply(&invite.text, 200, "carrier", "sip:+4930@198.51.100.20:5062"));
    world.drain(D1);
    let mut carrier = Call::from("outbound", "198.51.100.20:5062");
    carrier.to_tag = Some("from-outbound".into());
    carrier.routes = headers(&invite.text, "Record-Route").map(str::to_owned).collect();
    carrier.uri = format!("sip:alice@{D1}");
    world.receive(
        "198.51.100.20:5062",
        &carrier.request("BYE").replace("tag=from-outbound\r\nTo", "tag=carrier\r\nTo"),
    );
    world.sent_to(D1, "BYE");
}

#[test]
fn a_call_from_a_destination_to_us_is_nobodys() {
    let mut world = World::new(TWO);
    world.receive(D1, &Call::from("inwards", D1).request("INVITE"));
    world.sent_to(D1, "SIP/2.0 404");
    world.quiet(D2);
    assert_eq!(refusals(&world), [Refusal::NoRoute]);
}

#[test]
fn a_preloaded_route_to_elsewhere_is_forbidden() {
    let mut world = World::new(TWO);
    let mut call = Call::new("preloaded");
    call.routes = vec!["<sip:198.51.100.9;lr>".into()];
    world.receive(CALLER, &call.request("INVITE"));
    world.sent_to(CALLER, "SIP/2.0 403");
    world.quiet("198.51.100.9:5060");
    call.routes = vec![format!("<sip:{PROXY};lr>"), "<sip:198.51.100.9;lr>".into()];
    world.receive(CALLER, &call.request("INVITE"));
    world.sent_to(CALLER, "SIP/2.0 403");
    call.routes =
        vec![format!("<sip:{PROXY};lr;d=0123456789abcdef.0123456789abcdef>"), "<sip:198.51.100.9;lr>".into()];
    world.receive(CALLER, &call.request("INVITE"));
    world.sent_to(CALLER, "SIP/2.0 403");
    world.advance(40_000);
    let strays: Vec<Sent> =
        world.drain_all().into_iter().filter(|sent| sent.hop.remote != address(CALLER)).collect();
    assert!(strays.is_empty(), "{strays:#?}");
    assert_eq!(refusals(&world), [Refusal::Forbidden; 3]);
}

#[test]
fn an_invented_to_tag_opens_no_relay() {
    let mut world = World::new(TWO);
    let mut call = Call::new("invented");
    call.to_tag = Some("x".into());
    call.uri = "sip:victim@198.51.100.9".into();
    world.receive(CALLER, &call.request("INVITE"));
    world.sent_to(CALLER, "SIP/2.0 403");
    world.receive(CALLER, &call.ack());
    world.quiet("198.51.100.9:5060");
}

#[test]
fn a_route_for_calls_from_a_set_leads_to_another_set() {
    let yaml = "
listen: [\"udp://10.0.0.1:5060\"]
sets:
  pbx: {destinations: [{id: d1, uri: \"sip:10.0.1.1:5060\"}]}
  carriers: {destinations: [{id: c1, uri: \"sip:10.0.2.1:5060\"}], sources: [198.51.100.0/24]}
routes:
  - {from_set: pbx, set: carriers}
  - {ruri_user: \"^1\", set: pbx}
";
    let mut world = World::new(yaml);
    world.receive(D1, &Call::from("out", D1).request("INVITE"));
    world.sent_to("10.0.2.1:5060", "INVITE");
    world.sent_to(D1, "SIP/2.0 100");
    world.receive(CALLER, &Call::new("in").request("INVITE"));
    world.sent_to(D1, "INVITE");
    let mut other = Call::new("none");
    other.uri = format!("sip:2000@{PROXY}");
    world.drain(CALLER);
    world.receive(CALLER, &other.request("INVITE"));
    world.sent_to(CALLER, "SIP/2.0 404");
    world.receive("198.51.100.77:5060", &Call::from("trunk", "198.51.100.77:5060").request("INVITE"));
    world.sent_to("198.51.100.77:5060", "SIP/2.0 100");
    world.sent_to(D1, "INVITE");
}

#[test]
fn a_route_asks_for_method_user_host_source_and_listener_and_the_first_that_fits_wins() {
    let yaml = "
listen: [\"udp://10.0.0.1:5060\", {name: inside, bind: \"tcp://10.0.0.1:5060\"}]
sets:
  by_method: {destinations: [\"sip:10.0.2.1\"]}
  by_host: {destinations: [\"sip:10.0.2.2\"]}
  by_source: {destinations: [\"sip:10.0.2.3\"]}
  by_listener: {destinations: [\"sip:10.0.2.4\"]}
  by_user: {destinations: [\"sip:10.0.2.5\"]}
routes:
  - {methods: [REGISTER, MESSAGE], set: by_method}
  - {ruri_host: PBX.example, set: by_host}
  - {source: [198.51.100.0/24], ruri_user: \"^1\", set: by_source}
  - {listener: inside, set: by_listener}
  - {ruri_user: \"^1\", set: by_user}
";
    let elsewhere = "198.51.100.7:5070";
    let (udp, tcp) = (Transport::Udp, Transport::Tcp);
    for (transport, from, method, uri, to) in [
        (udp, CALLER, "MESSAGE", "sip:1000@pbx.example", "10.0.2.1:5060"),
        (udp, CALLER, "INVITE", "sip:1000@pbx.EXAMPLE", "10.0.2.2:5060"),
        (udp, elsewhere, "INVITE", "sip:1000@other.example", "10.0.2.3:5060"),
        (tcp, elsewhere, "INVITE", "sip:2000@other.example", "10.0.2.4:5060"),
        (tcp, CALLER, "INVITE", "sip:1000@other.example", "10.0.2.4:5060"),
        (udp, CALLER, "INVITE", "sip:1000@other.example", "10.0.2.5:5060"),
    ] {
        let mut world = World::new(yaml);
        let mut call = Call::from("routed", from);
        call.uri = uri.into();
        world.receive_over(transport, from, &call.request(method));
        world.sent_to(to, method);
    }
    let mut world = World::new(yaml);
    let mut call = Call::new("unrouted");
    call.uri = format!("sip:2000@{PROXY}");
    world.receive(CALLER, &call.request("INVITE"));
    world.sent_to(CALLER, "SIP/2.0 404");
    assert_eq!(refusals(&world), [Refusal::NoRoute]);
}

#[test]
fn a_mark_lets_nothing_in_that_is_not_inside_its_dialog() {
    let mut world = World::new(TWO);
    let mut call = Call::new("marked");
    world.receive(CALLER, &call.request("INVITE"));
    let invite = world.sent_to(D1, "INVITE");
    let ours = header(&invite.text, "Record-Route").unwrap().to_owned();
    world.drain(CALLER);
    call.routes = vec![ours, "<sip:203.0.113.66;lr>".into()];
    world.receive(CALLER, &call.request("INVITE"));
    world.sent_to(CALLER, "SIP/2.0 403");
    world.quiet("203.0.113.66:5060");
}
