//! The link: loses, doubles, delays and reorders datagrams; streams it only delays.

use crate::chance::Chance;
use crate::wire;
use sipwarden::facts::Transport;
use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How often one message is lost at most, so that what is repeated arrives in the end.
const LOSSES: u8 = 2;

#[derive(Debug)]
pub struct Link {
    /// Percent.
    loss: u64,
    /// Percent.
    doubling: u64,
    /// Milliseconds, shortest and longest.
    delay: (u64, u64),
    lost: HashMap<u64, u8>,
    /// When the last message of a stream arrives.
    streams: HashMap<(SocketAddr, SocketAddr), Instant>,
}

impl Link {
    pub fn new(chance: &mut Chance) -> Self {
        let is_lossy = chance.percent(70);
        Self {
            loss: if is_lossy { chance.below(25) } else { 0 },
            doubling: if is_lossy { chance.below(12) } else { 0 },
            delay: chance.pick(&[(0, 1), (1, 30), (5, 300), (10, 1_800)]),
            lost: HashMap::new(),
            streams: HashMap::new(),
        }
    }

    /// When the copies of a message arrive: none if it is lost, two if it is doubled.
    pub fn arrivals(
        &mut self,
        way: (SocketAddr, SocketAddr),
        transport: Transport,
        text: &str,
        now: Instant,
        chance: &mut Chance,
    ) -> Vec<Instant> {
        let (low, high) = self.delay;
        let mut at = now + chance.ms(low, high);
        if transport == Transport::Tcp {
            let last = self.streams.entry(way).or_insert(at);
            at = at.max(*last + Duration::from_micros(1));
            *last = at;
            return vec![at];
        }
        let lost = self.lost.entry(identity(way, text)).or_default();
        if *lost < LOSSES && chance.percent(self.loss) {
            *lost += 1;
            return Vec::new();
        }
        let mut arrivals = vec![at];
        if chance.percent(self.doubling) {
            arrivals.push(at + chance.ms(0, high));
        }
        arrivals
    }
}

/// What a message and its repetitions have in common.
fn identity(way: (SocketAddr, SocketAddr), text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    let line = text.lines().next();
    (way, line, wire::call_id(text), wire::header(text, "CSeq"), wire::branch(text)).hash(&mut hasher);
    hasher.finish()
}
