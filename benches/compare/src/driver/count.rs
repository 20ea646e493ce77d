//! Instructions instead of time: the same calls under valgrind, where nothing that else goes on counts.
//!
//! Valgrind sees what a program does itself and not what the kernel does for it. Two runs of different
//! length tell what a call costs, because what a start costs is the same in both.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::contestants::{Contestant, Kind};
use super::loads::{self, Load, Pace};
use super::measure::{PATIENCE, REST, Record, Rig};
use super::process::Process;
use super::{check_needs, choose, place, place::Place};
use crate::generate::Mode;
use crate::generate::report::Report;

/// Calls a second: what each can do under valgrind without a retransmission.
const RATE: f64 = 100.0;

/// Command line of `compare count`.
#[derive(Args, Debug)]
pub struct Options {
    /// Contestants, separated by commas; the first is what the others are set against
    #[arg(long, default_value = "kamailio-1w-tlsf,sipwarden-untraced")]
    only: String,
    /// Loads or groups of loads, separated by commas, each at 100 calls a second
    #[arg(long, default_value = "ok2_sat64,fo503_sat64")]
    loads: String,
    /// Calls of the short run and of the long one
    #[arg(long, num_args = 2, value_names = ["SHORT", "LONG"], default_values_t = [200, 2200])]
    calls: Vec<u64>,
    /// sipwarden itself; by default the release build of this repository
    #[arg(long)]
    sipwarden: Option<std::path::PathBuf>,
    /// Directory for configurations, logs and what valgrind writes
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/counts"))]
    out: std::path::PathBuf,
}

/// Runs each load twice against each contestant, and prints instructions per call.
pub fn run(options: &Options) -> Result<()> {
    let [short, long] = options.calls[..] else { unreachable!("clap takes two") };
    ensure!(short < long, "--calls {short} {long}: the first must be less than the second");
    let contestants = choose(&options.only, &[], options.sipwarden.as_ref())?;
    let loads = loads::find(&options.loads).map_err(anyhow::Error::msg)?;
    check_needs(&contestants, &["valgrind"])?;
    fs::create_dir_all(&options.out)?;
    let work = options.out.canonicalize()?;
    let place = Place::enter(false, None)?;
    let sink_core = place.generator_core;
    let rig = Rig { place: &place, work: &work, nice: 0, sink_core, size: 756 };
    println!("{}\n\n| load | contestant | instructions per call |\n|---|---|---|", place::machine(&place));
    let mut counts = vec![];
    for load in loads.iter().filter(|load| load.mode != Mode::None) {
        for contestant in contestants.iter().filter(|contestant| contestant.can(load)) {
            let count = |calls| {
                eprintln!("{} {}: {calls} calls …", load.name, contestant.name);
                let counted = rig.count(contestant, &Load { calls: Some(calls), ..of_calls(load) });
                counted.with_context(|| format!("{} {}", load.name, contestant.name))
            };
            let per_call = (count(long)? as f64 - count(short)? as f64) / (long - short) as f64;
            println!("| {} | {} | {per_call:.0} |", load.name, contestant.name);
            counts.push((load.name, contestant.name.as_str(), per_call));
        }
    }
    print!("{}", failovers(&counts));
    Ok(())
}

/// The load with a number of calls instead of a time.
fn of_calls(load: &Load) -> Load {
    let enough = 3600.0;
    let pace = Pace::Rate(RATE);
    Load { pace, warm_s: 0.0, count_s: enough, patience_s: 30.0, drain_s: 30.0, memory: None, ..load.clone() }
}

/// Half of the calls of fo503_* fail over once: twice the difference to ok2_* is the price of one.
fn failovers(counts: &[(&str, &str, f64)]) -> String {
    let of = |load: &str, name: &str| counts.iter().find(|count| (count.0, count.1) == (load, name));
    let mut out = String::new();
    for (load, name, failing) in counts.iter().filter(|count| count.0 == "fo503_sat64") {
        if let Some((.., plain)) = of(&load.replace("fo503", "ok2"), name) {
            out.push_str(&format!("\nInstructions per failover, {name}: {:.0}\n", 2.0 * (failing - plain)));
        }
    }
    out
}

impl Rig<'_> {
    /// All that a fresh process and its children execute from its start to its end.
    fn count(&self, contestant: &Contestant, load: &Load) -> Result<u64> {
        let counts = self.work.join("callgrind");
        if counts.exists() {
            fs::remove_dir_all(&counts)?;
        }
        fs::create_dir(&counts)?;
        let words = contestant.prepare(load, self.place, self.work)?.context("there is nothing to count")?;
        let mut generator = self.start_generator(load, true)?;
        let words = under_valgrind(contestant, words, &counts);
        let cores = (self.place.proxy_core, self.nice);
        let mut proxy = Process::start(&contestant.name, &words, cores, self.work, false)?;
        let mut record = Record::default();
        self.wait_until_ready(contestant, load, &mut proxy, &mut generator, Instant::now(), &mut record)?;
        generator.tell("go")?;
        let time = Duration::from_secs_f64(load.calls.unwrap_or_default() as f64 / RATE);
        generator.expect("counted", PATIENCE + time)?;
        let report: Report = generator.json(PATIENCE)?;
        let resent = report.resent.request + report.resent.bye + report.resent.answer;
        ensure!(report.failed + report.left_open + resent == 0, "calls failed or were repeated: {report:?}");
        // What it keeps of the calls is to go as well: the generator's callees are needed no longer.
        std::thread::sleep(REST);
        proxy.end(PATIENCE)?;
        total(&counts)
    }
}

fn under_valgrind(contestant: &Contestant, words: Vec<String>, counts: &Path) -> Vec<String> {
    let file = format!("--callgrind-out-file={}/%p", counts.display());
    let mut all: Vec<String> = vec!["env".to_owned()];
    if matches!(contestant.kind, Kind::Sipwarden { .. }) {
        // At most 20 failovers a second have a line in the log: half of them here, next to none under full load.
        all.push("SIPWARDEN_LOG__LEVEL=error".to_owned());
    }
    all.extend(["valgrind", "--tool=callgrind", "--trace-children=yes", &file].map(str::to_owned));
    all.extend(words);
    all
}

/// The sum over all processes.
fn total(counts: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(counts)? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
        let total = total.and_then(|total| total.trim().parse::<u64>().ok());
        sum += total.with_context(|| format!("{}: no totals", path.display()))?;
    }
    ensure!(sum > 0, "valgrind wrote nothing into {}", counts.display());
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failover_is_twice_the_difference() {
        let counts = [("ok2_sat64", "a", 1000.0), ("fo503_sat64", "a", 1250.0), ("fo503_sat64", "b", 1250.0)];
        assert_eq!(failovers(&counts), "\nInstructions per failover, a: 500\n");
    }

    #[test]
    fn the_totals_of_all_processes_are_added_and_none_may_be_missing() {
        let scratch = std::env::temp_dir().join(format!("compare-count-{}", std::process::id()));
        fs::create_dir_all(&scratch).unwrap();
        assert!(total(&scratch).is_err());
        fs::write(scratch.join("1"), "events: Ir\nsummary: 39\ntotals: 40\n").unwrap();
        fs::write(scratch.join("2"), "events: Ir\ntotals: 2\n").unwrap();
        assert_eq!(total(&scratch).unwrap(), 42);
        fs::write(scratch.join("3"), "").unwrap();
        assert!(total(&scratch).is_err());
        fs::remove_dir_all(scratch).unwrap();
    }

    #[test]
    fn what_counts_is_calls_and_not_time() {
        let load = of_calls(&loads::find("fo503_sat64").unwrap()[0]);
        assert_eq!((load.pace, load.warm_s, load.behave), (Pace::Rate(RATE), 0.0, &["0=503"][..]));
    }
}
