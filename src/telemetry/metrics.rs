//! Counters and histograms: what each event adds to which family.
//!
//! Numbers are pushed by events only and live in blocks that are resolved once per configuration;
//! recording one event is a few atomic adds. Never looks at states: those are built at scrape.

mod admission;
mod block;
pub mod delays;
mod expected;
mod expose;
mod exposure;
mod index;

pub use admission::Admission;
pub use block::Block;
pub use expose::{Walk, float, owners};
pub use exposure::least;
pub use index::Index;

use super::settings::MetricsSettings;
use super::table::Family as F;
use super::values::{self, Decision, ExportResult, Level, Loss, OtherMethod, code_index};
use crate::facts::directory::Directory;
use crate::facts::event::{
    ConnectResult, ConnectionRole, Direction, Event, MessageKind, ProbeRecord, ReloadResult,
};
use crate::facts::record::TransactionRecord;
use crate::facts::{Method, SetId, Target, Transport};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// All counters of one process, shared by its recorders.
#[derive(Debug)]
pub struct Metrics {
    settings: MetricsSettings,
    /// The process's own numbers, those of every index.
    own: Arc<Block>,
    /// Locked for a moment only: workers read it.
    index: Mutex<Arc<Index>>,
    generation: AtomicU64,
    /// Held while an index is made, which takes tens of milliseconds if it is a large one.
    applying: Mutex<()>,
    admission: Mutex<Admission>,
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
        Self::new(MetricsSettings::default())
    }
}

impl Metrics {
    /// Numbers of nothing yet.
    pub fn new(settings: MetricsSettings) -> Self {
        let process = ProcessFacts {
            reload_successful: AtomicU64::new(1),
            reload_accepted: AtomicU64::new(unix_millis()),
            config_hash: AtomicU64::new(0),
            export_accepted: AtomicU64::new(0),
            closed: Default::default(),
        };
        let index = Index::empty();
        Self {
            settings,
            own: Arc::clone(&index.process),
            index: Mutex::new(Arc::new(index)),
            generation: AtomicU64::new(0),
            applying: Mutex::default(),
            admission: Mutex::default(),
            process,
        }
    }

    /// Takes up a configuration: what is new starts at zero, what stays goes on, what is gone has
    /// no series any more. Gives what was in force before: recorders exchange it one by one, and
    /// whoever lets go of it last frees it.
    pub fn apply(&self, directory: Arc<Directory>) -> Arc<Index> {
        let _one_at_a_time = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        self.exchange(self.index().follow(directory, &self.settings))
    }

    /// Goes back to what was in force before a configuration that nobody took: all that it had goes on.
    /// Gives what was in force meanwhile.
    pub fn take_back(&self, former: &Index) -> Arc<Index> {
        let _one_at_a_time = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let next = former.follow(Arc::clone(&former.directory), &self.settings);
        self.exchange(Index { generation: self.index().generation + 1, ..next })
    }

    fn exchange(&self, next: Index) -> Arc<Index> {
        let generation = next.generation;
        let former = std::mem::replace(&mut *self.lock(), Arc::new(next));
        self.generation.store(generation, Ordering::Release);
        former
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

    /// Whether exemplars are wanted.
    pub const fn has_exemplars(&self) -> bool {
        self.settings.exemplars
    }

    /// What of this configuration may appear that was not expected.
    pub fn admission(&self, index: &Index) -> MutexGuard<'_, Admission> {
        let mut admission = self.admission.lock().unwrap_or_else(PoisonError::into_inner);
        admission.follow(index.generation, index.exposure.room);
        admission
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
        self.own.add(F::SpansDropped, &[loss as usize], wide(spans));
    }

    /// Counts an export.
    pub fn exported(&self, result: ExportResult, spans: usize) {
        self.own.count(F::Exports, &[result as usize]);
        match result {
            ExportResult::Ok => {
                self.own.add(F::SpansExported, &[], wide(spans));
                self.process.export_accepted.store(unix_millis(), Ordering::Relaxed);
            }
            ExportResult::Error => self.spans_lost(Loss::ExportFailed, spans),
            ExportResult::Timeout => self.spans_lost(Loss::Timeout, spans),
        }
    }

    /// Observes how late a timer fired.
    pub fn ticked(&self, late: Duration) {
        self.own.observe(F::TickLag, &[], late);
    }

    /// Observes how long a scrape took.
    pub fn scraped(&self, took: Duration) {
        self.own.observe(F::ScrapeTime, &[], took);
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
            Event::MessageForwarded { kind, since: _, delay } => {
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
            Event::RequestRefused { set, reason, code: _, method: _, call_id: _, source: _, span: _ } => {
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
            Event::ResponseRepeated { target } => {
                let kind = MessageKind::Response as usize;
                count_target(index, *target, F::DestinationRetransmissions, &[kind]);
            }
            Event::AttemptTimedOut { target, timer } => {
                count_target(index, *target, F::Timeouts, &[*timer as usize]);
            }
            Event::FailedOver { set: _, from, to, cause, call_id: _, span: _ } => {
                failed_over(index, *from, *to, *cause as usize);
            }
            Event::FailoversExhausted { set, last: _, cause: _, call_id: _, span: _ } => {
                count_set(index, *set, F::FailoversExhausted, &[]);
            }
            Event::TransactionFinished(record) => transaction(index, record),
            // No response was sent that could be counted; the time-outs of its attempts were.
            Event::RequestUnanswered(record) => delay(index, record),
            Event::ProbeSent { lag } => process.observe(F::ProbeLag, &[], *lag),
            Event::ProbeFinished(record) => probe(index, record),
            Event::ProbeUnmatched => process.count(F::ProbeUnmatched, &[]),
            Event::DestinationChanged(change) => {
                let labels = [change.to as usize, change.reason as usize];
                count_target(index, change.target, F::DestinationTransitions, &labels);
            }
            Event::EvidenceDropped => process.count(F::EvidenceDropped, &[]),
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
            Event::DialogEnded { target, lasted } => {
                if let Some(entry) = index.target(*target) {
                    entry.block.observe(F::SessionDuration, &[], *lasted);
                }
            }
            Event::DialogExpired { set } => count_set(index, *set, F::DialogsExpired, &[]),
            Event::NameResolved { name: _, result, addresses: _, took } => {
                process.count(F::Resolutions, &[*result as usize]);
                process.observe(F::ResolutionTime, &[], *took);
            }
            Event::AddressesChanged { target, addresses: _ } => {
                count_target(index, *target, F::DestinationAddressChanges, &[]);
            }
            // Series come and go with them.
            Event::EndpointsChanged { .. } => {}
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
            Event::HandedOver { result } => process.count(F::Handovers, &[*result as usize]),
            Event::LingerDropped { kind, count } => {
                process.add(F::LingerDropped, &[*kind as usize], u64::from(*count));
            }
            Event::SocketFailed { transport, operation, reason } => {
                let labels = [*transport as usize, *operation as usize, *reason as usize];
                process.count(F::TransportErrors, &labels);
            }
            // The connection that was not opened is counted by itself.
            Event::FellBackToUdp { target: _, remote: _, reason: _ } => {}
            Event::StateRestored { restored: _, ignored: _ }
            | Event::StateIgnored { problem: _, detail: _ }
            | Event::StateNotSaved { error: _ } => {}
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
    delay(index, record);
}

/// Observes how long the peer of a finished request took, where RFC 6076 has a figure for it.
fn delay(index: &Index, record: &TransactionRecord) {
    let Some((family, target, result, delay)) = delays::of(record) else { return };
    if let Some(entry) = index.target(target) {
        let result = result.map(|result| result as usize);
        entry.block.observe(family, result.as_slice(), delay);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Algorithm;
    use crate::facts::directory::DirectorySet;
    use crate::facts::event::{Cause, SelectionReason};
    use crate::facts::record::WireText;
    use crate::facts::trace::SpanRef;
    use crate::telemetry::page::{Format, Page};
    use crate::telemetry::samples;
    use crate::telemetry::table::Source;

    fn series(metrics: &Arc<Metrics>) -> Vec<String> {
        let (index, mut page) = (metrics.index(), Page::new(Format::Text));
        for family in F::ALL.iter().filter(|family| family.spec().source == Source::Event) {
            let mut admission = metrics.admission(&index);
            let mut walk = Walk { index: &index, admission: &mut admission, page: &mut page };
            walk.family(*family, 0..owners(&index, *family));
        }
        page.take(0).lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    fn failed_over(from: u32, to: u32) -> Event {
        Event::FailedOver {
            set: SetId::new(0),
            from: Target::new(from),
            to: Target::new(to),
            cause: Cause::Timeout,
            call_id: WireText::default(),
            span: SpanRef::root(1),
        }
    }

    #[test]
    fn bounded_series_exist_at_zero_before_anything_happened() {
        let metrics = Arc::new(Metrics::default());
        metrics.apply(samples::directory(&["a", "b"]));
        let lines = series(&metrics);
        for expected in [
            r#"sipwarden_probes_total{set="pbx",destination="a",result="timeout"} 0"#,
            r#"sipwarden_rejections_total{set="pbx",reason="none_usable"} 0"#,
            r#"sipwarden_rejections_total{set="",reason="no_route"} 0"#,
            r#"sipwarden_failovers_total{set="pbx",destination="b",cause="503"} 0"#,
            r#"sipwarden_failover_edges_total{set="pbx",from="a",to="b"} 0"#,
            r#"sipwarden_selections_total{set="pbx",destination="a",algorithm="round_robin",reason="primary"} 0"#,
            r#"sipwarden_transactions_total{set="pbx",method="INVITE",code="503",origin="local"} 0"#,
            r#"sipwarden_requests_total{listener="udp://127.0.0.1:5060",method="OTHER"} 0"#,
            r#"sipwarden_destination_response_codes_total{set="pbx",destination="a",code="486"} 0"#,
        ] {
            assert!(lines.iter().any(|line| line == expected), "{expected}");
        }
        assert!(lines.iter().all(|line| !line.contains("algorithm=\"hash\"")));
        assert!(lines.iter().all(|line| !line.contains("code=\"606\"")));
    }

    #[test]
    fn a_hundred_reloads_leave_no_series_behind() {
        let metrics = Arc::new(Metrics::default());
        let base = samples::directory(&["a", "b"]);
        metrics.apply(Arc::clone(&base));
        let before = series(&metrics).len();
        let mut names = base.names.clone();
        for round in 0..100 {
            let mut other = Directory::clone(&base);
            other.sets[0].targets.push(names.intern_target(SetId::new(0), &format!("extra-{round}")));
            other.names = names.clone();
            metrics.apply(Arc::new(other));
            let odd = Event::ResponseReceived {
                target: Target::new(2 + round),
                method: Method::Invite,
                code: 606,
                first: None,
                total: None,
            };
            metrics.on(&metrics.index(), &odd);
            assert!(series(&metrics).len() > before);
        }
        metrics.apply(base);
        assert_eq!(series(&metrics).len(), before);
    }

    #[test]
    fn counters_of_what_stays_survive_a_reload_and_late_events_of_what_went_are_ignored() {
        let metrics = Arc::new(Metrics::default());
        metrics.apply(samples::directory(&["a", "b"]));
        let mut index = metrics.index();
        metrics.on(&index, &failed_over(0, 1));
        let mut fewer = Directory::clone(&samples::directory(&["a", "b"]));
        fewer.sets[0].targets.truncate(1);
        metrics.apply(Arc::new(fewer));
        metrics.refresh(&mut index);
        metrics.on(&index, &failed_over(0, 1));
        metrics.on(&index, &failed_over(1, 0));
        let lines = series(&metrics);
        let counted = r#"sipwarden_failovers_total{set="pbx",destination="a",cause="timeout"} 2"#;
        assert!(lines.iter().any(|line| line == counted));
        assert!(lines.iter().all(|line| !line.contains("destination=\"b\"")));
    }

    #[test]
    fn a_recorder_that_takes_up_a_configuration_does_not_free_the_one_before() {
        let metrics = Arc::new(Metrics::default());
        metrics.apply(samples::directory(&["a", "b"]));
        let mut recorder = metrics.index();
        let former = metrics.apply(samples::directory(&["a"]));
        metrics.refresh(&mut recorder);
        assert_eq!(Arc::strong_count(&former), 1, "whoever applied it lets go of it last");
    }

    #[test]
    fn what_a_refused_configuration_left_out_goes_on_where_it_was() {
        let metrics = Arc::new(Metrics::default());
        metrics.apply(samples::directory(&["a", "b"]));
        let mut recorder = metrics.index();
        metrics.on(&recorder, &failed_over(1, 0));
        let former = metrics.apply(samples::directory(&["a"]));
        let refused = metrics.index();
        metrics.take_back(&former);
        for mut seen in [Arc::clone(&recorder), refused] {
            metrics.refresh(&mut seen);
            assert!(Arc::ptr_eq(&seen, &metrics.index()), "no recorder stays with another index");
        }
        metrics.refresh(&mut recorder);
        metrics.on(&recorder, &failed_over(1, 0));
        let counted = r#"sipwarden_failovers_total{set="pbx",destination="b",cause="timeout"} 2"#;
        assert!(series(&metrics).iter().any(|line| line == counted));
    }

    #[test]
    fn a_tick_waits_for_nobody_who_takes_up_or_reads_a_configuration() {
        let metrics = Arc::new(Metrics::default());
        let (_applying, _reading) = (metrics.applying.lock().unwrap(), metrics.lock());
        let (done, counted) = std::sync::mpsc::channel();
        let shared = Arc::clone(&metrics);
        std::thread::spawn(move || {
            shared.ticked(Duration::from_millis(1));
            done.send(shared.own.read(F::TickLag, 0).sum::<u64>())
        });
        assert!(counted.recv_timeout(Duration::from_secs(5)).is_ok_and(|sum| sum > 0));
    }

    #[test]
    fn a_changed_algorithm_leaves_the_counts_of_the_old_one_where_they_were() {
        let metrics = Arc::new(Metrics::default());
        let directory = samples::directory(&["a"]);
        metrics.apply(Arc::clone(&directory));
        let selected = Event::DestinationSelected {
            target: Target::new(0),
            algorithm: Algorithm::RoundRobin,
            reason: SelectionReason::Primary,
            took: Duration::from_micros(2),
        };
        metrics.on(&metrics.index(), &selected);
        let mut changed = Directory::clone(&directory);
        changed.sets[0].algorithm = Algorithm::Hash;
        metrics.apply(Arc::new(changed));
        let lines = series(&metrics);
        let of = |algorithm, value| {
            format!(
                r#"sipwarden_selections_total{{set="pbx",destination="a",algorithm="{algorithm}",reason="primary"}} {value}"#
            )
        };
        assert!(lines.contains(&of("round_robin", 1)) && lines.contains(&of("hash", 0)));
    }

    #[test]
    fn sets_beyond_sixteen_destinations_fold_the_edges() {
        let metrics = Arc::new(Metrics::default());
        let names: Vec<String> = (0..17).map(|n| format!("d{n}")).collect();
        metrics.apply(samples::directory(&names.iter().map(String::as_str).collect::<Vec<_>>()));
        metrics.on(&metrics.index(), &failed_over(0, 5));
        let lines = series(&metrics);
        let folded = r#"sipwarden_failover_edges_total{set="pbx",from="d0",to="other"} 1"#;
        assert!(lines.iter().any(|line| line == folded));
        assert_eq!(
            lines.iter().filter(|line| line.starts_with("sipwarden_failover_edges_total")).count(),
            17
        );
    }

    #[test]
    fn a_failover_to_a_fallback_set_is_one_to_another_set() {
        let metrics = Arc::new(Metrics::default());
        let mut directory = Directory::clone(&samples::directory(&["a", "b"]));
        let backup = directory.names.intern_set("backup");
        let elsewhere = directory.names.intern_target(backup, "c");
        directory.sets[0].has_fallback = true;
        let (algorithm, targets) = (Algorithm::RoundRobin, vec![elsewhere]);
        directory.sets.push(DirectorySet { id: backup, algorithm, targets, has_fallback: false });
        metrics.apply(Arc::new(directory));
        metrics.on(&metrics.index(), &failed_over(0, 2));
        let lines = series(&metrics);
        for (to, count) in [("b", 0), ("other", 1)] {
            let line = format!(r#"sipwarden_failover_edges_total{{set="pbx",from="a",to="{to}"}} {count}"#);
            assert!(lines.contains(&line), "{line}");
        }
    }
}
