//! The vocabulary of what happens: one enum, three readers (metrics, spans, logs).
//!
//! The core and the sockets say what happened as an [`Event`]; `telemetry` turns it into counters,
//! spans and log lines with exhaustive matches, so a fact that a reader forgot does not compile.
//! Every reason is a closed enum, because it becomes a label.

mod reasons;

pub use reasons::*;

use super::record::{TransactionRecord, WireText};
use super::trace::SpanRef;
use super::{Admin, Algorithm, ListenerId, Method, SetId, State, Target, Transport};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Something that happened. Times are the core's; durations are computed there.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "the variant's sentence explains its fields, which carry the names of labels"
)]
pub enum Event {
    /// A SIP message came in, retransmissions included.
    MessageReceived { transport: Transport, kind: MessageKind, bytes: u32 },
    /// A SIP message went out, retransmissions included.
    MessageSent { transport: Transport, kind: MessageKind, bytes: u32 },
    /// A message could not be parsed; `answered` with this code, or dropped.
    ParseFailed { transport: Transport, source: SocketAddr, reason: ParseReason, answered: Option<u16> },
    /// A message was dropped on purpose.
    MessageDropped { direction: Direction, reason: DropReason },
    /// A message that was received left again, this long after the step began that took it in.
    MessageForwarded { kind: MessageKind, since: Instant, delay: Duration },
    /// A new server transaction began.
    RequestReceived { listener: ListenerId, method: Method },
    /// A retransmitted request was absorbed.
    RequestAbsorbed { listener: ListenerId },
    /// A final response to an INVITE was sent again (Timer G).
    ResponseRetransmitted { listener: ListenerId },
    /// A destination was selected.
    DestinationSelected { target: Target, algorithm: Algorithm, reason: SelectionReason, took: Duration },
    /// No destination could be selected.
    SelectionFailed { set: SetId, reason: SelectionFailure },
    /// We refused a request ourselves.
    RequestRefused {
        set: Option<SetId>,
        reason: Refusal,
        code: u16,
        method: Method,
        call_id: WireText,
        source: SocketAddr,
        span: SpanRef,
    },
    /// A request was sent to a destination for the first time in this transaction.
    AttemptStarted { target: Target, method: Method },
    /// A destination answered; `first` is set on its first response, `total` on its final one,
    /// both since the first transmission.
    ResponseReceived {
        target: Target,
        method: Method,
        code: u16,
        first: Option<Duration>,
        total: Option<Duration>,
    },
    /// A request to a destination was sent again (timers A, E).
    RequestRetransmitted { target: Target },
    /// A destination sent a response again; a further 2xx counts as one.
    ResponseRepeated { target: Target },
    /// A client transaction towards a destination was ended by a timer.
    AttemptTimedOut { target: Target, timer: FatalTimer },
    /// An attempt was given up in favour of another destination.
    FailedOver { set: SetId, from: Target, to: Target, cause: Cause, call_id: WireText, span: SpanRef },
    /// A request failed at every destination it was tried at.
    FailoversExhausted { set: SetId, last: Target, cause: Cause, call_id: WireText, span: SpanRef },
    /// The first final response of a server transaction went upstream.
    TransactionFinished(Box<TransactionRecord>),
    /// A request other than INVITE was answered by nobody, until an answer would have been of no
    /// use to anybody (RFC 4320 §4.2).
    RequestUnanswered(Box<TransactionRecord>),
    /// A probe left, this long after it was due.
    ProbeSent { lag: Duration },
    /// A probe ended, for one destination (probes are shared, so one probe may end for several).
    ProbeFinished(Box<ProbeRecord>),
    /// A probe response matched no probe that is under way.
    ProbeUnmatched,
    /// A destination changed its state.
    DestinationChanged(StateChange),
    /// What a request showed of its destination did not reach the owner of states: its queue is full.
    EvidenceDropped,
    /// A set began or ceased to be all down.
    SetChanged { set: SetId, all_down: bool },
    /// A configuration was applied, at start or by a reload.
    ConfigApplied(Arc<ConfigApplied>),
    /// A reload was refused; the running configuration stays.
    ReloadFailed { trigger: ReloadTrigger, error: Arc<str> },
    /// A reload found nothing changed.
    ReloadUnchanged { trigger: ReloadTrigger },
    /// A request too large for UDP went over UDP all the same: the peer takes no TCP connection, and
    /// is not asked again for a while.
    FellBackToUdp {
        /// The destination, if the peer is one.
        target: Option<Target>,
        /// The peer.
        remote: SocketAddr,
        /// Why TCP failed.
        reason: TransportReason,
    },
    /// A BYE ended a dialog that this destination served, so long after its answer.
    DialogEnded { target: Target, lasted: Duration },
    /// A dialog without a BYE reached `limits.max_call_age` and was forgotten.
    DialogExpired { set: SetId },
    /// A name was looked up; how many addresses it stands for, those known before included.
    NameResolved { name: Arc<str>, result: DnsResult, addresses: usize, took: Duration },
    /// A destination's addresses changed.
    AddressesChanged { target: Target, addresses: Vec<SocketAddr> },
    /// The name of a configured destination stands for other endpoints than before, each of which is
    /// a destination of its own; their ids.
    EndpointsChanged { set: SetId, id: Arc<str>, endpoints: Vec<Arc<str>> },
    /// A stream connection opened, or failed to.
    ConnectionOpened { transport: Transport, role: ConnectionRole, result: ConnectResult },
    /// A stream connection closed.
    ConnectionClosed { transport: Transport, role: ConnectionRole },
    /// A datagram arrived at a worker that does not own it.
    HandedOver { result: HandoverResult },
    /// Finished transactions took more than `limits.linger`, and so many of a kind went early.
    LingerDropped { kind: LingerKind, count: u32 },
    /// A socket reported an error.
    SocketFailed { transport: Transport, operation: SocketOperation, reason: TransportReason },
    /// What was remembered over a restart was taken back for so many destinations; the others are
    /// not configured any more.
    StateRestored { restored: u32, ignored: u32 },
    /// The state file counts for nothing.
    StateIgnored { problem: StateProblem, detail: Arc<str> },
    /// The state file could not be written; what it held stays.
    StateNotSaved { error: Arc<str> },
    /// Draining began.
    DrainStarted { unfinished: u64 },
    /// Draining ended; `cancelled` transactions were cut off at the deadline.
    DrainEnded { cancelled: u64 },
}

/// One finished probe.
#[derive(Debug, Clone)]
pub struct ProbeRecord {
    /// The destination it counts for.
    pub target: Target,
    /// Its span, in a trace of its own.
    pub span: SpanRef,
    /// When it was due.
    pub scheduled: Instant,
    /// When it left (or, without an address, would have).
    pub started: Instant,
    /// When it ended.
    pub ended: Instant,
    /// Where it was sent, if anywhere.
    pub remote: Option<SocketAddr>,
    /// Where from.
    pub listener: Option<ListenerId>,
    /// How it was sent.
    pub transport: Transport,
    /// How it ended.
    pub outcome: ProbeOutcome,
    /// Retransmissions we sent.
    pub retransmissions: u32,
    /// Failed probes in a row, this one included.
    pub consecutive_failures: u32,
    /// Successful probes in a row, this one included.
    pub consecutive_successes: u32,
    /// The change of state that it caused, if any.
    pub change: Option<StateChange>,
}

/// One change of a destination's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateChange {
    /// The destination.
    pub target: Target,
    /// When.
    pub at: Instant,
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// Why.
    pub reason: ChangeReason,
    /// How the probe behind it ended or, for an ejection or a pause, the request; `None` without one.
    pub outcome: Option<ProbeOutcome>,
    /// The span of that probe, or of the request's attempt.
    pub span: Option<SpanRef>,
    /// The administrator's wish after the change.
    pub admin: Admin,
}

/// What a configuration changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigApplied {
    /// What asked for it; `None` at start.
    pub trigger: Option<ReloadTrigger>,
    /// First 48 bits of the SHA-256 of the effective configuration.
    pub hash: u64,
    /// Destinations that were not there before.
    pub added: u32,
    /// Destinations that are gone.
    pub removed: u32,
    /// Destinations that stay.
    pub kept: u32,
    /// Those of them that have other settings.
    pub changed: u32,
    /// Sets that were not there before.
    pub sets_added: u32,
    /// Sets that are gone.
    pub sets_removed: u32,
    /// Keys that changed but take effect only after a restart.
    pub needs_restart: Vec<Box<str>>,
}
