//! The loads, by name.

use crate::generate::Mode;

/// How calls are begun.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Closed loop: so many at a time; calls per second are what comes out
    Window(u32),
    /// Open loop: so many a second; latency and CPU are what comes out
    Rate(f64),
}

/// Which selection is asked of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// One after the other
    RoundRobin,
    /// By Call-ID
    Hash,
}

/// What a load says about memory beside the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Growth per call while all of them ring
    Pending,
    /// Growth per call right after all of them are over
    Finished,
    /// Growth per call between two moments at which equally many transactions linger
    Established,
    /// Growth from the start to when everything that lingers has gone
    Back,
    /// What it is in the first minute that counts, at its most and in the last, once as much lingers as ever will
    Flat,
}

/// One load.
#[derive(Clone, Debug)]
pub struct Load {
    pub name: &'static str,
    pub about: &'static str,
    pub mode: Mode,
    pub pace: Pace,
    pub destinations: u32,
    pub algorithm: Algorithm,
    pub warm_s: f64,
    pub count_s: f64,
    pub drain_s: f64,
    pub patience_s: f64,
    pub hold_ms: f64,
    pub ring_ms: f64,
    pub behave: &'static [&'static str],
    pub silence_ms: u32,
    pub probe_s: u32,
    pub calls: Option<u64>,
    pub memory: Option<Memory>,
    /// Seconds from one scrape to the next, if the proxy is scraped at all.
    pub scrape_s: Option<f64>,
    /// What is scraped is not the proxy but another program on its core, which computes for so long.
    pub burn_ms: Option<f64>,
}

/// Finished transactions stay for 5 s in Kamailio (`wt_timer`); only after that does a call cost what it
/// costs for good, because as many end as begin. sipwarden keeps RFC 3261's 32 s over UDP: `--warm 35`.
const WARM_S: f64 = 6.0;

const BASE: Load = Load {
    name: "",
    about: "",
    mode: Mode::Invite,
    pace: Pace::Window(64),
    destinations: 10,
    algorithm: Algorithm::RoundRobin,
    warm_s: WARM_S,
    count_s: 5.0,
    drain_s: 4.0,
    patience_s: 4.0,
    hold_ms: 0.0,
    ring_ms: 0.0,
    behave: &[],
    silence_ms: 2000,
    probe_s: 10,
    calls: None,
    memory: None,
    scrape_s: None,
    burn_ms: None,
};

const fn saturated(name: &'static str, about: &'static str, destinations: u32, algorithm: Algorithm) -> Load {
    Load { name, about, destinations, algorithm, ..BASE }
}

const fn paced(name: &'static str, about: &'static str, rate: f64, destinations: u32) -> Load {
    Load { name, about, pace: Pace::Rate(rate), hold_ms: 50.0, destinations, ..BASE }
}

/// So many INVITEs ring at any time, 4,000 of them new each second.
const fn ringing(name: &'static str, about: &'static str, in_flight: f64) -> Load {
    let ring_ms = in_flight / 4.0;
    let warm_s = WARM_S + ring_ms / 1000.0;
    let settle_s = 4.0 + ring_ms / 1000.0;
    Load {
        ring_ms,
        hold_ms: 0.0,
        warm_s,
        drain_s: settle_s,
        patience_s: settle_s,
        ..paced(name, about, 4000.0, 10)
    }
}

const fn memory(name: &'static str, about: &'static str, memory: Memory) -> Load {
    Load { name, about, memory: Some(memory), warm_s: 0.0, count_s: 120.0, patience_s: 300.0, ..BASE }
}

use Algorithm::{Hash, RoundRobin};

/// All of them.
pub const LOADS: &[Load] = &[
    Load {
        pace: Pace::Window(8),
        behave: &["0=503"],
        warm_s: 1.0,
        patience_s: 30.0,
        drain_s: 30.0,
        ..saturated(
            "smoke",
            "whether it works at all: 8 calls at a time, the first of 2 refuses",
            2,
            RoundRobin,
        )
    },
    Load { pace: Pace::Window(16), ..saturated("sat16", "16 calls at a time", 10, RoundRobin) },
    saturated("sat64", "64 calls at a time, 10 destinations, round robin", 10, RoundRobin),
    saturated("sat64_hash", "the same by Call-ID", 10, Hash),
    saturated("sat64_d1000", "1,000 destinations", 1000, RoundRobin),
    saturated("sat64_hash_d1000", "1,000 destinations by Call-ID", 1000, Hash),
    saturated("sat64_d10000", "10,000 destinations", 10_000, RoundRobin),
    saturated("sat64_hash_d10000", "10,000 destinations by Call-ID", 10_000, Hash),
    saturated("ok2_sat64", "2 destinations, both answer", 2, RoundRobin),
    Load {
        behave: &["0=503"],
        ..saturated(
            "fo503_sat64",
            "2 destinations, the first refuses: every second call fails over",
            2,
            RoundRobin,
        )
    },
    Load {
        behave: &["0=503~0.5"],
        count_s: 20.0,
        ..saturated("alt503_sat64", "the same in every other half second", 2, RoundRobin)
    },
    Load { mode: Mode::Message, ..saturated("msg_sat64", "64 MESSAGEs at a time", 10, RoundRobin) },
    Load {
        mode: Mode::Options,
        ..saturated("opt_sat64", "64 OPTIONS to the proxy at a time", 10, RoundRobin)
    },
    paced("r500", "500 calls/s", 500.0, 10),
    paced("r1000", "1,000 calls/s", 1000.0, 10),
    paced("r2000", "2,000 calls/s", 2000.0, 10),
    paced("r4000", "4,000 calls/s", 4000.0, 10),
    paced("r8000", "8,000 calls/s", 8000.0, 10),
    ringing("ring100", "4,000 calls/s, 100 ring at any time", 100.0),
    ringing("ring1000", "4,000 calls/s, 1,000 ring at any time", 1_000.0),
    ringing("ring10000", "4,000 calls/s, 10,000 ring at any time", 10_000.0),
    // `limits.transactions` is 100,000.
    ringing("ring98000", "4,000 calls/s, 98,000 ring at any time", 98_000.0),
    paced("r1000_d1000", "1,000 calls/s over 1,000 destinations", 1000.0, 1000),
    Load {
        scrape_s: Some(0.25),
        count_s: 20.0,
        ..paced("r1000_d1000_scraped", "the same, /metrics fetched four times a second", 1000.0, 1000)
    },
    Load {
        scrape_s: Some(0.25),
        burn_ms: Some(12.0),
        ..paced("r1000_d1000_burnt", "instead, another program takes 12 ms of the core", 1000.0, 1000)
    },
    paced("ok2_r1000", "1,000 calls/s, 2 destinations, both answer", 1000.0, 2),
    Load { behave: &["0=503"], ..paced("fo503_r1000", "1,000 calls/s, the first of 2 refuses", 1000.0, 2) },
    Load {
        behave: &["0=mute"],
        warm_s: 0.0,
        patience_s: 8.0,
        drain_s: 8.0,
        ..paced(
            "silent",
            "100 calls/s, the first of 2 swallows INVITEs: failover after 2 s of silence",
            100.0,
            2,
        )
    },
    Load {
        behave: &["0=dead@4"],
        warm_s: 0.0,
        count_s: 13.0,
        patience_s: 8.0,
        drain_s: 8.0,
        silence_ms: 1000,
        probe_s: 3,
        ..paced(
            "dead",
            "100 calls/s, the first of 2 dies after 4 s: when does the last call go to it?",
            100.0,
            2,
        )
    },
    Load { mode: Mode::None, warm_s: 0.0, drain_s: 0.0, ..saturated("idle", "nothing", 10, RoundRobin) },
    Load {
        mode: Mode::None,
        warm_s: 0.0,
        drain_s: 0.0,
        ..saturated("idle_d1000", "nothing, 1,000 destinations", 1000, RoundRobin)
    },
    Load {
        pace: Pace::Rate(2500.0),
        count_s: 4.0,
        ring_ms: 6000.0,
        drain_s: 8.0,
        ..memory("mem_pending", "10,000 calls that ring", Memory::Pending)
    },
    Load {
        calls: Some(20_000),
        ..memory("mem_finished", "20,000 calls that are just over", Memory::Finished)
    },
    Load {
        pace: Pace::Rate(500.0),
        count_s: 80.0,
        hold_ms: 300_000.0,
        drain_s: 0.0,
        ..memory("mem_established", "500 calls/s that stay, from second 40 to 80", Memory::Established)
    },
    Load { calls: Some(100_000), ..memory("mem_back", "100,000 calls, then 40 s of rest", Memory::Back) },
    Load {
        memory: Some(Memory::Flat),
        warm_s: 40.0,
        count_s: 1_800.0,
        ..paced("soak", "13,000 calls/s for half an hour, half of what one core can", 13_000.0, 10)
    },
];

/// Names for several loads.
pub const GROUPS: &[(&str, &[&str])] = &[
    ("quick", &["sat64", "r1000", "fo503_sat64"]),
    (
        "core",
        &[
            "sat64",
            "sat64_hash",
            "sat64_d1000",
            "sat64_hash_d1000",
            "r1000",
            "r4000",
            "ok2_sat64",
            "fo503_sat64",
            "silent",
            "msg_sat64",
            "opt_sat64",
        ],
    ),
    ("rates", &["r500", "r1000", "r2000", "r4000", "r8000"]),
    ("ringing", &["ring100", "ring1000", "ring10000", "ring98000"]),
    ("memory", &["mem_pending", "mem_finished", "mem_established", "mem_back"]),
];

/// The loads that names and names of groups stand for, separated by commas.
pub fn find(names: &str) -> Result<Vec<Load>, String> {
    if names == "all" {
        return Ok(LOADS.to_vec());
    }
    let mut found = Vec::new();
    for name in names.split(',') {
        let alone = [name];
        let group = GROUPS.iter().find(|group| group.0 == name).map_or(&alone[..], |group| group.1);
        for name in group {
            let load = LOADS.iter().find(|load| load.name == *name);
            found.push(
                load.ok_or_else(|| format!("no load and no group `{name}`; see `compare list`"))?.clone(),
            );
        }
    }
    Ok(found)
}

impl Load {
    /// Whether it runs as fast as it can.
    pub fn saturates(&self) -> bool {
        matches!(self.pace, Pace::Window(_)) && self.mode != Mode::None
    }

    /// The figures worth a row of the table.
    pub fn figures(&self) -> &'static [&'static str] {
        match (self.memory, self.mode, self.name) {
            (Some(Memory::Flat), ..) => &["first_mb", "most_mb", "last_mb", "cpu_us", "failed", "retx"],
            (Some(Memory::Back), ..) => &["base_mb", "peak_mb", "after_mb", "kept_mb", "failed"],
            (Some(_), ..) => &["kb_per_call", "base_mb", "failed"],
            (None, Mode::None, _) => &["start_ms", "cpu_util", "pss_mb", "rss_mb"],
            (None, _, "silent") => &["answer_p50", "answer_p90", "answer_max", "failed", "retx"],
            (None, _, "dead") => &["dead_after_s", "answer_max", "failed", "retx"],
            (None, Mode::Message | Mode::Options, _) => {
                &["per_s", "cpu_us", "other_p50", "other_p99", "failed", "retx", "drops"]
            }
            (None, _, "alt503_sat64") => &["failover_us", "per_s", "cpu_us", "failed", "retx", "drops"],
            (None, Mode::Invite, _) if self.saturates() => &[
                "per_s",
                "cpu_us",
                "answer_p50",
                "answer_p99",
                "failed",
                "retx",
                "drops",
                "pss_mb",
                "rss_mb",
            ],
            (None, Mode::Invite, _) if self.scrape_s.is_some() => &[
                "cpu_us",
                "answer_p50",
                "answer_p90",
                "answer_p99",
                "answer_p999",
                "answer_max",
                "clear_p50",
                "scraped_p50",
                "clear_p99",
                "scraped_p99",
                "p99_ratio",
                "scraped",
                "scrape_p50",
                "scrape_max",
                "failed",
                "retx",
                "drops",
                "pss_mb",
            ],
            (None, Mode::Invite, _) => &[
                "cpu_us",
                "progress_p50",
                "progress_p99",
                "answer_p50",
                "answer_p90",
                "answer_p99",
                "answer_p999",
                "switches",
                "failed",
                "retx",
                "drops",
                "pss_mb",
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::behaviour::Behaviour;

    #[test]
    fn groups_name_loads_and_behaviours_can_be_read() {
        for (group, names) in GROUPS {
            assert_eq!(find(group).unwrap().len(), names.len(), "{group}");
        }
        for load in LOADS {
            assert!(load.behave.iter().all(|text| text.parse::<Behaviour>().is_ok()), "{}", load.name);
            assert_eq!(LOADS.iter().filter(|other| other.name == load.name).count(), 1, "{}", load.name);
        }
        assert!(find("sat64,nothing").is_err());
    }

    #[test]
    fn calls_ring_until_memory_has_been_read() {
        let load = &find("mem_pending").unwrap()[0];
        assert!(load.ring_ms / 1000.0 > load.count_s + 1.0);
    }
}
