//! The resolver against a DNS server with scripted answers.

#[path = "../../../tests/support/dns.rs"]
mod dns;

use super::super::Family;
use super::*;
use crate::facts::Transport;
use crate::facts::lookup::Found;
use dns::{Dns, Kind, Record, Script};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const PBX: &str = "pbx.example.";
const PBX_SRV: &str = "_sip._udp.pbx.example";

fn settings(family: Family) -> DnsSettings {
    let (min_ttl, max_ttl) = (Duration::from_secs(5), Duration::from_secs(300));
    DnsSettings { min_ttl, max_ttl, family, max_endpoints: 4 }
}

fn lookup(name: &str, port: Option<u16>) -> Lookup {
    Lookup { name: name.into(), port, transport: Transport::Udp }
}

fn v4(last: u8) -> IpAddr {
    [198, 51, 100, last].into()
}

fn v6(last: u16) -> IpAddr {
    [0x2001, 0xdb8, 0, 0, 0, 0, 0, last].into()
}

fn server() -> Dns {
    Dns::start((Ipv4Addr::LOCALHOST, 0))
}

fn system(dns: &Dns, settings: &DnsSettings, families: (bool, bool)) -> System {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = dns.address.port();
        connection
    });
    let server = NameServerConfig::new(dns.address.ip(), true, connections.to_vec());
    System::new(settings, families).with_servers(ResolverConfig::from_name_servers(vec![server]))
}

/// A resolver that is asked by hand, one look-up after the other.
struct Asked {
    dns: Dns,
    system: System,
    lookup: Lookup,
    memory: Memory,
}

impl Asked {
    fn new(family: Family, families: (bool, bool), port: Option<u16>) -> Self {
        let dns = server();
        let system = system(&dns, &settings(family), families);
        Self { dns, system, lookup: lookup(PBX, port), memory: Memory::default() }
    }

    /// How a look-up ends, and the addresses it gives.
    async fn ask(&mut self) -> (DnsResult, Vec<SocketAddr>) {
        let (result, found) = self.ask_fully().await;
        (result, found.iter().map(|found| found.address).collect())
    }

    async fn ask_fully(&mut self) -> (DnsResult, Vec<Found>) {
        let ended = look_up(&self.system, &self.lookup, std::mem::take(&mut self.memory)).await;
        self.memory = ended.memory;
        (ended.result, self.memory.found(4))
    }

    fn set(&self, kind: Kind, script: Script) {
        self.dns.set("pbx.example", kind, script);
    }
}

fn at(addresses: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    addresses.iter().map(|address| SocketAddr::new(*address, port)).collect()
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Record {
    Record::Srv { priority, weight, port, target: target.to_owned() }
}

#[test]
fn an_answer_is_kept_for_its_time_within_the_bounds() {
    let settings = settings(Family::Auto);
    let pause = |seconds| pause_after(&settings, 0, Duration::from_secs(seconds)).as_secs();
    assert_eq!([pause(0), pause(60), pause(86_400)], [5, 60, 300]);
}

#[test]
fn failures_are_retried_with_growing_pauses() {
    let settings = settings(Family::Auto);
    let pauses: Vec<u64> = (1..=5).map(|n| pause_after(&settings, n, Duration::ZERO).as_secs()).collect();
    assert_eq!(pauses, [5, 10, 20, 30, 30]);
    assert_eq!(pause_after(&settings, u32::MAX, Duration::ZERO), MAX_BACK_OFF);
}

#[tokio::test]
async fn a_name_with_a_port_is_asked_for_addresses_only() {
    let mut asked = Asked::new(Family::Auto, (true, true), Some(5070));
    asked.dns.set_addresses("pbx.example", 60, &[v4(2), v4(1)]);
    assert_eq!(asked.ask().await, (DnsResult::Ok, at(&[v4(1), v4(2)], 5070)));
    assert_eq!((asked.dns.asked(PBX_SRV, Kind::Srv), asked.dns.asked("pbx.example", Kind::Aaaa)), (0, 0));
}

#[tokio::test]
async fn the_family_follows_the_setting_and_then_the_listeners() {
    let cases = [
        (Family::Auto, (true, true), vec![v4(1)]),
        (Family::Auto, (true, false), vec![v4(1)]),
        (Family::Auto, (false, true), vec![v6(1)]),
        (Family::Ipv4, (false, true), vec![v4(1)]),
        (Family::Ipv6, (true, true), vec![v6(1)]),
        (Family::Both, (true, true), vec![v4(1), v6(1)]),
    ];
    for (family, families, expected) in cases {
        let mut asked = Asked::new(family, families, Some(5060));
        asked.dns.set_addresses("pbx.example", 60, &[v4(1)]);
        asked.dns.set_addresses("pbx.example", 60, &[v6(1)]);
        assert_eq!(asked.ask().await, (DnsResult::Ok, at(&expected, 5060)), "{family} {families:?}");
    }
    let mut asked = Asked::new(Family::Auto, (true, true), Some(5060));
    asked.set(Kind::A, Script::Nothing);
    asked.dns.set_addresses("pbx.example", 60, &[v6(1)]);
    assert_eq!(asked.ask().await, (DnsResult::Ok, at(&[v6(1)], 5060)), "no A record");
    asked.set(Kind::A, Script::ServFail);
    asked.dns.set_addresses("pbx.example", 60, &[v6(2)]);
    assert_eq!(
        asked.ask().await,
        (DnsResult::Error, at(&[v6(1)], 5060)),
        "whether there is one is not known"
    );
}

#[tokio::test]
async fn srv_records_give_hosts_ports_ranks_and_weights() {
    let mut asked = Asked::new(Family::Auto, (true, false), None);
    let records = vec![srv(20, 0, 5080, "b.example."), srv(10, 3, 5060, "a.example.")];
    asked.dns.set(PBX_SRV, Kind::Srv, Script::Records(60, records));
    asked.dns.set_addresses("a.example", 60, &[v4(2), v4(1)]);
    asked.dns.set_addresses("b.example", 60, &[v4(3), v4(1)]);
    let found = |address, port, rank, weight| Found {
        address: SocketAddr::new(address, port),
        rank,
        weight: Some(weight),
    };
    let expected = vec![
        found(v4(1), 5060, 0, 3),
        found(v4(2), 5060, 0, 3),
        found(v4(1), 5080, 1, 1),
        found(v4(3), 5080, 1, 1),
    ];
    assert_eq!(asked.ask_fully().await, (DnsResult::Ok, expected.clone()));
    assert_eq!(asked.dns.asked("pbx.example", Kind::A), 0);

    // One host that is gone keeps its addresses, and no failure to ask for the records takes any.
    asked.dns.set("b.example", Kind::A, Script::NxDomain);
    assert_eq!(asked.ask_fully().await, (DnsResult::NxDomain, expected.clone()));
    asked.dns.set(PBX_SRV, Kind::Srv, Script::ServFail);
    asked.dns.set_addresses("pbx.example", 60, &[v4(9)]);
    assert_eq!(asked.ask_fully().await, (DnsResult::Error, expected));
}

#[tokio::test]
async fn srv_records_that_vanish_keep_their_endpoints_until_there_are_others() {
    for vanished in [Script::NxDomain, Script::Nothing, Script::Records(60, vec![srv(0, 0, 0, ".")])] {
        let mut asked = Asked::new(Family::Auto, (true, false), None);
        let records = |host: &str| Script::Records(60, vec![srv(10, 3, 5080, host)]);
        asked.dns.set_addresses("pbx.example", 60, &[v4(9)]);
        asked.dns.set_addresses("a.example", 60, &[v4(1)]);
        asked.dns.set_addresses("b.example", 60, &[v4(2)]);
        asked.dns.set(PBX_SRV, Kind::Srv, vanished.clone());
        assert_eq!(asked.ask().await, (DnsResult::Ok, at(&[v4(9)], 5060)), "it has had none yet");
        asked.dns.set(PBX_SRV, Kind::Srv, records("a.example."));
        let (_, first) = asked.ask_fully().await;
        assert_eq!((first[0].address, first[0].weight), (at(&[v4(1)], 5080)[0], Some(3)));
        asked.dns.set(PBX_SRV, Kind::Srv, vanished.clone());
        for _ in 0..2 {
            assert_eq!(asked.ask_fully().await, (DnsResult::NxDomain, first.clone()), "{vanished:?}");
        }
        asked.dns.set(PBX_SRV, Kind::Srv, records("b.example."));
        assert_eq!(asked.ask().await, (DnsResult::Ok, at(&[v4(2)], 5080)));
    }
}

#[tokio::test]
async fn without_srv_records_the_name_itself_counts_on_port_5060() {
    for script in [Script::NxDomain, Script::Nothing, Script::Records(60, vec![srv(0, 0, 0, ".")])] {
        let mut asked = Asked::new(Family::Auto, (true, false), None);
        asked.dns.set(PBX_SRV, Kind::Srv, script.clone());
        asked.dns.set_addresses("pbx.example", 60, &[v4(1)]);
        let (result, found) = asked.ask_fully().await;
        assert_eq!((result, found.len()), (DnsResult::Ok, 1), "{script:?}");
        assert_eq!((found[0].address, found[0].weight), (at(&[v4(1)], 5060)[0], None));
    }
}

#[tokio::test]
async fn whether_there_are_srv_records_is_asked_again_soon_if_the_server_cannot_tell() {
    let settings = DnsSettings { min_ttl: Duration::from_millis(300), ..settings(Family::Auto) };
    let (dns, _list, mut reported) = followed(settings, vec![lookup(PBX, None)]);
    dns.set(PBX_SRV, Kind::Srv, Script::ServFail);
    dns.set_addresses("pbx.example", 300, &[v4(1)]);
    dns.set_addresses("a.example", 300, &[v4(2)]);
    let report = loop {
        let report = next(&mut reported).await;
        if !report.found.is_empty() {
            break report;
        }
    };
    let addresses = |report: &Resolution| report.found.iter().map(|found| found.address).collect::<Vec<_>>();
    assert_eq!((report.result, addresses(&report)), (DnsResult::Error, at(&[v4(1)], 5060)));
    dns.set(PBX_SRV, Kind::Srv, Script::Records(300, vec![srv(10, 3, 5080, "a.example.")]));
    let report = next(&mut reported).await;
    assert_eq!((report.result, addresses(&report)), (DnsResult::Ok, at(&[v4(2)], 5080)));
}

#[tokio::test]
async fn a_query_for_srv_records_that_is_dropped_leaves_time_for_the_addresses() {
    let mut asked = Asked::new(Family::Auto, (true, false), None);
    asked.dns.set(PBX_SRV, Kind::Srv, Script::Silence);
    asked.dns.set_addresses("pbx.example", 60, &[v4(1)]);
    let began = Instant::now();
    assert_eq!(asked.ask().await, (DnsResult::Timeout, at(&[v4(1)], 5060)));
    assert!(began.elapsed() < Duration::from_secs(6), "all attempts took {:?}", began.elapsed());
}

#[tokio::test]
async fn only_an_answer_that_is_not_empty_removes_an_address() {
    let mut asked = Asked::new(Family::Auto, (true, false), Some(5060));
    assert_eq!(asked.ask().await, (DnsResult::NxDomain, vec![]));
    asked.dns.set_addresses("pbx.example", 60, &[v4(1), v4(2)]);
    let both = at(&[v4(1), v4(2)], 5060);
    assert_eq!(asked.ask().await, (DnsResult::Ok, both.clone()));
    for (script, result) in [
        (Script::NxDomain, DnsResult::NxDomain),
        (Script::Nothing, DnsResult::NxDomain),
        (Script::ServFail, DnsResult::Error),
    ] {
        asked.set(Kind::A, script);
        assert_eq!(asked.ask().await, (result, both.clone()));
    }
    asked.dns.set_addresses("pbx.example", 60, &[v4(3)]);
    assert_eq!(asked.ask().await, (DnsResult::Ok, at(&[v4(3)], 5060)));
}

#[tokio::test]
async fn of_both_families_one_that_cannot_be_had_keeps_what_it_had() {
    let mut asked = Asked::new(Family::Both, (true, true), Some(5060));
    asked.dns.set_addresses("pbx.example", 60, &[v4(1)]);
    asked.dns.set_addresses("pbx.example", 60, &[v6(1)]);
    asked.ask().await;
    asked.dns.set_addresses("pbx.example", 60, &[v4(2)]);
    asked.set(Kind::Aaaa, Script::ServFail);
    assert_eq!(asked.ask().await, (DnsResult::Error, at(&[v4(2), v6(1)], 5060)));
    asked.set(Kind::Aaaa, Script::Nothing);
    assert_eq!(asked.ask().await, (DnsResult::Ok, at(&[v4(2)], 5060)));
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_again_over_tcp() {
    let mut asked = Asked::new(Family::Auto, (true, false), Some(5060));
    let records = (1..=3).map(|last| Record::Address(v4(last))).collect();
    asked.set(Kind::A, Script::OverTcp(60, records));
    assert_eq!(asked.ask().await, (DnsResult::Ok, at(&[v4(1), v4(2), v4(3)], 5060)));
}

#[tokio::test]
async fn of_many_addresses_as_many_are_taken_as_allowed_always_the_same() {
    let mut asked = Asked::new(Family::Auto, (true, false), Some(5060));
    let mut addresses: Vec<IpAddr> = (1..=40).map(v4).collect();
    for _ in 0..3 {
        addresses.rotate_left(7);
        asked.dns.set_addresses("pbx.example", 60, &addresses);
        assert_eq!(asked.ask().await, (DnsResult::Ok, at(&[v4(1), v4(2), v4(3), v4(4)], 5060)));
    }
    let mut asked = Asked::new(Family::Auto, (true, false), None);
    let records = (0..20).map(|n| srv(20 - n, 1, 5060, &format!("h{n}.example."))).collect();
    asked.dns.set(PBX_SRV, Kind::Srv, Script::Records(60, records));
    for n in 0..20 {
        asked.dns.set_addresses(&format!("h{n}.example"), 60, &[v4(n)]);
    }
    assert_eq!(asked.ask().await.1, at(&[v4(19), v4(18), v4(17), v4(16)], 5060));
    assert_eq!(asked.dns.asked("h0.example", Kind::A), 0, "a flood of targets is not followed");
}

/// A schedule that follows a list, with the server it asks.
fn followed(
    settings: DnsSettings,
    names: Vec<Lookup>,
) -> (Dns, watch::Sender<Vec<Lookup>>, mpsc::Receiver<Resolution>) {
    let dns = server();
    let system = system(&dns, &settings, (true, false));
    let (list, names) = watch::channel(names);
    let (reports, reported) = mpsc::channel(64);
    tokio::spawn(Schedule::new(settings, system, reports).follow(names));
    (dns, list, reported)
}

async fn next(reported: &mut mpsc::Receiver<Resolution>) -> Resolution {
    timeout(Duration::from_secs(20), reported.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_silent_server_is_a_time_out_and_holds_nobody_else_up() {
    let names = vec![lookup("silent.example.", Some(5060)), lookup(PBX, Some(5060))];
    let (dns, _list, mut reported) = followed(settings(Family::Auto), names);
    dns.set("silent.example", Kind::A, Script::Silence);
    dns.set_addresses("pbx.example", 60, &[v4(1)]);
    let (mut first, mut last) = (next(&mut reported).await, next(&mut reported).await);
    while &*last.lookup.name != "silent.example." {
        (first, last) = (last, next(&mut reported).await);
    }
    assert_eq!(&*first.lookup.name, PBX);
    assert_eq!((last.result, last.found.len()), (DnsResult::Timeout, 0));
    assert!(last.took <= LOOKUP_TIMEOUT + Duration::from_secs(5));
}

#[tokio::test]
async fn answers_are_asked_for_again_within_their_time_and_not_before() {
    let settings = DnsSettings { min_ttl: Duration::from_millis(300), ..settings(Family::Auto) };
    let (dns, _list, mut reported) = followed(settings, vec![lookup(PBX, Some(5060))]);
    dns.set_addresses("pbx.example", 0, &[v4(1)]);
    while next(&mut reported).await.result != DnsResult::Ok {}
    let start = Instant::now();
    dns.set_addresses("pbx.example", 0, &[v4(2)]);
    while next(&mut reported).await.found[0].address.ip() != v4(2) {}
    // A tenth is jitter.
    assert!(start.elapsed() >= Duration::from_millis(250), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_flood_of_names_is_looked_up_few_at_a_time() {
    let names: Vec<Lookup> = (0..300).map(|n| lookup(&format!("n{n}.example."), Some(5060))).collect();
    let dns = server();
    let settings = settings(Family::Auto);
    let system = system(&dns, &settings, (true, false));
    let (reports, mut reported) = mpsc::channel(1);
    let mut schedule = Schedule::new(settings, system, reports);
    schedule.take(names).await;
    for _ in 0..300 {
        if schedule.running.len() < CONCURRENCY {
            schedule.begin();
        }
    }
    assert_eq!((schedule.running.len(), schedule.due.len()), (CONCURRENCY, 300 - CONCURRENCY));
    let (_list, names) = watch::channel(schedule.names.keys().cloned().collect());
    tokio::spawn(schedule.follow(names));
    let mut seen = BTreeSet::new();
    while seen.len() < 300 {
        seen.insert(next(&mut reported).await.lookup);
    }
}

#[tokio::test]
async fn a_list_that_keeps_a_name_repeats_its_last_report() {
    let (dns, list, mut reported) = followed(settings(Family::Auto), vec![lookup(PBX, Some(5060))]);
    dns.set_addresses("pbx.example", 60, &[v4(1)]);
    let first = next(&mut reported).await;
    let asked = dns.asked("pbx.example", Kind::A);
    list.send(vec![lookup(PBX, Some(5060)), lookup("other.example.", Some(5060))]).unwrap();
    assert_eq!(next(&mut reported).await, first);
    assert_eq!(&*next(&mut reported).await.lookup.name, "other.example.");
    assert_eq!(dns.asked("pbx.example", Kind::A), asked);
}

#[tokio::test]
async fn names_of_the_hosts_file_need_no_server() {
    let (list, names) = watch::channel(vec![lookup("localhost", None)]);
    let (reports, mut reported) = mpsc::channel(8);
    tokio::spawn(resolve(settings(Family::Ipv4), (true, true), names, reports));
    let report = next(&mut reported).await;
    assert_eq!((&*report.lookup.name, report.result), ("localhost", DnsResult::Ok));
    assert_eq!(report.found[0].address, (Ipv4Addr::LOCALHOST, 5060).into());
    drop(list);
}
