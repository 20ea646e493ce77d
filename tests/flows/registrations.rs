//! Registrations: who gets them, and how calls find the phone again (RFC 3327, RFC 5626).

use crate::sim::*;
use sipwarden::facts::event::{Event, Origin, Refusal, SelectionReason};
use sipwarden::facts::{Algorithm, ConnectionId, Transport};
use sipwarden::proxy::Input;

/// Where the phones say that they are: nothing that we could reach.
const CONTACT: &str = "sip:alice@192.168.77.5:5062";
const CONNECTION: ConnectionId = ConnectionId(7);

fn with_path() -> String {
    format!("{TWO}sip: {{path: true}}\n")
}

/// A request outside a dialog for a user.
fn for_user(method: &str, user: &str, id: &str) -> String {
    let mut call = Call::new(id);
    call.uri = format!("sip:{PROXY}");
    let request = call.request(method);
    request.replace("To: <sip:1000@", &format!("To: <sip:{user}@"))
}

/// A REGISTER of a phone with lines of its own.
fn register(id: &str, lines: &str) -> String {
    let mut call = Call::new(id);
    call.uri = format!("sip:{PROXY}");
    call.request_with("REGISTER", lines).replace("sip:alice@192.0.2.7:5070>\r\n", &format!("{CONTACT}>\r\n"))
}

/// Who got the next request, and the request.
fn taken(world: &mut World, method: &str) -> (&'static str, Sent) {
    let at = if world.core_sent(D1) { D1 } else { D2 };
    (at, world.sent_to(at, method))
}

fn home(world: &mut World, method: &str, user: &str, id: &str) -> &'static str {
    world.receive(CALLER, &for_user(method, user, id));
    let (at, sent) = taken(world, method);
    world.receive(at, &reply(&sent.text, 200, "pbx", ""));
    world.drain(CALLER);
    at
}

/// Registers a phone, and gives the value of its Path.
fn path_of(world: &mut World, over: Transport) -> String {
    let request = register("path", "");
    match over {
        Transport::Udp => world.receive(CALLER, &request),
        Transport::Tcp => {
            world.receive_on(CONNECTION, CALLER, &request.replace("SIP/2.0/UDP", "SIP/2.0/TCP"))
        }
    }
    let (at, sent) = taken(world, "REGISTER");
    world.receive(at, &reply(&sent.text, 200, "pbx", ""));
    world.drain(CALLER);
    world.events.clear();
    header(&sent.text, "Path").expect("a Path").to_owned()
}

/// A call of the first destination to the phone that registered with this Path.
fn call_to_phone(id: &str, path: &str) -> Call {
    Call { uri: CONTACT.into(), routes: vec![path.into()], ..Call::from(id, D1) }
}

fn refusals(world: &World) -> Vec<Refusal> {
    let refused = world.events.iter().filter_map(|event| match event {
        Event::RequestRefused { reason, .. } => Some(*reason),
        _ => None,
    });
    refused.collect()
}

#[test]
fn what_a_user_registers_goes_to_one_destination_whatever_the_algorithm() {
    let alike = "hash\n    hash: {key: [to], compat: kamailio}";
    let words = Algorithm::ALL.iter().map(|algorithm| algorithm.as_str()).chain([alike]);
    let mut first_homes = None;
    for word in words {
        let yaml = TWO.replace("algorithm: priority", &format!("algorithm: {word}"));
        let mut world = World::new(&yaml);
        let mut homes = Vec::new();
        for user in 0..40 {
            let user = format!("user{user}");
            let at = home(&mut world, "REGISTER", &user, &format!("{user}-r"));
            for (method, id) in [("REGISTER", "again"), ("PUBLISH", "p"), ("SUBSCRIBE", "s")] {
                assert_eq!(
                    home(&mut world, method, &user, &format!("{user}-{id}")),
                    at,
                    "{word}: {method} of {user}"
                );
            }
            homes.push((user, at));
        }
        let at_first = homes.iter().filter(|(_, at)| *at == D1).count();
        assert!((10..=30).contains(&at_first), "{word}: {at_first} of 40 at the first");
        let by_hash = world
            .count(|event| matches!(event, Event::DestinationSelected { algorithm: Algorithm::Hash, .. }));
        assert_eq!(by_hash, 160, "{word}");
        assert_eq!(&homes, first_homes.get_or_insert_with(|| homes.clone()), "{word}");

        // One is lost: its users move, the others stay; all go home when it is back.
        world.set_health(D1, Health::Silent);
        world.advance(30_000);
        for (user, _) in &homes {
            assert_eq!(home(&mut world, "REGISTER", user, &format!("{user}-lost")), D2);
        }
        world.set_health(D1, Health::Answers(200));
        world.advance(30_000);
        for (user, at) in &homes {
            assert_eq!(home(&mut world, "REGISTER", user, &format!("{user}-back")), *at);
        }
    }
}

#[test]
fn register_key_says_what_is_hashed_and_calls_hashed_by_the_same_meet_the_registration() {
    let yaml = TWO.replace("algorithm: priority", "algorithm: hash\n    hash: {key: [to]}");
    let mut world = World::new(&yaml);
    for user in 0..40 {
        let user = format!("user{user}");
        let at = home(&mut world, "REGISTER", &user, &format!("{user}-r"));
        assert_eq!(home(&mut world, "INVITE", &user, &format!("{user}-i")), at, "a call to {user}");
    }
    let yaml = TWO.replace("algorithm: priority", "register_key: header:X-Tenant");
    let mut world = World::new(&yaml);
    let mut homes = Vec::new();
    for user in 0..40 {
        let line = format!("X-Tenant: {}\r\n", user % 2);
        world.receive(CALLER, &register(&format!("tenant-{user}"), &line));
        let (at, _) = taken(&mut world, "REGISTER");
        homes.push(at);
    }
    assert!(homes.chunks(2).all(|pair| pair == &homes[..2]), "by the tenant and by nothing else");
}

#[test]
fn a_registration_without_the_part_that_is_hashed_goes_in_turn_and_the_record_names_no_key() {
    let mut world = World::new(&TWO.replace("algorithm: priority", "register_key: auth_user"));
    let mut homes = |round: &str, lines: fn(usize) -> String| -> Vec<&'static str> {
        let register_of = |user| register(&format!("{round}-{user}"), &lines(user));
        let home = |user| {
            world.receive(CALLER, &register_of(user));
            let (at, sent) = taken(&mut world, "REGISTER");
            world.receive(at, &reply(&sent.text, 200, "pbx", ""));
            world.drain(CALLER);
            at
        };
        (0..40).map(home).collect()
    };
    let with_credentials = |user| format!("Authorization: Digest username=\"{user}\", realm=\"r\"\r\n");
    let keyed = homes("keyed", with_credentials);
    assert!(keyed.contains(&D1) && keyed.contains(&D2));
    assert_eq!(homes("again", with_credentials), keyed);
    let turns = homes("turns", |_| String::new());
    assert!(turns.windows(2).all(|pair| pair[0] != pair[1]), "in turn: {turns:?}");
    let records = world.records("REGISTER");
    let kinds: Vec<_> = records.iter().map(|record| record.selections[0].hash_key).collect();
    assert_eq!(kinds[..80], [Some("auth_user"); 80]);
    assert_eq!(kinds[80..], [None; 40]);
}

#[test]
fn a_fallback_set_takes_registrations_by_its_own_key_before_and_after_failures() {
    let backup = "  backup:\n    algorithm: priority\n    destinations: [\"sip:10.0.2.1:5060\", \"sip:10.0.2.2:5060\"]\n";
    let yaml = TWO.replace("algorithm: priority", "register_key: call_id\n    fallback: backup");
    let mut world = World::new(&format!("{yaml}{backup}routes: [{{set: pbx}}]\n"));
    let mut homes = |round: &str| -> Vec<String> {
        let mut home = |user: usize| {
            world.receive(CALLER, &for_user("REGISTER", &format!("user{user}"), &format!("{round}-{user}")));
            loop {
                let sent = world.drain_all().into_iter().find(|sent| sent.text.starts_with("REGISTER"));
                let sent = sent.expect("somebody is tried");
                let at = sent.hop.remote.to_string();
                let is_backup = at.starts_with("10.0.2.");
                world.receive(&at, &reply(&sent.text, if is_backup { 200 } else { 500 }, "pbx", ""));
                if is_backup {
                    return at;
                }
            }
        };
        let homes = (0..20).map(&mut home).collect();
        // The next round finds nobody of the first set usable.
        world.set_health(D1, Health::Unreachable);
        world.set_health(D2, Health::Unreachable);
        world.advance(60_000);
        homes
    };
    let after_failures = homes("failed");
    assert!(after_failures.iter().any(|at| *at != after_failures[0]), "spread by user: {after_failures:?}");
    assert_eq!(homes("down"), after_failures);
}

#[test]
fn a_registration_with_digest_ends_where_it_was_challenged() {
    let mut world = World::new(TWO);
    let user = (0..)
        .map(|number| format!("user{number}"))
        .find(|user| home(&mut World::new(TWO), "REGISTER", user, user) == D1);
    let user = user.expect("somebody is at home at the first");
    world.set_health(D1, Health::Silent);
    world.advance(30_000);
    let mut call = Call::new("digest");
    let text = |call: &mut Call, lines: &str| {
        call.request_with("REGISTER", lines).replace("To: <sip:1000@", &format!("To: <sip:{user}@"))
    };
    world.receive(CALLER, &text(&mut call, ""));
    let first = world.sent_to(D2, "REGISTER");
    let challenge = reply(&first.text, 401, "pbx", "")
        .replace("Content-Length", "WWW-Authenticate: Digest realm=\"a\", nonce=\"b\"\r\nContent-Length");
    world.receive(D2, &challenge);
    assert!(world.sent_to(CALLER, "SIP/2.0 401").text.contains("nonce=\"b\""));
    // Its home is back; the nonce is the other's.
    world.set_health(D1, Health::Answers(200));
    world.advance(10_000);
    world.events.clear();
    world.receive(CALLER, &text(&mut call, "Authorization: Digest username=\"a\", nonce=\"b\"\r\n"));
    let second = world.sent_to(D2, "REGISTER");
    world.receive(D2, &reply(&second.text, 200, "pbx", ""));
    world.sent_to(CALLER, "SIP/2.0 200");
    let affine = |event: &Event| {
        matches!(
            event,
            Event::DestinationSelected { reason: SelectionReason::Affinity, algorithm: Algorithm::Hash, .. }
        )
    };
    assert_eq!(world.count(affine), 1);
    let record = world.records("REGISTER")[0];
    assert_eq!(record.selections[0].hash_key, Some("to"));
    // The next refresh, without a challenge, goes home.
    world.advance(60_000);
    assert_eq!(home(&mut world, "REGISTER", &user, "refresh"), D1);
}

#[test]
fn a_register_gets_a_path_that_names_its_flow() {
    let mut world = World::new(&with_path());
    world.receive(CALLER, &register("plain", ""));
    let (_, sent) = taken(&mut world, "REGISTER");
    let path = header(&sent.text, "Path").expect("a Path");
    assert!(path.starts_with("<sip:flow-") && path.ends_with("@10.0.0.1:5060;lr>"), "{path}");
    assert_eq!(headers(&sent.text, "Supported").collect::<Vec<_>>(), ["path"], "RFC 3327 §5.1");
    assert_eq!(header(&sent.text, "Record-Route"), None);

    // The Path of a proxy before us stays below ours, and who knows the extension says so once.
    for supported in ["Supported: gruu , PATH\r\n", "k: path\r\n"] {
        let own = format!("Path: <sip:edge.example;lr>\r\n{supported}");
        world.receive(CALLER, &register(&format!("knows-{}", supported.len()), &own));
        let (_, sent) = taken(&mut world, "REGISTER");
        let paths: Vec<&str> = headers(&sent.text, "Path").collect();
        assert_eq!(paths, [path, "<sip:edge.example;lr>"]);
        assert!(sent.text.contains(supported) && !sent.text.contains("Supported: path\r\n"), "{}", sent.text);
    }
    // Over TCP the flow is another one; the destination is told the address that it knows us by.
    let over_tcp = path_of(&mut world, Transport::Tcp);
    assert!(over_tcp != path && over_tcp.ends_with("@10.0.0.1:5060;lr>"), "{over_tcp}");

    // A repetition is the same to the byte.
    let mut world = World::new(&with_path());
    let (at, first) = {
        world.receive(CALLER, &register("again", ""));
        taken(&mut world, "REGISTER")
    };
    world.advance(500);
    assert_eq!(world.sent_to(at, "REGISTER").text, first.text);
}

#[test]
fn a_path_is_for_phones_that_register_and_only_if_it_is_wanted() {
    let mut world = World::new(TWO);
    world.receive(CALLER, &register("unwanted", ""));
    let (_, sent) = taken(&mut world, "REGISTER");
    assert_eq!((header(&sent.text, "Path"), header(&sent.text, "Supported")), (None, None));

    let yaml = "
listen: [\"udp://10.0.0.1:5060\"]
sets:
  pbx: {destinations: [{id: d1, uri: \"sip:10.0.1.1:5060\"}]}
  provider: {destinations: [{id: d2, uri: \"sip:10.0.1.2:5060\"}]}
routes: [{from_set: pbx, set: provider}, {set: pbx}]
sip: {path: true}
";
    let mut world = World::new(yaml);
    world.receive(D1, &Call { uri: format!("sip:{D2}"), ..Call::from("trunk", D1) }.request("REGISTER"));
    assert_eq!(header(&world.sent_to(D2, "REGISTER").text, "Path"), None, "a destination is no phone");
    world.receive(CALLER, &register("phone", ""));
    assert!(header(&world.sent_to(D1, "REGISTER").text, "Path").is_some());
    world.receive(CALLER, &Call::new("publish").request("PUBLISH"));
    assert_eq!(header(&world.sent_to(D1, "PUBLISH").text, "Path"), None);
}

#[test]
fn a_call_to_a_registered_phone_goes_down_its_flow_and_its_dialog_both_ways() {
    let mut world = World::new(&with_path());
    let path = path_of(&mut world, Transport::Udp);
    let mut call = call_to_phone("ringing", &path);
    world.receive(D1, &call.request("INVITE"));
    world.sent_to(D1, "SIP/2.0 100");
    let invite = world.sent_to(CALLER, &format!("INVITE {CONTACT} SIP/2.0"));
    assert_eq!(header(&invite.text, "Route"), None);
    let route = header(&invite.text, "Record-Route").expect("a Record-Route").to_owned();
    assert!(route.starts_with("<sip:flow-") && route.contains("@10.0.0.1:5060;lr;d="), "{route}");
    world.receive(CALLER, &reply(&invite.text, 180, "phone", ""));
    world.sent_to(D1, "SIP/2.0 180");
    world.receive(CALLER, &reply(&invite.text, 200, "phone", CONTACT));
    call.learn(&world.sent_to(D1, "SIP/2.0 200").text);
    world.receive(D1, &call.ack());
    world.sent_to(CALLER, &format!("ACK {CONTACT} SIP/2.0"));

    // The destination's requests go down the flow, the phone's to the destination's Contact.
    world.receive(D1, &call.request("INVITE"));
    let again = world.sent_to(CALLER, &format!("INVITE {CONTACT} SIP/2.0"));
    world.receive(CALLER, &reply(&again.text, 200, "phone", CONTACT));
    assert!(world.drain(D1).pop().unwrap().text.starts_with("SIP/2.0 200"));
    world.receive(D1, &call.ack());
    world.sent_to(CALLER, "ACK");
    let mut phone = Call {
        from: CALLER.into(),
        to_tag: Some("from-ringing".into()),
        routes: vec![route.clone()],
        uri: format!("sip:pbx@{D1}"),
        ..Call::new("ringing")
    };
    let turned = |text: String| text.replace("tag=from-ringing\r\nTo", "tag=phone\r\nTo");
    world.receive(CALLER, &turned(phone.request("INFO")));
    let info = world.sent_to(D1, &format!("INFO sip:pbx@{D1} SIP/2.0"));
    world.receive(D1, &reply(&info.text, 200, "x", ""));
    world.sent_to(CALLER, "SIP/2.0 200");
    // It moves to another port, as behind a NAT that has forgotten it: its requests still go on.
    let moved = "192.0.2.7:61000";
    world.receive(moved, &turned(phone.request("INFO")));
    let info = world.sent_to(D1, "INFO");
    world.receive(D1, &reply(&info.text, 200, "x", ""));
    world.sent_to(moved, "SIP/2.0 200");
    world.receive(D1, &call.request("BYE"));
    let bye = world.sent_to(CALLER, &format!("BYE {CONTACT} SIP/2.0"));
    world.receive(CALLER, &reply(&bye.text, 200, "phone", ""));
    world.sent_to(D1, "SIP/2.0 200");

    // It is traffic of the destination to the outside: no selection, and its dialog is the destination's.
    assert_eq!(world.count(|event| matches!(event, Event::DestinationSelected { .. })), 0);
    let invites = world.records("INVITE");
    assert_eq!((invites[0].code, invites[0].origin, invites[0].set), (200, Origin::Upstream, None));
    assert_eq!((invites[0].attempts.len(), invites[0].attempts[0].target), (1, None));
    let byes = world.records("BYE");
    let pbx = world.core.snapshot(world.now, sipwarden::facts::snapshot::Detail::Metrics).sets[0].id;
    assert_eq!((byes[0].code, byes[0].set), (200, Some(pbx)));
    assert_eq!(world.core.holdings().3, 0);
    world.settle();
}

#[test]
fn the_phone_ends_the_call_and_the_destination_cancels_one() {
    let mut world = World::new(&with_path());
    let path = path_of(&mut world, Transport::Udp);
    let mut call = call_to_phone("cancelled", &path);
    world.receive(D1, &call.request("INVITE"));
    let invite = world.sent_to(CALLER, "INVITE");
    world.receive(CALLER, &reply(&invite.text, 180, "phone", ""));
    world.drain(D1);
    world.receive(D1, &call.companion("CANCEL"));
    world.sent_to(D1, "SIP/2.0 200");
    let cancel = world.sent_to(CALLER, &format!("CANCEL {CONTACT} SIP/2.0"));
    assert_eq!(header(&cancel.text, "Via"), header(&invite.text, "Via"));
    world.receive(CALLER, &reply(&cancel.text, 200, "phone", ""));
    world.receive(CALLER, &reply(&invite.text, 487, "phone", ""));
    world.sent_to(CALLER, "ACK");
    world.sent_to(D1, "SIP/2.0 487");
    world.receive(D1, &call.companion("ACK"));

    let mut call = call_to_phone("hung-up", &path);
    world.receive(D1, &call.request("INVITE"));
    let invite = world.sent_to(CALLER, "INVITE");
    world.receive(CALLER, &reply(&invite.text, 200, "phone", CONTACT));
    world.drain(D1);
    let routes = headers(&invite.text, "Record-Route").map(str::to_owned).collect();
    let mut phone = Call {
        to_tag: Some("from-hung-up".into()),
        routes,
        uri: format!("sip:pbx@{D1}"),
        ..Call::new("hung-up")
    };
    world.receive(CALLER, &phone.request("BYE").replace("tag=from-hung-up\r\nTo", "tag=phone\r\nTo"));
    let bye = world.sent_to(D1, "BYE");
    world.receive(D1, &reply(&bye.text, 200, "x", ""));
    world.sent_to(CALLER, "SIP/2.0 200");
    assert_eq!(world.core.holdings().3, 0);
    world.settle();
}

#[test]
fn over_tcp_the_flow_is_the_connection_and_430_says_that_it_is_gone() {
    let mut world = World::new(&with_path());
    let path = path_of(&mut world, Transport::Tcp);
    let mut call = call_to_phone("stream", &path);
    world.receive(D1, &call.request("INVITE"));
    let invite = world.sent_to(CALLER, "INVITE");
    let leaves_on = invite.hop.connection.expect("a connection");
    assert_eq!((invite.hop.transport, leaves_on.id()), (Transport::Tcp, CONNECTION));
    let routes: Vec<&str> = headers(&invite.text, "Record-Route").collect();
    assert!(routes.len() == 2 && routes[0].contains(";transport=tcp;lr"), "{routes:?}");
    world.receive_on(CONNECTION, CALLER, &reply(&invite.text, 200, "phone", CONTACT));
    call.learn(&world.drain(D1).pop().unwrap().text);
    world.receive(D1, &call.ack());
    assert_eq!(world.sent_to(CALLER, "ACK").hop.connection, invite.hop.connection);

    world.close(CONNECTION);
    world.receive(D1, &call.request("BYE"));
    let gone = world.sent_to(D1, "SIP/2.0 430 Flow Failed");
    assert_eq!(header(&gone.text, "CSeq"), Some("2 BYE"));
    world.receive(D1, &call_to_phone("again", &path).request("INVITE"));
    world.sent_to(D1, "SIP/2.0 100");
    world.sent_to(D1, "SIP/2.0 430 Flow Failed");
    world.receive(D1, &call_to_phone("qualify", &path).request("OPTIONS"));
    world.sent_to(D1, "SIP/2.0 430 Flow Failed");
    world.quiet(CALLER);
    let codes: Vec<_> = world.records("INVITE").iter().map(|record| (record.code, record.origin)).collect();
    assert_eq!(codes, [(200, Origin::Upstream), (430, Origin::Local)]);
    assert_eq!(refusals(&world), [], "the phone has left, and nothing is wrong with us");
    world.settle();
}

#[test]
fn a_flow_over_udp_fails_with_icmp_and_a_cancelled_call_with_487() {
    let mut world = World::new(&with_path());
    let path = path_of(&mut world, Transport::Udp);
    world.set_unreachable(CALLER, true);
    world.receive(D1, &call_to_phone("gone", &path).request("MESSAGE"));
    world.sent_to(D1, "SIP/2.0 430");
    world.set_unreachable(CALLER, false);
    let mut call = call_to_phone("cancelled", &path);
    world.receive(D1, &call.request("INVITE"));
    let invite = world.sent_to(CALLER, "INVITE");
    world.receive(D1, &call.companion("CANCEL"));
    let reason = sipwarden::facts::event::TransportReason::Icmp;
    world.input(Input::Undeliverable { hop: invite.hop, message: &invite.text.as_bytes()[..200], reason });
    let answers: Vec<String> = world.drain(D1).into_iter().map(|sent| sent.text[..11].to_owned()).collect();
    assert_eq!(answers, ["SIP/2.0 100", "SIP/2.0 200", "SIP/2.0 487"]);
}

#[test]
fn a_made_up_flow_and_a_flow_in_the_wrong_hands_are_forbidden() {
    let mut world = World::new(&with_path());
    let path = path_of(&mut world, Transport::Udp);
    let (begin, end) = path.split_at("<sip:flow-00".len());
    let forged = [
        // Another listener, another address, another MAC, none.
        format!("{begin}1{}", &end[1..]),
        path.replacen("c0000207", "c0000208", 1),
        path.replacen("@10", "0@10", 1),
        "<sip:flow-000c000020713ce0000000000000000@10.0.0.1:5060;lr>".into(),
        "<sip:flow-@10.0.0.1:5060;lr>".into(),
        "<sip:flow-zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz@10.0.0.1:5060;lr>".into(),
    ];
    for (number, route) in forged.iter().enumerate() {
        assert_ne!(*route, path);
        for (method, id) in [("INVITE", "invite"), ("OPTIONS", "options")] {
            world.receive(D1, &call_to_phone(&format!("{id}-{number}"), route).request(method));
            world.sent_to(D1, "SIP/2.0 403");
            world.quiet(CALLER);
        }
    }
    world.drain_all();
    world.events.clear();
    // A stranger, and the phone itself, that has read its Path in an answer.
    for from in ["203.0.113.9:5060", CALLER] {
        let mut call = Call { from: from.into(), ..call_to_phone("stranger", &path) };
        world.receive(from, &call.request("INVITE"));
        let refused = world.sent_to(from, "SIP/2.0 403");
        assert_eq!(
            header(&refused.text, "Warning"),
            Some("399 sipwarden \"only a destination may send down a flow\"")
        );
        // Nor by saying that it is inside a dialog.
        call.to_tag = Some("invented".into());
        world.receive(from, &call.request("INFO"));
        world.sent_to(from, "SIP/2.0 403");
    }
    assert_eq!(refusals(&world), [Refusal::Forbidden; 4]);
    world.quiet(D2);
}

#[test]
fn a_flow_holds_for_every_instance_with_the_secret_and_for_its_listener() {
    let path = path_of(&mut World::new(&with_path()), Transport::Udp);
    // After a restart, and with `sip.path` taken back, what is registered is still reached.
    let mut world = World::new(TWO);
    world.receive(D1, &call_to_phone("restarted", &path).request("INVITE"));
    world.sent_to(CALLER, "INVITE");
    // Another listener has its place.
    let mut world = World::new(&TWO.replace(
        "\"udp://10.0.0.1:5060\", \"tcp://10.0.0.1:5060\"",
        "\"tcp://10.0.0.1:5060\", \"udp://10.0.0.1:5060\"",
    ));
    world.receive(D1, &call_to_phone("moved", &path).request("MESSAGE"));
    world.sent_to(D1, "SIP/2.0 430");
}

#[test]
fn an_outbound_proxy_before_the_path_and_hops_behind_the_flow_are_fine() {
    let mut world = World::new(&with_path());
    let path = path_of(&mut world, Transport::Udp);
    let mut call = call_to_phone("proxied", &path);
    call.routes.insert(0, format!("<sip:{PROXY};lr>"));
    call.routes.push("<sip:edge.example;lr>".into());
    world.receive(D1, &call.request("INVITE"));
    let invite = world.sent_to(CALLER, &format!("INVITE {CONTACT} SIP/2.0"));
    assert_eq!(headers(&invite.text, "Route").collect::<Vec<_>>(), ["<sip:edge.example;lr>"]);
    // A strict router there gets its form of the request.
    let mut call = call_to_phone("strict", &path);
    call.routes.push("<sip:strict.example>".into());
    world.receive(D1, &call.request("INVITE"));
    let invite = world.sent_to(CALLER, "INVITE sip:strict.example SIP/2.0");
    assert_eq!(headers(&invite.text, "Route").collect::<Vec<_>>(), [format!("<{CONTACT}>")]);
}

#[test]
fn a_caller_whose_contact_says_ob_is_called_back_down_its_flow() {
    let mut world = World::new(&with_path());
    let mut call = Call::new("ob");
    let invite = call.request("INVITE");
    let wanted = invite.replace("sip:alice@192.0.2.7:5070>\r\n", &format!("{CONTACT};ob>\r\n"));
    world.receive(CALLER, &wanted);
    let sent = world.sent_to(D1, "INVITE");
    world.receive(D1, &reply(&sent.text, 200, "callee", &format!("sip:1000@{D1}")));
    call.learn(&world.drain(CALLER).pop().unwrap().text);
    world.receive(CALLER, &call.ack());
    world.sent_to(D1, "ACK");
    let routes = headers(&sent.text, "Record-Route").map(str::to_owned).collect();
    let mut callee =
        Call { to_tag: Some("from-ob".into()), routes, uri: format!("{CONTACT};ob"), ..Call::from("ob", D1) };
    world.receive(D1, &callee.request("BYE").replace("tag=from-ob\r\nTo", "tag=callee\r\nTo"));
    let bye = world.sent_to(CALLER, &format!("BYE {CONTACT};ob SIP/2.0"));
    world.receive(CALLER, &reply(&bye.text, 200, "x", ""));
    world.sent_to(D1, "SIP/2.0 200");
    world.settle();
    // Who does not ask for it gets a plain Record-Route.
    world.receive(CALLER, &Call::new("plain").request("INVITE"));
    assert!(
        header(&world.sent_to(D1, "INVITE").text, "Record-Route")
            .unwrap()
            .starts_with("<sip:10.0.0.1:5060;lr")
    );
}
