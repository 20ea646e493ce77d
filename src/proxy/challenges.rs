//! Who challenged whom: after 401, 407, 422, 423 or 494 the repeated request goes to the same
//! destination first, else digest authentication could never succeed.

use crate::facts::secret::Secret;
use crate::facts::{SetId, Target};
use crate::sip::Message;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How many challenges are remembered at most; the oldest go first.
const MAX: usize = 65_536;

/// Recent challenges.
#[derive(Debug)]
pub struct Challenges {
    secret: Secret,
    by_request: HashMap<u128, Challenge, foldhash::fast::RandomState>,
    by_age: VecDeque<(Instant, u128)>,
}

#[derive(Debug, Clone, Copy)]
struct Challenge {
    set: SetId,
    target: Target,
    cseq: u32,
    until: Instant,
    /// Whether a repeated request has come already.
    is_answered: bool,
}

/// Who challenged an earlier version of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenger {
    /// The destination.
    pub target: Target,
    /// Whether this is the first repetition: it is the call that was counted when it came without
    /// credentials. Who goes on is counted again, or one challenge would let in any number.
    pub is_first: bool,
}

impl Challenges {
    /// An empty table.
    pub fn new(secret: &Secret) -> Self {
        Self { secret: secret.derive("challenges"), by_request: HashMap::default(), by_age: VecDeque::new() }
    }

    /// Whether a status code asks for the request again, changed.
    pub const fn is_challenge(code: u16) -> bool {
        matches!(code, 401 | 407 | 422 | 423 | 494)
    }

    /// Remembers for `lifetime` that a destination challenged a request.
    pub fn remember(
        &mut self,
        request: Message<'_>,
        set: SetId,
        target: Target,
        now: Instant,
        lifetime: Duration,
    ) {
        self.expire(now);
        let key = self.key(request);
        let until = now + lifetime;
        let is_answered = self.by_request.get(&key).is_some_and(|before| before.is_answered);
        self.by_request.insert(key, Challenge { set, target, cseq: request.cseq(), until, is_answered });
        self.by_age.push_back((until, key));
    }

    /// The destination of a set that challenged an earlier version of this request: same Call-ID,
    /// From tag and method, higher CSeq, no To tag.
    pub fn find(&mut self, request: Message<'_>, set: SetId, now: Instant) -> Option<Challenger> {
        if self.by_request.is_empty() || request.to_tag().is_some() {
            return None;
        }
        let key = self.key(request);
        let challenge = self.by_request.get_mut(&key)?;
        if challenge.set != set || challenge.cseq >= request.cseq() || challenge.until <= now {
            return None;
        }
        let is_first = !std::mem::replace(&mut challenge.is_answered, true);
        Some(Challenger { target: challenge.target, is_first })
    }

    fn expire(&mut self, now: Instant) {
        while let Some(&(until, key)) = self.by_age.front()
            && (until <= now || self.by_age.len() >= MAX)
        {
            self.by_age.pop_front();
            if self.by_request.get(&key).is_some_and(|challenge| challenge.until <= until) {
                self.by_request.remove(&key);
            }
        }
    }

    fn key(&self, request: Message<'_>) -> u128 {
        let tag = request.from_tag().unwrap_or_default();
        self.secret.mac(&[request.call_id(), tag, request.method_token()])
    }
}
