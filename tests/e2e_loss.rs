//! Calls to two real Asterisks over links that lose and double datagrams, each party on a machine of
//! its own (a network namespace): every call succeeds, and no INVITE becomes two calls.

#[path = "support/e2e/harness.rs"]
mod harness;

use harness::address;
use harness::asterisk::Asterisk;
use harness::metrics::is;
use harness::namespace::Network;
use harness::pbx;
use harness::phone::{Message, Phone};
use harness::product::{Config, Sipwarden};
use harness::sipp::Transport;
use harness::workspace::Workspace;
use std::net::Ipv4Addr;
use std::time::Duration;

const CALLS: u32 = 200;
/// In percent, of what each party is sent and sends.
const LOST: u32 = 10;
const DOUBLED: u32 = 1;

/// How a call went.
#[derive(Debug)]
struct End {
    succeeded: bool,
    sent_again: u32,
    story: String,
}

#[test]
fn every_call_succeeds_once_although_a_tenth_of_all_datagrams_is_lost() {
    let workspace = Workspace::new("loss");
    // 198.18.0.0/15 is set aside for tests of networks (RFC 2544).
    let network = Network::new(&[1, 10, 21, 22].map(|host| Ipv4Addr::new(198, 18, 0, host)));
    let [caller, proxy, one, two] = network.hosts();
    let peers =
        [one, two].map(|host| host.enter(|| Asterisk::start_at(&workspace, (host.address, 5060).into())));
    let product = (proxy.address, 5060).into();
    let sipwarden = proxy.enter(|| {
        let [first, second] = peers.each_ref().map(|peer| peer.address);
        let http = address::endpoint();
        // Moving on to another Asterisk while the first rings unheard would make two calls of one; a
        // probe that fails is one of four datagrams sent in vain.
        let text = format!(
            "listen: [\"udp://{product}\"]\nhttp: {{listen: \"{http}\"}}\nsets:\n  pbx:\n    \
             failover: {{no_response_after: 25s}}\n    \
             probe: {{interval: 5s, fast_interval: 500ms, timeout: 4s, down_after: 5}}\n    \
             destinations: [{{id: first, uri: \"sip:{first}\"}}, {{id: second, uri: \"sip:{second}\"}}]\n"
        );
        let sipwarden = Sipwarden::start(&workspace, &Config::written(&text, product, http));
        sipwarden.wait_until_up("pbx", 2);
        sipwarden
    });
    network.impair(LOST, DOUBLED);

    let ends: Vec<End> = std::thread::scope(|scope| {
        let calls = (0..CALLS).map(|number| {
            scope.spawn(move || {
                caller.join();
                call(caller.address, product, number)
            })
        });
        let calls: Vec<_> = calls.collect();
        calls.into_iter().map(|call| call.join().expect("a call has an end")).collect()
    });

    let failed: Vec<&str> = ends.iter().filter(|end| !end.succeeded).map(|end| end.story.as_str()).collect();
    assert!(failed.is_empty(), "{} of {CALLS} calls failed: {failed:#?}", failed.len());
    let processed = pbx::wait_until_idle(&peers);
    assert_eq!(processed.iter().sum::<u32>(), CALLS, "INVITEs that became calls in {processed:?}");

    for host in [caller, proxy, one, two] {
        assert!(host.lost() > 0, "nothing sent to {} was lost", host.address);
    }
    let scrape = proxy.enter(|| sipwarden.scrape());
    let succeeded = [("set", "pbx"), ("method", "INVITE"), ("code", "200"), ("origin", "upstream")];
    assert!(is(scrape.sum("sipwarden_transactions_total", &succeeded), f64::from(CALLS)));
    assert!(is(scrape.sum("sipwarden_requests_total", &[("method", "INVITE")]), f64::from(CALLS)));
    assert!(is(scrape.sum("sipwarden_failovers_total", &[]), 0.0));
    // What callers and link repeated was absorbed, as far as it arrived and was not the first to.
    let absorbed = scrape.sum("sipwarden_client_retransmissions_total", &[("kind", "request")]);
    let repeated = ends.iter().map(|end| end.sent_again).sum::<u32>() + caller.doubled();
    assert!(absorbed > 0.5 && absorbed < f64::from(repeated) + 0.5, "{absorbed} of {repeated} absorbed");
    // Of 200 answers and BYEs, a tenth is lost, and so are ACKs: both sides have much to repeat.
    let [to, from] = ["request", "response"]
        .map(|kind| scrape.sum("sipwarden_destination_retransmissions_total", &[("kind", kind)]));
    assert!(to > 5.0 && from > 5.0, "{to} repeated to the Asterisks, {from} by them");
    println!(
        "{CALLS} calls, {processed:?} at the Asterisks; lost {:?}, doubled {:?}, absorbed {absorbed}, \
         repeated to the Asterisks {to}, by them {from}",
        [caller, proxy, one, two].map(harness::namespace::Host::lost),
        [caller, proxy, one, two].map(harness::namespace::Host::doubled),
    );
}

/// Calls, talks for a second, and hangs up.
fn call(from: Ipv4Addr, product: std::net::SocketAddr, number: u32) -> End {
    let mut phone = Phone::new(Transport::Udp, from.into(), product, &format!("sip:echo@{product}"));
    phone.listen(Duration::from_millis(20) * number);
    phone.invite();
    let answered = phone.wait_for(|message| message.is_final("INVITE"));
    phone.listen(Duration::from_secs(1));
    // When the ACK comes after the BYE, Asterisk forgets the call then, and has 481 for a BYE that is
    // repeated because its 200 was lost; either ends the call (RFC 3261 §15.1.1).
    let ended = phone.hang_up() || phone.finals("BYE").next().is_some_and(is_forgotten);
    let succeeded = answered && phone.codes("INVITE") == [200] && ended;
    End { succeeded, sent_again: phone.sent_again(), story: phone.story() }
}

fn is_forgotten(answer: &Message) -> bool {
    answer.code() == Some(481) && answer.header("Server").is_some_and(|server| server.starts_with("asterisk"))
}
