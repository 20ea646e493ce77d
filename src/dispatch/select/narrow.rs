//! Who of a tier can be chosen: the usable members, less those that are full or start slowly.
//!
//! Full is not unusable: it is asked anew for each request, of counts that all workers share.

use crate::dispatch::algorithm::fraction;
use crate::dispatch::load::Loads;
use crate::dispatch::{Set, Table, Verdicts};
use std::borrow::Cow;
use std::time::Instant;

/// The usable members of a tier, as positions. While a reload is under way the verdicts may belong
/// to another table: their positions mean others then, and only their word on each target counts.
pub fn usable<'v>(table: &Table, set: &Set, tier: usize, verdicts: &'v Verdicts) -> Cow<'v, [u32]> {
    if verdicts.shape == table.shape() {
        let lists = verdicts.usable.get(set.id().index());
        return Cow::Borrowed(lists.and_then(|tiers| tiers.get(tier)).map_or(&[], Vec::as_slice));
    }
    members(set, tier, |position| set.member(position).is_some_and(|target| verdicts.is_usable(target)))
}

/// The members of a tier that can be tried when nobody is usable.
pub fn conceivable<'v>(set: &Set, tier: usize, verdicts: &Verdicts) -> Cow<'v, [u32]> {
    members(set, tier, |position| {
        let verdict = set.member(position).and_then(|target| verdicts.of(target));
        verdict.is_some_and(|verdict| verdict.is_conceivable())
    })
}

fn members<'v>(set: &Set, tier: usize, is_wanted: impl Fn(u32) -> bool) -> Cow<'v, [u32]> {
    let members = set.tiers().get(tier).map_or(&[][..], |tier| &tier.members);
    let is_wanted = |position: &u32| set.weight(*position) > 0 && is_wanted(*position);
    members.iter().copied().filter(is_wanted).collect()
}

/// Those of `usable` that are not full; whether all of them are is for the caller to see.
pub fn without_full<'a>(
    set: &Set,
    usable: &'a [u32],
    loads: &Loads,
    now: Instant,
    room: &'a mut Vec<u32>,
) -> &'a [u32] {
    if !set.is_limited() {
        return usable;
    }
    let is_full = |position: u32| {
        let limits = set.limits(position);
        !limits.is_none() && set.member(position).is_some_and(|target| loads.is_full(target, limits, now))
    };
    room.clear();
    room.extend(usable.iter().copied().filter(|position| !is_full(*position)));
    room
}

/// Those of `open` that take this request although they may have come back lately: each takes a part
/// of the requests that grows with time, told apart by `key`, so that a request which a member takes
/// stays its own. All of them if none would.
///
/// Slow start as in HAProxy and Envoy, for every algorithm alike, those without weights too.
pub fn without_slow<'a>(
    set: &Set,
    open: &'a [u32],
    verdicts: &Verdicts,
    key: u64,
    now: Instant,
    room: &'a mut Vec<u32>,
) -> &'a [u32] {
    if set.slow_start().is_zero() {
        return open;
    }
    let ramp = |position: u32| {
        let verdict = set.member(position).and_then(|target| verdicts.of(target));
        verdict.map_or(1.0, |verdict| verdict.ramp(set.slow_start(), now))
    };
    let seed = |position: u32| set.lots().get(position as usize).map_or(0, |lot| lot.seed);
    // The seed is turned round, or the draw would be that of the algorithm.
    let is_taken = |position: u32, ramp: f64| ramp >= 1.0 || fraction(!seed(position), key) < ramp;
    room.clear();
    room.extend(open.iter().copied().filter(|position| is_taken(*position, ramp(*position))));
    if room.is_empty() { open } else { room }
}
