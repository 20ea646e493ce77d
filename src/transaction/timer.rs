//! Deadlines: a hierarchical timing wheel (Varghese and Lauck, 1987) of one millisecond per tick.
//!
//! Entries are never removed: whoever is woken looks whether its deadline has come, and an
//! [`Alarm`] keeps that to one live entry per owner. Nothing allocates once the slots have grown.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
const LEVELS: usize = 6;
/// The longest time ahead, in ticks: over two years.
const HORIZON: u64 = (1 << (BITS * 6)) - 1;

#[derive(Debug)]
struct Level<K> {
    occupied: u64,
    slots: [Vec<(u64, K)>; SLOTS],
}

/// Keys by the time they are due.
#[derive(Debug)]
pub struct Wheel<K> {
    base: Instant,
    elapsed: u64,
    levels: [Level<K>; LEVELS],
    ready: VecDeque<K>,
    scratch: Vec<(u64, K)>,
}

impl<K: Copy> Wheel<K> {
    /// An empty wheel that begins at `now`.
    pub fn new(now: Instant) -> Self {
        let level = |_| Level { occupied: 0, slots: std::array::from_fn(|_| Vec::new()) };
        Self {
            base: now,
            elapsed: 0,
            levels: std::array::from_fn(level),
            ready: VecDeque::new(),
            scratch: Vec::new(),
        }
    }

    /// Adds a key that [`Wheel::pop`] gives once `when` has come, rounded up to a millisecond.
    pub fn insert(&mut self, when: Instant, key: K) {
        let since = when.saturating_duration_since(self.base);
        let rounded = since.as_nanos().div_ceil(1_000_000);
        let tick = u64::try_from(rounded).unwrap_or(u64::MAX);
        self.put(tick.min(self.elapsed + HORIZON), key);
    }

    /// The next key that is due at `now`.
    pub fn pop(&mut self, now: Instant) -> Option<K> {
        let until = u64::try_from(now.saturating_duration_since(self.base).as_millis()).unwrap_or(u64::MAX);
        loop {
            if let Some(key) = self.ready.pop_front() {
                return Some(key);
            }
            match self.earliest() {
                Some((level, slot, tick)) if tick <= until => self.open(level, slot, tick),
                Some(_) | None => {
                    self.elapsed = self.elapsed.max(until);
                    return None;
                }
            }
        }
    }

    /// When [`Wheel::pop`] should next be asked; at the latest when the first key is due.
    pub fn next(&self) -> Option<Instant> {
        let tick = if self.ready.is_empty() { self.earliest()?.2 } else { self.elapsed };
        Some(self.base + Duration::from_millis(tick))
    }

    fn put(&mut self, tick: u64, key: K) {
        if tick <= self.elapsed {
            self.ready.push_back(key);
            return;
        }
        // The level is that of the highest bit in which the tick differs from the present.
        let highest = 63 - ((self.elapsed ^ tick) | (SLOTS as u64 - 1)).leading_zeros();
        let level = ((highest / BITS) as usize).min(LEVELS - 1);
        let slot = slot_of(tick, level);
        if let Some(level) = self.levels.get_mut(level)
            && let Some(entries) = level.slots.get_mut(slot)
        {
            entries.push((tick, key));
            level.occupied |= 1 << slot;
        }
    }

    /// Level, slot and tick of the first occupied slot. A lower level always comes first, because
    /// its entries share all higher bits with the present.
    fn earliest(&self) -> Option<(usize, usize, u64)> {
        let (index, level) = self.levels.iter().enumerate().find(|(_, level)| level.occupied != 0)?;
        let present = slot_of(self.elapsed, index);
        let ahead =
            level.occupied.rotate_right(u32::try_from(present).unwrap_or(0)).trailing_zeros() as usize;
        let slot = (present + ahead) % SLOTS;
        let shift = BITS * u32::try_from(index).unwrap_or(0);
        let span = 1u64 << shift;
        let start = self.elapsed & !(span * SLOTS as u64 - 1);
        let tick = start + slot as u64 * span;
        // Only the top level can wrap round.
        let wrapped = if tick < self.elapsed { span * SLOTS as u64 } else { 0 };
        Some((index, slot, tick + wrapped))
    }

    fn open(&mut self, level: usize, slot: usize, tick: u64) {
        self.elapsed = self.elapsed.max(tick);
        let mut entries = std::mem::take(&mut self.scratch);
        if let Some(level) = self.levels.get_mut(level)
            && let Some(stored) = level.slots.get_mut(slot)
        {
            std::mem::swap(stored, &mut entries);
            level.occupied &= !(1 << slot);
        }
        for (tick, key) in entries.drain(..) {
            self.put(tick, key);
        }
        self.scratch = entries;
    }
}

fn slot_of(tick: u64, level: usize) -> usize {
    let shift = BITS * u32::try_from(level).unwrap_or(0);
    usize::try_from((tick >> shift) & (SLOTS as u64 - 1)).unwrap_or(0)
}

/// One owner's deadline, with the entry that stands for it in a wheel.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alarm {
    deadline: Option<Instant>,
    entry: Option<Instant>,
}

impl Alarm {
    /// Moves the deadline; a later one costs nothing now.
    pub fn set<K: Copy>(&mut self, deadline: Option<Instant>, wheel: &mut Wheel<K>, key: K) {
        self.deadline = deadline;
        if let Some(when) = deadline
            && self.entry.is_none_or(|entry| when < entry)
        {
            self.entry = Some(when);
            wheel.insert(when, key);
        }
    }

    /// Called when the wheel gave the owner's key: whether the deadline has come. If it lies
    /// ahead, a new entry is made for it.
    pub fn is_due<K: Copy>(&mut self, now: Instant, wheel: &mut Wheel<K>, key: K) -> bool {
        let Some(deadline) = self.deadline else {
            self.entry = None;
            return false;
        };
        if deadline <= now {
            self.deadline = None;
            self.entry = None;
            return true;
        }
        if self.entry.is_some_and(|entry| entry <= now) {
            self.entry = Some(deadline);
            wheel.insert(deadline, key);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(base: Instant, ms: u64) -> Instant {
        base + Duration::from_millis(ms)
    }

    #[test]
    fn gives_every_key_at_its_time_and_none_before() {
        let base = Instant::now();
        let mut wheel = Wheel::new(base);
        let mut times: Vec<u64> = (0..2_000u64).map(|n| (n * 7_919) % 100_003).collect();
        for &time in &times {
            wheel.insert(after(base, time), time);
        }
        times.sort_unstable();
        let mut given = Vec::new();
        while let Some(at) = wheel.next() {
            while let Some(key) = wheel.pop(at) {
                assert_eq!(after(base, key), at);
                given.push(key);
            }
        }
        assert_eq!(given, times);
    }

    #[test]
    fn takes_new_keys_while_time_goes_on() {
        let base = Instant::now();
        let mut wheel = Wheel::new(base);
        let mut expected = std::collections::BTreeMap::new();
        for step in 0..20_000u64 {
            let now = after(base, step * 13);
            while let Some(key) = wheel.pop(now) {
                assert!(expected.remove(&key).is_some_and(|at| at <= now));
            }
            assert!(expected.values().all(|at| *at > now));
            let at = now + Duration::from_millis((step * 31) % 40_000);
            expected.insert(step, at);
            wheel.insert(at, step);
            if expected.len() > 64 {
                let last = *expected.keys().next_back().unwrap();
                assert!(wheel.next().unwrap() <= expected[&last]);
            }
        }
    }

    #[test]
    fn an_alarm_that_moves_fires_once_at_its_last_deadline() {
        let base = Instant::now();
        let mut wheel = Wheel::new(base);
        let mut alarm = Alarm::default();
        alarm.set(Some(after(base, 100)), &mut wheel, ());
        alarm.set(Some(after(base, 50)), &mut wheel, ());
        alarm.set(Some(after(base, 200)), &mut wheel, ());
        let mut fired = Vec::new();
        for ms in 0..400 {
            while wheel.pop(after(base, ms)).is_some() {
                if alarm.is_due(after(base, ms), &mut wheel, ()) {
                    fired.push(ms);
                }
            }
        }
        assert_eq!(fired, [200]);
    }
}
