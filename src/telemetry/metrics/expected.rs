//! Which label sets of a family are exposed before anything happened.
//!
//! Worked out once for each family: a scrape looks at every label set of every owner, and most of
//! them are neither expected nor have happened.

use super::block::label_positions;
use super::exposure::{Detail, tells};
use crate::facts::{Algorithm, Method};
use crate::telemetry::table::{Family, Label, Spec};
use crate::telemetry::values::{is_call_final, is_usual};
use std::sync::LazyLock;

/// One label set of a family.
#[derive(Debug, Clone, Copy)]
pub struct LabelSet {
    positions: [u8; 4],
    expected: Expected,
}

/// When a label set is exposed before anything happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Always,
    Never,
    /// If its owner uses the algorithm that is its first label.
    InUse,
}

impl LabelSet {
    fn of(family: Family, combination: usize) -> Self {
        let positions = label_positions(family, combination);
        let [first, second, ..] = positions;
        let is_counted = first == Method::Invite as usize || first == Method::Register as usize;
        let happens_seldom = family == Family::Transactions && !(is_counted && is_call_final(second))
            || family == Family::DestinationCodes && !is_usual(first);
        let expected = if family == Family::Selections || family == Family::SelectionDuration {
            Expected::InUse
        } else if happens_seldom {
            Expected::Never
        } else {
            Expected::Always
        };
        let positions = positions.map(|position| u8::try_from(position).expect("no label has 256 values"));
        Self { positions, expected }
    }

    /// The position of each label's value in the list of its values.
    pub fn positions(&self) -> [usize; 4] {
        self.positions.map(usize::from)
    }

    /// Whether an owner that uses this algorithm has it from the start.
    #[inline]
    pub fn is_expected(&self, algorithm: Option<Algorithm>) -> bool {
        let [first, ..] = self.positions;
        match self.expected {
            Expected::Always => true,
            Expected::Never => false,
            Expected::InUse => algorithm.is_some_and(|used| used as usize == usize::from(first)),
        }
    }
}

static LABEL_SETS: LazyLock<Vec<Vec<LabelSet>>> = LazyLock::new(|| {
    let of = |family: &Family| {
        (0..family.spec().combinations()).map(|combination| LabelSet::of(*family, combination)).collect()
    };
    Family::ALL.iter().map(of).collect()
});

/// The label sets of a family in their order.
pub fn label_sets(family: Family) -> &'static [LabelSet] {
    LABEL_SETS.get(family as usize).map_or(&[], Vec::as_slice)
}

/// How many label sets of a family are exposed before anything happened.
pub fn expected(spec: &Spec, algorithm: Option<Algorithm>, detail: Detail) -> usize {
    let told = |label: &&Label| tells(detail, spec, label);
    if spec.labels.iter().all(|label| told(&label)) {
        return label_sets(spec.family).iter().filter(|set| set.is_expected(algorithm)).count();
    }
    spec.labels.iter().filter(told).map(|label| label.values.len()).product()
}

/// Whether further label sets may appear.
pub fn has_unexpected(spec: &Spec, detail: Detail) -> bool {
    let told = spec.labels.iter().all(|label| tells(detail, spec, label));
    told && expected(spec, Some(Algorithm::RoundRobin), detail) < spec.combinations()
}
