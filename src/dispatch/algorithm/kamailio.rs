//! `hash` with `compat: kamailio`: each key goes where Kamailio's dispatcher sends it.
//!
//! The function, the slots and the walk are those of `ds_get_hash` and `ds_select_dst` in Kamailio's
//! module dispatcher (algorithms 0 to 3, 5 and 7), written anew from their description and checked
//! against Kamailio 5.6.3. Every configured member is a slot, usable or not, whatever its priority
//! and weight; a key whose slot is not usable goes to the next in the order of the set, so that the
//! neighbour of a dead member carries two shares. That order is lower priority first, then file
//! order: Kamailio's own with the signs of priorities and the lines of equal ones turned round.

use super::{Algorithm, Candidates, Cursor, Request};
use crate::facts::Target;

/// By Kamailio's hash of the request's key.
#[derive(Debug)]
pub struct Kamailio;

impl Algorithm for Kamailio {
    fn order(&self, request: Request) -> u64 {
        request.key.unwrap_or(request.nonce)
    }

    /// Without a key in turn over the slots, as algorithm 5 does without credentials.
    fn first(&self, candidates: &Candidates, request: Request, cursor: &mut Cursor) -> Option<(Target, u64)> {
        let order = request.key.unwrap_or_else(|| {
            let turn = cursor.turns;
            cursor.turns = turn.wrapping_add(1);
            turn
        });
        Some((self.next(candidates, order, &[])?, order))
    }

    fn next(&self, candidates: &Candidates, order: u64, given: &[Target]) -> Option<Target> {
        let ring = candidates.set.ring();
        let slot =
            usize::try_from(order % u64::try_from(ring.len()).ok().filter(|count| *count > 0)?).ok()?;
        let (before, from) = ring.split_at_checked(slot)?;
        let usable = from.iter().chain(before).filter(|at| candidates.usable.binary_search(at).is_ok());
        usable.filter_map(|at| candidates.set.member(*at)).find(|target| !given.contains(target))
    }
}

/// Kamailio's hash of one text or of two, such as user and host of a URI; never 0.
///
/// Bytes from 0x80 on count as negative numbers, as C's `char` does on x86-64. On ARM, where it has
/// no sign, Kamailio itself comes to other numbers for such texts.
pub fn kamailio_hash(first: &[u8], second: &[u8]) -> u32 {
    let hash = sum(first).wrapping_add(sum(second));
    let high = hash.wrapping_add(hash >> 11);
    high.wrapping_add((hash >> 13).wrapping_add(hash >> 23)).max(1)
}

/// Words of four bytes, the first the most significant; what is left over makes a last one.
fn sum(text: &[u8]) -> u32 {
    let (words, rest) = text.as_chunks::<4>();
    let word = |bytes: &[u8]| bytes.iter().fold(0_u32, |word, byte| (word << 8).wrapping_add(signed(*byte)));
    let fold = |word: u32| word ^ (word >> 3);
    let whole = words.iter().fold(0_u32, |sum, bytes| sum.wrapping_add(fold(word(bytes))));
    whole.wrapping_add(fold(word(rest)))
}

fn signed(byte: u8) -> u32 {
    i32::from(byte.cast_signed()).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ids, with_candidates};
    use super::*;

    /// What `kamcmd dispatcher.hash` of Kamailio 5.6.3 answers.
    const VECTORS: [(&str, &str, u32); 6] = [
        ("samecall", "", 3_963_578_534),
        ("a84b4c76e66710@pc33.atlanta.com", "", 2_175_018_094),
        ("alice", "server.com", 1_412_806_172),
        ("bob", "example.org:5070", 2_129_504_785),
        ("x", "", 119),
        ("abc", "", 7_167_810),
    ];

    #[test]
    fn hashes_as_kamailio_does() {
        for (first, second, expected) in VECTORS {
            assert_eq!(kamailio_hash(first.as_bytes(), second.as_bytes()), expected, "{first} {second}");
        }
        assert_eq!(kamailio_hash(b"", b""), 1, "0 is never given");
    }

    #[test]
    fn an_unusable_slot_falls_to_its_neighbour_and_the_list_goes_round() {
        with_candidates(&[("a", 1), ("b", 1), ("c", 1), ("d", 1)], |all, name| {
            let candidates = super::super::Candidates { usable: &[0, 1, 3], ..*all };
            let ranking = |order| {
                let mut given = Vec::new();
                while let Some(target) = Kamailio.next(&candidates, order, &given) {
                    given.push(target);
                }
                given.into_iter().map(name).collect::<Vec<_>>()
            };
            assert_eq!(ranking(1), ids(&["b", "d", "a"]));
            assert_eq!(ranking(2), ids(&["d", "a", "b"]), "c is down");
            assert_eq!(ranking(3), ids(&["d", "a", "b"]));
            assert_eq!(ranking(4_000), ids(&["a", "b", "d"]));
        });
    }
}
