//! What the name of a destination stands for, and which of it is in use.

use crate::dispatch::{Endpoint, Host};
use std::net::SocketAddr;
use std::time::Instant;

/// The last answers for a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The last good one, best address first; empty if there has been none.
    pub addresses: Vec<SocketAddr>,
    /// When that came.
    pub answered: Option<Instant>,
    /// Whether the last look-up failed, in whole or in part.
    pub is_stale: bool,
}

impl Answer {
    /// Takes in the end of a look-up. Only an answer that is not empty replaces the last good one.
    pub fn update(&mut self, addresses: &[SocketAddr], is_failure: bool, now: Instant) {
        if !addresses.is_empty() {
            self.addresses = addresses.to_vec();
        }
        if !is_failure && !addresses.is_empty() {
            self.answered = Some(now);
        }
        self.is_stale = is_failure && !self.addresses.is_empty();
    }
}

/// The addresses of one destination.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Every one, best first.
    pub all: Vec<SocketAddr>,
    /// The one in use; one of `all`.
    pub best: Option<SocketAddr>,
    /// When its name was last found to stand for them; `None` for a literal address.
    pub answered: Option<Instant>,
    /// Whether the last look-up failed, in whole or in part, so that there may be others by now.
    pub is_stale: bool,
}

impl Addresses {
    /// Those of an endpoint; `known` is what its name was last found to stand for.
    pub fn new(endpoint: &Endpoint, known: Option<&Answer>) -> Self {
        let mut addresses = Self::default();
        if let Host::Address(address) = endpoint.host {
            let address = SocketAddr::new(address, endpoint.port);
            addresses.all.push(address);
            addresses.best = Some(address);
        }
        if let Some(answer) = known {
            addresses.update(endpoint, answer);
        }
        addresses
    }

    /// Takes in an answer and tells whether the addresses changed. The one in use stays as long as
    /// the answer has it. An endpoint that is one address of several stays what it is.
    pub fn update(&mut self, endpoint: &Endpoint, answer: &Answer) -> bool {
        self.answered = answer.answered;
        self.is_stale = answer.is_stale;
        let (Host::Name(_), Some(first)) = (&endpoint.host, answer.addresses.first()) else { return false };
        let is_changed = sorted(&self.all) != sorted(&answer.addresses);
        self.best = self.best.filter(|best| answer.addresses.contains(best)).or(Some(*first));
        self.all.clone_from(&answer.addresses);
        is_changed
    }
}

fn sorted(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut sorted = addresses.to_vec();
    sorted.sort_unstable();
    sorted
}
