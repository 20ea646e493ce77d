//! Which algorithm each set has, from the literal calls of the scripts.

use super::algorithms::{Algorithm, find};
use super::place::Place;
use super::script::Script;
use std::collections::BTreeMap;

/// What the calls say about a set.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// Its algorithm, and the call that names it.
    pub(super) algorithm: Option<(u32, Place)>,
    /// Destinations tried at most.
    pub(super) limit: Option<u32>,
    /// The set tried after it.
    pub(super) fallback: Option<u32>,
    /// What contradicts that.
    pub(super) conflicts: Vec<(Place, String)>,
}

impl Choice {
    /// The row of its algorithm, if it has one that is known.
    pub(super) fn algorithm(&self) -> Option<&'static Algorithm> {
        self.algorithm.as_ref().and_then(|(number, _)| find(*number))
    }
}

/// The choices by set; the first call of each counts.
pub(super) fn choices(script: &Script) -> BTreeMap<u32, Choice> {
    let mut choices: BTreeMap<u32, Choice> = BTreeMap::new();
    for call in &script.calls {
        for (set, number) in &call.picks {
            let choice = choices.entry(*set).or_default();
            match &choice.algorithm {
                None => choice.algorithm = Some((*number, call.place.clone())),
                Some((first, place)) if first != number => {
                    let text = format!(
                        "algorithm {number} ({}) is left out: {place} chooses with {first} ({})",
                        name(*number),
                        name(*first)
                    );
                    choice.conflicts.push((call.place.clone(), text));
                }
                Some(_) => {}
            }
            choice.limit = choice.limit.or(call.limit);
        }
        for pair in call.picks.windows(2) {
            let [(set, _), (next, _)] = pair else { continue };
            let leads_back = leads_to(&choices, *next, *set);
            let choice = choices.entry(*set).or_default();
            match choice.fallback {
                None if leads_back => {
                    let text =
                        format!("set {next} after set {set} is left out: that would go round in a circle");
                    choice.conflicts.push((call.place.clone(), text));
                }
                None => choice.fallback = Some(*next),
                Some(first) if first != *next => {
                    let text = format!("set {next} after set {set} is left out: set {first} comes after it");
                    choice.conflicts.push((call.place.clone(), text));
                }
                Some(_) => {}
            }
        }
    }
    choices
}

fn name(number: u32) -> &'static str {
    find(number).map_or("unknown", |algorithm| algorithm.word.unwrap_or(algorithm.name))
}

fn leads_to(choices: &BTreeMap<u32, Choice>, mut from: u32, to: u32) -> bool {
    loop {
        if from == to {
            return true;
        }
        match choices.get(&from).and_then(|choice| choice.fallback) {
            Some(next) => from = next,
            None => return false,
        }
    }
}
