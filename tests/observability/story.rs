//! What happens to the product while Prometheus watches.

use crate::harness::address;
use crate::harness::answerer::Answerer;
use crate::harness::collector::Collector;
use crate::harness::product::{Config, QUICK_PROBE, Sipwarden};
use crate::harness::sipp::{Callee, Calls, Transport};
use crate::harness::workspace::Workspace;
use crate::table::{self, Places, Way};
use std::fmt::Write as _;
use std::fs;
use std::net::UdpSocket;
use std::time::Duration;

/// The destinations. The set `pbx` has two that answer calls, `edge` one that refuses them and one
/// that does not, `stream` one over TCP, `office` one for whatever is no call, `names` one that nobody calls.
#[derive(Debug)]
pub struct Stage {
    pbx: [Callee; 2],
    edge: [Callee; 2],
    stream: Callee,
    office: Answerer,
    /// Where hostile traffic comes from; what of it goes on goes to the office, which bears anything.
    stranger: UdpSocket,
}

impl Stage {
    /// Starts them.
    pub fn start(workspace: &Workspace) -> Self {
        let callee = |scenario, transport| Callee::start(workspace, scenario, transport, Duration::ZERO);
        Self {
            pbx: [callee("callee", Transport::Udp), callee("callee", Transport::Udp)],
            edge: [callee("callee_refuses", Transport::Udp), callee("callee", Transport::Udp)],
            stream: callee("callee", Transport::Tcp),
            office: Answerer::start(),
            stranger: UdpSocket::bind(address::endpoint()).expect("the address is free"),
        }
    }

    /// The configuration of all of it.
    pub fn config(&self, collector: &Collector) -> Config {
        let mut sets = String::from("sets:\n");
        let one = |id: &str, uri: String, more: &str| format!("{{id: {id}, uri: \"sip:{uri}\"{more}}}");
        let [a, b] = &self.pbx;
        let [first, second] = &self.edge;
        for (set, destinations) in [
            (
                "pbx",
                vec![
                    one("a", a.address.to_string(), ", max_calls: 500"),
                    one("b", b.address.to_string(), ""),
                ],
            ),
            (
                "edge",
                vec![
                    one("first", first.address.to_string(), ""),
                    one("second", second.address.to_string(), ", priority: 1"),
                ],
            ),
            ("stream", vec![one("tcp", format!("{};transport=tcp", self.stream.address), "")]),
            ("office", vec![one("desk", self.office.address.to_string(), "")]),
            ("names", vec![one("name", "localhost:5999".into(), ", probe: {enabled: false}")]),
        ] {
            let list = destinations.join(", ");
            let _ = writeln!(
                sets,
                "  {set}: {{probe: {QUICK_PROBE}, passive: {{base_ejection: 1s, max_ejection: 1s}}, destinations: [{list}]}}"
            );
        }
        let stranger = self.stranger.local_addr().expect("a bound socket has an address").ip();
        let routes = format!(
            "routes: [{{source: [{stranger}], set: office}}, {{ruri_user: ^edge, set: edge}}, \
             {{ruri_user: ^stream, set: stream}}, {{ruri_user: ^office, set: office}}, {{set: pbx}}]"
        );
        let tracing = format!(
            "tracing: {{otlp: \"{}\", protocol: http, ratio: 1.0, probe_ratio: 1.0}}",
            collector.url()
        );
        Config::new().with(&sets).with(&routes).with(&tracing)
    }

    /// Kills both destinations of `pbx`.
    pub fn kill_pbx(&mut self) {
        self.pbx.iter_mut().for_each(Callee::kill);
    }

    /// Starts both again.
    pub fn revive_pbx(&mut self, workspace: &Workspace) {
        for callee in &mut self.pbx {
            let address = callee.address;
            *callee = Callee::start_at(workspace, "callee", Transport::Udp, Duration::ZERO, address);
        }
    }
}

/// Calls of every kind, that go as they should.
pub fn calls(workspace: &Workspace, sipwarden: &Sipwarden) {
    let calls = Calls::to(sipwarden.sip, 40, 20);
    calls.make(workspace).expect_all_successful();
    Calls { user: "edge", count: 20, ..calls }.make(workspace).expect_all_successful();
    Calls { transport: Transport::Tcp, user: "stream", count: 20, ..calls }
        .make(workspace)
        .expect_all_successful();
    Calls { user: "office", count: 10, ..calls }
        .scenario("caller_busy")
        .make(workspace)
        .expect_all_successful();
}

/// What a stranger sends: registrations, everything wrong that the project has written down, and what
/// is not SIP at all.
pub fn hostile_traffic(stage: &Stage, sipwarden: &Sipwarden) {
    let socket = &stage.stranger;
    let caller = socket.local_addr().expect("a bound socket has an address");
    let places = Places { proxy: sipwarden.sip, destination: address::endpoint(), caller };
    let send = |bytes: &[u8]| {
        // ICMP errors of what went before are no concern here.
        let _ = socket.send_to(bytes, sipwarden.sip);
    };
    for number in 0..10 {
        send(
            format!(
                "REGISTER sip:{} SIP/2.0\r\nVia: SIP/2.0/UDP {caller};rport;branch=z9hG4bKreg{number}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:u{number}@x>;tag=1\r\nTo: <sip:u{number}@x>\r\nCall-ID: reg-{number}\r\n\
                 CSeq: 1 REGISTER\r\nContact: <sip:u{number}@{caller}>\r\nContent-Length: 0\r\n\r\n",
                sipwarden.sip
            )
            .as_bytes(),
        );
    }
    for (file, text) in table::FILES.iter().filter(|(file, _)| *file != "ipv6.sip") {
        for case in table::read(file, text) {
            send(&case.message(places, Way::Udp));
        }
    }
    send(b"\x00\x01\x02 nothing of SIP \xff\r\n\r\n");
    send(b"SIP/2.0 200 Stray\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\n\r\n");
}

/// One reload that is accepted, one that is refused, and one that puts it right.
pub fn reloads(sipwarden: &Sipwarden, config: &Config) {
    for (text, is_accepted) in [
        (format!("{}drain: {{timeout: 20s}}\n", config.text()), true),
        ("sets: [broken\n".to_owned(), false),
        (config.text().to_owned(), true),
    ] {
        fs::write(&sipwarden.file, text).expect("the configuration can be written");
        assert_eq!(sipwarden.ask(&["reload"]).code == Some(0), is_accepted);
    }
}
