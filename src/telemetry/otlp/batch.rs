//! Buffers of finished spans: one that is written, those that wait, and those to be used again.

use bytes::Bytes;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a full batch, and so of a request: about 500 spans, far below the 4 MiB that a collector
/// takes over gRPC unless told otherwise.
pub const FULL: usize = 256 * 1024;
/// Room behind that for the trace that fills a batch; a longer one makes the buffer grow.
const SLACK: usize = 16 * 1024;
/// Buffers kept for later; more than these are in use only while a collector is slow.
const SPARE: usize = 4;

/// Spans behind each other, as entries of one scope.
#[derive(Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    spans: usize,
    room: usize,
}

impl Batch {
    /// How many spans there are.
    pub const fn spans(&self) -> usize {
        self.spans
    }

    /// Whether it is large enough to be sent.
    pub const fn is_full(&self) -> bool {
        self.bytes.len() >= FULL
    }

    /// Adds so many spans.
    pub fn add(&mut self, spans: usize, write: impl FnOnce(&mut Vec<u8>)) {
        if self.bytes.is_empty() {
            self.bytes.reserve(self.room + FULL + SLACK);
            self.bytes.resize(self.room, 0);
        }
        write(&mut self.bytes);
        self.spans += spans;
    }
}

/// Makes batches, from buffers that were used before if there are any.
#[derive(Debug)]
pub struct Pool {
    spare: Mutex<Vec<Vec<u8>>>,
    room: usize,
}

impl Pool {
    /// Batches with this much room in front of their spans.
    pub fn new(room: usize) -> Self {
        Self { spare: Mutex::new(Vec::with_capacity(SPARE)), room }
    }

    /// An empty batch; it takes memory with its first span. Waits for nobody.
    pub fn batch(&self) -> Batch {
        let spare = self.spare.try_lock().ok().and_then(|mut spare| spare.pop());
        Batch { bytes: spare.unwrap_or_default(), spans: 0, room: self.room }
    }

    /// The bytes of a request, whose buffer comes back here when they have been sent. `seal` closes
    /// it and says where it begins.
    pub fn request(self: &Arc<Self>, batch: Batch, seal: impl FnOnce(&mut [u8]) -> usize) -> Bytes {
        let mut bytes = batch.bytes;
        let start = seal(&mut bytes);
        Bytes::from_owner(Sent { bytes, start, pool: Arc::clone(self) })
    }

    fn give_back(&self, mut bytes: Vec<u8>) {
        bytes.clear();
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        // One that a giant trace made grow is not worth keeping.
        if spare.len() < SPARE && bytes.capacity() <= 2 * FULL {
            spare.push(bytes);
        }
    }
}

/// A request on its way.
struct Sent {
    bytes: Vec<u8>,
    start: usize,
    pool: Arc<Pool>,
}

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.pool.give_back(mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again_up_to_a_number_and_a_size() {
        let pool = Arc::new(Pool::new(3));
        let sent = |more: usize| {
            let mut batch = pool.batch();
            batch.add(1, |bytes| bytes.resize(bytes.len() + 1 + more, 7));
            pool.request(batch, |bytes| {
                assert_eq!(bytes.get(..4), Some(&[0, 0, 0, 7][..]));
                2
            })
        };
        let spare = || pool.spare.lock().unwrap().len();
        let request = sent(0);
        assert_eq!((&request[..], spare()), (&[0, 7][..], 0));
        let copy = request.clone();
        drop(request);
        assert_eq!(spare(), 0, "somebody still sends it");
        drop(copy);
        assert_eq!(spare(), 1);
        drop((0..2 * SPARE).map(|_| sent(0)).collect::<Vec<_>>());
        assert_eq!(spare(), SPARE);
        pool.spare.lock().unwrap().clear();
        drop(sent(3 * FULL));
        assert_eq!(spare(), 0, "it grew");
    }
}
