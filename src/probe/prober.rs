//! Who is due for a probe, and which probes are under way.
//!
//! One probe at a time goes to each endpoint, however many destinations share it. Knows no SIP, no
//! state of a destination, and no address: endpoints are opaque hashes.

use super::Settings;
use super::roster::{Identity, Post, Roster};
use super::schedule::Schedule;
use crate::facts::Target;
use crate::facts::secret::Nonces;
use foldhash::fast::RandomState;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The first round takes at most this long,
const FIRST_ROUND: Duration = Duration::from_secs(1);
/// and at most this long for each endpoint.
const FIRST_ROUND_EACH: Duration = Duration::from_millis(1);

/// Knows who is due.
#[derive(Debug, Default)]
pub struct Prober {
    /// When the first configuration came; the rounds of every endpoint are counted from it.
    epoch: Option<Instant>,
    /// What the endpoints were made of last.
    roster: Arc<Roster>,
    /// Each stays in its place, whatever comes and goes around it.
    endpoints: Vec<Option<Endpoint>>,
    /// Positions in `endpoints`, by identity.
    places: HashMap<Identity, usize, RandomState>,
    /// Positions in `endpoints` that nobody has.
    free: Vec<usize>,
    /// Endpoints that wait, by the time of their next probe; positions in `endpoints`.
    waiting: BTreeSet<(Instant, usize)>,
    /// Probes under way, by the time at which they run out.
    deadlines: BTreeSet<(Instant, ProbeId)>,
    /// Probes under way, with positions in `endpoints`.
    flights: BTreeMap<ProbeId, usize>,
    /// Positions in `endpoints`, by target.
    by_target: Vec<Option<usize>>,
    last: u32,
}

/// One probe under way. Never given to another while that one is: there are 2³² of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProbeId(u32);

impl ProbeId {
    /// The probe's number, unique among those under way.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// A probe to send.
#[derive(Debug, Clone)]
pub struct Due {
    /// Its id.
    pub probe: ProbeId,
    /// The destinations that it counts for.
    pub targets: SmallVec<[Target; 1]>,
    /// When it was due.
    pub scheduled: Instant,
    /// How to probe.
    pub settings: Arc<Settings>,
}

/// A probe that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The destinations that it counts for.
    pub targets: SmallVec<[Target; 1]>,
    /// When it left.
    pub started: Instant,
    /// When it was due.
    pub scheduled: Instant,
}

#[derive(Debug)]
struct Endpoint {
    identity: Identity,
    settings: Arc<Settings>,
    targets: SmallVec<[Target; 1]>,
    phase: Phase,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Waiting {
        due: Instant,
    },
    InFlight {
        probe: ProbeId,
        scheduled: Instant,
        started: Instant,
        /// Whether another is wanted at once when this one has ended.
        again: bool,
    },
}

impl Prober {
    /// Starts with nothing to probe.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a new list of endpoints. Those that stay keep their times and their probe under way; a
    /// new one, or one that counts for a new destination, is probed within the first round.
    pub fn reconcile(&mut self, roster: &Arc<Roster>, now: Instant, nonces: &mut Nonces) {
        self.epoch.get_or_insert(now);
        let former = std::mem::replace(&mut self.roster, Arc::clone(roster));
        if Arc::ptr_eq(&former, roster) || former.is_like(roster) {
            return;
        }
        let (mut stays, mut fresh) = (vec![false; self.endpoints.len()], Vec::new());
        self.by_target.clear();
        for post in roster.posts() {
            let (place, is_fresh) = self.adopt(post, now);
            fresh.extend(is_fresh.then_some(place));
            if let Some(stays) = stays.get_mut(place) {
                *stays = true;
            }
            for target in &post.targets {
                if self.by_target.len() <= target.index() {
                    self.by_target.resize(target.index() + 1, None);
                }
                if let Some(slot) = self.by_target.get_mut(target.index()) {
                    *slot = Some(place);
                }
            }
        }
        for (place, _) in stays.into_iter().enumerate().filter(|(_, stays)| !stays) {
            self.remove(place);
        }
        self.pace(&fresh, now, nonces);
    }

    /// Finds the place of an endpoint or gives it one, and tells whether it is to be probed anew. One
    /// that has just come does not wait yet.
    fn adopt(&mut self, post: &Post, now: Instant) -> (usize, bool) {
        let Post { identity, settings, targets } = post;
        if let Some(place) = self.places.get(identity).copied()
            && let Some(endpoint) = self.endpoint_mut(place)
        {
            let is_fresh = !targets.iter().all(|target| endpoint.targets.contains(target));
            if endpoint.targets != *targets {
                endpoint.targets.clone_from(targets);
            }
            return (place, is_fresh);
        }
        let place = self.free.pop().unwrap_or_else(|| {
            self.endpoints.push(None);
            self.endpoints.len() - 1
        });
        self.places.insert(*identity, place);
        if let Some(slot) = self.endpoints.get_mut(place) {
            let phase = Phase::Waiting { due: now + FIRST_ROUND };
            let (settings, targets) = (Arc::clone(settings), targets.clone());
            *slot = Some(Endpoint { identity: *identity, settings, targets, phase });
        }
        (place, true)
    }

    fn remove(&mut self, place: usize) {
        let Some(endpoint) = self.endpoints.get_mut(place).and_then(Option::take) else { return };
        self.free.push(place);
        self.places.remove(&endpoint.identity);
        match endpoint.phase {
            Phase::Waiting { due } => {
                self.waiting.remove(&(due, place));
            }
            Phase::InFlight { probe, started, .. } => {
                self.deadlines.remove(&(started + endpoint.settings.timeout, probe));
                self.flights.remove(&probe);
            }
        }
    }

    /// Spreads the probes of these endpoints over the first round.
    fn pace(&mut self, fresh: &[usize], now: Instant, nonces: &mut Nonces) {
        let count = u32::try_from(fresh.len()).unwrap_or(u32::MAX);
        let step = FIRST_ROUND.min(FIRST_ROUND_EACH.saturating_mul(count)) / count.max(1);
        for (turn, place) in (0_u32..).zip(fresh) {
            let shift = nonces.below(u64::try_from(step.as_nanos()).unwrap_or(u64::MAX));
            let paced = now + step * turn + Duration::from_nanos(shift);
            self.wait_until(*place, |due| paced.min(due));
        }
    }

    /// Moves the next probe of an endpoint that waits.
    fn wait_until(&mut self, place: usize, move_to: impl FnOnce(Instant) -> Instant) {
        let endpoint = self.endpoints.get_mut(place).and_then(Option::as_mut);
        if let Some(Endpoint { phase: Phase::Waiting { due }, .. }) = endpoint {
            self.waiting.remove(&(*due, place));
            *due = move_to(*due);
            self.waiting.insert((*due, place));
        }
    }

    fn endpoint(&self, place: usize) -> Option<&Endpoint> {
        self.endpoints.get(place)?.as_ref()
    }

    fn endpoint_mut(&mut self, place: usize) -> Option<&mut Endpoint> {
        self.endpoints.get_mut(place)?.as_mut()
    }

    fn place_of(&self, target: Target) -> Option<usize> {
        self.by_target.get(target.index()).copied().flatten()
    }

    /// When [`Prober::due`] or [`Prober::expired`] next has something.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = self.waiting.first().map(|(due, _)| *due);
        let deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
        due.into_iter().chain(deadline).min()
    }

    /// The next probe to send at `now`, which is under way from then on.
    pub fn due(&mut self, now: Instant) -> Option<Due> {
        let (scheduled, index) = *self.waiting.first().filter(|(due, _)| *due <= now)?;
        self.waiting.pop_first();
        self.last = self.last.wrapping_add(1);
        let probe = ProbeId(self.last);
        let endpoint = self.endpoints.get_mut(index)?.as_mut()?;
        endpoint.phase = Phase::InFlight { probe, scheduled, started: now, again: false };
        self.deadlines.insert((now + endpoint.settings.timeout, probe));
        self.flights.insert(probe, index);
        let (targets, settings) = (endpoint.targets.clone(), Arc::clone(&endpoint.settings));
        Some(Due { probe, targets, scheduled, settings })
    }

    /// The next probe under way whose own timeout has run out; the caller finishes it. Each is
    /// told once.
    pub fn expired(&mut self, now: Instant) -> Option<ProbeId> {
        let (_, probe) = *self.deadlines.first().filter(|(deadline, _)| *deadline <= now)?;
        self.deadlines.pop_first();
        Some(probe)
    }

    /// Ends a probe and schedules the next: soon if the state is in doubt, else in the endpoint's
    /// next round. `None` if it is not under way, because it ended before or a reload dropped it.
    pub fn finish(
        &mut self,
        probe: ProbeId,
        in_doubt: bool,
        now: Instant,
        nonces: &mut Nonces,
    ) -> Option<Finished> {
        let index = self.flights.remove(&probe)?;
        let endpoint = self.endpoints.get_mut(index)?.as_mut()?;
        let Phase::InFlight { scheduled, started, again, .. } = endpoint.phase else { return None };
        self.deadlines.remove(&(started + endpoint.settings.timeout, probe));
        let schedule = Schedule::new(self.epoch.unwrap_or(now), endpoint.identity.0, &endpoint.settings);
        let due = if again {
            now
        } else if in_doubt {
            now + endpoint.settings.fast_interval
        } else {
            schedule.next_round(now) + Duration::from_nanos(nonces.below(schedule.jitter_nanos()))
        };
        endpoint.phase = Phase::Waiting { due };
        self.waiting.insert((due, index));
        Some(Finished { targets: endpoint.targets.clone(), started, scheduled })
    }

    /// Takes back a probe that could not be tried: it is due again after `delay`.
    pub fn postpone(&mut self, probe: ProbeId, delay: Duration, now: Instant) {
        let Some(index) = self.flights.remove(&probe) else { return };
        let Some(endpoint) = self.endpoints.get_mut(index).and_then(Option::as_mut) else { return };
        let Phase::InFlight { started, .. } = endpoint.phase else { return };
        self.deadlines.remove(&(started + endpoint.settings.timeout, probe));
        endpoint.phase = Phase::Waiting { due: now + delay };
        self.waiting.insert((now + delay, index));
    }

    /// Makes the next probe of a destination due at once, for instance because its name has its
    /// first address; one under way goes on.
    pub fn hasten(&mut self, target: Target, now: Instant) {
        if let Some(place) = self.place_of(target) {
            self.wait_until(place, |due| due.min(now));
        }
    }

    /// Makes a probe of each of these destinations start now, paced as in the first round; where one
    /// is under way, another follows it.
    pub fn demand(&mut self, targets: &[Target], now: Instant) {
        let mut wanted: Vec<usize> = targets.iter().filter_map(|target| self.place_of(*target)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let count = u32::try_from(wanted.len()).unwrap_or(u32::MAX).max(1);
        let step = FIRST_ROUND_EACH.min(FIRST_ROUND / count);
        for (turn, place) in (0_u32..).zip(wanted) {
            match self.endpoint_mut(place).map(|endpoint| &mut endpoint.phase) {
                Some(Phase::Waiting { .. }) => {
                    self.wait_until(place, |due| (now + step * turn).min(due.max(now)));
                }
                Some(Phase::InFlight { again, .. }) => *again = true,
                None => {}
            }
        }
    }

    /// The destinations that a probe under way counts for; `None` if it has ended or a reload
    /// dropped it.
    pub fn targets_of(&self, probe: ProbeId) -> Option<&[Target]> {
        Some(&self.endpoint(*self.flights.get(&probe)?)?.targets)
    }

    /// The destinations of each probe under way.
    pub fn in_flight(&self) -> impl Iterator<Item = &[Target]> {
        let endpoints = self.flights.values().filter_map(|place| self.endpoint(*place));
        endpoints.map(|endpoint| endpoint.targets.as_slice())
    }

    /// How a destination is probed; `None` if it is not.
    pub fn settings_of(&self, target: Target) -> Option<&Settings> {
        Some(&self.endpoint(self.place_of(target)?)?.settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::secret::Secret;

    const SECOND: Duration = Duration::from_secs(1);

    struct Bench {
        prober: Prober,
        nonces: Nonces,
        start: Instant,
    }

    fn bench(wanted: Vec<Wanted>) -> Bench {
        let mut bench =
            Bench { prober: Prober::new(), nonces: Nonces::new(Secret::new([1; 16])), start: Instant::now() };
        bench.reconcile(wanted, bench.start);
        bench
    }

    /// An endpoint that is to be probed, for all these destinations.
    struct Wanted {
        endpoint: u128,
        settings: Settings,
        targets: Vec<Target>,
    }

    fn roster(wanted: &[Wanted]) -> Roster {
        let each = |one: &Wanted| {
            let (endpoint, settings) = (one.endpoint, one.settings.clone());
            one.targets.iter().map(move |target| (endpoint, settings.clone(), *target)).collect::<Vec<_>>()
        };
        let all: Vec<_> = wanted.iter().flat_map(each).collect();
        Roster::new(all.iter().map(|(endpoint, settings, target)| crate::probe::Wanted {
            endpoint: *endpoint,
            settings,
            target: *target,
        }))
    }

    fn wanted(endpoint: u128, targets: &[u32]) -> Wanted {
        let targets = targets.iter().map(|target| Target::new(*target)).collect();
        Wanted { endpoint, settings: Settings::default(), targets }
    }

    impl Bench {
        fn reconcile(&mut self, wanted: Vec<Wanted>, now: Instant) {
            self.prober.reconcile(&Arc::new(roster(&wanted)), now, &mut self.nonces);
        }
        /// Waits for the next due probe and starts it.
        fn start_next(&mut self) -> (Due, Instant) {
            let now = self.prober.poll_timeout().unwrap();
            (self.prober.due(now).unwrap(), now)
        }
        fn finish(&mut self, probe: ProbeId, in_doubt: bool, now: Instant) -> Option<Finished> {
            self.prober.finish(probe, in_doubt, now, &mut self.nonces)
        }
    }

    fn indexes(targets: &[Target]) -> Vec<usize> {
        targets.iter().map(|target| target.index()).collect()
    }

    #[test]
    fn equal_endpoints_with_equal_settings_share_one_probe() {
        let mut other = wanted(7, &[4]);
        other.settings.method = "INFO".into();
        let mut off = wanted(9, &[5]);
        off.settings.enabled = false;
        let mut bench = bench(vec![wanted(7, &[0]), wanted(8, &[1]), wanted(7, &[2, 3]), other, off]);
        let now = bench.start + SECOND;
        let due: Vec<_> = std::iter::from_fn(|| bench.prober.due(now)).collect();
        let targets: Vec<_> = due.iter().map(|due| indexes(&due.targets)).collect();
        assert_eq!(targets, [vec![0, 2, 3], vec![1], vec![4]]);
        assert_eq!(bench.prober.in_flight().map(indexes).collect::<Vec<_>>(), targets);
        assert_eq!(&*bench.prober.settings_of(Target::new(4)).unwrap().method, "INFO");
        assert!(bench.prober.settings_of(Target::new(5)).is_none());
    }

    #[test]
    fn one_probe_at_a_time_until_it_is_finished() {
        let mut bench = bench(vec![wanted(7, &[0])]);
        let (due, now) = bench.start_next();
        assert!(now < bench.start + FIRST_ROUND_EACH);
        assert!(bench.prober.due(now + 60 * SECOND).is_none());
        let finished = bench.finish(due.probe, false, now + SECOND).unwrap();
        assert_eq!((finished.started, finished.scheduled), (now, due.scheduled));
        assert_eq!(bench.finish(due.probe, false, now + SECOND), None, "it has ended");
        assert!(bench.prober.poll_timeout().unwrap() > now + SECOND);
    }

    #[test]
    fn a_probe_runs_out_once_after_its_own_timeout() {
        let mut bench = bench(vec![wanted(7, &[0])]);
        let (due, now) = bench.start_next();
        let deadline = now + due.settings.timeout;
        assert_eq!(bench.prober.poll_timeout(), Some(deadline));
        assert_eq!(bench.prober.expired(deadline - Duration::from_nanos(1)), None);
        assert_eq!(bench.prober.expired(deadline), Some(due.probe));
        assert_eq!(bench.prober.expired(deadline), None);
        assert!(bench.finish(due.probe, true, deadline).is_some());
        assert_eq!(bench.prober.poll_timeout(), Some(deadline + due.settings.fast_interval));
    }

    #[test]
    fn a_doubtful_state_is_probed_again_soon_and_a_certain_one_within_interval_and_jitter() {
        let mut bench = bench(vec![wanted(7, &[0])]);
        let mut ended = bench.start;
        for round in 0..200 {
            let (due, now) = bench.start_next();
            let settings = &due.settings;
            let longest = settings.interval + settings.interval * u32::from(settings.jitter_percent) / 100;
            if round > 0 {
                assert!(now.duration_since(ended) <= longest);
            }
            ended = now + Duration::from_millis(30);
            bench.finish(due.probe, true, ended);
            let (due, now) = bench.start_next();
            assert_eq!(now, ended + due.settings.fast_interval);
            ended = now + Duration::from_millis(30);
            bench.finish(due.probe, false, ended);
        }
    }

    #[test]
    fn a_reload_keeps_times_and_the_probe_under_way_of_what_stays() {
        let mut bench = bench(vec![wanted(7, &[0]), wanted(8, &[1]), wanted(9, &[2])]);
        let probes: Vec<_> = (0..3).map(|_| bench.start_next().0.probe).collect();
        let ended = bench.start + Duration::from_millis(50);
        bench.finish(probes[0], false, ended);
        let before = bench.prober.poll_timeout();
        let next = *bench.prober.waiting.first().unwrap();
        bench.reconcile(vec![wanted(8, &[1]), wanted(7, &[0])], ended);
        assert_eq!(bench.prober.poll_timeout(), before);
        assert_eq!(bench.prober.waiting.first().unwrap().0, next.0);
        assert!(bench.finish(probes[1], false, ended).is_some(), "it goes on");
        assert_eq!(bench.finish(probes[2], false, ended), None, "its endpoint is gone");
    }

    #[test]
    fn a_new_endpoint_and_a_new_destination_of_an_old_one_are_probed_at_once() {
        let mut bench = bench(vec![wanted(7, &[0])]);
        let (due, now) = bench.start_next();
        bench.finish(due.probe, false, now);
        let later = now + Duration::from_millis(5);
        bench.reconcile(vec![wanted(7, &[0, 3]), wanted(8, &[1])], later);
        let soon = later + 2 * FIRST_ROUND_EACH;
        let due: Vec<_> = std::iter::from_fn(|| bench.prober.due(soon)).collect();
        assert_eq!(due.iter().map(|due| indexes(&due.targets)).collect::<Vec<_>>(), [vec![0, 3], vec![1]]);
    }

    #[test]
    fn changed_settings_start_over() {
        let mut bench = bench(vec![wanted(7, &[0])]);
        let (due, now) = bench.start_next();
        let mut changed = wanted(7, &[0]);
        changed.settings.timeout = 3 * SECOND;
        bench.reconcile(vec![changed], now);
        assert_eq!(bench.finish(due.probe, false, now), None);
        let (due, _) = bench.start_next();
        assert_eq!(due.settings.timeout, 3 * SECOND);
    }

    #[test]
    fn hastening_moves_the_next_probe_to_now_but_not_one_under_way() {
        let mut bench = bench(vec![wanted(7, &[0])]);
        let (due, now) = bench.start_next();
        bench.prober.hasten(Target::new(0), now);
        assert!(bench.prober.due(now).is_none());
        bench.finish(due.probe, false, now);
        bench.prober.hasten(Target::new(0), now);
        bench.prober.hasten(Target::new(9), now);
        assert_eq!(bench.prober.due(now).unwrap().scheduled, now);
    }

    #[test]
    fn a_probe_on_demand_starts_now_and_follows_one_under_way() {
        let mut bench = bench(vec![wanted(7, &[0]), wanted(8, &[1]), wanted(9, &[2])]);
        let flights: Vec<_> = (0..3).map(|_| bench.start_next()).collect();
        let now = flights[2].1;
        bench.finish(flights[0].0.probe, false, now);
        bench.finish(flights[2].0.probe, false, now);
        let asked = now + Duration::from_millis(1);
        bench.prober.demand(&[0, 1, 9].map(Target::new), asked);
        let due = bench.prober.due(asked).unwrap();
        assert_eq!((indexes(&due.targets), due.scheduled), (vec![0], asked));
        assert!(bench.prober.due(asked + SECOND / 4).is_none(), "nobody asked for 2, and 1 is under way");
        bench.finish(flights[1].0.probe, false, asked);
        assert_eq!(indexes(&bench.prober.due(asked).unwrap().targets), [1]);
    }

    #[test]
    fn probes_on_demand_of_many_are_paced() {
        let mut bench = bench((0..500).map(|n| wanted(u128::from(n), &[n])).collect());
        let mut now = bench.start;
        for _ in 0..500 {
            let (due, at) = bench.start_next();
            now = at;
            bench.finish(due.probe, false, now);
        }
        let all: Vec<_> = (0..500).map(Target::new).collect();
        bench.prober.demand(&all, now);
        let at_once = std::iter::from_fn(|| bench.prober.due(now)).count();
        assert!(at_once < 50, "{at_once} leave at once");
        let soon = now + FIRST_ROUND_EACH * 500;
        assert_eq!(at_once + std::iter::from_fn(|| bench.prober.due(soon)).count(), 500);
    }

    #[test]
    fn ten_thousand_endpoints_are_probed_within_a_second_and_then_spread() {
        let secret = Secret::new([3; 16]);
        let endpoints = (0..10_000_u32).map(|index| wanted(secret.mac(&[&index.to_le_bytes()]), &[index]));
        let mut bench = bench(endpoints.collect());
        let answer = Duration::from_millis(20);
        let mut answers: std::collections::VecDeque<(Instant, ProbeId)> = std::collections::VecDeque::new();
        let (mut sent, mut per_second) = (vec![0_u32; 10_000], [0_u32; 24]);
        let end = bench.start + 24 * SECOND;
        loop {
            let answered = answers.front().map(|(at, _)| *at);
            let now = answered.into_iter().chain(bench.prober.poll_timeout()).min().unwrap();
            if now >= end {
                break;
            }
            while let Some((_, probe)) = answers.pop_front_if(|(at, _)| *at <= now) {
                assert!(bench.finish(probe, false, now).is_some());
            }
            while let Some(due) = bench.prober.due(now) {
                assert_eq!(due.scheduled, now, "nothing is late");
                sent[due.targets[0].index()] += 1;
                per_second[usize::try_from((now - bench.start).as_secs()).unwrap()] += 1;
                answers.push_back((now + answer, due.probe));
            }
            assert_eq!(bench.prober.flights.len() + bench.prober.waiting.len(), 10_000);
        }
        assert!(per_second[0] >= 10_000, "the first round");
        assert!(per_second[12..].iter().all(|count| (800..1250).contains(count)), "{per_second:?}");
        assert!(sent.iter().all(|count| (2..=5).contains(count)));
    }
}
