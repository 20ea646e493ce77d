//! The timers of RFC 3261 §17 that can be told: part of the `sip` section.

use std::time::Duration;

/// Base values of the transaction timers (RFC 3261 Table 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Round-trip estimate. Default 500 ms.
    pub t1: Duration,
    /// Longest time between retransmissions of non-INVITE requests and INVITE responses. Default 4 s.
    pub t2: Duration,
    /// Longest time a message stays in the network. 5 s.
    pub t4: Duration,
    /// Memory of finished transactions of one worker, in bytes. Above it the oldest go before their
    /// time. Default 256 MiB.
    pub linger: usize,
}

impl Settings {
    /// Bytes of messages for which there is room from the start, so that the first calls find memory
    /// that is there: the 256th part of what may be kept, at most 1 MiB.
    pub fn room(&self) -> usize {
        (self.linger / 256).min(1 << 20)
    }

    /// 64·T1: timers B, F, H, J, L and M.
    pub fn timeout(&self) -> Duration {
        self.t1 * 64
    }

    /// How long it takes a client's Timer E to grow to T2 (RFC 3261 §17.1.2.2): 3.5 s by default.
    pub fn until_t2(&self) -> Duration {
        let doubled = std::iter::successors(Some(self.t1), |interval| Some(*interval * 2));
        doubled.take_while(|interval| *interval < self.t2).sum::<Duration>().max(self.t1)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            linger: 256 << 20,
        }
    }
}
