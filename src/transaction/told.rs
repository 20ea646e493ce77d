//! Who is told of what: the words between the transactions and their owners.

use super::branch::Purpose;
use super::key::Key;
use super::server::Server;
use super::slab::Id;
use crate::facts::event::FatalTimer;

/// Who is told of what happens to a transaction; the numbers are the owner's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// An attempt of a request that is being proxied.
    Attempt {
        /// The owner's slot.
        slot: u32,
        /// The owner's generation.
        generation: u32,
        /// The attempt's position.
        attempt: u32,
    },
    /// A request that is being proxied, as its server transaction knows it.
    Request {
        /// The owner's slot.
        slot: u32,
        /// The owner's generation.
        generation: u32,
    },
    /// The server transaction of an INVITE that has been answered: further 2xx go there.
    Answered(Id<Server>),
    /// A probe.
    Probe(u32),
    /// Nobody: it runs its course.
    Nobody,
}

/// What a request means to the transactions alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matched {
    /// It begins a new transaction.
    New(Key),
    /// A repetition, or the ACK to a non-2xx; dealt with.
    Absorbed(Owner),
    /// An ACK that no failing transaction waits for: it is end to end.
    EndToEndAck,
}

/// A response that its transaction passes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// To this owner.
    To(Owner),
    /// To this owner, who has it acknowledged: a final response other than 2xx to an INVITE.
    Unacknowledged(Owner),
    /// A repetition; dealt with.
    Absorbed,
    /// It belongs to no transaction: dropped (RFC 6026 §8.9), never relayed.
    Stray(Option<Purpose>),
}

/// A transaction that its owner hears of because time has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fired {
    /// No final response came in time; the transaction is over.
    TimedOut {
        /// Who.
        owner: Owner,
        /// The timer that ended it.
        timer: FatalTimer,
    },
    /// A request is to be sent again: the owner of a call's writes it, a probe has been sent.
    Retransmit(Owner),
}
