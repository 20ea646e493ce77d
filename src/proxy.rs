//! The core: joins transactions, dispatch and probes into a SIP proxy; decides nothing itself.
//!
//! Sans-IO: inputs, the time and a secret come in; messages, events, verdicts and names to look up
//! come out. Four kinds of methods: `handle_*` take what happened, `poll_*`/`take_*` give what is
//! to be done, [`Core::snapshot`] answers questions, and nothing else changes it.

mod plan;
mod settings;

pub use plan::Plan;
pub use settings::{Advertise, Interfaces, Listener, MethodName, Route, Set, Settings};

use crate::dispatch::Verdicts;
use crate::facts::event::{DnsResult, ReloadTrigger, TransportReason};
use crate::facts::outbox::Outbox;
use crate::facts::secret::Secret;
use crate::facts::snapshot::{Detail, Snapshot};
use crate::facts::{Admin, Hop, Target, WorkerId};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a core is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// A whole message came: a datagram, or one framed message of a stream.
    Message {
        /// Where it came from.
        hop: Hop,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// A message of ours could not be delivered.
    Undeliverable {
        /// Where it was to go.
        hop: Hop,
        /// As much of it as is known; ICMP quotes at least its first bytes.
        message: &'a [u8],
        /// What the socket reported.
        reason: TransportReason,
    },
    /// New verdicts from worker 0 (workers other than 0 only).
    Verdicts(Arc<Verdicts>),
    /// A new configuration.
    Reload {
        /// The configuration.
        plan: Arc<Plan>,
        /// What asked for it.
        trigger: ReloadTrigger,
    },
    /// The answer for a name that [`Core::take_lookups`] asked for, at first and at every change.
    Resolved {
        /// The name.
        name: Arc<str>,
        /// How the resolution ended.
        result: DnsResult,
        /// The addresses, best first; empty unless the result is ok.
        addresses: Vec<IpAddr>,
        /// How long it took.
        took: Duration,
    },
    /// An administrator's wish (worker 0 only).
    SetAdmin {
        /// The destination.
        target: Target,
        /// The wish.
        admin: Admin,
    },
    /// Serve what runs, refuse new dialogs.
    Drain,
    /// The drain deadline: CANCEL downstream, 503 upstream.
    Abort,
}

/// Reads the time for measuring how long a step inside the core takes; given, because the core has
/// no clock. Never used for deciding.
pub type Stopwatch = fn() -> Instant;

/// One worker's core.
#[derive(Debug)]
pub struct Core {
    outbox: Outbox,
}

impl Core {
    /// Makes the core of a worker. Worker 0 also owns probes and states. All workers of a process
    /// get the same secret and the same number of workers.
    pub fn new(
        worker: WorkerId,
        workers: u8,
        plan: Arc<Plan>,
        secret: &Secret,
        stopwatch: Stopwatch,
        now: Instant,
    ) -> Self {
        let _ = (worker, workers, plan, secret, stopwatch, now);
        Self { outbox: Outbox::default() }
    }

    /// Takes in what happened at `now`.
    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        let _ = (input, now);
    }

    /// Fires every timer due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// When [`Core::handle_timeout`] is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Messages and events of the steps since it was last cleared.
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// Verdicts that changed since the last call, to be given to the other workers (worker 0 only).
    pub fn take_verdicts(&mut self) -> Option<Arc<Verdicts>> {
        None
    }

    /// Names to look up from now on, until a reload drops them; each is asked for once.
    /// The list replaces the earlier one whenever it is `Some` (worker 0 only).
    pub fn take_lookups(&mut self) -> Option<Vec<Arc<str>>> {
        None
    }

    /// Answers what is.
    pub fn snapshot(&self, now: Instant, detail: Detail) -> Snapshot {
        let _ = detail;
        Snapshot {
            worker: WorkerId(0),
            at: now,
            in_flight: vec![],
            waiting: vec![],
            dialogs: vec![],
            probes_in_flight: vec![],
            sets: vec![],
        }
    }

    /// Transactions that a drain waits for.
    pub fn unfinished(&self) -> u64 {
        0
    }
}

/// The worker that owns a message: for a response the one named in our branch, for a request the
/// one its Call-ID hashes to. `None` if neither can be read; then the receiver keeps it.
pub fn owner(message: &[u8], workers: u8) -> Option<WorkerId> {
    let _ = (message, workers);
    Some(WorkerId(0))
}
