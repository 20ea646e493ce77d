//! Ejections, pauses and damping: when they begin, what limits them, what ends them.

use super::*;
use crate::dispatch::testing::{destination, set, snapshots};
use crate::dispatch::{DestinationSettings, PassiveSettings, SetSettings, Thresholds};
use crate::facts::State;
use crate::facts::event::{ProbeOutcome, SkipReason, TransportReason};
use crate::facts::names::Names;
use crate::facts::trace::SpanRef;

const OK: ProbeOutcome = ProbeOutcome::Accepted(200);
const BROKEN: ProbeOutcome = ProbeOutcome::Rejected(503);
const PBX: SetId = SetId::new(0);
const A: Target = Target::new(0);
const B: Target = Target::new(1);
const C: Target = Target::new(2);

struct Bench {
    health: Health,
    names: Names,
    now: Instant,
}

/// A set of members that are up.
fn up(ids: &[&str]) -> Bench {
    bench(set("pbx", ids.iter().map(|id| destination(id)).collect()))
}

fn bench(settings: SetSettings) -> Bench {
    let mut names = Names::default();
    let count = settings.destinations.len();
    let table = Table::new(vec![settings], &mut names);
    let now = Instant::now();
    let mut bench = Bench { health: Health::new(Arc::new(table), now), names, now };
    (0..count).for_each(|index| bench.probe(Target::new(u32::try_from(index).unwrap()), OK));
    while bench.health.poll_change().is_some() {}
    bench
}

impl Bench {
    fn probe(&mut self, target: Target, outcome: ProbeOutcome) {
        self.health.on_probe(target, outcome.into(), None, self.now);
    }
    fn fail(&mut self, target: Target, times: u32) {
        let failure = Evidence::Fails(BROKEN.into());
        (0..times).for_each(|_| self.health.on_evidence(target, failure, self.now));
    }
    fn answer(&mut self, target: Target) {
        self.health.on_evidence(target, Evidence::Answers, self.now);
    }
    fn pause(&mut self, target: Target, seconds: u64) {
        let wanted = Duration::from_secs(seconds);
        self.health.on_evidence(target, Evidence::Pause { wanted, span: None }, self.now);
    }
    fn advance(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.health.handle_timeout(self.now);
    }
    fn reload(&mut self, settings: SetSettings) {
        let table = Table::new(vec![settings], &mut self.names);
        self.health.reconcile(Arc::new(table), self.now);
    }
    fn admin(&mut self, target: Target, admin: Admin) {
        self.health.set_admin(target, admin, self.now);
    }
    fn states(&self, targets: &[Target]) -> Vec<State> {
        targets.iter().map(|target| self.health.state(*target).unwrap()).collect()
    }
    /// Who changed to what since the last call, and why.
    fn changes(&mut self) -> Vec<(Target, State, ChangeReason)> {
        let all = std::iter::from_fn(|| self.health.poll_change());
        let told = all.filter_map(|change| match change {
            Change::Destination(change) => Some((change.target, change.to, change.reason)),
            Change::Set { .. } => None,
        });
        told.collect()
    }
    fn skip(&mut self, target: Target) -> Option<SkipReason> {
        self.health.take_verdicts().expect("something changed").of(target).unwrap().skip
    }
}

#[test]
fn five_failures_in_a_row_eject_for_thirty_seconds() {
    let mut bench = up(&["a", "b"]);
    bench.fail(A, 4);
    bench.answer(A);
    bench.fail(A, 4);
    assert_eq!(bench.states(&[A]), [State::Up]);
    let icmp = ProbeOutcome::Transport(TransportReason::Icmp);
    let span = Some(SpanRef::root(7));
    bench.health.on_evidence(A, Evidence::Fails(Seen { outcome: icmp, span }), bench.now);
    let change = bench.health.poll_change();
    let Some(Change::Destination(change)) = change else { panic!("{change:?}") };
    assert_eq!(
        (change.to, change.reason, change.outcome, change.span),
        (State::Ejected, ChangeReason::Passive, Some(icmp), span)
    );
    assert_eq!(bench.skip(A), Some(SkipReason::Ejected));
    bench.advance(29);
    assert_eq!(bench.states(&[A]), [State::Ejected]);
    assert_eq!(bench.health.poll_timeout(), Some(bench.now + Duration::from_secs(1)));
    bench.advance(1);
    assert_eq!(bench.changes(), [(A, State::Up, ChangeReason::EjectionExpired)]);
    assert_eq!((bench.skip(A), bench.health.poll_timeout()), (None, None));
    bench.fail(A, 4);
    assert_eq!(bench.states(&[A]), [State::Up], "it begins at 0 again");
}

#[test]
fn a_good_probe_never_undoes_an_ejection_and_counts_for_nothing() {
    let mut bench = up(&["a", "b"]);
    bench.fail(A, 4);
    bench.probe(A, OK);
    bench.fail(A, 1);
    bench.probe(A, OK);
    assert_eq!(bench.states(&[A]), [State::Ejected]);
    for outcome in [BROKEN, BROKEN, BROKEN, OK] {
        bench.probe(A, outcome);
    }
    assert_eq!(bench.states(&[A]), [State::Ejected], "not even if it was down meanwhile");
    let words: Vec<State> = bench.changes().into_iter().map(|(_, to, _)| to).collect();
    assert_eq!(words, [State::Ejected, State::Down, State::Ejected]);
}

#[test]
fn no_more_than_the_share_and_never_the_last_usable_one() {
    let mut bench = up(&["a", "b", "c"]);
    bench.fail(A, 5);
    bench.fail(B, 50);
    assert_eq!(bench.states(&[A, B, C]), [State::Ejected, State::Up, State::Up], "half of three is one");
    bench.advance(30);
    bench.fail(B, 1);
    assert_eq!(bench.states(&[A, B]), [State::Up, State::Ejected], "the next failure does it");

    let mut settings = set("pbx", vec![destination("a"), destination("b")]);
    settings.passive.max_ejected_percent = 100;
    let mut bench = self::bench(settings);
    bench.fail(A, 5);
    bench.fail(B, 50);
    assert_eq!(bench.states(&[A, B]), [State::Ejected, State::Up]);

    let mut bench = up(&["a"]);
    bench.fail(A, 50);
    bench.pause(A, 10);
    assert_eq!(bench.states(&[A]), [State::Up]);
}

#[test]
fn what_gets_no_requests_anyway_is_not_ejected() {
    let spare = DestinationSettings { weight: 0, ..destination("d") };
    let mut bench = bench(set("pbx", vec![destination("a"), destination("b"), destination("c"), spare]));
    bench.admin(A, Admin::Draining);
    bench.probe(B, BROKEN);
    bench.probe(B, BROKEN);
    bench.probe(B, BROKEN);
    for target in [A, B, Target::new(3)] {
        bench.fail(target, 10);
    }
    bench.admin(A, Admin::Enabled);
    bench.probe(B, OK);
    assert_eq!(bench.states(&[A, B, C, Target::new(3)]), [State::Up; 4]);
}

#[test]
fn a_pause_is_capped_never_shortened_and_leaves_somebody() {
    let mut bench = up(&["a", "b"]);
    bench.pause(A, 300);
    assert_eq!(bench.changes(), [(A, State::Throttled, ChangeReason::RetryAfter)]);
    assert_eq!(bench.skip(A), Some(SkipReason::Throttled));
    bench.pause(A, 1);
    bench.pause(B, 300);
    assert_eq!(bench.states(&[A, B]), [State::Throttled, State::Up], "it would have emptied the set");
    bench.advance(59);
    assert_eq!(bench.states(&[A]), [State::Throttled]);
    bench.advance(1);
    assert_eq!(bench.changes(), [(A, State::Up, ChangeReason::RetryAfter)]);
}

#[test]
fn ejections_and_pauses_are_lifted_when_nobody_else_is_usable() {
    let mut bench = up(&["a", "b", "c"]);
    bench.fail(A, 5);
    bench.pause(B, 60);
    bench.changes();
    bench.admin(C, Admin::Disabled);
    let lifted = |target| (target, State::Up, ChangeReason::LastResort);
    assert_eq!(bench.changes(), [(C, State::Disabled, ChangeReason::Admin), lifted(A), lifted(B)]);
    assert_eq!(bench.health.poll_timeout(), None);
    assert!(!bench.health.publication.is_all_down(PBX), "it never was");
    bench.advance(60);
    assert_eq!(bench.changes(), []);
}

#[test]
fn what_is_down_itself_is_no_last_resort() {
    let mut bench = up(&["a", "b"]);
    bench.fail(A, 5);
    (0..3).for_each(|_| bench.probe(A, BROKEN));
    (0..3).for_each(|_| bench.probe(B, BROKEN));
    assert_eq!(bench.states(&[A, B]), [State::Down, State::Down]);
    assert!(bench.health.publication.is_all_down(PBX));
    bench.changes();
    bench.probe(A, OK);
    assert_eq!(
        bench.changes(),
        [(A, State::Ejected, ChangeReason::Probe), (A, State::Up, ChangeReason::LastResort)]
    );
}

#[test]
fn the_time_doubles_for_one_that_fails_again() {
    let mut bench = up(&["a", "b"]);
    bench.fail(A, 5);
    bench.advance(30);
    bench.fail(A, 5);
    bench.advance(59);
    assert_eq!(bench.states(&[A]), [State::Ejected]);
    bench.advance(1);
    assert_eq!(bench.states(&[A]), [State::Up]);
}

#[test]
fn an_administrators_wish_and_an_ejection_do_not_touch_each_other() {
    let mut bench = up(&["a", "b", "c"]);
    bench.fail(A, 5);
    bench.admin(A, Admin::Disabled);
    bench.admin(A, Admin::Enabled);
    assert_eq!(bench.states(&[A]), [State::Ejected]);
    // One of two may be ejected, but none of one.
    bench.admin(B, Admin::Disabled);
    assert_eq!(bench.states(&[A]), [State::Ejected]);
    bench.changes();
    bench.admin(C, Admin::Draining);
    assert_eq!(bench.changes()[1], (A, State::Up, ChangeReason::Admin));
}

#[test]
fn a_reload_keeps_what_it_does_not_forbid() {
    let whole = || set("pbx", vec![destination("a"), destination("b"), destination("c")]);
    let mut bench = bench(whole());
    bench.fail(A, 5);
    bench.pause(B, 60);
    bench.reload(whole());
    assert_eq!(bench.states(&[A, B]), [State::Ejected, State::Throttled]);
    let mut shorter = whole();
    shorter.passive = PassiveSettings {
        base_ejection: Duration::from_secs(5),
        max_ejection: Duration::from_secs(10),
        ..PassiveSettings::default()
    };
    shorter.retry_after.max = Duration::from_secs(8);
    bench.reload(shorter.clone());
    bench.advance(8);
    assert_eq!(bench.states(&[A, B]), [State::Ejected, State::Up]);
    bench.advance(2);
    assert_eq!(bench.states(&[A]), [State::Up]);

    bench.fail(A, 5);
    bench.pause(B, 60);
    bench.changes();
    shorter.passive.max_ejected_percent = 0;
    shorter.retry_after.honour = false;
    bench.reload(shorter);
    let lifted = |target| (target, State::Up, ChangeReason::Reload);
    assert_eq!(bench.changes(), [lifted(B), lifted(A)]);
}

#[test]
fn another_uri_is_another_destination() {
    let mut bench = up(&["a", "b"]);
    bench.fail(A, 5);
    let moved = DestinationSettings { id: "a".into(), ..destination("z") };
    bench.reload(set("pbx", vec![moved, destination("b")]));
    assert_eq!(bench.states(&[A]), [State::Unknown]);
    let snapshot = snapshots(&bench.health, bench.now);
    assert_eq!(snapshot[0].destinations[0].ejected_until, None);
}

#[test]
fn the_workers_are_asked_for_answers_only_while_somebody_fails() {
    let mut bench = up(&["a", "b"]);
    let is_suspect = |bench: &mut Bench| bench.health.take_verdicts().unwrap().of(A).unwrap().is_suspect;
    assert!(!is_suspect(&mut bench));
    bench.fail(A, 1);
    assert!(is_suspect(&mut bench));
    bench.answer(A);
    bench.fail(A, 2);
    assert!(bench.health.take_verdicts().is_none(), "nothing to publish for every failure");
    bench.answer(A);
    bench.advance(31);
    bench.answer(A);
    assert!(!is_suspect(&mut bench));
}

#[test]
fn one_that_falls_often_needs_more_good_probes_while_another_serves() {
    let quick = |id: &str| DestinationSettings {
        thresholds: Some(Thresholds { down_after: 1, up_after: 1 }),
        ..destination(id)
    };
    let mut bench = bench(set("pbx", vec![quick("a"), quick("b")]));
    let mut needed = Vec::new();
    for _ in 0..4 {
        bench.probe(A, BROKEN);
        let mut count = 0;
        while bench.states(&[A]) != [State::Up] {
            bench.probe(A, OK);
            count += 1;
        }
        needed.push(count);
    }
    assert_eq!(needed, [1, 1, 2, 4]);
    let snapshot = |bench: &Bench| {
        let sets = snapshots(&bench.health, bench.now);
        let probe = &sets[0].destinations[0].probe;
        (probe.damped, probe.up_after, probe.up_needed)
    };
    assert_eq!(snapshot(&bench), (true, 1, 4));
    bench.probe(A, BROKEN);
    bench.probe(B, BROKEN);
    bench.probe(A, OK);
    assert_eq!(bench.states(&[A, B]), [State::Up, State::Down], "nobody else could serve");
    bench.advance(600);
    assert_eq!(snapshot(&bench), (false, 1, 1));
}
