//! How much is exposed: the detail of what is told of each destination, and where it ends.
//!
//! Decided once for each configuration, from the number of series that it makes: so a series that is
//! there stays there until the next one. Only counts and decides; never writes.

use super::expected::{expected, has_unexpected};
use super::index::Index;
use crate::facts::Algorithm;
use crate::telemetry::settings::{MetricsDetail, MetricsSettings};
use crate::telemetry::table::{FOLDABLE, Family as F, Kind, Label, Scope, Source, Spec, TABLE};

/// How much is told of each destination, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// How it is and what it has to do: 40 series.
    State,
    /// All but exact status codes and four histograms.
    Basic,
    /// Everything.
    Full,
}

impl Detail {
    /// The word of the configuration for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Basic => "basic",
            Self::Full => "full",
        }
    }
}

/// What `state` tells of a destination; what is probed and when is there for the alert that probing has
/// stopped.
const OF_STATE: &[F] = &[
    F::DestinationState,
    F::DestinationUp,
    F::DestinationProbing,
    F::DestinationAdded,
    F::Probes,
    F::ProbeLast,
    F::ProbeInterval,
    F::Selections,
    F::Failovers,
    F::DestinationRequests,
    F::DestinationResponses,
    F::DestinationCalls,
];
/// What only `full` tells of a destination.
const OF_FULL: &[F] =
    &[F::FirstResponse, F::TransactionTime, F::DisconnectDelay, F::RegistrationDelay, F::DestinationCodes];
/// The labels of destinations' families that `state` sums over.
const SUMMED: &[&str] = &["method", "algorithm"];

/// From which detail on a family is exposed.
pub fn least(spec: &Spec) -> Detail {
    let is_of_destination = spec.scope == Scope::Destination || spec.family == F::FailoverEdges;
    if OF_FULL.contains(&spec.family) {
        Detail::Full
    } else if is_of_destination && !OF_STATE.contains(&spec.family) {
        Detail::Basic
    } else {
        Detail::State
    }
}

/// Whether a label is told apart at this detail.
pub fn tells(detail: Detail, spec: &Spec, label: &Label) -> bool {
    detail > Detail::State || spec.scope != Scope::Destination || !SUMMED.contains(&label.name)
}

/// The position of a family among those that may be folded.
pub fn foldable(spec: &Spec) -> Option<usize> {
    FOLDABLE.iter().position(|name| *name == spec.full_name())
}

/// What one configuration exposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exposure {
    /// The detail in force.
    pub detail: Detail,
    /// Series from the start, and room for one of each kind that comes later.
    pub series: u64,
    /// So many destinations are told apart in the families that may be folded; the others are summed
    /// up for each set.
    pub apart: usize,
    /// Series that may still appear.
    pub room: u64,
}

impl Exposure {
    /// The exposure of a configuration: the richest that fits, if it may choose.
    pub fn of(index: &Index, settings: &MetricsSettings) -> Self {
        let details = match settings.detail {
            MetricsDetail::Auto => &[Detail::Full, Detail::Basic, Detail::State][..],
            MetricsDetail::Full => &[Detail::Full],
            MetricsDetail::Basic => &[Detail::Basic],
            MetricsDetail::State => &[Detail::State],
        };
        let max = u64::from(settings.max_series);
        let counted = details.iter().map(|detail| Self::at(index, *detail, settings));
        let mut last = None;
        for exposure in counted {
            if exposure.series <= max && exposure.apart == index.targets.iter().flatten().count() {
                return exposure;
            }
            last = Some(exposure);
        }
        last.unwrap_or_else(|| Self::at(index, Detail::State, settings))
    }

    fn at(index: &Index, detail: Detail, settings: &MetricsSettings) -> Self {
        let Census { fixed, folded } = Census::of(index, detail, settings.threads);
        let targets = || index.targets.iter().flatten();
        let cost = |algorithm, edges| {
            folded.iter().map(|spec| of_owner(spec, algorithm, edges, detail)).sum::<u64>()
        };
        let whole: u64 = fixed + targets().map(|entry| cost(entry.algorithm, entry.edges.len())).sum::<u64>();
        let max = u64::from(settings.max_series);
        if whole <= max {
            return Self { detail, series: whole, apart: targets().count(), room: max - whole };
        }
        // One more for each set, that stands for those which are not told apart.
        let others: u64 = index.sets.iter().flatten().filter_map(|set| Some(cost(set.algorithm?, 1))).sum();
        let (mut series, mut apart) = (fixed + others, 0);
        for entry in targets() {
            let next = series + cost(entry.algorithm, entry.edges.len());
            if next > max {
                break;
            }
            (series, apart) = (next, apart + 1);
        }
        Self { detail, series, apart, room: max.saturating_sub(series) }
    }
}

/// The series of one configuration.
struct Census {
    /// Those that are always exposed.
    fixed: u64,
    /// The families of destinations that may be folded.
    folded: Vec<&'static Spec>,
}

impl Census {
    fn of(index: &Index, detail: Detail, threads: u16) -> Self {
        let (mut fixed, mut folded) = (0, Vec::new());
        let sets = || index.sets.iter().flatten();
        for spec in TABLE.iter().filter(|spec| least(spec) <= detail) {
            let by_algorithm = |algorithm| of_owner(spec, algorithm, 0, detail);
            fixed += match spec.scope {
                Scope::Process if spec.family == F::RuntimeBusy => u64::from(threads),
                Scope::Process => by_algorithm(Algorithm::RoundRobin),
                Scope::Listener => wide(index.listeners.len()) * by_algorithm(Algorithm::RoundRobin),
                Scope::Set if spec.family == F::FailoverEdges => {
                    folded.push(spec);
                    0
                }
                Scope::Set => sets().filter_map(|set| Some(by_algorithm(set.algorithm?))).sum(),
                Scope::SetOrNone => (wide(sets().count()) + 1) * by_algorithm(Algorithm::RoundRobin),
                Scope::Destination if foldable(spec).is_some() => {
                    folded.push(spec);
                    0
                }
                Scope::Destination => {
                    wide(index.targets.iter().flatten().count()) * by_algorithm(Algorithm::RoundRobin)
                }
            };
        }
        Self { fixed, folded }
    }
}

/// How many series an owner has of a family from the start, and one label set more if others may come.
fn of_owner(spec: &Spec, algorithm: Algorithm, edges: usize, detail: Detail) -> u64 {
    let label_sets = match spec.source {
        _ if spec.family == F::FailoverEdges => wide(edges),
        // What is described by its labels is one series.
        Source::State if spec.name.ends_with("_info") => 1,
        Source::State => wide(spec.combinations()),
        Source::Event => {
            wide(expected(spec, Some(algorithm), detail)) + u64::from(has_unexpected(spec, detail))
        }
    };
    let lines = match spec.kind {
        Kind::Counter | Kind::Gauge => 1,
        // One for what lies above, the sum and the count.
        Kind::Histogram(bounds) => wide(bounds.len()) + 3,
    };
    label_sets * lines
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
