//! Calls for a while between SIPp callers and callees that are killed under them: the calls counted
//! on a destination never exceed its limit, and all counts come back to zero.
//!
//! `scripts/soak.sh 30m` does so for half an hour. From two minutes on callers are killed as well,
//! whose calls nobody ends, and the memory at the end is compared with that of the beginning.

#[path = "support/e2e/harness.rs"]
mod harness;

use harness::metrics::{Scrape, is};
use harness::product::{Config, QUICK_PROBE, Sipwarden};
use harness::sipp::{Callee, Calls, Transport};
use harness::wait;
use harness::workspace::Workspace;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// How long one round takes.
const ROUND: Duration = Duration::from_secs(10);
/// Calls started in a second, and how long each is held.
const RATE: u32 = 40;
const HOLD: Duration = Duration::from_secs(1);
/// Calls in a round whose caller is killed: for a minute they take the place of others.
const MORTALS: u32 = 3;
/// After so many rounds what lingers has reached its height.
const WARM: u32 = 6;
/// Memory that may come on top afterwards.
const GROWTH: f64 = 16.0 * 1024.0 * 1024.0;

fn duration() -> Duration {
    let text = std::env::var("SOAK").unwrap_or_else(|_| "20s".to_owned());
    humantime::parse_duration(&text).expect("SOAK is a duration such as 30m")
}

/// The calls that each destination takes: enough for all while three are there, and too few while
/// one of them is dead.
fn limit(is_long: bool) -> u32 {
    let minute = 60 / u32::try_from(ROUND.as_secs()).expect("a round is short");
    let forgotten = if is_long { MORTALS * minute } else { 0 };
    16 + forgotten.div_ceil(3)
}

fn config(callees: &[Callee], limit: u32) -> Config {
    let mut text = format!(
        "workers: 2\nlimits: {{max_call_age: 60s}}\nsets:\n  pbx:\n    algorithm: least_calls\n    slow_start: 2s\n    \
         probe: {QUICK_PROBE}\n    destinations:"
    );
    for (number, callee) in callees.iter().enumerate() {
        let address = callee.address;
        let _ = write!(text, "\n      - {{id: d{number}, uri: \"sip:{address}\", max_calls: {limit}}}");
    }
    Config::new().with(&text)
}

fn check_limits(scrape: &Scrape, limit: u32) {
    for number in 0..3 {
        let labels = [("set", "pbx"), ("destination", &*format!("d{number}"))];
        let calls = scrape.sum("sipwarden_destination_calls", &labels);
        assert!(is(scrape.sum("sipwarden_destination_calls_limit", &labels), f64::from(limit)));
        assert!(calls <= f64::from(limit), "{calls} calls of at most {limit}");
    }
}

fn resident(scrape: &Scrape) -> f64 {
    scrape.sum("process_resident_memory_bytes", &[])
}

/// Whether nothing is under way any more, as the gauges say.
fn is_quiet(scrape: &Scrape) -> bool {
    let gauges =
        ["sipwarden_destination_calls", "sipwarden_dialogs", "sipwarden_destination_transactions_in_flight"];
    gauges.iter().all(|gauge| is(scrape.sum(gauge, &[]), 0.0))
}

#[test]
fn counts_of_calls_come_back_to_zero_whoever_is_killed() {
    let workspace = Workspace::new("soak");
    let start = || Callee::start(&workspace, "callee", Transport::Udp, Duration::ZERO);
    let mut callees = [start(), start(), start()];
    let lasting = duration();
    let is_long = lasting >= Duration::from_secs(120);
    let limit = limit(is_long);
    let sipwarden = Sipwarden::start(&workspace, &config(&callees, limit));
    sipwarden.wait_until_up("pbx", 3);
    let begun = Instant::now();
    let (mut round, mut warm, mut planned, mut successful) = (0_u32, None, 0, 0);
    while begun.elapsed() < lasting {
        let count = RATE * u32::try_from(ROUND.as_secs()).expect("a round is short");
        let calls = Calls { hold: HOLD, ..Calls::to(sipwarden.sip, count, RATE) };
        let caller = calls.scenario("caller_of_mortals").start(&workspace);
        let mortal = is_long.then(|| {
            let few = Calls { hold: Duration::from_secs(30), count: MORTALS, rate: 5, ..calls };
            few.scenario("caller_of_mortals").start(&workspace)
        });
        let watch = |time: Duration| {
            wait::stays_true(time, || {
                check_limits(&sipwarden.scrape(), limit);
                true
            })
        };
        watch(ROUND / 3);
        let victim = usize::try_from(round % 3).expect("one of three");
        callees[victim].kill();
        // Its calls have no caller any more who could end them.
        drop(mortal);
        watch(ROUND / 3);
        let address = callees[victim].address;
        callees[victim] = Callee::start_at(&workspace, "callee", Transport::Udp, Duration::ZERO, address);
        let tally = caller.finish();
        (planned, successful) = (planned + tally.planned, successful + tally.successful);
        round += 1;
        if round == WARM {
            warm = Some(resident(&sipwarden.scrape()));
        }
    }
    // Timer B and F, and in a long run the age at which calls without a BYE are forgotten.
    let patience = Duration::from_secs(if is_long { 110 } else { 50 });
    wait::until_true("no call is counted any more", patience, || is_quiet(&sipwarden.scrape()));
    let scrape = sipwarden.scrape();
    let expired = scrape.sum("sipwarden_dialogs_expired_total", &[("set", "pbx")]);
    let refused = scrape.sum("sipwarden_rejections_total", &[("set", "pbx"), ("reason", "all_full")]);
    println!(
        "{round} rounds: {planned} calls, {successful} successful, {refused} refused because all was full, \
         {expired} forgotten; memory {:.1} MiB after {WARM} rounds, {:.1} at the end",
        warm.unwrap_or(0.0) / 1_048_576.0,
        resident(&scrape) / 1_048_576.0,
    );
    assert!(successful * 10 > planned * 6, "{successful} of {planned} calls successful");
    assert!(refused > 0.0, "no call met full destinations alone");
    assert_eq!(is_long, expired > 0.0, "{expired} calls were forgotten, those of killed callers");
    if let Some(warm) = warm.filter(|_| is_long) {
        let growth = resident(&scrape) - warm;
        assert!(growth < GROWTH, "{growth} bytes more than after {WARM} rounds");
    }
}
