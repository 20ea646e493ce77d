//! Keyed hashing: unguessable tokens, tags and branches, message authentication codes, fingerprints.
//!
//! The key is an argument (from `sip.secret_file` or the operating system at start), so a test
//! with a fixed key replays exactly.

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;
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
        let mut hasher =
            Gathering { hasher: SipHasher24::new_with_key(&self.0), buffer: [0; GATHERED], len: 0 };
        for part in parts {
            hasher.put(&part.len().to_le_bytes());
            hasher.put(part);
        }
        hasher.flush();
        hasher.hasher.finish128().as_u128()
    }

    /// Derives the key of another purpose, so that no token of one can serve for another.
    pub fn derive(&self, purpose: &str) -> Self {
        Self(self.mac(&[b"derive", purpose.as_bytes()]).to_le_bytes())
    }

    /// The fingerprints of a purpose.
    pub fn fingerprints(&self, purpose: &str) -> Fingerprints {
        let mut numbers = Nonces::new(self.derive(purpose));
        Fingerprints { shared: SharedSeed::from_u64(numbers.next_u64()), start: numbers.next_u64() }
    }
}

/// Keyed hashes at a fraction of the cost of [`Secret::mac`], for what nobody gains by forging:
/// whoever sees enough of them may find two sequences that have the same. Another version of the
/// program may make others of the same key, so they are compared, never kept.
#[derive(Clone)]
pub struct Fingerprints {
    shared: SharedSeed,
    start: u64,
}

impl Fingerprints {
    /// The fingerprint of a sequence of parts, which cannot be re-cut.
    pub fn of(&self, parts: &[&[u8]]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.start, &self.shared);
        for part in parts {
            hasher.write_u64(part.len() as u64);
            hasher.write(part);
        }
        hasher.finish()
    }
}

impl std::fmt::Debug for Fingerprints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fingerprints(…)")
    }
}

/// Bytes gathered before they are hashed.
const GATHERED: usize = 256;

/// Hashes many short pieces at once, which costs half of hashing each.
struct Gathering {
    hasher: SipHasher24,
    buffer: [u8; GATHERED],
    len: usize,
}

impl Gathering {
    fn put(&mut self, bytes: &[u8]) {
        if self.len + bytes.len() > GATHERED {
            self.flush();
        }
        match self.buffer.get_mut(self.len..self.len + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.hasher.write(bytes),
        }
    }

    fn flush(&mut self) {
        self.hasher.write(self.buffer.get(..self.len).unwrap_or_default());
        self.len = 0;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_is_that_of_the_parts_hashed_one_by_one() {
        let long = vec![b'x'; 3 * GATHERED];
        let parts: [&[u8]; 6] = [b"a", &long, b"", b"bc", &long[..GATHERED - 9], b"d"];
        for count in 0..=parts.len() {
            let mut hasher = SipHasher24::new_with_key(&[7; 16]);
            for part in &parts[..count] {
                hasher.write_usize(part.len());
                hasher.write(part);
            }
            assert_eq!(Secret::new([7; 16]).mac(&parts[..count]), hasher.finish128().as_u128());
        }
        assert_ne!(Secret::new([7; 16]).mac(&[b"ab", b"c"]), Secret::new([7; 16]).mac(&[b"a", b"bc"]));
    }

    #[test]
    fn a_fingerprint_depends_on_key_purpose_and_every_part() {
        let of =
            |key: u8, purpose: &str, parts: &[&[u8]]| Secret::new([key; 16]).fingerprints(purpose).of(parts);
        let long = [b'x'; 300];
        let same = of(7, "loops", &[b"a", &long]);
        assert_eq!(same, of(7, "loops", &[b"a", &long]));
        let others = [
            of(8, "loops", &[b"a", &long]),
            of(7, "else", &[b"a", &long]),
            of(7, "loops", &[b"a", &long[1..]]),
            of(7, "loops", &[b"ax", &long[1..]]),
            of(7, "loops", &[b"a", &long, b""]),
            of(7, "loops", &[&long, b"a"]),
        ];
        assert!(others.iter().all(|other| *other != same), "{same} {others:?}");
        let text = format!("{:?}", Secret::new([7; 16]).fingerprints("loops"));
        assert_eq!(text, "Fingerprints(…)", "the key stays out of sight");
    }
}
