//! Numbers as samples.
//!
//! Walks the blocks at scrape; what is bounded and expected is exposed from the start, what is
//! merely possible (an odd status code, an algorithm the set no longer uses) once it happened and
//! while there is room. What there is no room for is summed up under `other`.

use super::admission::Admission;
use super::block::{Block, slots_each};
use super::expected::label_sets;
use super::exposure::{foldable, least, tells};
use super::index::{Index, SetEntry, TargetEntry};
use crate::facts::{Algorithm, SetId};
use crate::telemetry::exemplars::Exemplar;
use crate::telemetry::page::{Page, owner};
use crate::telemetry::table::{BlockKind, Family, Kind, Label, Scope, Spec, Values, block_of};
use smallvec::SmallVec;
use std::ops::Range;
use std::sync::atomic::Ordering;

/// The value of labels that stand for all that is not told apart.
const OTHER: &str = "other";

/// A count as a sample; exact up to 2^53.
pub fn float(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "samples are floating-point by the format")]
    let value = count as f64;
    value
}

/// What is written, and from what.
#[derive(Debug)]
pub struct Walk<'a> {
    /// Who there is.
    pub index: &'a Index,
    /// What may appear that was not expected.
    pub admission: &'a mut Admission,
    /// Where it is written.
    pub page: &'a mut Page,
}

/// Whose numbers are written.
#[derive(Debug, Clone, Copy)]
struct Owner<'a> {
    /// Its position among those of the scope.
    position: usize,
    /// Its labels, as they are written.
    labels: &'a str,
    /// The algorithm whose series are expected.
    algorithm: Option<Algorithm>,
}

/// How many owners a family of events has, by the order in which [`Walk::family`] counts them.
pub fn owners(index: &Index, family: Family) -> usize {
    let spec = family.spec();
    if least(spec) > index.exposure.detail {
        return 0;
    }
    match block_of(spec.scope) {
        // Behind the destinations stand the sets, each for those of its that are not told apart.
        _ if family == Family::FailoverEdges => index.targets.len() + index.sets.len(),
        BlockKind::Process => 1,
        BlockKind::Listener => index.listeners.len(),
        // The last one stands for the requests of no set.
        BlockKind::Set => index.sets.len() + 1,
        BlockKind::Destination => index.targets.len() + index.sets.len(),
    }
}

impl Walk<'_> {
    /// Writes what some of its owners have of a family of events.
    pub fn family(&mut self, family: Family, range: Range<usize>) {
        let (index, spec) = (self.index, family.spec());
        let fold = foldable(spec);
        let positions = range.start..range.end.min(owners(index, family));
        for position in positions {
            if family == Family::FailoverEdges {
                self.edges(position);
                continue;
            }
            match block_of(spec.scope) {
                BlockKind::Process => {
                    self.block(spec, &index.process, Owner { position, labels: "", algorithm: None });
                }
                BlockKind::Listener => {
                    if let Some(listener) = index.listeners.get(position) {
                        let owner = Owner { position, labels: &listener.labels, algorithm: None };
                        self.block(spec, &listener.block, owner);
                    }
                }
                BlockKind::Set => {
                    let none = (spec.scope == Scope::SetOrNone).then_some(&index.no_set);
                    let set = match index.sets.get(position) {
                        Some(set) => set.as_ref(),
                        None => none,
                    };
                    if let Some(set) = set {
                        let owner = Owner { position, labels: &set.labels, algorithm: set.algorithm };
                        self.block(spec, &set.block, owner);
                    }
                }
                BlockKind::Destination => self.destination(spec, fold, position),
            }
        }
    }

    fn destination(&mut self, spec: &Spec, fold: Option<usize>, position: usize) {
        let index = self.index;
        if let Some(place) = index.targets.get(position) {
            if let Some(entry) = place.as_ref().filter(|entry| fold.is_none() || entry.is_apart) {
                let owner = Owner { position, labels: &entry.labels, algorithm: Some(entry.algorithm) };
                self.block(spec, &entry.block, owner);
            }
            return;
        }
        let set = set_behind(index, position);
        let (Some(fold), Some(set)) = (fold, set) else { return };
        let blocks: Vec<&Block> = folded(index, set.id).map(|entry| &*entry.block).collect();
        if !blocks.is_empty() {
            let sum = Block::sum(BlockKind::Destination, spec.family, &blocks);
            let labels = owner(&[("set", &*set.name), ("destination", OTHER)]);
            let others = Owner { position, labels: &labels, algorithm: set.algorithm };
            let label_sets = self.block(spec, &sum, others);
            self.dropped(fold, label_sets * blocks.len());
        }
    }

    /// Writes the label sets that a block has of a family, and returns how many they are.
    fn block(&mut self, spec: &Spec, block: &Block, owner: Owner<'_>) -> usize {
        let detail = self.index.exposure.detail;
        let exemplars = if self.page.has_exemplars() { block.exemplars(spec.family) } else { Vec::new() };
        let slots = slots_each(spec);
        let mut numbers: SmallVec<[u64; 20]> = SmallVec::new();
        if spec.labels.iter().any(|label| !tells(detail, spec, label)) {
            return self.summed(spec, block, owner);
        }
        let (mut written, mut rest) = (0, None);
        for (combination, (set, row)) in
            label_sets(spec.family).iter().zip(block.rows(spec.family)).enumerate()
        {
            let is_expected = set.is_expected(owner.algorithm);
            if !is_expected && row.clone().all(|number| number == 0) {
                continue;
            }
            numbers.clear();
            numbers.extend(row);
            if !is_expected && !self.admission.admits(spec, owner.position, combination) {
                add(rest.get_or_insert_with(|| vec![0; numbers.len()]), &numbers);
                continue;
            }
            let labels: SmallVec<[(&str, &str); 4]> = spec
                .labels
                .iter()
                .zip(set.positions())
                .map(|(label, position)| (label.name, word(label, position)))
                .collect();
            let exemplars = exemplars.get(combination * slots..(combination + 1) * slots).unwrap_or_default();
            self.sample(spec, owner.labels, &labels, &numbers, exemplars);
            written += 1;
        }
        if let Some(rest) = rest {
            let labels: SmallVec<[_; 4]> = spec.labels.iter().map(|label| (label.name, OTHER)).collect();
            self.sample(spec, owner.labels, &labels, &rest, &[]);
            if let Some(fold) = foldable(spec) {
                self.dropped(fold, 1);
            }
        }
        written
    }

    /// Writes a family of counters without the labels that are not told apart.
    fn summed(&mut self, spec: &Spec, block: &Block, owner: Owner<'_>) -> usize {
        let detail = self.index.exposure.detail;
        let kept = |label: &Label| tells(detail, spec, label);
        let mut sums: SmallVec<[([usize; 4], u64); 8]> = SmallVec::new();
        for (set, mut row) in label_sets(spec.family).iter().zip(block.rows(spec.family)) {
            let mut positions = set.positions();
            for (label, position) in spec.labels.iter().zip(&mut positions) {
                *position = if kept(label) { *position } else { 0 };
            }
            let number = row.next().unwrap_or(0);
            match sums.iter_mut().find(|(known, _)| *known == positions) {
                Some((_, sum)) => *sum += number,
                None => sums.push((positions, number)),
            }
        }
        for (positions, sum) in &sums {
            let labels: SmallVec<[(&str, &str); 4]> = spec
                .labels
                .iter()
                .zip(positions)
                .filter(|(label, _)| kept(label))
                .map(|(label, position)| (label.name, word(label, *position)))
                .collect();
            self.page.count(spec.family, owner.labels, &labels, *sum, None);
        }
        sums.len()
    }

    fn sample(
        &mut self,
        spec: &Spec,
        owner: &str,
        labels: &[(&str, &str)],
        numbers: &[u64],
        exemplars: &[Exemplar],
    ) {
        match spec.kind {
            Kind::Counter | Kind::Gauge => {
                let number = numbers.first().copied().unwrap_or(0);
                self.page.count(spec.family, owner, labels, number, exemplars.first());
            }
            Kind::Histogram(_) => self.page.histogram(spec.family, owner, labels, numbers, exemplars),
        }
    }

    fn edges(&mut self, position: usize) {
        let index = self.index;
        let family = Family::FailoverEdges;
        if let Some(place) = index.targets.get(position) {
            for entry in place.iter().filter(|entry| entry.is_apart) {
                for edge in &entry.edges {
                    let labels = [("set", &*entry.set), ("from", &*entry.id), ("to", &*edge.name)];
                    self.page.count(family, "", &labels, edge.count.load(Ordering::Relaxed), None);
                }
            }
            return;
        }
        let Some(set) = set_behind(index, position) else { return };
        let edges = folded(index, set.id).flat_map(|entry| &entry.edges);
        let (count, sum) =
            edges.fold((0, 0), |(count, sum), edge| (count + 1, sum + edge.count.load(Ordering::Relaxed)));
        if count > 0 {
            let labels = [("set", &*set.name), ("from", OTHER), ("to", OTHER)];
            self.page.count(family, "", &labels, sum, None);
            if let Some(fold) = foldable(family.spec()) {
                self.dropped(fold, count);
            }
        }
    }

    fn dropped(&self, fold: usize, label_sets: usize) {
        let count = u64::try_from(label_sets).unwrap_or(u64::MAX);
        self.index.process.add(Family::SeriesDropped, &[fold], count);
    }
}

/// The set that stands at a position behind the destinations.
fn set_behind(index: &Index, position: usize) -> Option<&SetEntry> {
    index.sets.get(position - index.targets.len())?.as_ref()
}

/// The destinations of a set that are not told apart.
fn folded(index: &Index, set: SetId) -> impl Iterator<Item = &TargetEntry> {
    index.targets.iter().flatten().filter(move |entry| entry.set_id == set && !entry.is_apart)
}

fn word(label: &Label, position: usize) -> &'static str {
    match label.values {
        Values::Closed(words) => words.get(position).copied().unwrap_or_default(),
        Values::Configured(_) => "",
    }
}

fn add(sums: &mut [u64], numbers: &[u64]) {
    sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
}
