//! Keyed hashing: unguessable tokens, tags and branches, and message authentication codes.
//!
//! The key is an argument (from `sip.secret_file` or the operating system at start), so a test
//! with a fixed key replays exactly.

use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher;

/// A 128-bit key for SipHash-2-4 (Aumasson and Bernstein, 2012), a keyed pseudo-random function
/// made for short inputs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 16]);

impl Secret {
    /// Makes a secret of 16 bytes of key.
    pub const fn new(key: [u8; 16]) -> Self {
        Self(key)
    }

    /// Authenticates a sequence of parts; each part's length enters, so parts cannot be re-cut.
    pub fn mac(&self, parts: &[&[u8]]) -> u128 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        hasher.finish128().as_u128()
    }

    /// Derives the key of another purpose, so that no token of one can serve for another.
    pub fn derive(&self, purpose: &str) -> Self {
        Self(self.mac(&[b"derive", purpose.as_bytes()]).to_le_bytes())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A stream of unguessable numbers: the secret applied to a counter.
#[derive(Debug, Clone)]
pub struct Nonces {
    secret: Secret,
    counter: u64,
}

impl Nonces {
    /// Starts the stream of a secret. Two streams of one secret are equal.
    pub const fn new(secret: Secret) -> Self {
        Self { secret, counter: 0 }
    }

    /// The next 64 unguessable bits.
    pub fn next_u64(&mut self) -> u64 {
        let bytes = self.next_u128().to_le_bytes();
        bytes.iter().take(8).fold(0, |acc, byte| (acc << 8) | u64::from(*byte))
    }

    /// The next 128 unguessable bits.
    pub fn next_u128(&mut self) -> u128 {
        self.counter += 1;
        self.secret.mac(&[&self.counter.to_le_bytes()])
    }

    /// A number below `bound`, near enough uniform for choosing and jittering; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }
}
