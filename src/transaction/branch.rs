//! Our Via branches: they name the worker and the slot, so a response finds its transaction
//! without hashing, and carry 64 unguessable bits, so nobody else can answer for a destination.
//!
//! `z9hG4bK` `sw`|`sp`|`sa` *worker (2 hex)* *slot (8 hex)* *nonce (16 hex)* `.` *loop hash (16 hex)*:
//! `sw` a transaction of a call, `sp` a probe, `sa` an ACK that has no transaction of its own.

use crate::facts::WorkerId;
use crate::facts::hex::{read_hex, write_hex};

/// The cookie of RFC 3261 §8.1.1.7.
pub const COOKIE: &[u8] = b"z9hG4bK";
const LENGTH: usize = 7 + 2 + 2 + 8 + 16 + 1 + 16;

/// What a branch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A client transaction of a call.
    Call,
    /// A probe.
    Probe,
    /// An ACK to a 2xx, forwarded without a transaction.
    Ack,
}

impl Purpose {
    const fn token(self) -> &'static str {
        match self {
            Self::Call => "sw",
            Self::Probe => "sp",
            Self::Ack => "sa",
        }
    }
}

/// A branch of ours, in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Branch {
    /// What it is for.
    pub purpose: Purpose,
    /// The worker that holds the transaction.
    pub worker: WorkerId,
    /// The transaction's slot there.
    pub slot: u32,
    /// What nobody else can know.
    pub nonce: u64,
    /// The hash over the routing inputs (RFC 3261 §16.6 step 8): equal means a loop, not a spiral.
    pub loop_hash: u64,
}

impl Branch {
    /// Appends the branch as text.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(COOKIE);
        out.extend_from_slice(self.purpose.token().as_bytes());
        write_hex(self.worker.0.into(), 2, out);
        write_hex(self.slot.into(), 8, out);
        write_hex(self.nonce, 16, out);
        out.push(b'.');
        write_hex(self.loop_hash, 16, out);
    }

    /// Reads a branch that we wrote; `None` for anybody else's.
    pub fn read(text: &[u8]) -> Option<Self> {
        if text.len() != LENGTH {
            return None;
        }
        let rest = text.strip_prefix(COOKIE)?;
        let (token, rest) = rest.split_at_checked(2)?;
        let purpose = match token {
            b"sw" => Purpose::Call,
            b"sp" => Purpose::Probe,
            b"sa" => Purpose::Ack,
            _ => return None,
        };
        let (worker, rest) = rest.split_at_checked(2)?;
        let (slot, rest) = rest.split_at_checked(8)?;
        let (nonce, rest) = rest.split_at_checked(16)?;
        let loop_hash = rest.strip_prefix(b".")?;
        Some(Self {
            purpose,
            worker: WorkerId(u8::try_from(read_hex(worker)?).ok()?),
            slot: u32::try_from(read_hex(slot)?).ok()?,
            nonce: read_hex(nonce)?,
            loop_hash: read_hex(loop_hash)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote_and_nothing_else() {
        let branch = Branch {
            purpose: Purpose::Probe,
            worker: WorkerId(3),
            slot: 77,
            nonce: u64::MAX - 5,
            loop_hash: 9,
        };
        let mut text = Vec::new();
        branch.write(&mut text);
        assert_eq!(text.len(), LENGTH);
        assert_eq!(Branch::read(&text), Some(branch));
        for cut in 0..text.len() {
            assert_eq!(Branch::read(&text[..cut]), None);
        }
        for position in 0..text.len() {
            let mut other = text.clone();
            other[position] = b'X';
            assert_eq!(Branch::read(&other), None, "position {position}");
        }
    }
}
