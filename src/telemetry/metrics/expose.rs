//! Numbers as metric families of the Prometheus data model.
//!
//! Walks the blocks at scrape; what is bounded and expected is exposed from the start, what is
//! merely possible (an odd status code, an algorithm the set no longer uses) once it happened.

use super::block::{Block, label_positions};
use super::index::Index;
use super::{Metrics, SetEntry};
use crate::facts::{Algorithm, Method};
use crate::telemetry::table::{BlockKind, Family, Kind, Scope, Source, Spec, TABLE, Values, block_of};
use crate::telemetry::values::{is_call_final, is_usual};
use prometheus::core::{Collector, Desc};
use prometheus::proto;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Families under construction.
#[derive(Debug, Default)]
pub struct Families(BTreeMap<Family, Vec<proto::Metric>>);

impl Families {
    /// Adds a counter or gauge.
    pub fn number(&mut self, family: Family, labels: Vec<proto::LabelPair>, value: f64) {
        let mut metric = proto::Metric::from_label(labels);
        if let Kind::Counter = family.spec().kind {
            let mut counter = proto::Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.0.entry(family).or_default().push(metric);
    }

    fn histogram(&mut self, family: Family, labels: Vec<proto::LabelPair>, numbers: &[u64], bounds: &[f64]) {
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
        let mut metric = proto::Metric::from_label(labels);
        metric.set_histogram(histogram);
        self.0.entry(family).or_default().push(metric);
    }

    /// The families, in the order of the table.
    pub fn finish(self) -> Vec<proto::MetricFamily> {
        let family = |(family, metrics): (Family, Vec<proto::Metric>)| {
            let spec = family.spec();
            let mut made = proto::MetricFamily::default();
            made.set_name(spec.full_name());
            made.set_help(spec.help.to_owned());
            made.set_field_type(match spec.kind {
                Kind::Counter => proto::MetricType::COUNTER,
                Kind::Gauge => proto::MetricType::GAUGE,
                Kind::Histogram(_) => proto::MetricType::HISTOGRAM,
            });
            made.set_metric(metrics);
            made
        };
        self.0.into_iter().map(family).collect()
    }
}

/// One label with its value.
pub fn label(name: &str, value: &str) -> proto::LabelPair {
    let mut pair = proto::LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

/// A count as a sample; exact up to 2^53.
pub fn float(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "samples are floating-point by the format")]
    let value = count as f64;
    value
}

/// The pushed families as a collector of the `prometheus` crate.
pub struct Pushed {
    metrics: Arc<Metrics>,
    descriptions: Vec<Desc>,
}

impl Pushed {
    /// A collector of these metrics.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        let pushed = TABLE.iter().filter(|spec| spec.source == Source::Event);
        let describe = |spec: &Spec| {
            let labels =
                spec.scope.labels().iter().copied().chain(spec.labels.iter().map(|label| label.name));
            let labels = labels.map(str::to_owned).collect();
            Desc::new(spec.full_name(), spec.help.to_owned(), labels, HashMap::new())
                .expect("names and labels of the table are valid")
        };
        Self { metrics, descriptions: pushed.map(describe).collect() }
    }
}

impl Collector for Pushed {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let index = self.metrics.index();
        let mut families = Families::default();
        for family in Family::ALL.iter().filter(|family| family.spec().source == Source::Event) {
            collect_family(&index, *family, &mut families);
        }
        families.finish()
    }
}

fn collect_family(index: &Index, family: Family, out: &mut Families) {
    if family == Family::FailoverEdges {
        return collect_edges(index, out);
    }
    match block_of(family.spec().scope) {
        BlockKind::Process => collect_block(&index.process, family, &[], None, out),
        BlockKind::Listener => {
            for listener in &index.listeners {
                collect_block(&listener.block, family, &[&listener.name], None, out);
            }
        }
        BlockKind::Set => {
            let without = match family.spec().scope {
                Scope::SetOrNone => Some(&index.no_set),
                Scope::Process | Scope::Listener | Scope::Set | Scope::Destination => None,
            };
            for SetEntry { name, algorithm, block } in index.sets.iter().flatten().chain(without) {
                collect_block(block, family, &[name], *algorithm, out);
            }
        }
        BlockKind::Destination => {
            for entry in index.targets.iter().flatten() {
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
        let names = spec.scope.labels().iter().zip(owner).map(|(name, value)| label(name, value));
        let closed = spec.labels.iter().zip(positions).map(|(name, position)| match name.values {
            Values::Closed(words) => label(name.name, words.get(position).copied().unwrap_or_default()),
            Values::Configured(_) => label(name.name, ""),
        });
        let labels = names.chain(closed).collect();
        match spec.kind {
            Kind::Counter | Kind::Gauge => {
                out.number(family, labels, float(numbers.first().copied().unwrap_or(0)));
            }
            Kind::Histogram(bounds) => out.histogram(family, labels, &numbers, bounds),
        }
    }
}

fn collect_edges(index: &Index, out: &mut Families) {
    for entry in index.targets.iter().flatten() {
        for edge in &entry.edges {
            let labels = vec![label("set", &entry.set), label("from", &entry.id), label("to", &edge.name)];
            out.number(Family::FailoverEdges, labels, float(edge.count.load(Ordering::Relaxed)));
        }
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
