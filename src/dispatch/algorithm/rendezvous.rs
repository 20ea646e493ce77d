//! Rendezvous hashing with weights.
//!
//! Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998: each member
//! hashes the key with its own seed, and the highest wins; so a member that goes takes only its own
//! keys with it. Weights by the score −w / ln u for u uniform in (0, 1): a member wins in
//! proportion to its weight, and a changed weight moves only keys to or from that member.

use super::Candidates;
use crate::facts::Target;

/// The best candidate for a key that has not been given; of equals the first in file order.
pub fn best(candidates: &Candidates, key: u64, given: &[Target]) -> Option<Target> {
    let set = candidates.set;
    let key = mix(key);
    let mut best: Option<(Draw, Target)> = None;
    for position in candidates.usable {
        let Some(target) = set.member(*position) else { continue };
        let draw = Draw { bits: mix(set.seed(*position) ^ key) >> 12, weight: set.weight(*position) };
        let wins = best.as_ref().is_none_or(|(leader, _)| draw.beats(leader));
        if wins && !given.contains(&target) {
            best = Some((draw, target));
        }
    }
    best.map(|(_, target)| target)
}

/// What one member drew for a key.
struct Draw {
    /// 52 bits, so that a half more than them is still exact below 1 as a fraction of 2⁵².
    bits: u64,
    weight: u32,
}

impl Draw {
    /// The score grows with the bits, so members of one weight need no logarithm.
    fn beats(&self, other: &Self) -> bool {
        if self.weight == other.weight { self.bits > other.bits } else { self.score() > other.score() }
    }

    fn score(&self) -> f64 {
        let uniform = (self.bits as f64 + 0.5) / (1_u64 << 52) as f64;
        -f64::from(self.weight) / uniform.ln()
    }
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014): every input bit reaches every output
/// bit.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_finite_and_grow_with_bits_and_weight() {
        let lowest = Draw { bits: 0, weight: 1 };
        let highest = Draw { bits: (1 << 52) - 1, weight: 1 };
        assert!(lowest.score() > 0.0 && highest.score().is_finite());
        assert!(highest.beats(&lowest) && !lowest.beats(&highest));
        let heavy = Draw { bits: 1 << 51, weight: 65_535 };
        assert!(heavy.beats(&Draw { bits: 1 << 51, weight: 1 }));
    }
}
