//! Counters and histograms: what each event adds to which family.
//!
//! Numbers are pushed by events only and live in blocks that are resolved once per configuration;
//! recording one event is a few atomic adds. Never looks at states: those are built at scrape.

mod block;
mod expose;
mod index;

pub use block::Block;
pub use expose::{Families, Pushed, float, label};
pub use index::{Index, SetEntry};

use super::table::Family as F;
use super::values::{self, Decision, ExportResult, Level, Loss, OtherMethod, SetupResult, code_index};
use crate::facts::directory::Directory;
use crate::facts::event::{
    AttemptOutcome, ConnectResult, ConnectionRole, Direction, Event, MessageKind, Origin, ProbeRecord,
    ReloadResult,
};
use crate::facts::record::TransactionRecord;
use crate::facts::{Method, SetId, Target, Transport};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// All counters of one process, shared by its recorders.
#[derive(Debug)]
pub struct Metrics {
    index: Mutex<Arc<Index>>,
    generation: AtomicU64,
    /// What the last events said about the process.
    pub process: ProcessFacts,
}

/// Facts of the process that gauges are made of, as events told them last.
#[derive(Debug)]
pub struct ProcessFacts {
    /// 1 if the last reload, or the start, accepted its configuration.
    pub reload_successful: AtomicU64,
    /// Unix time of the last accepted configuration, in milliseconds.
    pub reload_accepted: AtomicU64,
    /// Hash of the configuration.
    pub config_hash: AtomicU64,
    /// Unix time of the last accepted export, in milliseconds; 0 for none.
    pub export_accepted: AtomicU64,
    /// Stream connections that were closed, by role.
    pub closed: [AtomicU64; ConnectionRole::ALL.len()],
}

impl Default for Metrics {
    fn default() -> Self {
        let process = ProcessFacts {
            reload_successful: AtomicU64::new(1),
            reload_accepted: AtomicU64::new(unix_millis()),
            config_hash: AtomicU64::new(0),
            export_accepted: AtomicU64::new(0),
            closed: Default::default(),
        };
        Self { index: Mutex::new(Arc::new(Index::empty())), generation: AtomicU64::new(0), process }
    }
}

impl Metrics {
    /// Takes up a configuration: what is new starts at zero, what stays goes on, what is gone has
    /// no series any more.
    pub fn apply(&self, directory: Arc<Directory>) {
        let mut index = self.lock();
        *index = Arc::new(index.follow(directory));
        self.generation.store(index.generation, Ordering::Release);
    }

    /// The blocks of the configuration in force.
    pub fn index(&self) -> Arc<Index> {
        Arc::clone(&self.lock())
    }

    /// Exchanges an index that is out of date; one atomic load if it is not.
    #[inline]
    pub fn refresh(&self, index: &mut Arc<Index>) {
        if self.generation.load(Ordering::Acquire) != index.generation {
            *index = self.index();
        }
    }

    /// Counts the end of a trace.
    pub fn trace_ended(&self, index: &Index, decision: Decision) {
        index.process.count(F::Traces, &[decision as usize]);
    }

    /// Counts a log line.
    pub fn logged(&self, index: &Index, level: Level) {
        index.process.count(F::LogEvents, &[level as usize]);
    }

    /// Counts spans that were lost.
    pub fn spans_lost(&self, loss: Loss, spans: usize) {
        self.index().process.add(F::SpansDropped, &[loss as usize], wide(spans));
    }

    /// Counts an export.
    pub fn exported(&self, result: ExportResult, spans: usize) {
        let index = self.index();
        index.process.count(F::Exports, &[result as usize]);
        match result {
            ExportResult::Ok => {
                index.process.add(F::SpansExported, &[], wide(spans));
                self.process.export_accepted.store(unix_millis(), Ordering::Relaxed);
            }
            ExportResult::Error => self.spans_lost(Loss::ExportFailed, spans),
            ExportResult::Timeout => self.spans_lost(Loss::Timeout, spans),
        }
    }

    /// Observes how long a scrape took.
    pub fn scraped(&self, took: Duration) {
        self.index().process.observe(F::ScrapeTime, &[], took);
    }

    /// Counts what an event says.
    pub fn on(&self, index: &Index, event: &Event) {
        let process = &*index.process;
        match event {
            Event::MessageReceived { transport, kind, bytes } => {
                message(process, *transport, Direction::Received, *kind, *bytes);
            }
            Event::MessageSent { transport, kind, bytes } => {
                message(process, *transport, Direction::Sent, *kind, *bytes);
            }
            Event::ParseFailed { transport, source: _, reason, answered: _ } => {
                process.count(F::ParseErrors, &[*transport as usize, *reason as usize]);
            }
            Event::MessageDropped { direction, reason } => {
                process.count(F::Dropped, &[*direction as usize, *reason as usize]);
            }
            Event::MessageForwarded { kind, delay } => {
                process.observe(F::ForwardDelay, &[*kind as usize], *delay);
            }
            Event::RequestReceived { listener, method } => {
                if let Some(listener) = index.listeners.get(listener.index()) {
                    listener.block.count(F::Requests, &[*method as usize]);
                }
            }
            Event::RequestAbsorbed { listener } => {
                if let Some(listener) = index.listeners.get(listener.index()) {
                    listener.block.count(F::ClientRetransmissions, &[MessageKind::Request as usize]);
                }
            }
            Event::ResponseRetransmitted { listener } => {
                if let Some(listener) = index.listeners.get(listener.index()) {
                    listener.block.count(F::ClientRetransmissions, &[MessageKind::Response as usize]);
                }
            }
            Event::DestinationSelected { target, algorithm, reason, took } => {
                let Some(entry) = index.target(*target) else { return };
                entry.block.count(F::Selections, &[*algorithm as usize, *reason as usize]);
                if let Some(set) = index.set(entry.set_id) {
                    set.block.observe(F::SelectionDuration, &[*algorithm as usize], *took);
                }
            }
            Event::SelectionFailed { set, reason } => {
                count_set(index, *set, F::SelectionFailures, &[*reason as usize]);
            }
            Event::RequestRefused { set, reason, code: _, method: _, call_id: _, source: _, trace: _ } => {
                if let Some(entry) = index.set_or_none(*set) {
                    entry.block.count(F::Rejections, &[*reason as usize]);
                }
            }
            Event::AttemptStarted { target, method } => {
                count_target(index, *target, F::DestinationRequests, &[*method as usize]);
            }
            Event::ResponseReceived { target, method, code, first, total } => {
                if let Some(entry) = index.target(*target) {
                    response(&entry.block, *method, *code, *first, *total);
                }
            }
            Event::RequestRetransmitted { target } => {
                let kind = MessageKind::Request as usize;
                count_target(index, *target, F::DestinationRetransmissions, &[kind]);
            }
            Event::ResponseAbsorbed { target } => {
                let kind = MessageKind::Response as usize;
                count_target(index, *target, F::DestinationRetransmissions, &[kind]);
            }
            Event::AttemptTimedOut { target, timer } => {
                count_target(index, *target, F::Timeouts, &[*timer as usize]);
            }
            Event::FailedOver { set: _, from, to, cause, call_id: _, trace: _ } => {
                failed_over(index, *from, *to, *cause as usize);
            }
            Event::FailoversExhausted { set, last: _, cause: _, call_id: _, trace: _ } => {
                count_set(index, *set, F::FailoversExhausted, &[]);
            }
            Event::TransactionFinished(record) => transaction(index, record),
            Event::ProbeSent { lag } => process.observe(F::ProbeLag, &[], *lag),
            Event::ProbeFinished(record) => probe(index, record),
            Event::ProbeUnmatched => process.count(F::ProbeUnmatched, &[]),
            Event::DestinationChanged(change) => {
                let labels = [change.to as usize, change.reason as usize];
                count_target(index, change.target, F::DestinationTransitions, &labels);
            }
            Event::SetChanged { set: _, all_down: _ } => {}
            Event::ConfigApplied(applied) => {
                self.process.config_hash.store(applied.hash, Ordering::Relaxed);
                self.reloaded(process, applied.trigger.map(|trigger| trigger as usize), ReloadResult::Ok);
            }
            Event::ReloadFailed { trigger, error: _ } => {
                self.reloaded(process, Some(*trigger as usize), ReloadResult::Invalid);
            }
            Event::ReloadUnchanged { trigger } => {
                self.reloaded(process, Some(*trigger as usize), ReloadResult::Unchanged);
            }
            Event::NameResolved { name: _, result, took } => {
                process.count(F::Resolutions, &[*result as usize]);
                process.observe(F::ResolutionTime, &[], *took);
            }
            Event::AddressesChanged { target, addresses: _ } => {
                count_target(index, *target, F::DestinationAddressChanges, &[]);
            }
            Event::ConnectionOpened { transport, role, result } => {
                if transport.is_reliable() {
                    process.count(F::Connects, &[0, *role as usize, *result as usize]);
                }
            }
            Event::ConnectionClosed { transport: _, role } => {
                if let Some(closed) = self.process.closed.get(*role as usize) {
                    closed.fetch_add(1, Ordering::Relaxed);
                }
            }
            Event::SocketFailed { transport, operation, reason } => {
                let labels = [*transport as usize, *operation as usize, *reason as usize];
                process.count(F::TransportErrors, &labels);
            }
            Event::DrainStarted { unfinished: _ } | Event::DrainEnded { cancelled: _ } => {}
        }
    }

    /// Stream connections open: those opened less those closed.
    pub fn open_connections(&self, index: &Index, role: ConnectionRole) -> u64 {
        let closed = self.process.closed.get(role as usize).map_or(0, |n| n.load(Ordering::Relaxed));
        let position = (role as usize) * ConnectResult::ALL.len() + ConnectResult::Ok as usize;
        let opened = index.process.read(F::Connects, position).next().unwrap_or(0);
        opened.saturating_sub(closed)
    }

    fn reloaded(&self, process: &Block, trigger: Option<usize>, result: ReloadResult) {
        if let Some(trigger) = trigger {
            process.count(F::Reloads, &[trigger, result as usize]);
        }
        // A file that equals the running configuration is an accepted one.
        let accepted = match result {
            ReloadResult::Ok | ReloadResult::Unchanged => true,
            ReloadResult::Invalid => false,
        };
        self.process.reload_successful.store(u64::from(accepted), Ordering::Relaxed);
        if accepted {
            self.process.reload_accepted.store(unix_millis(), Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Index>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn message(process: &Block, transport: Transport, direction: Direction, kind: MessageKind, bytes: u32) {
    let (transport, direction) = (transport as usize, direction as usize);
    process.count(F::Messages, &[transport, direction, kind as usize]);
    process.add(F::MessageBytes, &[transport, direction], u64::from(bytes));
}

fn count_target(index: &Index, target: Target, family: F, labels: &[usize]) {
    if let Some(entry) = index.target(target) {
        entry.block.count(family, labels);
    }
}

fn count_set(index: &Index, set: SetId, family: F, labels: &[usize]) {
    if let Some(entry) = index.set(set) {
        entry.block.count(family, labels);
    }
}

fn response(block: &Block, method: Method, code: u16, first: Option<Duration>, total: Option<Duration>) {
    let class = crate::facts::StatusClass::of(code) as usize;
    block.count(F::DestinationResponses, &[method as usize, class]);
    if code >= 200 {
        block.count(F::DestinationCodes, &[code_index(code)]);
    }
    if let Some(first) = first {
        block.observe(F::FirstResponse, &[values::first_method(method) as usize], first);
    }
    if let Some(total) = total
        && method != Method::Invite
    {
        let reduced = match method == Method::Register {
            true => OtherMethod::Register,
            false => OtherMethod::Other,
        };
        block.observe(F::TransactionTime, &[reduced as usize], total);
    }
}

fn failed_over(index: &Index, from: Target, to: Target, cause: usize) {
    let Some(entry) = index.target(from) else { return };
    entry.block.count(F::Failovers, &[cause]);
    if let Some(edge) = entry.edges.iter().find(|edge| edge.to.is_none_or(|other| other == to)) {
        edge.count.fetch_add(1, Ordering::Relaxed);
    }
}

fn transaction(index: &Index, record: &TransactionRecord) {
    let Some(set) = index.set_or_none(record.set) else { return };
    let labels = [record.method as usize, code_index(record.code), record.origin as usize];
    set.block.count(F::Transactions, &labels);
    if record.set.is_some() && !record.selections.is_empty() {
        // The histogram counts destinations, not seconds.
        let tried = Duration::from_secs(wide(record.attempts.len()));
        set.block.observe(F::Attempts, &[record.method as usize], tried);
    }
    if let Some((target, result, delay)) = setup_delay(record)
        && let Some(entry) = index.target(target)
    {
        entry.block.observe(F::SetupDelay, &[result as usize], delay);
    }
}

/// The session request delay of an initial INVITE (RFC 6076 §4.3) and whose it is: to the first
/// 18x or 2xx, else to the failure. Challenges, redirections and calls given up before either are
/// neither.
pub fn setup_delay(record: &TransactionRecord) -> Option<(Target, SetupResult, Duration)> {
    if record.method != Method::Invite || record.in_dialog {
        return None;
    }
    let answering = record.attempts.iter().rev().find(|attempt| attempt.outcome == AttemptOutcome::Answered);
    let target = answering.or(record.attempts.last())?.target?;
    let ringing = record.provisionals.iter().find(|(_, code)| (180..190).contains(code));
    let (result, at) = match (ringing, record.code) {
        (Some((at, _)), _) => (SetupResult::Success, *at),
        (None, 200..=299) => (SetupResult::Success, record.ended),
        (None, 401 | 402 | 407 | 300..=399) => return None,
        (None, _) if record.cancelled_at.is_some() && record.origin == Origin::Upstream => return None,
        (None, _) => (SetupResult::Failure, record.ended),
    };
    Some((target, result, at.saturating_duration_since(record.started)))
}

fn probe(index: &Index, record: &ProbeRecord) {
    let Some(entry) = index.target(record.target) else { return };
    entry.block.count(F::Probes, &[record.outcome.result() as usize]);
    if record.outcome.code() != 0 {
        let rtt = record.ended.saturating_duration_since(record.started);
        entry.block.observe(F::ProbeRtt, &[], rtt);
    }
}

fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
