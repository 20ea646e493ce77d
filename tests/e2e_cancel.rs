//! CANCEL at every moment of a call, over UDP and TCP, in front of two real Asterisks: the caller
//! gets exactly one final response to its INVITE, and no call is left behind anywhere.

#[path = "support/e2e/harness.rs"]
mod harness;

use harness::address;
use harness::asterisk::Asterisk;
use harness::metrics::is;
use harness::pbx;
use harness::phone::Phone;
use harness::product::{Config, QUICK_PROBE, Sipwarden};
use harness::sipp::{Callee, Transport};
use harness::wait;
use harness::workspace::Workspace;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

/// A moment at which the caller hangs up, and the calls that do.
#[derive(Debug, Clone, Copy)]
struct Race {
    name: &'static str,
    /// Host of the Request-URI, which selects the set.
    set: &'static str,
    /// Extension of the Asterisks.
    user: &'static str,
    calls: u32,
    /// Calls and cancels; each call of a race comes with a number of its own, for another moment.
    run: fn(&mut Phone, u32),
    /// What the INVITE may end with.
    codes: &'static [u16],
}

const RACES: &[Race] = &[
    Race {
        name: "before 100: the destination says nothing",
        set: "silent",
        user: "ring",
        calls: 10,
        run: |phone, _| {
            phone.invite();
            phone.cancel();
        },
        codes: &[487],
    },
    Race {
        name: "after 100",
        set: "pbx",
        user: "mute",
        calls: 20,
        run: |phone, number| {
            phone.invite();
            phone.wait_for(|message| message.answers("INVITE", 100));
            phone.listen(Duration::from_millis(3) * number);
            phone.cancel();
        },
        codes: &[487],
    },
    Race {
        name: "after 180",
        set: "pbx",
        user: "ring",
        calls: 20,
        run: |phone, number| {
            ring(phone);
            phone.listen(Duration::from_millis(3) * number);
            phone.cancel();
        },
        codes: &[487],
    },
    Race {
        // Extension soon answers 300 ms after its 180.
        name: "crossing the 200",
        set: "pbx",
        user: "soon",
        calls: 60,
        run: |phone, number| {
            ring(phone);
            phone.listen(Duration::from_millis(10) * number);
            phone.cancel();
        },
        codes: &[200, 487],
    },
    Race {
        // The set's no_response_after is 300 ms.
        name: "while a silent destination is given up",
        set: "silent",
        user: "ring",
        calls: 40,
        run: |phone, number| {
            phone.invite();
            phone.listen(Duration::from_millis(200) + Duration::from_millis(5) * number);
            phone.cancel();
        },
        codes: &[487],
    },
    Race {
        // It rings 300 ms after it has been given up, and must be told that nobody wants it.
        name: "while a late destination is given up",
        set: "late",
        user: "ring",
        calls: 30,
        run: |phone, number| {
            phone.invite();
            phone.listen(Duration::from_millis(200) + Duration::from_millis(20) * number);
            phone.cancel();
        },
        codes: &[487],
    },
    Race {
        name: "while a destination refuses",
        set: "refusing",
        user: "ring",
        calls: 20,
        run: |phone, number| {
            phone.invite();
            phone.listen(Duration::from_millis(5) * number);
            phone.cancel();
        },
        codes: &[487],
    },
    Race {
        name: "while a destination cannot be reached",
        set: "gone",
        user: "ring",
        calls: 20,
        run: |phone, number| {
            phone.invite();
            phone.listen(Duration::from_millis(5) * number);
            phone.cancel();
        },
        codes: &[487],
    },
    Race {
        name: "after the 487",
        set: "pbx",
        user: "ring",
        calls: 10,
        run: |phone, number| {
            ring(phone);
            phone.cancel();
            phone.wait_for(|message| message.is_final("INVITE"));
            phone.listen(Duration::from_millis(5) * number);
            phone.cancel();
        },
        codes: &[487],
    },
];

fn ring(phone: &mut Phone) {
    phone.invite();
    phone.wait_for(|message| message.answers("INVITE", 180));
}

#[test]
fn ends_each_call_once_whenever_it_comes_over_udp() {
    // Bound, so that no ICMP error tells of it, and never read.
    let silent = UdpSocket::bind(address::endpoint()).expect("an address is free");
    run(Transport::Udp, silent.local_addr().expect("a bound socket has an address"));
}

#[test]
fn ends_each_call_once_whenever_it_comes_over_tcp() {
    let silent = TcpListener::bind(address::endpoint()).expect("an address is free");
    run(Transport::Tcp, silent.local_addr().expect("a bound socket has an address"));
}

fn run(transport: Transport, silent: SocketAddr) {
    let workspace = Workspace::new(&format!("cancel-{}", transport.word()));
    let peers = [Asterisk::start(&workspace), Asterisk::start(&workspace)];
    let refusing = Callee::start(&workspace, "callee_refuses", transport, Duration::ZERO);
    let late = Callee::start(&workspace, "callee_late", transport, Duration::from_millis(600));
    let first_choices = [
        ("silent", silent),
        ("late", late.address),
        ("refusing", refusing.address),
        ("gone", address::endpoint()),
    ];
    let sipwarden = Sipwarden::start(&workspace, &config(transport, &peers, &first_choices));
    sipwarden.wait_until_up("pbx", 2);

    let from = address::host().into();
    let calls = RACES.iter().flat_map(|race| (0..race.calls).map(move |number| (race, number)));
    let calls: Vec<_> = calls
        .map(|(race, number)| {
            let (product, race) = (sipwarden.sip, *race);
            (race.name, std::thread::spawn(move || call(race, number, transport, from, product)))
        })
        .collect();
    let made = u32::try_from(calls.len()).expect("a few calls");
    let mut ends = Vec::new();
    for (race, call) in calls {
        ends.push((race, call.join().unwrap_or_else(|_| panic!("{race} went wrong"))));
    }
    for code in [200, 487] {
        let crossed = ends.contains(&("crossing the 200", code));
        assert!(crossed, "no CANCEL that crossed a 200 ended in {code}: the moments are not spread enough");
    }

    let reached: u32 = pbx::wait_until_idle(&peers).iter().sum();
    assert!(reached >= 110, "only {reached} calls of {made} have reached an Asterisk");
    let invites = [("method", "INVITE")];
    wait::until_true("no INVITE is unfinished", Duration::from_secs(15), || {
        is(sipwarden.scrape().sum_or_zero("sipwarden_transactions_in_flight", &invites), 0.0)
    });
    let scrape = sipwarden.scrape();
    assert!(is(scrape.sum("sipwarden_transactions_total", &invites), f64::from(made)));
    assert!(is(scrape.sum("sipwarden_dialogs", &[]), 0.0), "a call was left behind");
    for set in ["silent", "late", "refusing", "gone"] {
        assert!(scrape.sum("sipwarden_failovers_total", &[("set", set)]) > 0.5, "no failover in {set}");
    }
    wait::until_true("the late destination has been told of every call", Duration::from_secs(5), || {
        late.tally().is_some_and(|told| told.failed == 0 && told.successful == 30)
    });
}

/// Makes one call, checks how it ended, and gives the code.
fn call(race: Race, number: u32, transport: Transport, from: IpAddr, product: SocketAddr) -> u16 {
    let mut phone = Phone::new(transport, from, product, &format!("sip:{}@{}.test", race.user, race.set));
    // Not all at once: what comes at the same moment is the caller's and the destination's message.
    phone.listen(Duration::from_millis(25) * number);
    (race.run)(&mut phone, number);
    phone.wait_for(|message| message.is_final("INVITE"));
    phone.wait_for(|message| message.is_final("CANCEL"));
    if phone.codes("INVITE") == [200] {
        assert!(phone.hang_up(), "{}: {}", race.name, phone.story());
    }
    // A second final response would come about now.
    phone.listen(Duration::from_secs(1));
    let (finals, cancelled) = (phone.codes("INVITE"), phone.codes("CANCEL"));
    let [code] = finals[..] else { panic!("{}: {finals:?}: {}", race.name, phone.story()) };
    assert!(race.codes.contains(&code), "{}: {}", race.name, phone.story());
    assert_eq!(cancelled.first(), Some(&200), "{}: {}", race.name, phone.story());
    // Over TCP nothing is left of the INVITE once it is acknowledged.
    assert!(cancelled.iter().skip(1).all(|code| *code == 481), "{}: {}", race.name, phone.story());
    if transport == Transport::Tcp && code == 487 {
        assert_eq!(phone.repetitions("INVITE"), 0, "{}: {}", race.name, phone.story());
    }
    code
}

/// Set `pbx` of the Asterisks alone, and sets that try somebody else first.
fn config(transport: Transport, peers: &[Asterisk; 2], first_choices: &[(&str, SocketAddr)]) -> Config {
    let word = transport.word();
    let uri = |address: SocketAddr| format!("\"sip:{address};transport={word}\"");
    let [first, second] = peers.each_ref().map(|peer| uri(peer.address));
    let mut sets = format!(
        "sets:\n  pbx: {{probe: {QUICK_PROBE}, destinations: [{{id: first, uri: {first}}}, {{id: second, uri: {second}}}]}}\n"
    );
    let mut routes = String::from("routes:\n");
    for (id, address) in first_choices {
        let wrong = uri(*address);
        sets += &format!(
            "  {id}:\n    algorithm: priority\n    probe: {{enabled: false}}\n    passive: {{enabled: false}}\n    \
             failover: {{no_response_after: 300ms}}\n    \
             destinations: [{{id: {id}, uri: {wrong}}}, {{id: first, uri: {first}, priority: 1}}, {{id: second, uri: {second}, priority: 2}}]\n"
        );
        routes += &format!("  - {{ruri_host: {id}.test, set: {id}}}\n");
    }
    // T1 of the product is short, so that what waits for 64·T1 takes 6.4 s.
    let rest = "  - {set: pbx}\nsip: {t1: 100ms}\nlimits: {connections_per_source: 1000}\n";
    Config::new().with(&format!("{sets}{routes}{rest}"))
}
