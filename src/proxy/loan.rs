//! A kept message, copied out to be read.
//!
//! What is done about one response may read the request more than once; it is copied and parsed once.

use crate::sip::{Framing, Index, Message, parse, partial};
use crate::transaction::store::{Key, Store, Stored};

/// A kept message in one piece.
#[derive(Debug, Default)]
pub struct Loan {
    of: Option<Key>,
    bytes: Vec<u8>,
    index: Index,
    is_read: bool,
}

impl Loan {
    /// Holds another message, unless it holds this one already.
    pub fn hold(&mut self, stored: &Stored, store: &Store) {
        if self.of.is_some() && self.of == stored.key() {
            return;
        }
        self.bytes.clear();
        store.copy(stored, &mut self.bytes);
        (self.of, self.is_read) = (stored.key(), false);
    }

    /// Lets go of a message that is about to be freed: another one may get its key, in some hours.
    pub fn forget(&mut self, stored: &Stored) {
        if self.of == stored.key() {
            self.of = None;
        }
    }

    /// The message; it was read before it was kept.
    pub fn message(&mut self) -> Option<Message<'_>> {
        if !self.is_read {
            parse(&self.bytes, Framing::Datagram, &mut self.index).ok()?;
            self.is_read = true;
        }
        Some(partial(&self.bytes, &self.index))
    }
}
