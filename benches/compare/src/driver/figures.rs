//! From the counters before and after to the figures of a run.

use std::time::Instant;

use super::loads::{Load, Memory};
use super::measure::Record;
use super::procfs::{self, Usage};
use crate::generate::report::Report;

/// Counters at one moment.
#[derive(Clone, Copy)]
pub struct Sample {
    at: Instant,
    usage: Usage,
    core: (f64, f64),
    errors: u64,
}

impl Sample {
    /// Those of this moment, for the proxy and its core.
    pub fn take(pid: Option<u32>, core: usize) -> Self {
        let usage = pid.map(procfs::usage).unwrap_or_default();
        Sample { at: Instant::now(), usage, core: procfs::core(core), errors: procfs::receive_errors() }
    }
}

/// Fills in what the generator and /proc have to say, and whether others disturbed the run.
pub fn put(load: &Load, report: &Report, samples: (Sample, Sample), record: &mut Record) {
    let used = Used::between(samples, report);
    // The samples are taken when we hear of the moments, a little late: calls of as long a time.
    let calls = (report.counted as f64 * used.seconds / report.counted_s).max(1.0);
    let left_open = if load.memory == Some(Memory::Established) { 0 } else { report.left_open };
    let up = (report.resent.request + report.resent.bye + report.resent.answer) as f64;
    let down = (report.repeated.invite + report.repeated.bye + report.repeated.answer) as f64;
    record.figures.extend([
        ("per_s", report.counted as f64 / report.counted_s),
        ("cpu_us", used.cpu_s * 1e6 / calls),
        ("cpu_util", used.cpu_s / used.seconds),
        ("switches", used.switches / calls),
        ("failed", (report.failed + left_open) as f64),
        ("retx_up", up),
        ("retx_down", down),
        ("retx", up + down),
        ("drops", used.drops),
        ("generator_busy", report.busy),
        ("generator_lost", used.lost),
        ("foreign", used.foreign),
        ("steal", used.steal),
        ("dead_after_s", (report.last_call_to_first_s - 4.0).max(0.0)),
    ]);
    let plain = report.counted.saturating_sub(report.counted_in_turn);
    if report.counted_in_turn > 0 && plain > 0 {
        // The turns take half of the time each. In theirs, half of the calls fail over.
        let cpu_us = used.cpu_s * 1e6 / 2.0;
        let difference = cpu_us / report.counted_in_turn as f64 - cpu_us / plain as f64;
        record.figures.insert("failover_us", 2.0 * difference * report.counted_s / used.seconds);
    }
    put_latencies(report, record);
    let latency = &report.latency;
    if latency.scrape.count > 0 {
        record.figures.extend([
            ("scrapes", latency.scrape.count as f64),
            ("scraped", latency.scraped.count as f64),
            ("p99_ratio", latency.scraped.p99 / latency.clear.p99),
        ]);
    }
    // At a fixed rate others only take what the favoured proxy leaves; at saturation it is missing.
    let limit = if load.saturates() { 0.05 } else { 0.2 };
    if used.foreign > limit || used.lost > 0.08 || used.steal > 0.05 {
        let [foreign, lost, steal] = [used.foreign, used.lost, used.steal].map(|share| share * 100.0);
        record.disturbed = Some(format!(
            "others took {foreign:.0} % of the proxy's core, {lost:.0} % of the generator's; the hypervisor {steal:.0} %"
        ));
    }
}

fn put_latencies(report: &Report, record: &mut Record) {
    let latency = report.latency;
    for (names, quantiles) in [
        (["progress_p50", "progress_p90", "progress_p99", "progress_p999", "progress_max"], latency.progress),
        (["answer_p50", "answer_p90", "answer_p99", "answer_p999", "answer_max"], latency.answer),
        (["other_p50", "other_p90", "other_p99", "other_p999", "other_max"], latency.other),
        (["scraped_p50", "scraped_p90", "scraped_p99", "scraped_p999", "scraped_max"], latency.scraped),
        (["clear_p50", "clear_p90", "clear_p99", "clear_p999", "clear_max"], latency.clear),
        (["scrape_p50", "scrape_p90", "scrape_p99", "scrape_p999", "scrape_max"], latency.scrape),
    ] {
        if quantiles.count > 0 {
            let values = [quantiles.p50, quantiles.p90, quantiles.p99, quantiles.p999, quantiles.max];
            record.figures.extend(names.into_iter().zip(values));
        }
    }
}

/// What was used between two samples, by whom.
struct Used {
    seconds: f64,
    cpu_s: f64,
    switches: f64,
    drops: f64,
    /// Of the proxy's core, by others, as a share of time.
    foreign: f64,
    steal: f64,
    /// Of the generator's core, by others.
    lost: f64,
}

impl Used {
    fn between((before, after): (Sample, Sample), report: &Report) -> Self {
        let seconds = (after.at - before.at).as_secs_f64();
        let cpu_s = after.usage.cpu_ns.saturating_sub(before.usage.cpu_ns) as f64 / 1e9;
        Used {
            seconds,
            cpu_s,
            switches: after.usage.switches.saturating_sub(before.usage.switches) as f64,
            drops: after.errors.saturating_sub(before.errors) as f64,
            foreign: (after.core.0 - before.core.0 - cpu_s).max(0.0) / seconds,
            steal: (after.core.1 - before.core.1) / seconds,
            lost: (1.0 - report.cpu).max(0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::driver::loads;

    fn run(load: &str, busy_s: f64) -> Record {
        let at = Instant::now();
        let none = Usage::default();
        let before = Sample { at, usage: none, core: (7.0, 0.0), errors: 5 };
        let usage = Usage { cpu_ns: 8_000_000_000, switches: 400 };
        let after = Sample { at: at + Duration::from_secs(10), usage, core: (7.0 + busy_s, 0.0), errors: 8 };
        let report = Report { counted: 200_000, counted_s: 10.0, cpu: 0.99, ..Report::default() };
        let mut record = Record::default();
        put(&loads::find(load).unwrap()[0], &report, (before, after), &mut record);
        record
    }

    #[test]
    fn figures_are_per_call_and_per_second() {
        let record = run("sat64", 8.1);
        let figure = |name| record.figures[name];
        assert_eq!((figure("per_s"), figure("cpu_us"), figure("drops")), (20_000.0, 40.0, 3.0));
        assert_eq!((figure("cpu_util"), figure("switches")), (0.8, 0.002));
        assert!(!record.figures.contains_key("answer_p50"));
        assert_eq!(record.disturbed, None);
    }

    #[test]
    fn a_failover_costs_what_calls_in_turn_cost_more() {
        let at = Instant::now();
        let sample = |seconds: u64| Sample {
            at: at + Duration::from_secs(seconds),
            usage: Usage { cpu_ns: seconds * 1_000_000_000, switches: 0 },
            core: (0.0, 0.0),
            errors: 0,
        };
        let report =
            Report { counted: 225_000, counted_in_turn: 100_000, counted_s: 10.0, ..Report::default() };
        let mut record = Record::default();
        put(&loads::find("alt503_sat64").unwrap()[0], &report, (sample(0), sample(10)), &mut record);
        assert!((record.figures["failover_us"] - 20.0).abs() < 1e-6, "{:?}", record.figures);
    }

    #[test]
    fn others_on_the_core_disturb_a_saturated_run_sooner() {
        assert!(run("sat64", 9.0).disturbed.is_some());
        assert!(run("r1000", 9.0).disturbed.is_none());
        assert!(run("r1000", 10.5).disturbed.is_some());
    }
}
