//! Deadlines: a hierarchical timing wheel (Varghese and Lauck, 1987) of one millisecond per tick.
//!
//! Whoever is woken looks whether its deadline has come; an [`Alarm`] keeps that to one entry per
//! owner, and takes it out when the owner ends. The entries of all slots live in one slab and are
//! linked, so nothing allocates once that has grown.

use super::slab::{Id, Slab};
use std::time::{Duration, Instant};

const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
const LEVELS: usize = 6;
/// The grain, in ticks, of deadlines that nobody waits for: those of many owners come in one wake.
const LOOSE: u64 = 16;
/// The longest time ahead, in ticks: over two years.
const HORIZON: u64 = (1 << (BITS * 6)) - 1;

#[derive(Debug)]
struct Entry<K> {
    tick: u64,
    key: K,
    before: Option<Id<Entry<K>>>,
    behind: Option<Id<Entry<K>>>,
    home: Home,
}

/// Which list an entry is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Home {
    Ready,
    Slot { level: u8, slot: u8 },
}

/// Names an entry of a wheel, until that is given or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryId {
    index: u32,
    generation: u32,
}

/// Entries in the order in which they came.
#[derive(Debug)]
struct List<K> {
    first: Option<Id<Entry<K>>>,
    last: Option<Id<Entry<K>>>,
}

impl<K> List<K> {
    const EMPTY: Self = Self { first: None, last: None };

    fn push(&mut self, id: Id<Entry<K>>, entries: &mut Slab<Entry<K>>) {
        if let Some(entry) = entries.get_mut(id) {
            (entry.before, entry.behind) = (self.last, None);
        }
        match self.last.and_then(|last| entries.get_mut(last)) {
            Some(last) => last.behind = Some(id),
            None => self.first = Some(id),
        }
        self.last = Some(id);
    }

    /// Takes out an entry that was in this list.
    fn unlink(&mut self, entry: &Entry<K>, entries: &mut Slab<Entry<K>>) {
        match entry.before.and_then(|before| entries.get_mut(before)) {
            Some(before) => before.behind = entry.behind,
            None => self.first = entry.behind,
        }
        match entry.behind.and_then(|behind| entries.get_mut(behind)) {
            Some(behind) => behind.before = entry.before,
            None => self.last = entry.before,
        }
    }
}

#[derive(Debug)]
struct Level<K> {
    occupied: u64,
    slots: [List<K>; SLOTS],
}

/// Keys by the time they are due.
#[derive(Debug)]
pub struct Wheel<K> {
    base: Instant,
    elapsed: u64,
    levels: [Level<K>; LEVELS],
    ready: List<K>,
    entries: Slab<Entry<K>>,
}

impl<K: Copy> Wheel<K> {
    /// An empty wheel that begins at `now`.
    pub fn new(now: Instant) -> Self {
        Self::with_room(now, 0)
    }

    /// The same with room for so many entries.
    pub fn with_room(now: Instant, entries: usize) -> Self {
        let level = |_| Level { occupied: 0, slots: std::array::from_fn(|_| List::EMPTY) };
        Self {
            base: now,
            elapsed: 0,
            levels: std::array::from_fn(level),
            ready: List::EMPTY,
            entries: Slab::with_room(entries),
        }
    }

    /// Adds a key that [`Wheel::pop`] gives once `when` has come, rounded up to a millisecond.
    pub fn insert(&mut self, when: Instant, key: K) -> EntryId {
        self.insert_at(self.tick_of(when), key)
    }

    /// The same, rounded up to [`LOOSE`] milliseconds.
    fn insert_loose(&mut self, when: Instant, key: K) -> EntryId {
        self.insert_at(self.tick_of(when).next_multiple_of(LOOSE), key)
    }

    fn tick_of(&self, when: Instant) -> u64 {
        let since = when.saturating_duration_since(self.base);
        let begun = u64::from(!since.subsec_nanos().is_multiple_of(1_000_000));
        since.as_secs() * 1_000 + u64::from(since.subsec_millis()) + begun
    }

    fn insert_at(&mut self, tick: u64, key: K) -> EntryId {
        let tick = tick.min(self.elapsed + HORIZON);
        let entry = |_| Entry { tick, key, before: None, behind: None, home: Home::Ready };
        let id = self.entries.insert_with(entry);
        self.put(tick, id);
        let (index, generation) = id.parts();
        EntryId { index, generation }
    }

    /// Takes an entry out, if it has not been given.
    pub fn remove(&mut self, id: EntryId) {
        let Some(entry) = self.entries.remove(Id::from_parts(id.index, id.generation)) else { return };
        match entry.home {
            Home::Ready => self.ready.unlink(&entry, &mut self.entries),
            Home::Slot { level, slot } => {
                let Some(level) = self.levels.get_mut(usize::from(level)) else { return };
                let Some(list) = level.slots.get_mut(usize::from(slot)) else { return };
                list.unlink(&entry, &mut self.entries);
                if list.first.is_none() {
                    level.occupied &= !(1 << slot);
                }
            }
        }
    }

    /// The next key that is due at `now`.
    pub fn pop(&mut self, now: Instant) -> Option<K> {
        let until = u64::try_from(now.saturating_duration_since(self.base).as_millis()).unwrap_or(u64::MAX);
        loop {
            if let Some(entry) = self.ready.first.and_then(|first| self.entries.remove(first)) {
                self.ready.unlink(&entry, &mut self.entries);
                return Some(entry.key);
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

    /// How many entries there are.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// When [`Wheel::pop`] should next be asked; at the latest when the first key is due.
    pub fn next(&self) -> Option<Instant> {
        let tick = if self.ready.first.is_none() { self.earliest()?.2 } else { self.elapsed };
        Some(self.base + Duration::from_millis(tick))
    }

    fn put(&mut self, tick: u64, id: Id<Entry<K>>) {
        let home = self.home_of(tick);
        if let Some(entry) = self.entries.get_mut(id) {
            entry.home = home;
        }
        match home {
            Home::Ready => self.ready.push(id, &mut self.entries),
            Home::Slot { level, slot } => {
                let Some(level) = self.levels.get_mut(usize::from(level)) else { return };
                if let Some(list) = level.slots.get_mut(usize::from(slot)) {
                    list.push(id, &mut self.entries);
                    level.occupied |= 1 << slot;
                }
            }
        }
    }

    fn home_of(&self, tick: u64) -> Home {
        if tick <= self.elapsed {
            return Home::Ready;
        }
        // The level is that of the highest bit in which the tick differs from the present.
        let highest = 63 - ((self.elapsed ^ tick) | (SLOTS as u64 - 1)).leading_zeros();
        let level = ((highest / BITS) as usize).min(LEVELS - 1);
        let narrow = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
        Home::Slot { level: narrow(level), slot: narrow(slot_of(tick, level)) }
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
        let Some(level) = self.levels.get_mut(level) else { return };
        level.occupied &= !(1 << slot);
        let list = level.slots.get_mut(slot).map_or(List::EMPTY, |list| std::mem::replace(list, List::EMPTY));
        let mut next = list.first;
        while let Some(id) = next {
            let Some(entry) = self.entries.get(id) else { return };
            next = entry.behind;
            let tick = entry.tick;
            self.put(tick, id);
        }
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
    entry: Option<(Instant, EntryId)>,
}

impl Alarm {
    /// Moves the deadline; a later one costs nothing now, none takes the entry out.
    pub fn set<K: Copy>(&mut self, deadline: Option<Instant>, wheel: &mut Wheel<K>, key: K) {
        let Some(when) = deadline else { return self.cancel(wheel) };
        self.deadline = deadline;
        if self.entry.is_none_or(|(entry, _)| when < entry) {
            self.drop_entry(wheel);
            self.entry = Some((when, wheel.insert(when, key)));
        }
    }

    /// Sets the last deadline of its owner, for which nobody waits: it may ring a little late, together
    /// with others, and not before. Nothing may be set after it but another last one.
    pub fn set_last<K: Copy>(&mut self, deadline: Instant, wheel: &mut Wheel<K>, key: K) {
        self.deadline = Some(deadline);
        if self.entry.is_none_or(|(entry, _)| entry != deadline) {
            self.drop_entry(wheel);
            self.entry = Some((deadline, wheel.insert_loose(deadline, key)));
        }
    }

    /// Takes the deadline away, and its entry out.
    pub fn cancel<K: Copy>(&mut self, wheel: &mut Wheel<K>) {
        self.deadline = None;
        self.drop_entry(wheel);
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
        self.entry = Some((deadline, wheel.insert(deadline, key)));
        false
    }

    fn drop_entry<K: Copy>(&mut self, wheel: &mut Wheel<K>) {
        if let Some((_, id)) = self.entry.take() {
            wheel.remove(id);
        }
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
    fn what_is_removed_is_not_given_and_costs_nothing() {
        let base = Instant::now();
        let mut wheel = Wheel::new(base);
        let ids: Vec<_> =
            (0..3_000u64).map(|n| wheel.insert(after(base, (n * 7_919) % 100_003), n)).collect();
        assert_eq!(wheel.pop(base), Some(0));
        for (n, id) in ids.iter().enumerate() {
            if n % 3 != 1 {
                wheel.remove(*id);
                wheel.remove(*id);
            }
        }
        let mut given = Vec::new();
        while let Some(at) = wheel.next() {
            given.extend(std::iter::from_fn(|| wheel.pop(at)));
        }
        given.sort_unstable();
        assert_eq!(given, (0..3_000).filter(|n| n % 3 == 1).collect::<Vec<_>>());
        assert!(wheel.entries.is_empty());
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

    #[test]
    fn last_deadlines_ring_together_and_wake_nobody_before() {
        let base = Instant::now();
        let mut wheel = Wheel::new(base);
        let mut alarms = [Alarm::default(); 100];
        for (alarm, n) in alarms.iter_mut().zip(0u64..) {
            alarm.set(Some(after(base, 500)), &mut wheel, n);
            alarm.set_last(after(base, 5_000 + n), &mut wheel, n);
            alarm.set_last(after(base, 5_000 + n), &mut wheel, n);
        }
        let (mut wakes, mut fired) = (Vec::new(), 0);
        while let Some(at) = wheel.next() {
            let mut rang = false;
            while let Some(n) = wheel.pop(at) {
                rang = true;
                let late = at - after(base, 5_000 + n);
                assert!(late < Duration::from_millis(LOOSE), "{n} rang {late:?} late");
                fired += u64::from(alarms[usize::try_from(n).unwrap()].is_due(at, &mut wheel, n));
            }
            if rang {
                wakes.push(at);
            }
        }
        assert_eq!((fired, wakes.len()), (100, 7));
    }

    #[test]
    fn an_alarm_without_a_deadline_wakes_nobody() {
        let base = Instant::now();
        let mut wheel = Wheel::new(base);
        let mut alarm = Alarm::default();
        alarm.set(Some(after(base, 500)), &mut wheel, ());
        alarm.set(None, &mut wheel, ());
        assert_eq!(wheel.next(), None);
    }
}
