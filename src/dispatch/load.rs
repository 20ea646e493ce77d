//! What each destination has to do: calls in progress, the rate of new ones, how fast it responds.
//!
//! One table of atomics by [`Target`], shared by all workers, never locked. A call is counted for as
//! long as its [`Call`] is held, so that a count cannot differ from what is held. Never chooses, and
//! knows no states.

use super::DestinationSettings;
use crate::facts::Target;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Entries of the first chunk, as a power of two; each further one is twice as large, so that no
/// entry ever moves.
const FIRST: u32 = 6;
/// Chunks for every target that can be numbered.
const CHUNKS: usize = 27;
const SECOND: u64 = 1_000_000_000;
/// The part of a new response time in the smoothed one is one in so many.
const SMOOTHING: u64 = 5;

/// The loads of every destination of a process, reloads included: a destination that is removed keeps
/// its calls, and finds them when it comes back.
#[derive(Debug)]
pub struct Loads {
    base: Instant,
    chunks: [OnceLock<Box<[Load]>>; CHUNKS],
}

/// One destination's, on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Load {
    /// Calls in progress.
    calls: AtomicU64,
    /// When the next call would be due if they came evenly, in nanoseconds since the base: the
    /// theoretical arrival time of GCRA (ITU-T I.371, annex A).
    due: AtomicU64,
    /// Smoothed response time in nanoseconds; 0 before the first.
    response: AtomicU64,
}

/// What a destination takes at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Calls at a time.
    pub calls: Option<u32>,
    /// New calls a second, as many of them at once.
    pub rate: Option<u32>,
}

impl Limits {
    /// Those of a destination.
    pub fn of(settings: &DestinationSettings) -> Self {
        Self { calls: settings.max_calls, rate: settings.max_cps }
    }

    /// Whether there is none.
    pub fn is_none(self) -> bool {
        self.calls.is_none() && self.rate.is_none()
    }
}

/// A call on a destination, counted until this is dropped.
#[derive(Debug)]
pub struct Call {
    loads: Arc<Loads>,
    target: Target,
}

impl Call {
    /// The destination that it is on.
    pub fn target(&self) -> Target {
        self.target
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(load) = self.loads.find(self.target) {
            let before = load.calls.fetch_sub(1, Ordering::Relaxed);
            debug_assert!(before > 0, "more calls end than begin");
        }
    }
}

impl Loads {
    /// Nothing to do yet; times are counted from `base`.
    pub fn new(base: Instant) -> Arc<Self> {
        Arc::new(Self { base, chunks: [const { OnceLock::new() }; CHUNKS] })
    }

    /// Makes room for targets below `bound`, so that no call has to.
    pub fn reserve(&self, bound: usize) {
        let last = u32::try_from(bound.saturating_sub(1)).unwrap_or(u32::MAX);
        for chunk in 0..=place(Target::new(last)).0 {
            self.chunk(chunk);
        }
    }

    /// Counts a call on a destination, whatever its limits.
    pub fn begin(self: &Arc<Self>, target: Target) -> Call {
        self.at(target, |load| load.calls.fetch_add(1, Ordering::Relaxed));
        Call { loads: Arc::clone(self), target }
    }

    /// Counts a call on a destination unless that is full.
    pub fn admit(self: &Arc<Self>, target: Target, limits: Limits, now: Instant) -> Option<Call> {
        let most = limits.calls.map_or(u64::MAX, u64::from);
        let counted = self.at(target, |load| {
            let more = |calls: u64| (calls < most).then(|| calls + 1);
            load.calls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
        })?;
        let call = counted.then(|| Call { loads: Arc::clone(self), target })?;
        let Some(rate) = limits.rate else { return Some(call) };
        let now = self.nanoseconds(now);
        let taken = self.at(target, |load| {
            let next = |due: u64| is_in_time(due, rate, now).then(|| due.max(now) + interval(rate));
            load.due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
        })?;
        taken.then_some(call)
    }

    /// Whether a destination would take no further call now.
    pub fn is_full(&self, target: Target, limits: Limits, now: Instant) -> bool {
        let Some(load) = self.find(target) else { return limits.calls == Some(0) };
        let has_calls =
            limits.calls.is_some_and(|most| load.calls.load(Ordering::Relaxed) >= u64::from(most));
        has_calls
            || limits.rate.is_some_and(|rate| {
                !is_in_time(load.due.load(Ordering::Relaxed), rate, self.nanoseconds(now))
            })
    }

    /// Calls in progress on a destination.
    pub fn calls(&self, target: Target) -> u64 {
        self.find(target).map_or(0, |load| load.calls.load(Ordering::Relaxed))
    }

    /// Takes in how long a destination took to respond.
    pub fn measure(&self, target: Target, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.at(target, |load| {
            let smooth = |old: u64| {
                let new = if old == 0 { took } else { old - old / SMOOTHING + took / SMOOTHING };
                Some(new.max(1))
            };
            load.response.fetch_update(Ordering::Relaxed, Ordering::Relaxed, smooth)
        });
    }

    /// Forgets how fast a destination responds and what rate it has had, but no call that is in progress.
    pub fn forget(&self, target: Target) {
        if let Some(load) = self.find(target) {
            load.due.store(0, Ordering::Relaxed);
            load.response.store(0, Ordering::Relaxed);
        }
    }

    /// How long a destination takes to respond, smoothed: each new time counts for a fifth.
    pub fn response_time(&self, target: Target) -> Option<Duration> {
        let nanoseconds = self.find(target)?.response.load(Ordering::Relaxed);
        (nanoseconds > 0).then(|| Duration::from_nanos(nanoseconds))
    }

    fn nanoseconds(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.base).as_nanos()).unwrap_or(u64::MAX)
    }

    fn chunk(&self, chunk: usize) -> Option<&[Load]> {
        let make = || (0..1_usize << (FIRST as usize + chunk)).map(|_| Load::default()).collect();
        Some(self.chunks.get(chunk)?.get_or_init(make))
    }

    fn find(&self, target: Target) -> Option<&Load> {
        let (chunk, offset) = place(target);
        self.chunks.get(chunk)?.get()?.get(offset)
    }

    fn at<R>(&self, target: Target, act: impl FnOnce(&Load) -> R) -> Option<R> {
        let (chunk, offset) = place(target);
        self.chunk(chunk)?.get(offset).map(act)
    }
}

/// The chunk of a target, and its place there.
const fn place(target: Target) -> (usize, usize) {
    let number = target.index() + (1 << FIRST);
    let log = number.ilog2();
    ((log - FIRST) as usize, number - (1 << log))
}

/// Time between two calls at a rate.
const fn interval(rate: u32) -> u64 {
    SECOND / if rate == 0 { 1 } else { rate as u64 }
}

/// Whether a call may come now: those of one second may come at once.
const fn is_in_time(due: u64, rate: u32, now: u64) -> bool {
    rate > 0 && due <= now + (SECOND - interval(rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Target = Target::new(3);
    const B: Target = Target::new(70_000);

    #[test]
    fn every_target_has_a_place_of_its_own() {
        let mut places: Vec<_> = (0..1_000).map(|index| place(Target::new(index))).collect();
        assert_eq!((places[0], places[63], places[64], places[191]), ((0, 0), (0, 63), (1, 0), (1, 127)));
        places.dedup();
        assert_eq!(places.len(), 1_000);
        assert!(place(Target::new(u32::MAX)).0 < CHUNKS);
    }

    #[test]
    fn a_call_is_counted_for_as_long_as_it_is_held() {
        let loads = Loads::new(Instant::now());
        loads.reserve(10);
        let (one, two, other) = (loads.begin(A), loads.begin(A), loads.begin(B));
        assert_eq!((loads.calls(A), loads.calls(B), other.target()), (2, 1, B));
        drop(one);
        assert_eq!((loads.calls(A), loads.calls(Target::new(900_000))), (1, 0));
        drop((two, other));
        assert_eq!((loads.calls(A), loads.calls(B)), (0, 0));
    }

    #[test]
    fn no_more_calls_are_admitted_than_the_limit_says_by_however_many_workers() {
        let (loads, now) = (Loads::new(Instant::now()), Instant::now());
        let limits = Limits { calls: Some(100), rate: None };
        let admitted: usize = std::thread::scope(|scope| {
            let work = || (0..80).filter_map(|_| loads.admit(A, limits, now)).collect::<Vec<_>>();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
            let calls: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            assert!(loads.is_full(A, limits, now));
            calls.iter().map(Vec::len).sum()
        });
        assert_eq!((admitted, loads.calls(A)), (100, 0));
        assert!(!loads.is_full(A, limits, now));
    }

    #[test]
    fn a_rate_lets_the_calls_of_one_second_come_at_once_and_then_evenly() {
        let base = Instant::now();
        let loads = Loads::new(base);
        let limits = Limits { calls: None, rate: Some(10) };
        let at = |ms: u64| base + Duration::from_millis(ms);
        let admitted = |ms: u64| (0..50).filter(|_| loads.admit(A, limits, at(ms)).is_some()).count();
        assert_eq!((admitted(0), admitted(99)), (10, 0));
        assert!(loads.is_full(A, limits, at(99)) && !loads.is_full(A, limits, at(100)));
        assert_eq!((admitted(100), admitted(350), admitted(60_000)), (1, 2, 10));
        assert_eq!(loads.calls(A), 0, "what the rate refuses is not counted either");
    }

    #[test]
    fn what_is_forgotten_of_a_destination_is_its_rate_and_its_speed_and_never_a_call() {
        let base = Instant::now();
        let loads = Loads::new(base);
        let limits = Limits { calls: Some(3), rate: Some(2) };
        let calls: Vec<_> = (0..2).filter_map(|_| loads.admit(A, limits, base)).collect();
        loads.measure(A, Duration::from_millis(10));
        assert!(loads.admit(A, limits, base).is_none(), "the rate is used up");
        loads.forget(A);
        assert_eq!((loads.calls(A), loads.response_time(A)), (2, None));
        let third = loads.admit(A, limits, base).unwrap();
        assert!(loads.is_full(A, limits, base), "three calls are as many as it takes");
        drop((calls, third));
        assert_eq!(loads.calls(A), 0);
        loads.forget(Target::new(900_000));
    }

    #[test]
    fn response_times_are_smoothed() {
        let loads = Loads::new(Instant::now());
        assert_eq!(loads.response_time(A), None);
        loads.measure(A, Duration::from_millis(10));
        loads.measure(A, Duration::from_millis(60));
        assert_eq!(loads.response_time(A), Some(Duration::from_millis(20)));
    }
}
