//! Numbers as metric families of the Prometheus data model.
//!
//! Walks the blocks at scrape; what is bounded and expected is exposed from the start, what is
//! merely possible (an odd status code, an algorithm the set no longer uses) once it happened.

use super::SetEntry;
use super::block::{Block, label_positions};
use super::index::{Index, TargetEntry};
use crate::facts::{Algorithm, Method};
use crate::telemetry::table::{BlockKind, Family, Kind, Scope, Values, block_of};
use crate::telemetry::values::{is_call_final, is_usual};
use prometheus::proto;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::Ordering;

/// Families under construction.
#[derive(Debug, Default)]
pub struct Families {
    /// The one that is asked for; `None` for any.
    only: Option<Family>,
    made: BTreeMap<Family, Vec<proto::Metric>>,
}

impl Families {
    /// Takes up one family and leaves out all others.
    pub fn of(family: Family) -> Self {
        Self { only: Some(family), made: BTreeMap::new() }
    }

    /// Whether a family is asked for.
    pub fn wants(&self, family: Family) -> bool {
        self.only.is_none_or(|only| only == family)
    }

    /// Adds a counter or gauge.
    pub fn number(&mut self, family: Family, labels: &[(&str, &str)], value: f64) {
        if !self.wants(family) {
            return;
        }
        let mut metric = proto::Metric::from_label(pairs(labels));
        if let Kind::Counter = family.spec().kind {
            let mut counter = proto::Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.made.entry(family).or_default().push(metric);
    }

    fn histogram(&mut self, family: Family, labels: &[(&str, &str)], numbers: &[u64], bounds: &[f64]) {
        let mut cumulative = 0;
        let mut buckets = Vec::with_capacity(bounds.len());
        for (bound, count) in bounds.iter().zip(numbers) {
            cumulative += count;
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(cumulative);
            buckets.push(bucket);
        }
        let above = numbers.get(bounds.len()).copied().unwrap_or(0);
        let billionths = numbers.last().copied().unwrap_or(0);
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(cumulative + above);
        histogram.set_sample_sum(float(billionths) / 1e9);
        let mut metric = proto::Metric::from_label(pairs(labels));
        metric.set_histogram(histogram);
        self.made.entry(family).or_default().push(metric);
    }

    /// The families, in the order of the table.
    pub fn finish(self) -> Vec<proto::MetricFamily> {
        let family = |(family, metrics): (Family, Vec<proto::Metric>)| {
            let spec = family.spec();
            let mut made = proto::MetricFamily::default();
            made.set_name(spec.full_name().to_owned());
            made.set_help(spec.help.to_owned());
            made.set_field_type(match spec.kind {
                Kind::Counter => proto::MetricType::COUNTER,
                Kind::Gauge => proto::MetricType::GAUGE,
                Kind::Histogram(_) => proto::MetricType::HISTOGRAM,
            });
            made.set_metric(metrics);
            made
        };
        self.made.into_iter().map(family).collect()
    }
}

fn pairs(labels: &[(&str, &str)]) -> Vec<proto::LabelPair> {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    labels.iter().map(pair).collect()
}

/// A count as a sample; exact up to 2^53.
pub fn float(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "samples are floating-point by the format")]
    let value = count as f64;
    value
}

/// How many owners a family of events has, by the order in which [`collect`] counts them.
pub fn owners(index: &Index, family: Family) -> usize {
    if family == Family::FailoverEdges {
        return index.targets.len();
    }
    match block_of(family.spec().scope) {
        BlockKind::Process => 1,
        BlockKind::Listener => index.listeners.len(),
        // The last one stands for the requests of no set.
        BlockKind::Set => index.sets.len() + 1,
        BlockKind::Destination => index.targets.len(),
    }
}

/// Adds the series that some of its owners have of a family of events.
pub fn collect(index: &Index, family: Family, range: Range<usize>, out: &mut Families) {
    let (skip, take) = (range.start, range.len());
    let targets = || index.targets.iter().skip(skip).take(take).flatten();
    if family == Family::FailoverEdges {
        return targets().for_each(|entry| collect_edges(entry, out));
    }
    match block_of(family.spec().scope) {
        BlockKind::Process => collect_block(&index.process, family, &[], None, out),
        BlockKind::Listener => {
            for listener in index.listeners.iter().skip(skip).take(take) {
                collect_block(&listener.block, family, &[&listener.name], None, out);
            }
        }
        BlockKind::Set => {
            let without = match family.spec().scope {
                Scope::SetOrNone => Some(&index.no_set),
                Scope::Process | Scope::Listener | Scope::Set | Scope::Destination => None,
            };
            let sets = index.sets.iter().map(Option::as_ref).chain([without]);
            for SetEntry { name, algorithm, block } in sets.skip(skip).take(take).flatten() {
                collect_block(block, family, &[name], *algorithm, out);
            }
        }
        BlockKind::Destination => {
            for entry in targets() {
                let owner = [&*entry.set, &*entry.id];
                collect_block(&entry.block, family, &owner, Some(entry.algorithm), out);
            }
        }
    }
}

fn collect_block(
    block: &Block,
    family: Family,
    owner: &[&str],
    algorithm: Option<Algorithm>,
    out: &mut Families,
) {
    let spec = family.spec();
    let mut numbers = Vec::with_capacity(spec.width());
    for combination in 0..spec.combinations() {
        numbers.clear();
        numbers.extend(block.read(family, combination));
        let positions = label_positions(family, combination);
        if !is_expected(family, &positions, algorithm) && numbers.iter().all(|number| *number == 0) {
            continue;
        }
        let names = spec.scope.labels().iter().zip(owner).map(|(name, value)| (*name, *value));
        let closed = spec.labels.iter().zip(positions).map(|(name, position)| match name.values {
            Values::Closed(words) => (name.name, words.get(position).copied().unwrap_or_default()),
            Values::Configured(_) => (name.name, ""),
        });
        let labels: SmallVec<[(&str, &str); 6]> = names.chain(closed).collect();
        match spec.kind {
            Kind::Counter | Kind::Gauge => {
                out.number(family, &labels, float(numbers.first().copied().unwrap_or(0)));
            }
            Kind::Histogram(bounds) => out.histogram(family, &labels, &numbers, bounds),
        }
    }
}

fn collect_edges(entry: &TargetEntry, out: &mut Families) {
    for edge in &entry.edges {
        let labels = [("set", &*entry.set), ("from", &*entry.id), ("to", &*edge.name)];
        out.number(Family::FailoverEdges, &labels, float(edge.count.load(Ordering::Relaxed)));
    }
}

/// Whether a label set is exposed before anything happened.
fn is_expected(family: Family, positions: &[usize; 4], algorithm: Option<Algorithm>) -> bool {
    let [first, second, ..] = *positions;
    if family == Family::Transactions {
        let counted = first == Method::Invite as usize || first == Method::Register as usize;
        return counted && is_call_final(second);
    }
    if family == Family::DestinationCodes {
        return is_usual(first);
    }
    if family == Family::Selections || family == Family::SelectionDuration {
        return algorithm.is_some_and(|used| used as usize == first);
    }
    true
}
