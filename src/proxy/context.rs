//! The response context of one request (RFC 3261 §16.7): its attempts and what they came to.
//!
//! Plain bookkeeping; what is sent and when is decided in `attempt` and `respond`.

use super::dialogs::{Contact, DialogKey};
use super::earlier::Epoch;
use super::mark::MarkId;
use super::route::RouteEdits;
use super::traces::Carried;
use crate::dispatch::{Call, Selection};
use crate::facts::event::Cause;
use crate::facts::record::TransactionRecord;
use crate::facts::{Hop, Method, SetId, Target};
use crate::sip::build::add_headers;
use crate::sip::{Message, RequestEdit, Stamp, TraceEdit};
use crate::transaction::slab::Id;
use crate::transaction::store::Stored;
use crate::transaction::timer::Alarm;
use crate::transaction::{Client, Server};
use smallvec::SmallVec;
use std::time::Instant;

/// One request that is being proxied, from its arrival until its last attempt is over.
#[derive(Debug)]
pub struct Context {
    /// Its server transaction.
    pub server: Id<Server>,
    /// Its method.
    pub method: Method,
    /// The request as it came, for further attempts and for answers of our own.
    pub request: Stored,
    /// The caller's Contact, until a dialog is made of it; empty if none can be.
    pub contact: Contact,
    /// Where it came from.
    pub from: Hop,
    /// What its topmost Via gets.
    pub stamp: Stamp,
    /// Max-Forwards of the copies.
    pub max_forwards: u8,
    /// The hash that tells a loop from a spiral.
    pub loop_hash: u64,
    /// What the copies say of its trace.
    pub carried: Carried,
    /// What is changed in the copies.
    pub edits: RouteEdits,
    /// The destination named in the Record-Route of a relayed request, if its sender is one.
    pub mark: MarkId,
    /// The selection it follows; `None` for a request that is relayed.
    pub selection: Option<Selection>,
    /// The set it counts for.
    pub set: Option<SetId>,
    /// When it came.
    pub arrived: Instant,
    /// When a request other than INVITE gets a 100, unless it has been answered by then.
    pub trying_at: Option<Instant>,
    /// No attempt starts after this.
    pub no_attempt_after: Instant,
    /// The attempts, in order.
    pub attempts: SmallVec<[Attempt; 1]>,
    /// The dialog that it ends, for a BYE.
    pub ends: Option<DialogKey>,
    /// The best final response so far.
    pub best: Option<Best>,
    /// Why the last attempt failed, once every one of a selection has.
    pub exhausted: Option<Cause>,
    /// Set once it has been cancelled: the Reason to pass on, if any.
    pub cancelled: Option<Option<Box<[u8]>>>,
    /// Whether it is counted as an early dialog.
    pub is_early: bool,
    /// Whether a final response went up.
    pub is_answered: bool,
    /// What is told of it when the first final response goes up; taken then.
    pub record: Option<Box<TransactionRecord>>,
    /// Its deadlines.
    pub alarm: Alarm,
}

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No response yet.
    Calling,
    /// A 100 came.
    Trying,
    /// A 101–199 came.
    Early,
    /// Over: a final response, a time-out or a transport error.
    Closed,
}

/// How far the CANCEL of an attempt is (RFC 3261 §9.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelling {
    /// Not wanted.
    No,
    /// To be sent once a provisional response has come.
    Wanted,
    /// Sent; without a final response by then, the attempt is over.
    Sent {
        /// When that is.
        until: Instant,
    },
}

/// What an attempt has shown of its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weighed {
    /// Nothing yet.
    No,
    /// That it serves, or nothing that anybody wants to know.
    InFavour,
    /// That it does not.
    Against,
}

/// One client transaction of the context.
#[derive(Debug)]
pub struct Attempt {
    /// The transaction.
    pub client: Id<Client>,
    /// The destination, if it is one.
    pub target: Option<Target>,
    /// Where it was sent.
    pub hop: Hop,
    /// The UDP hop that it takes if `hop`, chosen for its size, cannot be reached.
    pub fallback: Option<Hop>,
    /// The configuration by which it was written.
    pub epoch: Epoch,
    /// When it was first sent.
    pub started: Instant,
    /// The call that it counts as, until it fails or a dialog takes it over.
    pub call: Option<Call>,
    /// Where it stands.
    pub phase: Phase,
    /// Given up in favour of another one: nothing of it goes up but a 2xx.
    pub is_abandoned: bool,
    /// Whether any response has come.
    pub has_response: bool,
    /// Whether it has sent a 101–199.
    pub was_early: bool,
    /// What it has shown of its destination.
    pub weighed: Weighed,
    /// How far its CANCEL is.
    pub cancelling: Cancelling,
    /// When silence makes us give it up.
    pub no_response_at: Option<Instant>,
    /// When lack of progress makes us give it up.
    pub no_progress_at: Option<Instant>,
    /// Timer C.
    pub timer_c_at: Option<Instant>,
}

impl Attempt {
    /// Whether its transaction may still bring something.
    pub fn is_open(&self) -> bool {
        self.phase != Phase::Closed
    }

    /// Its earliest deadline.
    pub fn deadline(&self) -> Option<Instant> {
        let cancel = match self.cancelling {
            Cancelling::Sent { until } => Some(until),
            Cancelling::No | Cancelling::Wanted => None,
        };
        if !self.is_open() {
            return None;
        }
        [self.no_response_at, self.no_progress_at, self.timer_c_at, cancel].into_iter().flatten().min()
    }
}

/// The best final response so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Best {
    /// Its status code.
    pub code: u16,
    /// The response without our Via, ready to go up; empty for one that we make.
    pub response: Vec<u8>,
}

impl Best {
    /// Whether it asks for credentials.
    pub fn asks_for_credentials(&self) -> bool {
        matches!(self.code, 401 | 407) && !self.response.is_empty()
    }

    /// Adds the challenges of another such response, so that the caller can answer all of them at
    /// once (RFC 3261 §16.7 step 7).
    pub fn collect(&mut self, other: Message<'_>) {
        if matches!(other.status(), 401 | 407) {
            add_headers(other, &["WWW-Authenticate", "Proxy-Authenticate"], &mut self.response);
        }
    }

    /// Keeps the better of two final responses (RFC 3261 §16.7 step 6).
    pub fn choose(current: Option<Self>, new: Self) -> Self {
        match current {
            Some(current) if rank(current.code) <= rank(new.code) => current,
            Some(_) | None => new,
        }
    }
}

/// Lower is better: 6xx, then the lowest class; within 4xx those that let the caller repair the
/// request. 408 and 503 say least.
fn rank(code: u16) -> u16 {
    match code {
        600.. => 0,
        401 | 407 | 415 | 420 | 484 => 400,
        408 => 499,
        503 => 599,
        200..=399 => code / 100 * 100,
        400..=499 => 450,
        _ => 550,
    }
}

impl Context {
    /// Its earliest deadline.
    pub fn deadline(&self) -> Option<Instant> {
        let trying = self.trying_at.filter(|_| !self.is_answered);
        self.attempts.iter().filter_map(Attempt::deadline).chain(trying).min()
    }

    /// What is changed in a copy of the request (RFC 3261 §16.6).
    pub fn edit<'a>(
        &'a self,
        via: &'a [u8],
        record_routes: &'a [&'a [u8]],
        path: Option<&'a [u8]>,
        trace: TraceEdit<'a>,
    ) -> RequestEdit<'a> {
        let edit = self.edits.edit(via, self.max_forwards);
        RequestEdit { stamp: self.stamp, record_routes, path, trace, ..edit }
    }

    /// Whether nothing more can come of it.
    pub fn is_over(&self) -> bool {
        self.is_answered && !self.attempts.iter().any(Attempt::is_open)
    }

    /// Whether an attempt is open whose outcome goes up.
    pub fn has_live_attempt(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.is_open() && !attempt.is_abandoned)
    }

    /// The same, leaving one attempt out.
    pub fn has_live_attempt_besides(&self, index: usize) -> bool {
        let mut others = self.attempts.iter().enumerate().filter(|(position, _)| *position != index);
        others.any(|(_, attempt)| attempt.is_open() && !attempt.is_abandoned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_response_is_the_one_of_rfc_3261() {
        let best = |codes: &[u16]| {
            let responses = codes.iter().map(|&code| Best { code, response: Vec::new() });
            responses.fold(None, |best, new| Some(Best::choose(best, new))).unwrap().code
        };
        assert_eq!(best(&[503, 500]), 500);
        assert_eq!(best(&[408, 503]), 408);
        assert_eq!(best(&[486, 401, 600]), 600);
        assert_eq!(best(&[404, 407]), 407);
        assert_eq!(best(&[503, 302]), 302);
        assert_eq!(best(&[500, 502]), 500);
        assert_eq!(best(&[408, 480]), 480);
    }
}
