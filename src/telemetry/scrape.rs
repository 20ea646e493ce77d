//! The answer to a scrape, made piece by piece.
//!
//! A piece holds a few hundred series, so that with a thousand destinations neither the text nor
//! what it is made of is ever in memory as a whole, and the thread is free in between. All pieces
//! tell of one configuration; the numbers of a series are read when its piece is made.

use super::metrics::{Families, Index, Metrics, collect, float, owners};
use super::state::View;
use super::table::{Family, Source};
use prometheus::TextEncoder;
use prometheus::proto::{MetricFamily, MetricType};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A piece is full with this many bytes.
const PIECE: usize = 32 * 1024;
/// Series, by the table, that are made at a time.
const SERIES: usize = 256;

/// The text of one scrape, in format 0.0.4.
#[derive(Debug)]
pub struct Scrape {
    metrics: Arc<Metrics>,
    index: Arc<Index>,
    view: View,
    next: Next,
    series: u64,
    /// Time that making it took, without that in between.
    spent: Duration,
}

/// What comes next.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// What the process is.
    Process,
    /// The family at this position of the table, from this one of its owners on.
    Family {
        position: usize,
        owner: usize,
        is_headed: bool,
    },
    /// How much there was.
    Total,
    Nothing,
}

impl Scrape {
    /// The text of what is counted, and of what this view tells.
    pub(super) fn new(metrics: Arc<Metrics>, view: View) -> Self {
        let index = metrics.index();
        Self { metrics, index, view, next: Next::Process, series: 0, spent: Duration::ZERO }
    }

    /// Adds what comes next.
    fn step(&mut self, text: &mut String) {
        match self.next {
            Next::Process => {
                let mut out = Families::default();
                self.view.process(&self.metrics, &self.index, &mut out);
                for family in out.finish() {
                    self.write(family, false, text);
                }
                self.next = Next::Family { position: 0, owner: 0, is_headed: false };
            }
            Next::Family { position, owner, is_headed } => match Family::ALL.get(position) {
                Some(family) => self.family(position, *family, owner, is_headed, text),
                None => self.next = Next::Total,
            },
            Next::Total => {
                let mut out = Families::default();
                out.number(Family::Series, &[], float(self.series + 1));
                for family in out.finish() {
                    self.write(family, false, text);
                }
                self.metrics.scraped(self.spent);
                self.next = Next::Nothing;
            }
            Next::Nothing => {}
        }
    }

    /// Adds what some owners have of a family.
    fn family(
        &mut self,
        position: usize,
        family: Family,
        owner: usize,
        mut is_headed: bool,
        text: &mut String,
    ) {
        let spec = family.spec();
        let upto = owner + (SERIES / (spec.combinations() * spec.width()).max(1)).max(1);
        let mut out = Families::of(family);
        let all = match spec.source {
            Source::Event => {
                collect(&self.index, family, owner..upto, &mut out);
                owners(&self.index, family)
            }
            Source::State => {
                self.view.collect(&self.index, spec.scope, owner..upto, &mut out);
                self.view.owners(spec.scope)
            }
        };
        for made in out.finish() {
            self.write(made, is_headed, text);
            is_headed = true;
        }
        self.next = if upto < all {
            Next::Family { position, owner: upto, is_headed }
        } else {
            Next::Family { position: position + 1, owner: 0, is_headed: false }
        };
    }

    /// Adds a family, or more of one that has its head.
    fn write(&mut self, family: MetricFamily, is_headed: bool, text: &mut String) {
        self.series += series(&family);
        let start = text.len();
        TextEncoder::new()
            .encode_utf8(&[family], text)
            .expect("writing into a string succeeds and every family has a name and a sample");
        if is_headed {
            // Two lines, HELP and TYPE: no text of the table has a line end.
            let head: usize =
                text.get(start..).unwrap_or_default().split_inclusive('\n').take(2).map(str::len).sum();
            text.drain(start..start + head);
        }
    }
}

impl Iterator for Scrape {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let began = Instant::now();
        let mut text = String::with_capacity(2 * PIECE);
        while text.len() < PIECE && !matches!(self.next, Next::Nothing) {
            self.step(&mut text);
        }
        self.spent += began.elapsed();
        (!text.is_empty()).then_some(text)
    }
}

/// How many sample lines a family makes.
fn series(family: &MetricFamily) -> u64 {
    let lines = match family.get_field_type() {
        // Each bucket has one, and so have the one for all, the sum and the count.
        MetricType::HISTOGRAM => |metric: &_| buckets(metric) + 3,
        _ => |_: &_| 1,
    };
    u64::try_from(family.get_metric().iter().map(lines).sum::<usize>()).unwrap_or(u64::MAX)
}

fn buckets(metric: &prometheus::proto::Metric) -> usize {
    metric.get_histogram().get_bucket().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::clock::Clock;
    use crate::facts::snapshot::Surroundings;
    use crate::telemetry::samples;
    use std::collections::BTreeSet;
    use std::time::SystemTime;

    fn pieces(destinations: usize) -> Vec<String> {
        let metrics = Arc::new(Metrics::default());
        let names: Vec<String> = (0..destinations).map(|n| format!("d{n}")).collect();
        metrics.apply(samples::directory(&names.iter().map(String::as_str).collect::<Vec<_>>()));
        Scrape::new(
            metrics,
            View::new(vec![], Surroundings::default(), Clock::new(Instant::now(), SystemTime::now())),
        )
        .collect()
    }

    #[test]
    fn no_piece_is_large_and_together_they_are_whole() {
        let pieces = pieces(300);
        assert!(pieces.len() > 20 && pieces.iter().all(|piece| piece.len() < 8 * PIECE));
        let text = pieces.concat();
        for n in 0..300 {
            let last =
                format!("sipwarden_probes_total{{set=\"pbx\",destination=\"d{n}\",result=\"timeout\"}} 0");
            assert!(text.lines().any(|line| line == last), "{last}");
        }
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let distinct: BTreeSet<&str> = samples.iter().copied().collect();
        assert_eq!(distinct.len(), samples.len(), "no series twice");
        let told = text.lines().find_map(|line| line.strip_prefix("sipwarden_metric_series "));
        assert_eq!(told, Some(samples.len().to_string().as_str()));
    }

    #[test]
    fn the_lines_of_a_family_stand_together_under_one_head() {
        let text = pieces(300).concat();
        let mut seen = BTreeSet::new();
        let mut family = "";
        for line in text.lines() {
            if let Some(head) = line.strip_prefix("# HELP ") {
                family = head.split(' ').next().unwrap();
                assert!(seen.insert(family), "{family} begins twice");
            } else if let Some(head) = line.strip_prefix("# TYPE ") {
                assert!(head.starts_with(family), "{line}");
            } else {
                assert!(line.starts_with(family), "{line} under {family}");
            }
        }
    }
}
