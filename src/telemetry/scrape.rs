//! The answer to a scrape, made piece by piece.
//!
//! A piece holds a few dozen series, so that with a thousand destinations neither the text nor
//! what it is made of is ever in memory as a whole, and the core can be given up after each: a worker
//! may wait for it. All pieces tell of one configuration; the numbers of a series are read when its
//! piece is made. The last pieces are empty: in each a part of what was told from is let go, because
//! that takes too long all at once.

use super::metrics::{Index, Metrics, Walk, float, owners};
use super::page::{Format, Page};
use super::state::View;
use super::table::{Family, Source};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A piece is full with this many bytes, which are made in some ten microseconds.
const PIECE: usize = 4 * 1024;
/// Room for most pieces that are overfull: what is larger the allocator maps by itself
/// (`cli/allocator.rs`), which takes longer.
const ROOM: usize = 2 * PIECE - 64;
/// Destinations that are let go at a time.
const SHED: usize = 32;
/// Series, by the table, that are made at a time.
const SERIES: usize = 16;

/// The text of one scrape.
#[derive(Debug)]
pub struct Scrape {
    metrics: Arc<Metrics>,
    index: Arc<Index>,
    view: View,
    page: Page,
    next: Next,
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
    },
    /// How much there was.
    Total,
    Nothing,
}

impl Scrape {
    /// The text of what is counted, and of what this view tells.
    pub(super) fn new(metrics: Arc<Metrics>, view: View, format: Format) -> Self {
        let index = metrics.index();
        Self { metrics, index, view, page: Page::new(format), next: Next::Process, spent: Duration::ZERO }
    }

    /// Adds what comes next.
    fn step(&mut self) {
        match self.next {
            Next::Process => {
                self.view.process(&self.metrics, &self.index, &mut self.page);
                self.next = Next::Family { position: 0, owner: 0 };
            }
            Next::Family { position, owner } => match Family::ALL.get(position) {
                Some(family) => self.next = self.family(position, *family, owner),
                None => self.next = Next::Total,
            },
            Next::Total => {
                let series = float(self.page.series() + 1);
                self.page.number(Family::Series, "", &[], series);
                self.page.end();
                self.metrics.scraped(self.spent);
                self.next = Next::Nothing;
            }
            Next::Nothing => {}
        }
    }

    /// Adds what some owners have of a family.
    fn family(&mut self, position: usize, family: Family, owner: usize) -> Next {
        let Self { metrics, index, view, page, .. } = self;
        let spec = family.spec();
        let upto = owner + (SERIES / (spec.combinations() * spec.width()).max(1)).max(1);
        let all = match spec.source {
            Source::Event => {
                let mut admission = metrics.admission(index);
                Walk { index, admission: &mut admission, page }.family(family, owner..upto);
                owners(index, family)
            }
            Source::State => {
                view.family(index, family, owner..upto, page);
                view.owners(index, family)
            }
        };
        match upto < all {
            true => Next::Family { position, owner: upto },
            false => Next::Family { position: position + 1, owner: 0 },
        }
    }
}

impl Iterator for Scrape {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let began = Instant::now();
        while self.page.len() < PIECE && !matches!(self.next, Next::Nothing) {
            self.step();
        }
        if self.page.len() == 0 {
            return self.view.shed(SHED).then(String::new);
        }
        let room = if matches!(self.next, Next::Nothing) { 0 } else { ROOM };
        let text = self.page.take(room);
        self.spent += began.elapsed();
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::clock::Clock;
    use crate::facts::snapshot::{Snapshot, Surroundings};
    use crate::telemetry::samples;
    use crate::telemetry::{MetricsDetail, MetricsSettings};
    use std::collections::BTreeSet;
    use std::time::SystemTime;

    fn pieces(destinations: usize) -> Vec<String> {
        scrape(destinations, vec![]).collect()
    }

    fn scrape(destinations: usize, snapshots: Vec<Snapshot>) -> Scrape {
        let metrics = Arc::new(Metrics::new(MetricsSettings {
            detail: MetricsDetail::Full,
            max_series: 1_000_000,
            ..MetricsSettings::default()
        }));
        let names: Vec<String> = (0..destinations).map(|n| format!("d{n}")).collect();
        metrics.apply(samples::directory(&names.iter().map(String::as_str).collect::<Vec<_>>()));
        Scrape::new(
            metrics,
            View::new(snapshots, Surroundings::default(), Clock::new(Instant::now(), SystemTime::now())),
            Format::Text,
        )
    }

    #[test]
    fn what_was_told_from_is_let_go_in_pieces_behind_the_text() {
        let at = Instant::now();
        let pieces: Vec<String> =
            scrape(3, vec![samples::snapshot(0, at, vec![samples::set(at, 3 * SHED)])]).collect();
        let (text, rest) = pieces.split_at(pieces.iter().position(String::is_empty).unwrap());
        assert!(text.iter().all(|piece| !piece.is_empty()) && rest.iter().all(String::is_empty));
        assert!(rest.len() > 3, "{} pieces for three parts", rest.len());
    }

    #[test]
    fn no_piece_is_large_and_together_they_are_whole() {
        let pieces = pieces(300);
        assert!(pieces.iter().all(|piece| piece.len() < 16 * 1024));
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
