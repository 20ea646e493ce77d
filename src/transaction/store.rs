//! Messages kept for later, in chunks of one size: stored without an allocation of their own, so
//! memory is exact, never fragmented, and given back with the pages of the slab underneath.

use super::slab::{Id, Slab};

/// Bytes of a message in one chunk, which takes 256 with what links it.
const MESSAGE: usize = 240;

/// A byte string in a [`Store`] of the same chunk size. Whoever ends its owner gives it back with
/// [`Store::free`].
#[derive(Debug, Default)]
#[must_use = "what is stored has to be freed"]
pub struct Stored<const CHUNK: usize = MESSAGE> {
    first: Option<Id<Chunk<CHUNK>>>,
    len: u32,
}

/// What tells a stored byte string from every other one in its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredId<const CHUNK: usize = MESSAGE>(Id<Chunk<CHUNK>>);

/// One link of the chain that holds a byte string.
#[derive(Debug)]
struct Chunk<const CHUNK: usize> {
    bytes: [u8; CHUNK],
    next: Option<Id<Chunk<CHUNK>>>,
}

impl<const CHUNK: usize> Stored<CHUNK> {
    /// Nothing; it need not be freed.
    pub const EMPTY: Self = Self { first: None, len: 0 };

    /// Bytes that are kept.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether nothing is kept.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its id, unless nothing is kept.
    pub fn id(&self) -> Option<StoredId<CHUNK>> {
        self.first.map(StoredId)
    }

    /// Bytes of memory that it takes.
    pub const fn memory(&self) -> usize {
        self.len().div_ceil(CHUNK) * size_of::<Chunk<CHUNK>>()
    }
}

/// Byte strings of all sizes.
#[derive(Debug, Default)]
pub struct Store<const CHUNK: usize = MESSAGE> {
    chunks: Slab<Chunk<CHUNK>>,
}

impl<const CHUNK: usize> Store<CHUNK> {
    /// An empty one that takes so many bytes before it needs memory, and keeps that.
    pub fn with_room(bytes: usize) -> Self {
        Self { chunks: Slab::with_room(bytes.div_ceil(CHUNK)) }
    }

    /// Keeps a copy.
    pub fn keep(&mut self, bytes: &[u8]) -> Stored<CHUNK> {
        let mut next = None;
        // From the end, so that each chunk knows the one behind it.
        for piece in bytes.chunks(CHUNK).rev() {
            next = Some(self.chunks.insert_with(|_| {
                let mut chunk = Chunk { bytes: [0; CHUNK], next };
                if let Some(room) = chunk.bytes.get_mut(..piece.len()) {
                    room.copy_from_slice(piece);
                }
                chunk
            }));
        }
        Stored {
            first: next,
            len: u32::try_from(bytes.len()).expect("sip.max_message keeps messages below 64 KiB"),
        }
    }

    /// Appends what is kept to `out`.
    pub fn copy(&self, stored: &Stored<CHUNK>, out: &mut Vec<u8>) {
        let mut left = stored.len();
        let mut next = stored.first;
        while let Some(chunk) = next.and_then(|id| self.chunks.get(id)) {
            let piece = chunk.bytes.get(..left.min(CHUNK)).unwrap_or_default();
            out.extend_from_slice(piece);
            left -= piece.len();
            next = chunk.next;
        }
    }

    /// Gives back what is kept, leaving nothing.
    pub fn free(&mut self, stored: &mut Stored<CHUNK>) {
        let mut next = std::mem::take(stored).first;
        while let Some(chunk) = next.and_then(|id| self.chunks.remove(id)) {
            next = chunk.next;
        }
    }

    /// Keeps a copy in the place of what was kept.
    pub fn replace(&mut self, stored: &mut Stored<CHUNK>, bytes: &[u8]) {
        self.free(stored);
        *stored = self.keep(bytes);
    }

    /// Chunks in use; 0 once everything was freed.
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_it_was_given_and_all_of_its_memory() {
        let mut store = Store::<16>::default();
        let text: Vec<u8> = (0..=255).collect();
        let mut kept: Vec<_> = (0..text.len()).map(|length| store.keep(&text[..length])).collect();
        for (length, stored) in kept.iter().enumerate() {
            let mut out = b"before".to_vec();
            store.copy(stored, &mut out);
            assert_eq!(out, [b"before", &text[..length]].concat());
            assert_eq!((stored.len(), stored.is_empty()), (length, length == 0));
        }
        assert_eq!(store.len(), (0..text.len()).map(|length| length.div_ceil(16)).sum::<usize>());
        store.replace(&mut kept[3], b"another one of some length");
        let mut out = Vec::new();
        store.copy(&kept[3], &mut out);
        assert_eq!(out, b"another one of some length");
        for stored in &mut kept {
            store.free(stored);
            assert!(stored.is_empty());
        }
        assert!(store.is_empty());
    }
}
