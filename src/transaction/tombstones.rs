//! What is left of finished server transactions that had to go before their time: their keys, so
//! that a retransmission is absorbed in silence and never becomes a new call.
//!
//! Kept by age in a few generations, each of which goes as a whole; so a key stays for its time and
//! up to a third longer, and costs what a set of keys costs: 17 to 39 bytes.

use super::key::Key;
use crate::facts::Method;
use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

/// What a request was that is only remembered by its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// Not an INVITE.
    Other,
    /// An INVITE that failed: its ACK is absorbed too.
    Failed,
    /// An INVITE that was answered: its ACK is end to end.
    Answered,
}

const KINDS: usize = 3;
/// Generations in the life of a key.
const SPANS: u32 = 3;
/// Bytes of a bucket of a set of keys: the key and a control byte.
const BUCKET: usize = size_of::<Key>() + 1;

type Keys = HashSet<Key, foldhash::fast::RandomState>;

#[derive(Debug)]
struct Generation {
    since: Instant,
    keys: [Keys; KINDS],
}

/// Keys of what went before its time.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    /// The oldest first.
    generations: VecDeque<Generation>,
    lifetime: Duration,
    memory: usize,
}

impl Tombstones {
    /// Remembers a key for `lifetime`.
    pub(super) fn add(&mut self, key: Key, rest: Rest, now: Instant, lifetime: Duration) {
        self.lifetime = lifetime;
        let span = lifetime / SPANS;
        let is_current =
            self.generations.back().is_some_and(|last| now.saturating_duration_since(last.since) < span);
        if !is_current {
            self.generations.push_back(Generation { since: now, keys: Default::default() });
        }
        let keys = self.generations.back_mut().and_then(|last| last.keys.get_mut(rest as usize));
        if let Some(keys) = keys {
            keys.insert(key);
        }
        self.weigh();
    }

    /// Whether a request is one whose transaction is only remembered.
    pub(super) fn absorb(&self, key: Key, method: Method) -> bool {
        let kinds: &[Rest] = if method == Method::Ack {
            &[Rest::Failed]
        } else if method == Method::Invite {
            &[Rest::Failed, Rest::Answered]
        } else {
            &[Rest::Other]
        };
        let has = |generation: &Generation| {
            kinds
                .iter()
                .any(|kind| generation.keys.get(*kind as usize).is_some_and(|keys| keys.contains(&key)))
        };
        self.generations.iter().any(has)
    }

    /// Bytes of memory.
    pub(super) const fn memory(&self) -> usize {
        self.memory
    }

    /// When [`Tombstones::expire`] has something to do.
    pub(super) fn expiry(&self) -> Option<Instant> {
        let oldest = self.generations.front()?;
        Some(oldest.since + self.lifetime + self.lifetime / SPANS)
    }

    /// Forgets what has had its time.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.expiry().is_some_and(|at| at <= now) {
            self.generations.pop_front();
        }
        self.weigh();
    }

    /// Forgets the oldest keys before their time, those of INVITEs last; how many, of which method.
    /// `None` if there are none.
    pub(super) fn shed(&mut self) -> Option<(Rest, usize)> {
        for rest in [Rest::Other, Rest::Answered, Rest::Failed] {
            let mut sets = self.generations.iter_mut().filter_map(|all| all.keys.get_mut(rest as usize));
            if let Some(keys) = sets.find(|keys| !keys.is_empty()) {
                let count = std::mem::take(keys).len();
                self.weigh();
                return Some((rest, count));
            }
        }
        None
    }

    fn weigh(&mut self) {
        let sets = self.generations.iter().flat_map(|generation| &generation.keys);
        // A set of capacity n has at least 8/7 n buckets.
        self.memory = sets.map(|keys| keys.capacity() * 8 / 7 * BUCKET).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::secret::Secret;

    const LIFETIME: Duration = Duration::from_secs(30);

    fn key(number: u32) -> Key {
        Key::of_bytes(&[&number.to_be_bytes()], &Secret::new([1; 16]))
    }

    #[test]
    fn a_key_is_remembered_for_its_time_and_gone_soon_after() {
        let base = Instant::now();
        let mut stones = Tombstones::default();
        for second in 0..120 {
            let now = base + Duration::from_secs(u64::from(second));
            stones.expire(now);
            stones.add(key(second), Rest::Other, now, LIFETIME);
            for age in 0..second {
                let is_there = stones.absorb(key(second - age), Method::Bye);
                assert!(is_there || age > 30, "a key of {age} s is gone");
                assert!(!is_there || age < 41, "a key of {age} s is still there");
            }
        }
        stones.expire(base + Duration::from_secs(1_000));
        assert_eq!((stones.memory(), stones.expiry()), (0, None));
    }

    #[test]
    fn an_ack_is_absorbed_only_for_an_invite_that_failed() {
        let (now, mut stones) = (Instant::now(), Tombstones::default());
        stones.add(key(1), Rest::Failed, now, LIFETIME);
        stones.add(key(2), Rest::Answered, now, LIFETIME);
        stones.add(key(3), Rest::Other, now, LIFETIME);
        let absorbed = |number, method| stones.absorb(key(number), method);
        assert_eq!([1, 2, 3].map(|n| absorbed(n, Method::Ack)), [true, false, false]);
        assert_eq!([1, 2, 3].map(|n| absorbed(n, Method::Invite)), [true, true, false]);
        assert_eq!([1, 2, 3].map(|n| absorbed(n, Method::Options)), [false, false, true]);
    }

    #[test]
    fn a_key_costs_at_most_48_bytes_and_those_of_invites_go_last() {
        let (now, mut stones) = (Instant::now(), Tombstones::default());
        for number in 0..30_000 {
            let rest = if number % 3 == 0 { Rest::Answered } else { Rest::Other };
            stones.add(key(number), rest, now, LIFETIME);
            let few = number < 1_000;
            assert!(few || stones.memory() <= 48 * (number as usize + 1), "{} of {number}", stones.memory());
        }
        assert_eq!(stones.shed(), Some((Rest::Other, 20_000)));
        assert_eq!(stones.shed(), Some((Rest::Answered, 10_000)));
        assert_eq!((stones.shed(), stones.memory()), (None, 0));
    }
}
