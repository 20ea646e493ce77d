//! The table of metric families: name, type, labels with their values, help, buckets.
//!
//! The one place that declares a metric; its children hold the rows, one file for each group.
//! `metrics` counts what the rows marked [`Source::Event`] declare, `state` fills those marked
//! [`Source::State`], and `docs/metrics.md` is printed from it.

mod buckets;
mod family;

macro_rules! kind {
    (counter) => {
        Kind::Counter
    };
    (gauge) => {
        Kind::Gauge
    };
    (histogram $bounds:ident) => {
        Kind::Histogram(buckets::$bounds)
    };
}
macro_rules! values {
    ($words:ident) => { Values::Closed(crate::telemetry::values::$words) };
    ($text:literal) => { Values::Configured($text) };
    ([$($word:literal)+]) => { Values::Closed(&[$($word),+]) };
}

/// Declares rows: family, type, name, whose it is, where it comes from, labels; help, when it
/// changes; what Kamailio, and what Envoy or HAProxy call it.
macro_rules! rows {
    ($($id:ident = $kind:ident $($bounds:ident)? $name:literal $scope:ident $source:ident
        [$($label:ident: $values:tt),*] $help:literal, $when:literal, $kamailio:literal, $others:literal;)+) => {
        use super::*;

        /// The rows of this group.
        pub const ROWS: &[Spec] = &[$(Spec {
            family: Family::$id,
            name: $name,
            prefixed: concat!("sipwarden_", $name),
            kind: kind!($kind $($bounds)?),
            scope: Scope::$scope,
            source: Source::$source,
            labels: &[$(Label { name: stringify!($label), values: values!($values) }),*],
            help: $help,
            when: $when,
            kamailio: $kamailio,
            others: $others,
        }),+];
    };
}

mod calls;
mod destinations;
mod probes;
mod process;
mod requests;
mod runtime;
mod selection;
mod sets;
mod transport;

pub use family::Family;

/// The rows of each group under its heading, in the order of the table.
pub const GROUPS: &[(&str, &[Spec])] = &[
    ("Destinations", destinations::ROWS),
    ("Sets", sets::ROWS),
    ("Probes", probes::ROWS),
    ("Selection and failover", selection::ROWS),
    ("Requests and responses", requests::ROWS),
    ("Calls (RFC 6076)", calls::ROWS),
    ("Messages and transport", transport::ROWS),
    ("Configuration and process", process::ROWS),
    ("Runtime and telemetry", runtime::ROWS),
];

/// The groups whose series may be folded when there are too many.
const FOLDABLE_GROUPS: [&[Spec]; 3] = [selection::ROWS, requests::ROWS, calls::ROWS];

/// The names of the families whose series may be folded.
#[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
pub const FOLDABLE: &[&str] = &{
    let mut names = [""; count_foldable()];
    let (mut count, mut group) = (0, 0);
    while group < FOLDABLE_GROUPS.len() {
        let mut row = 0;
        while row < FOLDABLE_GROUPS[group].len() {
            if FOLDABLE_GROUPS[group][row].is_foldable() {
                names[count] = FOLDABLE_GROUPS[group][row].prefixed;
                count += 1;
            }
            row += 1;
        }
        group += 1;
    }
    names
};

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
const fn count_foldable() -> usize {
    let (mut count, mut group) = (0, 0);
    while group < FOLDABLE_GROUPS.len() {
        let mut row = 0;
        while row < FOLDABLE_GROUPS[group].len() {
            count += FOLDABLE_GROUPS[group][row].is_foldable() as usize;
            row += 1;
        }
        group += 1;
    }
    count
}

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Says what is.
    Gauge,
    /// Counts observations up to each of these bounds.
    Histogram(&'static [f64]),
}

impl Kind {
    /// Its word in an exposition.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// Whose series a family holds; decides its first labels and when its series appear and vanish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The process.
    Process,
    /// Each listener: label `listener`.
    Listener,
    /// Each configured set: label `set`.
    Set,
    /// Each configured set, and `set=""` for requests that belong to none.
    SetOrNone,
    /// Each configured destination: labels `set` and `destination`.
    Destination,
}

impl Scope {
    /// The labels that name the owner.
    pub const fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Process => &[],
            Self::Listener => &["listener"],
            Self::Set | Self::SetOrNone => &["set"],
            Self::Destination => &["set", "destination"],
        }
    }
}

/// Where the values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Pushed by events.
    Event,
    /// Built at scrape.
    State,
}

/// The values of a label.
#[derive(Debug, Clone, Copy)]
pub enum Values {
    /// One of these words.
    Closed(&'static [&'static str]),
    /// Taken from the configuration or the build, as described.
    Configured(&'static str),
}

impl Values {
    /// How many there are; 0 if they are not closed.
    pub const fn len(self) -> usize {
        match self {
            Self::Closed(words) => words.len(),
            Self::Configured(_) => 0,
        }
    }
}

/// One label.
#[derive(Debug, Clone, Copy)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its values.
    pub values: Values,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Which family it is.
    pub family: Family,
    /// Its name without prefix.
    pub name: &'static str,
    /// The same with the prefix, which `process_*` go without.
    prefixed: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Whose it is.
    pub scope: Scope,
    /// Where its values come from.
    pub source: Source,
    /// Its labels beyond those of the scope.
    pub labels: &'static [Label],
    /// Its help text.
    pub help: &'static str,
    /// When it changes.
    pub when: &'static str,
    /// What says the same in Kamailio; `-` for nothing.
    pub kamailio: &'static str,
    /// What says the same in Envoy or HAProxy; `-` for nothing.
    pub others: &'static str,
}

impl Spec {
    /// The name as exposed.
    pub fn full_name(&self) -> &'static str {
        if self.name.starts_with("process_") { self.name } else { self.prefixed }
    }

    /// The base unit that ends the name, if one does.
    pub fn unit(&self) -> Option<&'static str> {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        let last = name.rsplit('_').next()?;
        ["seconds", "bytes", "ratio"].into_iter().find(|unit| *unit == last)
    }

    /// Whether it counts events of destinations, sets or listeners, of which there may be too many.
    const fn is_foldable(&self) -> bool {
        matches!(self.source, Source::Event) && !matches!(self.scope, Scope::Process)
    }

    /// How many label sets the closed labels make; 0 if one of them is not closed.
    pub const fn combinations(&self) -> usize {
        let mut product = 1;
        let mut rest = self.labels;
        while let [label, tail @ ..] = rest {
            product *= label.values.len();
            rest = tail;
        }
        product
    }

    /// How many numbers one label set takes: a counter one, a histogram one for each bucket, one
    /// for what lies above and one for the sum.
    pub const fn width(&self) -> usize {
        match self.kind {
            Kind::Counter | Kind::Gauge => 1,
            Kind::Histogram(bounds) => bounds.len() + 2,
        }
    }
}

impl Family {
    /// The family's row.
    pub fn spec(self) -> &'static Spec {
        TABLE.get(self as usize).expect("the table has a row for each family")
    }
}

const ROWS: [Spec; Family::ALL.len()] = assemble();

/// The families, at the position of their [`Family`].
pub const TABLE: &[Spec] = &ROWS;

/// Puts each row to its place; does not compile unless every family has one row.
#[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
const fn assemble() -> [Spec; Family::ALL.len()] {
    let mut table = [GROUPS[0].1[0]; Family::ALL.len()];
    let mut rows = 0;
    let mut group = 0;
    while group < GROUPS.len() {
        let mut row = 0;
        while row < GROUPS[group].1.len() {
            let spec = GROUPS[group].1[row];
            assert!(spec.family as usize == rows, "the rows stand in the order of the families");
            table[rows] = spec;
            rows += 1;
            row += 1;
        }
        group += 1;
    }
    assert!(rows == table.len(), "every family has a row");
    table
}

/// How many numbers the families of a scope need, and at which each begins.
#[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
const LAYOUT: ([usize; TABLE.len()], [usize; 4]) = {
    let mut offsets = [0; TABLE.len()];
    let mut ends = [0; 4];
    let mut index = 0;
    while index < TABLE.len() {
        let spec = &TABLE[index];
        let block = block_of(spec.scope) as usize;
        offsets[index] = ends[block];
        if matches!(spec.source, Source::Event) {
            ends[block] += spec.combinations() * spec.width();
        }
        index += 1;
    }
    (offsets, ends)
};

/// The blocks of numbers: one for the process, one for each listener, set and destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// The process's.
    Process,
    /// A listener's.
    Listener,
    /// A set's, or that of requests without a set.
    Set,
    /// A destination's.
    Destination,
}

/// The block that holds the numbers of a scope.
pub const fn block_of(scope: Scope) -> BlockKind {
    match scope {
        Scope::Process => BlockKind::Process,
        Scope::Listener => BlockKind::Listener,
        Scope::Set | Scope::SetOrNone => BlockKind::Set,
        Scope::Destination => BlockKind::Destination,
    }
}

/// The length of a block.
pub fn block_len(kind: BlockKind) -> usize {
    LAYOUT.1.get(kind as usize).copied().unwrap_or(0)
}

/// Where a family begins in its block.
pub fn offset(family: Family) -> usize {
    LAYOUT.0.get(family as usize).copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_follow_the_conventions() {
        let names: BTreeSet<_> = TABLE.iter().map(|spec| spec.name).collect();
        assert_eq!(names.len(), TABLE.len());
        for spec in TABLE {
            let counter = matches!(spec.kind, Kind::Counter);
            assert_eq!(counter, spec.name.ends_with("_total"), "{}", spec.name);
            assert!(spec.help.ends_with('.') && !spec.when.is_empty(), "{}", spec.name);
            assert!(spec.labels.len() <= 4, "{}", spec.name);
        }
    }

    #[test]
    fn bounds_ascend() {
        for spec in TABLE {
            if let Kind::Histogram(bounds) = spec.kind {
                assert!(bounds.is_sorted() && !bounds.is_empty(), "{}", spec.name);
            }
        }
    }
}
