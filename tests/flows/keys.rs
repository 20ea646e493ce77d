//! Which destination a request goes to by a key of its own, from the wire to the span.

use crate::sim::*;

const COUNT: usize = 60;

/// Two destinations that are not probed, and a key.
fn world(hash: &str) -> World {
    World::new(&format!(
        "listen: [udp://10.0.0.1:5060]\nworkers: 1\nsets: {{pbx: {{algorithm: hash, hash: {hash}, \
         probe: {{enabled: false}}, destinations: [{{id: d1, uri: \"sip:{D1}\"}}, {{id: d2, uri: \"sip:{D2}\"}}]}}}}\n"
    ))
}

/// Where calls go whose Request-URIs and header lines these are; each has a Call-ID of its own.
fn homes(world: &mut World, round: &str, calls: impl Iterator<Item = (String, String)>) -> Vec<bool> {
    let home = |(number, (uri, lines)): (usize, (String, String))| {
        let mut call = Call::new(&format!("{round}-{number}"));
        call.uri = uri;
        world.receive(CALLER, &call.request_with("INVITE", &lines));
        let is_first = world.core_sent(D1);
        let invite = world.sent_to(if is_first { D1 } else { D2 }, "INVITE");
        world.receive(if is_first { D1 } else { D2 }, &reply(&invite.text, 486, "busy", ""));
        world.drain_all();
        is_first
    };
    calls.enumerate().map(home).collect()
}

fn key_kinds(world: &World) -> Vec<Option<&'static str>> {
    let records = world.records("INVITE");
    records.iter().flat_map(|record| record.selections.iter().map(|selection| selection.hash_key)).collect()
}

#[test]
fn the_user_of_the_request_uri_decides_whatever_the_host() {
    for compat in ["null", "kamailio"] {
        let mut world = world(&format!("{{key: [ruri_user], compat: {compat}}}"));
        let at =
            |host: &'static str| (0..COUNT).map(move |user| (format!("sip:{user}@{host}"), String::new()));
        let homes_at_one = homes(&mut world, "one", at("one.example"));
        assert!(homes_at_one.contains(&true) && homes_at_one.contains(&false));
        assert_eq!(homes(&mut world, "two", at("two.example:5070")), homes_at_one);
        assert!(key_kinds(&world).iter().all(|kind| *kind == Some("ruri_user")));
    }
}

#[test]
fn without_credentials_calls_go_in_turn_and_the_record_names_no_key() {
    for compat in ["null", "kamailio"] {
        let mut world = world(&format!("{{key: [auth_user], compat: {compat}}}"));
        let uri = || "sip:1000@pbx.example".to_owned();
        let by = |user: usize| format!("Authorization: Digest username=\"{user}\", realm=\"r\"\r\n");
        let keyed = homes(&mut world, "keyed", (0..COUNT).map(|user| (uri(), by(user))));
        assert_eq!(homes(&mut world, "again", (0..COUNT).map(|user| (uri(), by(user)))), keyed);
        assert!(keyed.contains(&true) && keyed.contains(&false));
        assert!(key_kinds(&world).iter().all(|kind| *kind == Some("auth_user")));

        let turns = homes(&mut world, "turns", (0..COUNT).map(|_| (uri(), String::new())));
        assert!(turns.windows(2).all(|pair| pair[0] != pair[1]), "in turn: {turns:?}");
        let kinds = key_kinds(&world);
        assert_eq!(kinds.iter().filter(|kind| kind.is_none()).count(), COUNT);
    }
}
