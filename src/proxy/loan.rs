//! A kept message, copied out to be read.
//!
//! What is done about one response may read the request more than once; it is copied and parsed once.

use crate::sip::{Framing, Index, Message, parse, partial};
use crate::transaction::store::{Store, Stored, StoredId};

/// A kept message in one piece.
#[derive(Debug, Default)]
pub struct Loan {
    of: Option<StoredId>,
    bytes: Vec<u8>,
    index: Index,
    is_read: bool,
}

impl Loan {
    /// Holds another message, unless it holds this one already.
    pub fn hold(&mut self, stored: &Stored, store: &Store) {
        if self.of.is_some() && self.of == stored.id() {
            return;
        }
        self.bytes.clear();
        store.copy(stored, &mut self.bytes);
        (self.of, self.is_read) = (stored.id(), false);
    }

    /// Lets go of a message that is about to be freed: after 2^32 others, one may get its id.
    pub fn forget(&mut self, stored: &Stored) {
        if self.of == stored.id() {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn options(user: &str) -> String {
        format!(
            "OPTIONS sip:{user}@example.com SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a>;tag=1\r\n\
             To: <sip:b>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )
    }

    #[test]
    fn a_message_is_copied_once_until_it_is_forgotten() {
        // The first of each store have the same id, so that it shows which one was copied.
        let (mut one, mut other) = (Store::default(), Store::default());
        let (first, second) = (one.keep(options("bob").as_bytes()), other.keep(options("eve").as_bytes()));
        assert_eq!(first.id(), second.id());
        let mut loan = Loan::default();
        let uri =
            |loan: &mut Loan| String::from_utf8_lossy(loan.message().unwrap().request_uri()).into_owned();
        loan.hold(&first, &one);
        assert_eq!(uri(&mut loan), "sip:bob@example.com");
        loan.hold(&second, &other);
        assert_eq!(uri(&mut loan), "sip:bob@example.com", "it holds that one already");
        loan.forget(&first);
        loan.hold(&second, &other);
        assert_eq!(uri(&mut loan), "sip:eve@example.com");
        let third = other.keep(options("bob").as_bytes());
        loan.hold(&third, &other);
        assert_eq!(uri(&mut loan), "sip:bob@example.com", "another one");
    }
}
