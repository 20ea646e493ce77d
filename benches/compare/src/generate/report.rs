//! What the generator counts, and the JSON that it ends with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::histogram::{Histogram, Quantiles};

/// Counts over the whole run, unless they say otherwise.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Calls begun.
    pub started: u64,
    /// Calls that went as they should.
    pub completed: u64,
    /// Those of them that ended in the time that counts.
    pub counted: u64,
    /// Those of these that ended while the first `--behave` held.
    pub counted_in_turn: u64,
    /// That time, in seconds.
    pub counted_s: f64,
    /// Calls that ended otherwise, with those that were given up.
    pub failed: u64,
    /// Calls given up: no end in time.
    pub given_up: u64,
    /// Calls neither ended nor given up when the generator stopped.
    pub left_open: u64,
    /// Final responses above 299.
    pub codes: BTreeMap<u16, u64>,
    /// Sent again by us, for want of an answer.
    pub resent: Resent,
    /// Came to a destination again: retransmitted by the proxy.
    pub repeated: Repeated,
    /// Datagrams that belong to no call.
    pub stray: u64,
    /// Microseconds, of what began in the time that counts.
    pub latency: Latencies,
    /// Length of the last scrape, with its head.
    pub scrape_bytes: u64,
    /// Scrapes that were refused or cut off.
    pub scrapes_failed: u64,
    /// How late calls began, against the schedule, in microseconds (open loop).
    pub slip: Quantiles,
    /// Share of the counted time in which the generator had something to do: near 1, it is the limit.
    pub busy: f64,
    /// CPU time of the generator as a share of time. It spins, so what is missing others have taken.
    pub cpu: f64,
    /// Length of a first request.
    pub request_bytes: usize,
    /// Destinations that had an INVITE or MESSAGE.
    pub destinations_used: u64,
    /// Calls of the least and of the most used destination.
    pub destinations_range: (u64, u64),
    /// When destination 0 last had the first INVITE of a call, in seconds.
    pub last_call_to_first_s: f64,
}

/// Retransmissions by the generator.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Resent {
    /// First requests.
    pub request: u64,
    /// BYEs.
    pub bye: u64,
    /// 200s, for want of an ACK.
    pub answer: u64,
}

/// Retransmissions by the proxy.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Repeated {
    /// INVITEs.
    pub invite: u64,
    /// BYEs.
    pub bye: u64,
    /// Final responses to the caller.
    pub answer: u64,
}

/// Latencies by what was waited for.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Latencies {
    /// INVITE to the first provisional response.
    pub progress: Quantiles,
    /// INVITE to 200.
    pub answer: Quantiles,
    /// Any other final response: a refused INVITE, a MESSAGE, an OPTIONS.
    pub other: Quantiles,
    /// Those of `answer` that met a scrape.
    pub scraped: Quantiles,
    /// Those of `answer` that met none, if there were scrapes.
    pub clear: Quantiles,
    /// A scrape, to the last byte.
    pub scrape: Quantiles,
}

/// Latencies while they are collected.
pub struct Clocks {
    /// As in `Latencies`.
    pub progress: Histogram,
    /// As in `Latencies`.
    pub answer: Histogram,
    /// As in `Latencies`.
    pub other: Histogram,
    /// As in `Latencies`.
    pub scraped: Histogram,
    /// As in `Latencies`.
    pub clear: Histogram,
    /// As in `Latencies`.
    pub scrape: Histogram,
    /// As in `Report`.
    pub slip: Histogram,
}

impl Clocks {
    /// All empty.
    pub fn new() -> Self {
        let new = Histogram::new;
        Clocks {
            progress: new(),
            answer: new(),
            other: new(),
            scraped: new(),
            clear: new(),
            scrape: new(),
            slip: new(),
        }
    }

    /// What they come down to.
    pub fn latencies(&self) -> Latencies {
        Latencies {
            progress: self.progress.quantiles(),
            answer: self.answer.quantiles(),
            other: self.other.quantiles(),
            scraped: self.scraped.quantiles(),
            clear: self.clear.quantiles(),
            scrape: self.scrape.quantiles(),
        }
    }
}
