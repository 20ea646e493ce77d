//! The same INVITEs through a real Kamailio and through sipwarden, set up for the same choice: each
//! goes to the same destination. Where the two differ on purpose, the table says how.

#[path = "support/e2e/harness.rs"]
mod harness;

use harness::address;
use harness::kamailio::{Choice, Kamailio};
use harness::metrics::is;
use harness::product::{Config, QUICK_PROBE, Sipwarden, usize_of};
use harness::signpost::{Asker, Invite, Signpost};
use harness::wait;
use harness::workspace::Workspace;
use sipwarden::cli::import::{File, convert};
use sipwarden::dispatch::kamailio_hash;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

/// How many INVITEs a plan is tried with.
const CALLS: usize = 1_000;
/// The same where the key decides and not the number of calls.
const FEWER: usize = 200;

/// Destinations and their priorities in sipwarden's sense, lower first.
type Members = [(&'static str, u32); 3];
const EVEN: Members = [("a", 0), ("b", 0), ("c", 0)];
const GRADED: Members = [("a", 0), ("b", 1), ("c", 2)];

/// How the members are put into Kamailio's list.
#[derive(Debug, Clone, Copy)]
enum Lines {
    /// As an import turns them round: the last one first, a high priority for a low one.
    Turned,
    /// The same lines with the same numbers.
    Same,
}

/// One way to choose, as both are told.
#[derive(Debug)]
struct Plan {
    name: &'static str,
    /// The second parameter of `ds_select_dst`.
    algorithm: u32,
    /// Keys of the set.
    keys: &'static str,
    members: Members,
    lines: Lines,
    calls: usize,
}

const fn plan(name: &'static str, algorithm: u32, keys: &'static str) -> Plan {
    Plan { name, algorithm, keys, members: EVEN, lines: Lines::Turned, calls: FEWER }
}

/// What is to be the same.
const ALIKE: [Plan; 9] = [
    Plan { calls: CALLS, ..plan("call_id", 0, "algorithm: hash, hash: {key: [call_id], compat: kamailio}") },
    plan("from", 1, "algorithm: hash, hash: {key: [from], compat: kamailio}"),
    plan("to", 2, "algorithm: hash, hash: {key: [to], compat: kamailio}"),
    plan("ruri", 3, "algorithm: hash, hash: {key: [ruri], compat: kamailio}"),
    plan("auth_user", 5, "algorithm: hash, hash: {key: [auth_user], compat: kamailio}"),
    plan("header", 7, "algorithm: hash, hash: {key: [\"header:X-Key\"], compat: kamailio}"),
    Plan {
        members: GRADED,
        ..plan("graded", 0, "algorithm: hash, hash: {key: [call_id], compat: kamailio}")
    },
    Plan { calls: CALLS, ..plan("round_robin", 4, "algorithm: round_robin") },
    Plan { calls: CALLS, members: GRADED, ..plan("priority", 8, "algorithm: priority") },
];

/// What differs.
const UNLIKE: [Plan; 4] = [
    plan("native", 0, "algorithm: hash, hash: {key: [call_id]}"),
    Plan { members: GRADED, ..plan("tiers", 0, "algorithm: hash, hash: {key: [call_id]}") },
    Plan { lines: Lines::Same, ..plan("file_order", 8, "algorithm: priority") },
    Plan { lines: Lines::Same, members: GRADED, ..plan("numbers", 8, "algorithm: priority") },
];

fn plans() -> impl Iterator<Item = &'static Plan> {
    ALIKE.iter().chain(&UNLIKE)
}

/// Both products in front of the same three destinations.
struct Rig {
    destinations: BTreeMap<&'static str, Signpost>,
    kamailio: Kamailio,
    sipwarden: Sipwarden,
    listens: Vec<SocketAddr>,
    config: String,
    asker: Asker,
    _workspace: Workspace,
}

/// What both chose.
type Both = [String; 2];

impl Rig {
    fn start(test: &str) -> Self {
        let workspace = Workspace::new(test);
        let destinations: BTreeMap<_, _> =
            EVEN.iter().map(|(name, _)| (*name, Signpost::start(name))).collect();
        let address = |name: &str| destinations.get(name).expect("it was just started").address;
        let addresses: BTreeMap<&str, SocketAddr> =
            destinations.keys().map(|name| (*name, address(name))).collect();
        let choices: Vec<Choice> = plans().map(|plan| plan.choice(&addresses)).collect();
        let kamailio = Kamailio::start(&workspace, &choices);
        let listens: Vec<SocketAddr> = plans().map(|_| address::endpoint()).collect();
        let http = address::endpoint();
        let config = config(&listens, http, &addresses);
        let sip = *listens.first().expect("there are plans");
        let sipwarden = Sipwarden::start(&workspace, &Config::written(&config, sip, http));
        wait::until_true("sipwarden has probed all", Duration::from_secs(10), || {
            let up = sipwarden.scrape().sum("sipwarden_destination_state", &[("state", "up")]);
            usize_of(up) == EVEN.len() * plans().count()
        });
        let asker = Asker::new();
        Self { destinations, kamailio, sipwarden, listens, config, asker, _workspace: workspace }
    }

    /// Sends the INVITE of a number to both.
    fn ask(&mut self, plan: &str, number: usize) -> Both {
        let [kamailio, ours] = self.ask_all(plan, number..number + 1);
        [kamailio.concat(), ours.concat()]
    }

    fn ask_all(&mut self, plan: &str, numbers: Range<usize>) -> [Vec<String>; 2] {
        let at = plans().position(|known| known.name == plan).expect("the plan is known");
        [self.kamailio.listens.get(at), self.listens.get(at)].map(|proxy| {
            let proxy = proxy.expect("each plan has its listener");
            self.asker.ask(*proxy, numbers.clone().map(invite))
        })
    }

    /// Where the INVITEs of all numbers of a plan go, from Kamailio and from sipwarden.
    fn homes(&mut self, plan: &Plan) -> Vec<Both> {
        self.homes_of(plan, plan.calls)
    }

    fn homes_of(&mut self, plan: &Plan, calls: usize) -> Vec<Both> {
        let [kamailio, ours] = self.ask_all(plan.name, 0..calls);
        kamailio.into_iter().zip(ours).map(Both::from).collect()
    }

    fn kill(&mut self, name: &str) {
        let destination = self.destinations.get_mut(name).expect("the test names a destination");
        destination.kill();
        self.kamailio.wait_until_inactive(destination.address);
        wait::until_true("sipwarden has noticed the death", Duration::from_secs(10), || {
            is(self.sipwarden.scrape().sum("sipwarden_destination_up", &[("destination", name)]), 0.0)
        });
    }

    /// Takes a destination of a plan out of service in both.
    fn disable(&self, plan: &str, name: &str) {
        let set = (1..).zip(plans()).find(|(_, known)| known.name == plan).expect("the plan is known").0;
        let destination = self.destinations.get(name).expect("the test names a destination");
        let uri = format!("sip:{}", destination.address);
        self.kamailio.control(&["dispatcher.set_state", "d", &set.to_string(), &uri]);
        let ended = self.sipwarden.ask(&["set-state", plan, name, "disabled"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }

    /// Has both read their configuration again; sipwarden's differs in what does not matter here.
    fn reload(&mut self) {
        self.kamailio.control(&["dispatcher.reload"]);
        self.config.push('\n');
        let objective = format!("0.9{}", self.config.len());
        let changed = self.config.replace("objective: 0.5", &format!("objective: {objective}"));
        std::fs::write(&self.sipwarden.file, changed).expect("the test's directory can be written");
        let ended = self.sipwarden.ask(&["reload"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
}

impl Plan {
    fn choice(&self, addresses: &BTreeMap<&str, SocketAddr>) -> Choice {
        let line = |(name, priority): &(&str, u32)| match self.lines {
            Lines::Turned => (addresses[name], 9 - priority),
            Lines::Same => (addresses[name], *priority),
        };
        let lines = match self.lines {
            Lines::Turned => self.members.iter().rev().map(line).collect(),
            Lines::Same => self.members.iter().map(line).collect(),
        };
        Choice { algorithm: self.algorithm, lines }
    }
}

fn config(listens: &[SocketAddr], http: SocketAddr, addresses: &BTreeMap<&str, SocketAddr>) -> String {
    let (mut listen, mut sets, mut routes) = (String::new(), String::new(), String::new());
    for (plan, at) in plans().zip(listens) {
        let _ = writeln!(listen, "  - {{bind: \"udp://{at}\", name: {}}}", plan.name);
        let destinations = plan.members.map(|(name, priority)| {
            format!("{{id: {name}, uri: \"sip:{}\", priority: {priority}}}", addresses[name])
        });
        let _ = writeln!(
            sets,
            "  {}: {{{}, objective: 0.5, probe: {QUICK_PROBE}, destinations: [{}]}}",
            plan.name,
            plan.keys,
            destinations.join(", ")
        );
        let _ = writeln!(routes, "  - {{listener: {0}, set: {0}}}", plan.name);
    }
    format!("workers: 1\nhttp: {{listen: \"{http}\"}}\nlisten:\n{listen}sets:\n{sets}routes:\n{routes}")
}

/// The INVITE of a number: each part that can be a key differs from number to number, in ways that
/// phones have, and one in ten brings no credentials.
fn invite(number: usize) -> Invite {
    let port = match number % 3 {
        0 => "",
        1 => ":5060",
        _ => ":5070",
    };
    let scheme = if number.is_multiple_of(2) { "sip" } else { "sips" };
    let user = if number.is_multiple_of(7) { String::new() } else { format!("caller{number}@") };
    let mut headers = format!(
        "Call-ID: {}\r\nFrom: \"Caller\" <{scheme}:{user}pbx{number}.example.org{port}>;tag=f{number}\r\n\
         To: <sip:+1555{number}@[2001:db8::{}]{port};user=phone>\r\nX-Key: {}\r\n",
        call_id(number),
        number % 999,
        number * 31
    );
    if number % 10 != 3 {
        let name = if number.is_multiple_of(4) { "Proxy-Authorization" } else { "Authorization" };
        let domain = if number.is_multiple_of(5) { "@example.com" } else { "" };
        let _ = write!(
            headers,
            "{name}: Digest realm=\"x, y\", username=\"user{number}{domain}\", nonce=\"1\", \
            uri=\"sip:example.com\", response=\"0123456789abcdef0123456789abcdef\"\r\n"
        );
    }
    Invite { uri: format!("sip:{number}@example{}.com{port}", number % 11), headers }
}

fn call_id(number: usize) -> String {
    match number % 3 {
        0 => format!("{:032x}", (number as u128 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)),
        1 => format!("{number}-4711@192.0.2.{}", number % 250),
        _ => format!("a84b4c76e{number}@pc33.example.com"),
    }
}

/// How often each was chosen.
fn tally<'a>(chosen: impl Iterator<Item = &'a String>) -> BTreeMap<&'a str, usize> {
    let mut tally = BTreeMap::new();
    chosen.for_each(|name| *tally.entry(name.as_str()).or_insert(0) += 1);
    tally
}

/// The numbers whose INVITEs went to different destinations.
fn apart(homes: &[Both]) -> Vec<(usize, &Both)> {
    homes.iter().enumerate().filter(|(_, [kamailio, ours])| kamailio != ours).collect()
}

#[test]
fn each_call_goes_to_the_same_destination_while_all_are_up() {
    let mut rig = Rig::start("kamailio-same");
    for plan in &ALIKE {
        let homes = rig.homes(plan);
        let tally = tally(homes.iter().map(|[kamailio, _]| kamailio));
        println!("{}: {} calls, Kamailio's choices {tally:?}", plan.name, plan.calls);
        assert_eq!(apart(&homes), [], "{}", plan.name);
        let expected: &[&str] = if plan.name == "priority" { &["a"] } else { &["a", "b", "c"] };
        assert!(tally.keys().eq(expected), "{}: {tally:?}", plan.name);
    }
}

#[test]
fn what_a_dead_destination_had_goes_to_the_same_one_in_its_place() {
    let mut rig = Rig::start("kamailio-dead");
    let hashed = |plan: &&Plan| plan.keys.contains("compat") && plan.name != "auth_user";
    let before: Vec<_> = ALIKE.iter().filter(hashed).map(|plan| rig.homes_of(plan, FEWER)).collect();
    rig.kill("a");
    for (plan, before) in ALIKE.iter().filter(hashed).zip(before) {
        let during = rig.homes_of(plan, FEWER);
        assert_eq!(apart(&during), [], "{}", plan.name);
        for ([_, before], [_, during]) in before.iter().zip(&during) {
            assert_eq!(during, if before == "a" { "b" } else { before }, "{}", plan.name);
        }
    }
    let round_robin = rig.homes_of(&ALIKE[7], FEWER);
    for homes in each(&round_robin) {
        let tally = tally(homes.into_iter());
        assert!(tally["b"].abs_diff(tally["c"]) <= 1 && tally.len() == 2, "{tally:?}");
    }
    let priority = rig.homes_of(&ALIKE[8], FEWER);
    assert_eq!(tally(priority.iter().flatten()), BTreeMap::from([("b", 2 * FEWER)]));
}

/// What is imported from the files that Kamailio runs with, but for the call, which names its set there.
#[test]
fn an_import_with_use_default_keeps_slots_and_last_resort() {
    const USE_DEFAULT: &str = "modparam(\"dispatcher\", \"use_default\", 1)\n";
    let workspace = Workspace::new("kamailio-default");
    let mut destinations = ["a", "b", "c", "default"].map(|name| (name, Signpost::start(name)));
    let lines = destinations.iter().rev().map(|(_, destination)| (destination.address, 0)).collect();
    let kamailio = Kamailio::start_with(&workspace, &[Choice { algorithm: 0, lines }], USE_DEFAULT);
    let script = format!(
        "{USE_DEFAULT}modparam(\"dispatcher\", \"ds_ping_interval\", 1)\nroute {{ ds_select_dst(\"1\", \"0\"); }}\n"
    );
    let read = |name: &str| std::fs::read(workspace.path(name)).expect("Kamailio was started with it");
    let files = [("choice.cfg", script.into_bytes()), ("dispatcher.list", read("dispatcher.list"))]
        .map(|(name, bytes)| File { name: name.into(), bytes });
    let imported = convert(&files, true).expect("there are destinations").yaml;
    let (sip, http) = (address::endpoint(), address::endpoint());
    let config = format!("workers: 1\nhttp: {{listen: \"{http}\"}}\nlisten: [\"udp://{sip}\"]\n{imported}");
    let sipwarden = Sipwarden::start(&workspace, &Config::written(&config, sip, http));
    wait::until_true("sipwarden has probed all", Duration::from_secs(10), || {
        is(sipwarden.scrape().sum("sipwarden_destination_state", &[("state", "up")]), 4.0)
    });
    let (mut asker, theirs) = (Asker::new(), *kamailio.listens.first().expect("there is one"));
    for gone in [None, Some(1), Some(0), Some(2)] {
        if let Some((name, destination)) = gone.and_then(|gone: usize| destinations.get_mut(gone)) {
            destination.kill();
            kamailio.wait_until_inactive(destination.address);
            let id = destination.address.to_string();
            wait::until_true(
                &format!("sipwarden has noticed that {name} is gone"),
                Duration::from_secs(10),
                || is(sipwarden.scrape().sum("sipwarden_destination_up", &[("destination", &id)]), 0.0),
            );
        }
        let [kamailio, ours] = [theirs, sip].map(|proxy| asker.ask(proxy, (0..FEWER).map(invite)));
        assert_eq!(ours, kamailio, "without {gone:?}");
        let is_left = ours.iter().all(|home| home == "default");
        assert_eq!(is_left, gone == Some(2), "the last resort is for when nobody else works: {ours:?}");
    }
}

/// Something that the two do differently, on purpose.
struct Difference {
    what: &'static str,
    kamailio: &'static str,
    sipwarden: &'static str,
    why: &'static str,
    /// What is seen of each.
    look: fn(&mut Rig) -> Both,
}

const DIFFERENCES: [Difference; 7] = [
    Difference {
        what: "order within a priority, of lines a, b, c",
        kamailio: "c first",
        sipwarden: "a first",
        why: "a file is read from its top",
        look: |rig| rig.ask("file_order", 0).map(|first| format!("{first} first")),
    },
    Difference {
        what: "priorities 0, 1, 2 of a, b, c",
        kamailio: "c first",
        sipwarden: "a first",
        why: "lower is first in SRV records, too",
        look: |rig| rig.ask("numbers", 0).map(|first| format!("{first} first")),
    },
    Difference {
        what: "a hash over destinations of different priorities, without `compat`",
        kamailio: "a, b, c",
        sipwarden: "a",
        why: "priorities are tiers whatever the algorithm; the rest stands by",
        look: |rig| {
            let homes = rig.homes(&UNLIKE[1]);
            each(&homes).map(|homes| listed(&homes))
        },
    },
    Difference {
        what: "where round robin goes on after a reload that follows on a call to a",
        kamailio: "a",
        sipwarden: "b",
        why: "a reload moves no call",
        look: |rig| {
            assert_eq!(rig.ask("round_robin", 0), ["a", "a"]);
            rig.reload();
            rig.ask("round_robin", 1)
        },
    },
    Difference {
        what: "calls to a destination disabled by hand, after a reload",
        kamailio: "a, b, c",
        sipwarden: "a, c",
        why: "what was disabled stays so until its own key changes",
        look: |rig| {
            rig.disable("call_id", "b");
            let homes = rig.homes_of(&ALIKE[0], FEWER);
            assert_eq!(apart(&homes), []);
            assert!(!homes.iter().flatten().any(|home| home == "b"), "it is disabled");
            rig.reload();
            let homes = rig.homes_of(&ALIKE[0], FEWER);
            each(&homes).map(|homes| listed(&homes))
        },
    },
    Difference {
        what: "the calls of a dead destination under a hash without `compat`",
        kamailio: "all to c",
        sipwarden: "to a and c alike",
        why: "a neighbour with two shares is the next to die",
        look: |rig| {
            let before = rig.homes(&UNLIKE[0]);
            rig.kill("b");
            let during = rig.homes(&UNLIKE[0]);
            let ([kamailio, ours], [kamailio_now, ours_now]) = (each(&before), each(&during));
            [moved(&kamailio, &kamailio_now), moved(&ours, &ours_now)]
        },
    },
    Difference {
        what: "a call to a destination known to be dead, after a reload",
        kamailio: "sent there: 408",
        sipwarden: "to another",
        why: "what is known of a destination is not in the file",
        look: |rig| {
            // Kamailio forgets until its next probes have failed; that may be before the call comes.
            let of_b = |number: &usize| kamailio_hash(call_id(*number).as_bytes(), b"") % 3 == 1;
            let number = (0..).find(of_b).expect("one in three");
            let mut seen = Both::default();
            for _ in 0..5 {
                rig.reload();
                let [kamailio, ours] = rig.ask("graded", number);
                let sent = if kamailio == "408" { "sent there: 408" } else { "to another" };
                let kept = if ours == "408" { "sent there: 408" } else { "to another" };
                seen = [sent, kept].map(str::to_owned);
                if kamailio == "408" || ours == "408" {
                    break;
                }
            }
            seen
        },
    },
];

/// What Kamailio chose, and what sipwarden did.
fn each(homes: &[Both]) -> [Vec<&String>; 2] {
    [homes.iter().map(|[kamailio, _]| kamailio).collect(), homes.iter().map(|[_, ours]| ours).collect()]
}

/// Whom somebody chose at all.
fn listed(chosen: &[&String]) -> String {
    tally(chosen.iter().copied()).into_keys().collect::<Vec<_>>().join(", ")
}

/// Where the calls of b went; panics if another call moved.
fn moved(before: &[&String], during: &[&String]) -> String {
    let mut went = Vec::new();
    for (before, during) in before.iter().zip(during) {
        if *before == "b" {
            went.push(*during);
        } else {
            assert_eq!(before, during, "the call of a living destination moved");
        }
    }
    let tally = tally(went.iter().copied());
    match tally.iter().collect::<Vec<_>>()[..] {
        [(one, _)] => format!("all to {one}"),
        // Four standard deviations of that many calls.
        [(one, some), (two, others)]
            if (some.abs_diff(*others) as f64) < 4.0 * (went.len() as f64).sqrt() =>
        {
            format!("to {one} and {two} alike")
        }
        _ => format!("{tally:?}"),
    }
}

#[test]
fn the_differences_are_those_of_the_table() {
    let mut rig = Rig::start("kamailio-other");
    for Difference { what, kamailio, sipwarden, why, look } in DIFFERENCES {
        let seen = look(&mut rig);
        println!("{what}: Kamailio {}, sipwarden {} ({why})", seen[0], seen[1]);
        assert_eq!(seen, [kamailio, sipwarden], "{what}");
    }
}
