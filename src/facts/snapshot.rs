//! What is, at one instant: plain data read by `/metrics` and the API.
//!
//! Each worker answers for its own transactions; worker 0 alone answers for sets, destinations and
//! probes, so a state is told by its one owner.

use super::event::{ProbeOutcome, Queue, Role, StateChange};
use super::{Admin, Algorithm, ListenerId, Method, SetId, State, Target, Transport, WorkerId};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How much a snapshot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// What `/metrics` needs.
    Metrics,
    /// Also the history of changes and probes.
    Full,
}

/// What surrounds the cores: the process's sockets, queues and threads.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The internal queues; of several of a kind the fullest.
    pub queues: Vec<QueueSnapshot>,
    /// The receive buffers of datagram listeners.
    pub receive: Vec<(ListenerId, ReceiveBuffer)>,
    /// The threads of all runtimes and how long each has been busy.
    pub threads: Vec<(Arc<str>, Duration)>,
    /// Tasks alive, in all runtimes.
    pub tasks: u64,
    /// Tasks waiting in the runtimes' global queues.
    pub waiting_tasks: u64,
}

/// How full a queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueSnapshot {
    /// Which one.
    pub queue: Queue,
    /// Entries in it.
    pub depth: u64,
    /// Entries that it can hold.
    pub capacity: u64,
}

/// The kernel's receive buffer of a listener, the sum over its sockets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReceiveBuffer {
    /// Bytes waiting.
    pub waiting: u64,
    /// Datagrams dropped since the start because there was no room.
    pub dropped: u64,
}

/// What one worker knows.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Who answers.
    pub worker: WorkerId,
    /// When.
    pub at: Instant,
    /// Transactions not finished, by role and method; absent pairs are 0.
    pub in_flight: Vec<(Role, Method, u64)>,
    /// Client transactions waiting for a final response, by destination; absent ones are 0.
    pub waiting: Vec<(Target, u64)>,
    /// Early dialogs by the set that serves them; absent ones are 0.
    pub early: Vec<(SetId, u64)>,
    /// Confirmed dialogs by the set that serves them; absent ones are 0.
    pub dialogs: Vec<(SetId, u64)>,
    /// Bytes that finished transactions take.
    pub linger: u64,
    /// Probes under way.
    pub probes_in_flight: Vec<(SetId, u64)>,
    /// Sets and destinations; empty except from worker 0.
    pub sets: Vec<SetSnapshot>,
}

/// One set.
#[derive(Debug, Clone)]
pub struct SetSnapshot {
    /// Its id.
    pub id: SetId,
    /// Its configured name.
    pub name: Arc<str>,
    /// How it chooses.
    pub algorithm: Algorithm,
    /// The call-setup objective, 0 to 1.
    pub objective: f64,
    /// At least one member is in service (enabled, and of a weight), none is usable, and every one in
    /// service has had its first verdict.
    pub all_down: bool,
    /// Worst-case time from the death of a destination to its state `down`.
    pub detection: Duration,
    /// Its members, in file order.
    pub destinations: Vec<DestinationSnapshot>,
}

/// One destination.
#[derive(Debug, Clone)]
pub struct DestinationSnapshot {
    /// Its target.
    pub target: Target,
    /// Its id within the set.
    pub id: Arc<str>,
    /// Its configured URI without user part.
    pub uri: Arc<str>,
    /// Its transport.
    pub transport: Transport,
    /// The address it stands for, if known.
    pub address: Option<SocketAddr>,
    /// Every address its name resolves to.
    pub addresses: Vec<SocketAddr>,
    /// The name that its address is found by, if it has one.
    pub name: Option<Arc<str>>,
    /// When that was last found to stand for these addresses.
    pub resolved: Option<Instant>,
    /// Whether the last resolution failed, in whole or in part, though there are addresses.
    pub dns_stale: bool,
    /// Weight, 0 to 65,535.
    pub weight: u32,
    /// Priority; lower is tried first.
    pub priority: u32,
    /// The derived state.
    pub state: State,
    /// Whether new requests may be sent to it.
    pub usable: bool,
    /// The administrator's wish.
    pub admin: Admin,
    /// Requests that failed at it in a row, towards an ejection.
    pub passive_failures: u32,
    /// When its ejection ends, if it is ejected.
    pub ejected_until: Option<Instant>,
    /// When the pause that it asked for ends, if it did.
    pub retry_after_until: Option<Instant>,
    /// When it was loaded.
    pub added: Instant,
    /// When its state last changed; the time it was loaded before the first change.
    pub since: Instant,
    /// The last change, if there was one.
    pub last_change: Option<StateChange>,
    /// Its probes.
    pub probe: ProbeSnapshot,
    /// What it has to do.
    pub load: LoadSnapshot,
    /// The last changes, oldest first, at most 200; empty unless [`Detail::Full`].
    pub changes: Vec<StateChange>,
    /// The last probes, oldest first; empty unless [`Detail::Full`].
    pub probes: Vec<ProbeNote>,
    /// The last probe as it went over the wire; absent before the first, and unless [`Detail::Full`].
    pub exchange: Option<Arc<ProbeExchange>>,
}

/// What a destination has to do.
#[derive(Debug, Clone, Copy)]
pub struct LoadSnapshot {
    /// Calls in progress on it.
    pub calls: u64,
    /// Calls on it at a time, at most.
    pub max_calls: Option<u32>,
    /// Smoothed time to the first response, of probes and INVITEs (exponentially weighted, one fifth
    /// of each new value).
    pub response_time: Option<Duration>,
    /// The part of its share that it gets while it starts slowly, 0 to 1.
    pub ramp: f64,
}

impl Default for LoadSnapshot {
    fn default() -> Self {
        Self { calls: 0, max_calls: None, response_time: None, ramp: 1.0 }
    }
}

/// The probe facts of a destination.
#[derive(Debug, Clone, Default)]
pub struct ProbeSnapshot {
    /// Whether it is probed.
    pub enabled: bool,
    /// Configured time between probes.
    pub interval: Duration,
    /// Failures in a row that make it down.
    pub down_after: u32,
    /// Successes in a row that make it up.
    pub up_after: u32,
    /// Successes in a row that make it up at present: more than `up_after` while it is damped.
    pub up_needed: u32,
    /// Failed probes in a row.
    pub consecutive_failures: u32,
    /// Successful probes in a row.
    pub consecutive_successes: u32,
    /// Whether it went down so often of late that it takes more successes to come up.
    pub damped: bool,
    /// The last outcome.
    pub last_outcome: Option<ProbeOutcome>,
    /// Round trip of the last answered probe.
    pub last_rtt: Option<Duration>,
    /// When the last probe that has ended had begun.
    pub last_started: Option<Instant>,
    /// When the last probe ended.
    pub last_finished: Option<Instant>,
    /// When the last successful probe ended.
    pub last_success: Option<Instant>,
}

/// One remembered probe.
#[derive(Debug, Clone, Copy)]
pub struct ProbeNote {
    /// When it ended.
    pub at: Instant,
    /// How it ended.
    pub outcome: ProbeOutcome,
    /// Its round trip, if it was answered.
    pub rtt: Option<Duration>,
}

/// One probe as it went over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeExchange {
    /// When it began.
    pub started: Instant,
    /// When it ended.
    pub ended: Instant,
    /// Where it went; `None` if nothing could be sent.
    pub remote: Option<SocketAddr>,
    /// The request, cut at [`ProbeExchange::MAX`] bytes; empty if nothing could be sent.
    pub request: Box<[u8]>,
    /// The response, cut likewise; empty if none came.
    pub response: Box<[u8]>,
}

impl ProbeExchange {
    /// Bytes kept of each message.
    pub const MAX: usize = 2_048;

    /// As much of a message as is kept.
    pub fn keep(message: &[u8]) -> Box<[u8]> {
        message.get(..Self::MAX).unwrap_or(message).into()
    }
}
