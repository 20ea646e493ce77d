//! The rules of fallback sets and of the limits of destinations.

use crate::config::cursor::Problems;
use crate::config::error::Problem;
use crate::config::items::DestinationItem;
use crate::config::keys::Set;
use crate::config::path::KeyPath;
use crate::config::resolve::no_such;
use std::collections::HashSet;
use std::ops::RangeInclusive;

/// What the limit of calls can be.
const CALLS: RangeInclusive<u32> = 1..=1_000_000;
/// What the limit of new calls a second can be.
const RATE: RangeInclusive<u32> = 1..=100_000;

/// Each fallback is a set, and none comes back to where it began.
pub(super) fn check_fallbacks(sets: &[(String, Set)], at: &KeyPath, problems: &Problems) {
    let find = |name: &str| sets.iter().find(|(known, _)| known == name);
    let mut told: HashSet<&str> = HashSet::new();
    for (name, set) in sets {
        let path = at.key(name).key("fallback");
        let mut chain = vec![name.as_str()];
        let mut next = set.fallback.as_deref();
        if let Some(fallback) = next
            && find(fallback).is_none()
        {
            problems.add(no_such("set", fallback, sets.iter().map(|(name, _)| name.as_str()), &path));
        }
        while let Some((known, set)) = next.and_then(find) {
            if chain.contains(&known.as_str()) {
                if known == name && chain.iter().all(|link| !told.contains(link)) {
                    told.extend(&chain);
                    let ring = [chain.join(" → "), known.clone()].join(" → ");
                    problems.add(Problem::value(&path, format!("it comes back to itself: {ring}")));
                }
                break;
            }
            chain.push(known);
            next = set.fallback.as_deref();
        }
    }
}

/// The limits of a destination.
pub(super) fn check_limits(item: &DestinationItem, is_in_path: bool, problems: &Problems) {
    for (key, value, range) in
        [("max_calls", item.keys.max_calls, CALLS), ("max_cps", item.keys.max_cps, RATE)]
    {
        let path = item.path.key(key);
        let Some(value) = value else { continue };
        if value == 0 {
            let message = format!("expected a whole number from 1 to {}, or null", range.end());
            let help = "a destination that gets no new calls is `state: draining`";
            problems.add(Problem::value(&path, message).help(help));
        } else if !range.contains(&value) {
            let message = format!("expected a whole number from 1 to {}, or null", range.end());
            problems.add(Problem::value(&path, message));
        }
    }
    if item.keys.max_calls.is_some() && !is_in_path {
        let message = "needs `sip.record_route`; without it the end of a call is not seen";
        problems.add(Problem::key(&item.path.key("max_calls"), message));
    }
}
