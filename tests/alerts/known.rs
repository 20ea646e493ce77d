//! The series that a query may use: the families of `docs/metrics.md`, what Prometheus itself has, and
//! the recorded ones.

use super::families::{self, Family};
use super::queries::labels_left;
use super::rules;
use std::collections::{BTreeMap, BTreeSet};

/// What Prometheus adds to every series.
const TARGET: [&str; 2] = ["job", "instance"];

/// Series that others make, with their labels.
const FOREIGN: [(&str, &[&str]); 2] = [("up", &[]), ("ALERTS", &["alertname", "alertstate", "severity"])];

/// The series that exist.
#[derive(Debug)]
pub struct Known {
    families: families::Families,
    others: BTreeMap<String, BTreeSet<String>>,
}

impl Known {
    /// Reads them from the repository.
    pub fn load() -> Self {
        let own = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect();
        let mut others: BTreeMap<_, BTreeSet<_>> =
            FOREIGN.iter().map(|(name, labels)| ((*name).to_owned(), own(labels))).collect();
        for rule in rules::rules().iter().filter(|rule| !rule.is_alert()) {
            others.insert(rule.name().to_owned(), labels_left(rule.expr()));
        }
        Self { families: families::load(), others }
    }

    /// The family of a series of ours.
    pub fn family(&self, series: &str) -> Option<&Family> {
        let suffixes = ["", "_bucket", "_count", "_sum"].into_iter();
        suffixes.filter_map(|suffix| series.strip_suffix(suffix)).find_map(|name| self.families.get(name))
    }

    /// The labels of a series, those of its target included; `None` if there is no such series.
    pub fn labels(&self, series: &str) -> Option<BTreeSet<String>> {
        let own: BTreeSet<_> = match self.family(series) {
            Some(family) => family.labels.keys().cloned().collect(),
            None => self.others.get(series)?.clone(),
        };
        let bound = series.ends_with("_bucket").then_some("le");
        Some(TARGET.into_iter().chain(bound).map(str::to_owned).chain(own).collect())
    }

    /// The values that a label of a series takes, if they are a closed list.
    pub fn values(&self, series: &str, label: &str) -> Option<&BTreeSet<String>> {
        self.family(series)?.labels.get(label)?.as_ref()
    }
}
