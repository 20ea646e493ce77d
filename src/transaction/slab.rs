//! Numbered storage with stable ids: a slot is found without hashing, and an id of a slot that
//! has been given to something else finds nothing.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

/// The id of an entry of a [`Slab`] of `T`.
pub struct Id<T> {
    index: u32,
    generation: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    /// The slot's number, unique among the entries alive.
    pub const fn index(self) -> u32 {
        self.index
    }

    /// The two numbers that make the id, for a layer that does not know `T`.
    pub const fn parts(self) -> (u32, u32) {
        (self.index, self.generation)
    }

    /// The id of two numbers that [`Id::parts`] gave.
    pub const fn from_parts(index: u32, generation: u32) -> Self {
        Self { index, generation, of: PhantomData }
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.index, self.generation) == (other.index, other.generation)
    }
}
impl<T> Eq for Id<T> {}
impl<T> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.index, self.generation).hash(state);
    }
}
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}.{}", self.index, self.generation)
    }
}

/// Slots of a page; a page comes and goes as a whole.
const PAGE: usize = 256;
const WORD: usize = u64::BITS as usize;

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// A run of slots, with a bit for each that is free.
#[derive(Debug)]
struct Page<T> {
    free: [u64; PAGE / WORD],
    slots: Box<[Slot<T>]>,
}

/// Entries by id, in pages. The lowest free slot is used first, and a page whose entries are all
/// gone is given back, so memory follows the number of entries alive.
#[derive(Debug)]
pub struct Slab<T> {
    pages: Vec<Option<Page<T>>>,
    /// A bit for each page with a free slot, those not there included.
    room: Vec<u64>,
    /// No word of `room` before this one has a bit.
    first: usize,
    /// Empty pages, kept so that a number of entries that goes up and down a little costs nothing.
    spares: Vec<Page<T>>,
    /// How many of them at most.
    most_spares: usize,
    len: usize,
    generation: u32,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self::with_room(0)
    }
}

impl<T> Page<T> {
    fn new() -> Self {
        let empty = || Slot { generation: 0, value: None };
        Self { free: [u64::MAX; PAGE / WORD], slots: std::iter::repeat_with(empty).take(PAGE).collect() }
    }

    /// Takes the lowest free slot.
    fn claim(&mut self) -> Option<usize> {
        let (position, word) = self.free.iter_mut().enumerate().find(|(_, word)| **word != 0)?;
        let bit = word.trailing_zeros();
        *word &= !(1 << bit);
        Some(position * WORD + bit as usize)
    }

    fn release(&mut self, slot: usize) {
        if let Some(word) = self.free.get_mut(slot / WORD) {
            *word |= 1 << (slot % WORD);
        }
    }

    fn is_full(&self) -> bool {
        self.free.iter().all(|word| *word == 0)
    }

    fn is_empty(&self) -> bool {
        self.free.iter().all(|word| *word == u64::MAX)
    }
}

impl<T> Slab<T> {
    /// An empty one that takes so many entries before it needs memory, and keeps that.
    pub fn with_room(entries: usize) -> Self {
        let spares: Vec<_> = std::iter::repeat_with(Page::new).take(entries.div_ceil(PAGE)).collect();
        let most_spares = spares.len().max(1);
        Self { pages: Vec::new(), room: Vec::new(), first: 0, spares, most_spares, len: 0, generation: 0 }
    }

    /// How many entries are alive.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no entry is alive.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of the pages that are there.
    pub fn memory(&self) -> usize {
        let pages = self.pages.iter().flatten().count() + self.spares.len();
        pages * PAGE * size_of::<Slot<T>>()
    }

    /// Stores the value that `make` builds knowing its id.
    pub fn insert_with(&mut self, make: impl FnOnce(Id<T>) -> T) -> Id<T> {
        let number = self.page_with_room();
        let spares = &mut self.spares;
        let place = self.pages.get_mut(number).expect("a page with room has a place");
        let page = place.get_or_insert_with(|| spares.pop().unwrap_or_else(Page::new));
        let slot = page.claim().expect("a page with room has a free slot");
        self.generation = self.generation.wrapping_add(1);
        let index = u32::try_from(number * PAGE + slot)
            .expect("limits.transactions keeps a slab far below 2^32 entries");
        let id = Id { index, generation: self.generation, of: PhantomData };
        if page.is_full() {
            self.set_room(number, false);
        }
        self.len += 1;
        let value = Some(make(id));
        if let Some(slot) = self.slot_mut(index) {
            *slot = Slot { generation: id.generation, value };
        }
        id
    }

    /// The entry of an id, if it is alive.
    pub fn get(&self, id: Id<T>) -> Option<&T> {
        self.slot(id.index).filter(|slot| slot.generation == id.generation)?.value.as_ref()
    }

    /// The entry of an id, if it is alive.
    pub fn get_mut(&mut self, id: Id<T>) -> Option<&mut T> {
        self.slot_mut(id.index).filter(|slot| slot.generation == id.generation)?.value.as_mut()
    }

    /// The entry in a slot and its id, if one is alive there.
    pub fn at(&self, index: u32) -> Option<(Id<T>, &T)> {
        let slot = self.slot(index)?;
        let id = Id { index, generation: slot.generation, of: PhantomData };
        slot.value.as_ref().map(|value| (id, value))
    }

    /// Removes an entry; its slot will be reused under another id.
    pub fn remove(&mut self, id: Id<T>) -> Option<T> {
        let slot = self.slot_mut(id.index).filter(|slot| slot.generation == id.generation)?;
        let value = slot.value.take()?;
        self.len -= 1;
        let (number, slot) = parts(id.index);
        let place = self.pages.get_mut(number)?;
        if let Some(page) = place {
            page.release(slot);
            if page.is_empty() {
                // What is beyond the spares goes back to the allocator.
                let has_room = self.spares.len() < self.most_spares;
                self.spares.extend(place.take().filter(|_| has_room));
            }
        }
        self.set_room(number, true);
        Some(value)
    }

    /// Every entry alive, in the order of its slots.
    pub fn iter(&self) -> impl Iterator<Item = (Id<T>, &T)> {
        let numbered = (0u32..).step_by(PAGE).zip(&self.pages);
        let pages = numbered.filter_map(|(first, page)| Some((first, page.as_ref()?)));
        pages.flat_map(|(first, page)| {
            (0u32..).zip(&page.slots).filter_map(move |(slot, entry)| {
                let index = first + slot;
                let id = Id { index, generation: entry.generation, of: PhantomData };
                entry.value.as_ref().map(|value| (id, value))
            })
        })
    }

    /// The lowest page with a free slot; a place for a new one if there is none.
    fn page_with_room(&mut self) -> usize {
        while let Some(word) = self.room.get(self.first) {
            if *word != 0 {
                return self.first * WORD + word.trailing_zeros() as usize;
            }
            self.first += 1;
        }
        self.pages.push(None);
        let number = self.pages.len() - 1;
        if number.is_multiple_of(WORD) {
            self.room.push(0);
        }
        self.set_room(number, true);
        number
    }

    fn set_room(&mut self, number: usize, has_room: bool) {
        let position = number / WORD;
        let Some(word) = self.room.get_mut(position) else { return };
        let bit = 1 << (number % WORD);
        if has_room {
            *word |= bit;
            self.first = self.first.min(position);
        } else {
            *word &= !bit;
        }
    }

    fn slot(&self, index: u32) -> Option<&Slot<T>> {
        let (number, slot) = parts(index);
        self.pages.get(number)?.as_ref()?.slots.get(slot)
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<T>> {
        let (number, slot) = parts(index);
        self.pages.get_mut(number)?.as_mut()?.slots.get_mut(slot)
    }
}

const fn parts(index: u32) -> (usize, usize) {
    (index as usize / PAGE, index as usize % PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_a_reused_slot_finds_nothing() {
        let mut slab = Slab::default();
        let first = slab.insert_with(|_| "first");
        assert_eq!(slab.remove(first), Some("first"));
        let second = slab.insert_with(|_| "second");
        assert_eq!(first.index(), second.index());
        assert_eq!((slab.get(first), slab.get(second), slab.len()), (None, Some(&"second"), 1));
        assert_eq!(slab.remove(first), None);
    }

    #[test]
    fn room_is_there_from_the_start_and_stays() {
        let mut slab = Slab::with_room(2 * PAGE);
        let memory = slab.memory();
        for _ in 0..3 {
            let ids: Vec<_> = (0..2 * PAGE).map(|n| slab.insert_with(|_| n)).collect();
            assert_eq!(slab.memory(), memory);
            ids.iter().for_each(|id| assert!(slab.remove(*id).is_some()));
            assert_eq!(slab.memory(), memory);
        }
    }

    #[test]
    fn memory_follows_the_entries_alive() {
        let mut slab = Slab::default();
        let ids: Vec<_> = (0..100_000_u32).map(|n| slab.insert_with(|_| n)).collect();
        let most = slab.memory();
        assert!(most >= 100_000 * size_of::<u32>());
        let entries: Vec<u32> = slab.iter().map(|(_, n)| *n).collect();
        assert_eq!(entries, (0..100_000).collect::<Vec<_>>());
        for id in &ids[200..] {
            slab.remove(*id);
        }
        assert!(slab.memory() <= 2 * PAGE * size_of::<Slot<u32>>(), "{} of {most}", slab.memory());
        assert_eq!((slab.len(), slab.get(ids[199])), (200, Some(&199)));
        // What is new fills the gaps from below, the pages that were given back included.
        let again: Vec<_> = (0..1_000_u32).map(|n| slab.insert_with(|_| n)).collect();
        assert!(again.iter().all(|id| (200..1_200).contains(&id.index())));
    }
}
