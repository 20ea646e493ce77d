//! The rows of one set as one set of ours: order, tiers, weights, and what is said about them.

use super::algorithms::{LOWEST_FIRST, goes_by_weight, is_by_priority};
use super::choice::Choice;
use super::common::Common;
use super::destination::{Destination, Position, Usable, convert};
use super::listeners::Listeners;
use super::place::Warning;
use super::row::Row;
use super::yaml::{Page, flow, quoted};
use ipnet::IpNet;
use std::collections::BTreeSet;

/// A set, ready to be written.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) number: u32,
    pub(super) destinations: Vec<Destination>,
    /// The last resort, if it must not have a slot among them.
    default: Option<Destination>,
    comments: Vec<String>,
    keys: Vec<(&'static str, String)>,
}

/// How everything is to be imported.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner<'a> {
    pub(super) common: &'a Common,
    /// Whether hashes come out as Kamailio's do.
    pub(super) hash_compat: bool,
}

/// What a set of this number is called.
pub(super) fn name(number: u32) -> String {
    format!("set-{number}")
}

/// What the set of its last resort is called.
fn default_name(number: u32) -> String {
    format!("{}-default", name(number))
}

/// Attempts at most.
const MAX_ATTEMPTS: u32 = 100;
/// The largest weight and the largest priority.
const MAX_NUMBER: i64 = 65_535;

impl Set {
    /// Converts the rows of a set, which come in the order of their file.
    pub(super) fn new(
        number: u32,
        rows: Vec<Row>,
        choice: &Choice,
        manner: Manner<'_>,
        listeners: &mut Listeners,
        warnings: &mut Vec<Warning>,
    ) -> Self {
        let mut set = Self { number, destinations: vec![], default: None, comments: vec![], keys: vec![] };
        let rows = in_order(rows, choice);
        set.algorithm(&rows, choice, manner);
        let default = rows.len().checked_sub(1).filter(|last| manner.common.use_default && *last > 0);
        let mut usable = vec![];
        let mut left_out = vec![];
        for (index, row) in rows.into_iter().enumerate() {
            match Usable::new(row) {
                Ok(row) => usable.push(row),
                Err(warning) => left_out.push((Some(index) == default, warning)),
            }
        }
        let compat =
            manner.hash_compat && choice.algorithm().is_some_and(|algorithm| algorithm.key.is_some());
        let is_default_left_out = left_out.iter().any(|(is_default, _)| *is_default);
        let default_follows = default.is_some() && !is_default_left_out && usable.len() > 1;
        // Kamailio hashes over all of them, whatever their priority.
        let mut tiers = if compat { vec![0; usable.len()] } else { set.tiers(&usable, choice, warnings) };
        if default_follows && !compat {
            last_resort(&mut tiers);
        }
        let weights = set.weights(&usable, choice);
        let is_limited = choice.algorithm.as_ref().map(|(number, _)| *number == 10);
        let mut ids = BTreeSet::new();
        for ((usable, priority), weight) in usable.iter().zip(tiers).zip(weights) {
            let position = Position { priority, weight, is_limited };
            set.destinations.push(convert(usable, position, manner.common, listeners, &mut ids));
        }
        for (_, warning) in &left_out {
            set.comments.push(format!("{}: {}", warning.place, warning.text));
            warnings.push(warning.clone());
        }
        if compat && let Some((_, slot)) = left_out.iter().find(|(is_default, _)| !is_default) {
            set.slots_differ(slot, warnings);
        }
        if is_default_left_out {
            let text = "use_default: the last one, which Kamailio tried when no other works, is left out";
            set.comments.push(text.into());
        } else if default_follows && compat {
            set.set_default_apart();
        } else if default_follows {
            let text = "use_default: the last one is tried when no other works, so it has a tier of its own";
            set.comments.push(text.into());
        }
        for (place, text) in &choice.conflicts {
            set.comments.push(format!("{place}: {text}"));
            warnings.push(Warning { place: place.clone(), text: text.clone() });
        }
        set
    }

    fn algorithm(&mut self, rows: &[Row], choice: &Choice, manner: Manner<'_>) {
        let Some((number, place)) = &choice.algorithm else {
            let text = "no call with literal arguments selects from it, so the algorithm is the default, round_robin";
            return self.comments.push(text.into());
        };
        let Some(algorithm) = choice.algorithm() else {
            let text = format!("{place}: algorithm {number} is not known; round_robin is the default");
            return self.comments.push(text);
        };
        self.comments.push(format!("{place}: algorithm {number}, {}", algorithm.name));
        if !algorithm.remark.is_empty() {
            self.comments.push(format!("algorithm {number}: {}", algorithm.remark));
        }
        let Some(mut word) = algorithm.word else { return };
        if *number == 11 && rows.iter().any(|row| row.attr("cc") == Some("1")) {
            word = "latency";
        }
        self.keys.push(("algorithm", word.into()));
        let Some(key) = algorithm.key else { return };
        let mut keys = vec![key.to_owned()];
        if *number == 7 {
            match &manner.common.hash_keys {
                Some((named, comment)) => {
                    keys.clone_from(named);
                    self.comments.extend(comment.clone());
                }
                None => self.comments.push("hash_pvar is not set; choose a `key` by hand".into()),
            }
        }
        if manner.common.user_only && (1..=3).contains(number) {
            if *number == 3 {
                keys = vec!["ruri_user".into()];
            } else {
                self.comments
                    .push("flags has 1: only the user of the URI was hashed; here the whole URI is".into());
            }
        }
        let keys: Vec<String> =
            keys.iter().map(|key| if key.contains(':') { quoted(key) } else { key.clone() }).collect();
        let mut hash = vec![("key", format!("[{}]", keys.join(", ")))];
        if manner.hash_compat {
            hash.push(("compat", "kamailio".into()));
        } else {
            let text = "the same key goes to another destination than in Kamailio, and a dead one's keys to all the \
                        others (`import kamailio --hash-compat` keeps Kamailio's ways)";
            self.comments.push(text.into());
        }
        self.keys.push(("hash", flow(&hash)));
    }

    /// The tier of each row.
    fn tiers(&mut self, rows: &[Usable], choice: &Choice, warnings: &mut Vec<Warning>) -> Vec<u32> {
        let number = choice.algorithm.as_ref().map(|(number, _)| *number);
        let is_turned = number != Some(LOWEST_FIRST);
        let distance = |usable: &Usable| {
            let best = rows.first().map_or(0, |best| i64::from(best.row.priority));
            let own = i64::from(usable.row.priority);
            if is_turned { best - own } else { own - best }
        };
        let far = rows.iter().map(distance).max().unwrap_or(0);
        let tiers: Vec<u32> = if far < MAX_NUMBER {
            rows.iter().map(|row| u32::try_from(distance(row)).unwrap_or(0)).collect()
        } else {
            self.comments.push("priorities lie too far apart, so the tiers are numbered through".into());
            let all: BTreeSet<i64> = rows.iter().map(distance).collect();
            let rank = |row: &Usable| all.iter().position(|known| *known == distance(row)).unwrap_or(0);
            rows.iter().map(|row| u32::try_from(rank(row)).unwrap_or(u32::MAX)).collect()
        };
        if far > 0 && number.is_none_or(|number| !is_by_priority(number)) {
            let first = tiers.iter().filter(|tier| **tier == 0).count();
            let what = match number {
                Some(number) => format!("algorithm {number} of Kamailio spreads over all priorities"),
                None => "most algorithms of Kamailio spread over all priorities".into(),
            };
            let text = format!(
                "{what}; here the lowest goes first: only {first} of {} take calls while they work. Remove \
                 `priority` to spread over all",
                rows.len()
            );
            if let Some(first) = rows.first().filter(|_| number.is_some()) {
                let text = format!("set {}: {text}", self.number);
                warnings.push(Warning { place: first.row.place.clone(), text });
            }
            self.comments.push(text);
        }
        tiers
    }

    /// Says that what is left out had a slot, so that the hash leads elsewhere.
    fn slots_differ(&mut self, left_out: &Warning, warnings: &mut Vec<Warning>) {
        let text = "what is left out has a slot in Kamailio's hash, unless Kamailio leaves it out too, and none here: nearly \
                    every key goes to another destination than in Kamailio";
        self.comments.push(text.into());
        let text = format!("set {}: {text}", self.number);
        warnings.push(Warning { place: left_out.place.clone(), text });
    }

    /// Slots are counted without the last destination, which a tier cannot express: all tiers share them.
    fn set_default_apart(&mut self) {
        let [_, .., _] = *self.destinations else { return };
        let Some(default) = self.destinations.pop() else { return };
        let name = default_name(self.number);
        self.comments.push(format!(
            "use_default: the last one has no slot in Kamailio's hash and is tried when no other works, so it is a set \
             of its own, {name}"
        ));
        match default.address {
            Some(address) => {
                let network = IpNet::from(address);
                self.comments.push(format!("sources: what {network} sends comes from this set, as in Kamailio"));
                self.keys.push(("sources", format!("[{}]", quoted(&network.to_string()))));
            }
            None => self.comments.push(format!(
                "requests that {name} sends come from another set than this one: put its addresses into `sources`"
            )),
        }
        self.default = Some(default);
    }

    /// Every destination, the last resort included.
    pub(super) fn all(&self) -> impl Iterator<Item = &Destination> {
        self.destinations.iter().chain(&self.default)
    }

    /// How many sets it is written as.
    pub(super) fn count(&self) -> usize {
        1 + usize::from(self.default.is_some())
    }

    /// The weight to be written for each row.
    fn weights(&mut self, rows: &[Usable], choice: &Choice) -> Vec<Option<u32>> {
        let none = vec![None; rows.len()];
        let any = |Usable { row, .. }: &Usable| written(row, "weight").or_else(|| written(row, "rweight"));
        let Some(algorithm) = choice.algorithm() else {
            return self.unless_all_are_zero(rows.iter().map(any).collect());
        };
        let Some(name) = algorithm.reads else {
            let found: Vec<_> = rows.iter().map(any).collect();
            if found.iter().flatten().next().is_none() {
                return none;
            }
            if algorithm.word.is_some_and(goes_by_weight) {
                let text = format!(
                    "weights are left out: algorithm {} of Kamailio does not go by them",
                    algorithm.number
                );
                self.comments.push(text);
                return none;
            }
            return self.unless_all_are_zero(found);
        };
        let found: Vec<_> = rows.iter().map(|usable| written(&usable.row, name)).collect();
        if found.iter().flatten().all(|weight| *weight == 0) {
            self.comments.push(format!("no {name} is set, so all get the same share"));
            return none;
        }
        let sum: u32 = found.iter().flatten().sum();
        if name == "weight" && algorithm.number == 9 && sum != 100 {
            self.comments.push(format!(
                "the weights add up to {sum}: Kamailio drops what is above 100, and gives what is missing to its last \
                 destination; here they are shares of the sum"
            ));
        }
        if found.iter().flatten().any(|weight| *weight > 100) {
            self.comments.push(format!("Kamailio ignores a {name} above 100; here it counts"));
        }
        if found.iter().any(Option::is_none) {
            self.comments.push(format!("without a {name} Kamailio gives a destination no calls: weight 0"));
        }
        found.into_iter().map(|weight| Some(weight.unwrap_or(0))).collect()
    }

    /// The weights, but for a set in which nobody would get a call, which is refused.
    fn unless_all_are_zero(&mut self, weights: Vec<Option<u32>>) -> Vec<Option<u32>> {
        if weights.iter().any(|weight| *weight != Some(0)) {
            return weights;
        }
        self.comments.push("every weight is 0: left out, so all get the same share".to_owned());
        vec![None; weights.len()]
    }

    /// Whether one of its comments is this.
    pub(super) fn says(&self, text: &str) -> bool {
        self.comments.iter().any(|comment| comment == text)
    }

    /// Writes the set and that of its last resort; `fallback` is the name of the set after both.
    pub(super) fn write(
        &self,
        page: &mut Page,
        choice: &Choice,
        manner: Manner<'_>,
        fallback: Option<String>,
    ) {
        page.line(1, &format!("{}:", name(self.number)));
        page.comments(2, &self.comments);
        for (key, value) in &self.keys {
            page.line(2, &format!("{key}: {value}"));
        }
        let Some(default) = &self.default else {
            return write_members(page, fallback, &self.destinations, choice, manner);
        };
        write_members(page, Some(default_name(self.number)), &self.destinations, choice, manner);
        page.line(1, &format!("{}:", default_name(self.number)));
        page.comment(2, &format!("use_default: tried when nobody in {} can be", name(self.number)));
        write_members(page, fallback, std::slice::from_ref(default), choice, manner);
    }
}

/// What a set falls back to, its destinations, and how they are treated.
fn write_members(
    page: &mut Page,
    fallback: Option<String>,
    destinations: &[Destination],
    choice: &Choice,
    manner: Manner<'_>,
) {
    if let Some(fallback) = fallback {
        page.line(2, &format!("fallback: {fallback}"));
    }
    page.line(2, "destinations:");
    for destination in destinations {
        page.comments(3, &destination.comments);
        let place: String = destination.place.to_string().chars().map(super::place::printable).collect();
        page.line(3, &format!("- {}  # {place}", destination.item));
    }
    if !manner.common.probe.is_empty() {
        page.line(2, &format!("probe: {}", flow(&manner.common.probe)));
    }
    let mut failover = manner.common.failover.clone();
    failover.extend(choice.limit.map(|limit| ("max_attempts", limit.min(MAX_ATTEMPTS).to_string())));
    if !failover.is_empty() {
        page.line(2, &format!("failover: {}", flow(&failover)));
    }
}

/// The last destination is not chosen as long as another one is left.
fn last_resort(tiers: &mut [u32]) {
    let lowest = tiers.iter().copied().max().unwrap_or(0);
    if let [_, .., last] = tiers {
        *last = lowest + 1;
    }
}

/// Kamailio's own order: by priority, and of equal priority the last line first.
fn in_order(mut rows: Vec<Row>, choice: &Choice) -> Vec<Row> {
    rows.reverse();
    let is_lowest_first = choice.algorithm.as_ref().is_some_and(|(number, _)| *number == LOWEST_FIRST);
    rows.sort_by_key(|row| {
        let priority = i64::from(row.priority);
        if is_lowest_first { priority } else { -priority }
    });
    rows
}

/// A weight as it is written, if it is one.
fn written(row: &Row, name: &str) -> Option<u32> {
    let weight = row.attr(name)?.parse::<u32>().ok()?;
    (i64::from(weight) <= MAX_NUMBER).then_some(weight)
}
