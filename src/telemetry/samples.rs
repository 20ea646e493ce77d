//! Records that the unit tests of this module share.

use crate::facts::directory::{Directory, DirectoryListener, DirectorySet};
use crate::facts::event::{
    AttemptOutcome, Cause, ChangeReason, Origin, ProbeOutcome, ProbeRecord, Role, SelectionReason,
    SkipReason, StateChange, TransportReason,
};
use crate::facts::names::Names;
use crate::facts::record::{AttemptRecord, FailoverRecord, SelectionRecord, TransactionRecord, WireText};
use crate::facts::snapshot::{DestinationSnapshot, LoadSnapshot, ProbeSnapshot, SetSnapshot, Snapshot};
use crate::facts::trace::SpanRef;
use crate::facts::{Admin, Algorithm, ListenerId, Method, SetId, State, Target, Transport, WorkerId};
use smallvec::smallvec;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One set `pbx` of these destinations, behind one listener.
pub fn directory(destinations: &[&str]) -> Arc<Directory> {
    let mut names = Names::default();
    let id = names.intern_set("pbx");
    let targets = destinations.iter().map(|name| names.intern_target(id, name)).collect();
    let sets = vec![DirectorySet { id, algorithm: Algorithm::RoundRobin, targets, has_fallback: false }];
    Arc::new(Directory {
        names,
        sets,
        listeners: vec![DirectoryListener::at("udp://127.0.0.1:5060", ([127, 0, 0, 1], 5060).into())],
    })
}

/// What a worker knows.
pub fn snapshot(worker: u8, at: Instant, sets: Vec<SetSnapshot>) -> Snapshot {
    Snapshot {
        worker: WorkerId(worker),
        at,
        in_flight: vec![(Role::Server, Method::Invite, 2)],
        waiting: vec![(Target::new(0), 3)],
        early: vec![(SetId::new(0), 2)],
        dialogs: vec![(SetId::new(0), 5)],
        linger: 7,
        probes_in_flight: vec![],
        sets,
    }
}

/// A set `pbx` of so many destinations, all of them down.
pub fn set(at: Instant, destinations: usize) -> SetSnapshot {
    let destination = DestinationSnapshot {
        target: Target::new(0),
        id: "a".into(),
        uri: "sip:192.0.2.1:5060".into(),
        transport: Transport::Udp,
        address: None,
        addresses: vec![],
        name: None,
        resolved: None,
        dns_stale: true,
        weight: 7,
        priority: 1,
        state: State::Down,
        usable: false,
        admin: Admin::Enabled,
        passive_failures: 0,
        ejected_until: Some(at + Duration::from_secs(30)),
        retry_after_until: Some(at + Duration::from_secs(20)),
        added: at,
        since: at + Duration::from_secs(3),
        last_change: None,
        probe: ProbeSnapshot {
            enabled: true,
            interval: Duration::from_secs(10),
            down_after: 3,
            up_after: 1,
            damped: true,
            consecutive_failures: 4,
            last_outcome: Some(ProbeOutcome::Rejected(500)),
            last_finished: Some(at + Duration::from_secs(4)),
            ..ProbeSnapshot::default()
        },
        load: LoadSnapshot { calls: 4, max_calls: Some(10), ramp: 0.25, ..LoadSnapshot::default() },
        changes: vec![],
        probes: vec![],
        exchange: None,
    };
    SetSnapshot {
        id: SetId::new(0),
        name: "pbx".into(),
        algorithm: Algorithm::Hash,
        objective: 0.999,
        all_down: true,
        detection: Duration::from_secs(19),
        destinations: vec![destination; destinations],
    }
}

/// A call that rang after 30 ms and was answered after 60 ms.
pub fn answered_call(start: Instant, trace: u128) -> TransactionRecord {
    let at = |millis| start + Duration::from_millis(millis);
    TransactionRecord {
        span: SpanRef::root(trace),
        parent: None,
        uris: None,
        method: Method::Invite,
        call_id: WireText::new(b"call-1@example"),
        session: None,
        cseq: 1,
        listener: ListenerId::new(0),
        transport: Transport::Udp,
        client: "192.0.2.9:5060".parse().unwrap(),
        set: Some(SetId::new(0)),
        in_dialog: false,
        dialog: None,
        started: start,
        ended: at(60),
        code: 200,
        origin: Origin::Upstream,
        refusal: None,
        cancelled_at: None,
        retransmissions_absorbed: 0,
        provisionals: smallvec![(at(1), 100), (at(30), 180)],
        selections: smallvec![selection(at(0), SelectionReason::Primary, Some(Target::new(0)))],
        attempts: smallvec![AttemptRecord {
            code: 200,
            ended: Some(at(60)),
            outcome: AttemptOutcome::Answered,
            provisionals: smallvec![(at(30), 180)],
            ..attempt(1, 0, at(1))
        }],
        failovers: smallvec![],
    }
}

/// A call that destination 0 refused with 503 after 20 ms and destination 1 answered.
pub fn failed_over_call(start: Instant, trace: u128) -> TransactionRecord {
    let at = |millis| start + Duration::from_millis(millis);
    let mut record = answered_call(start, trace);
    let second = SelectionRecord {
        skipped: smallvec![(Target::new(0), SkipReason::Tried)],
        ..selection(at(21), SelectionReason::Failover, Some(Target::new(1)))
    };
    record.selections.push(second);
    record.attempts = smallvec![
        AttemptRecord {
            code: 503,
            ended: Some(at(20)),
            outcome: AttemptOutcome::Answered,
            retransmissions: 1,
            retransmitted: smallvec::smallvec![],
            ..attempt(1, 0, at(1))
        },
        AttemptRecord {
            code: 200,
            ended: Some(at(60)),
            outcome: AttemptOutcome::Answered,
            ..attempt(2, 1, at(22))
        },
    ];
    record.failovers = smallvec![FailoverRecord {
        at: at(20),
        from: Target::new(0),
        to: Some(Target::new(1)),
        cause: Cause::Code503,
        remaining: 1,
        passive_mark: true,
    }];
    record
}

/// A probe that took destination 0 down.
pub fn failed_probe(start: Instant) -> ProbeRecord {
    let outcome = ProbeOutcome::Timeout;
    let ended = start + Duration::from_secs(2);
    ProbeRecord {
        target: Target::new(0),
        span: SpanRef::root(77),
        scheduled: start - Duration::from_millis(5),
        started: start,
        ended,
        remote: Some("127.0.0.1:5070".parse().unwrap()),
        listener: Some(ListenerId::new(0)),
        transport: Transport::Udp,
        outcome,
        retransmissions: 2,
        consecutive_failures: 3,
        consecutive_successes: 0,
        change: Some(StateChange {
            target: Target::new(0),
            at: ended,
            from: State::Failing,
            to: State::Down,
            reason: ChangeReason::Probe,
            outcome: Some(outcome),
            span: Some(SpanRef::root(77)),
            admin: Admin::Enabled,
        }),
    }
}

fn selection(at: Instant, reason: SelectionReason, destination: Option<Target>) -> SelectionRecord {
    SelectionRecord {
        at,
        took: Duration::from_micros(3),
        set: SetId::new(0),
        algorithm: Algorithm::RoundRobin,
        reason,
        hash_key: None,
        destination,
        candidates: 2,
        available: 2,
        skipped: smallvec![],
    }
}

fn attempt(number: u32, target: u32, started: Instant) -> AttemptRecord {
    AttemptRecord {
        number,
        target: Some(Target::new(target)),
        remote: "127.0.0.1:5070".parse().unwrap(),
        listener: ListenerId::new(0),
        transport: Transport::Udp,
        started,
        ended: None,
        code: 0,
        outcome: AttemptOutcome::Pending,
        first_response: None,
        provisionals: smallvec![],
        retransmissions: 0,
        retransmitted: smallvec::smallvec![],
        fell_back: Some((started, TransportReason::Refused)),
    }
}
