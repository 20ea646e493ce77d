//! One scrape of `/metrics`, and what must hold in every one.

use std::collections::{BTreeMap, BTreeSet};

/// One sample.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The name of its metric.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// The samples of one scrape.
#[derive(Debug, Clone)]
pub struct Scrape {
    samples: Vec<Sample>,
}

impl Scrape {
    /// Reads the text format 0.0.4; panics on a line that is not in it.
    pub fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let samples =
            lines.map(|line| sample(line).unwrap_or_else(|| panic!("not a sample: {line}"))).collect();
        Self { samples }
    }

    /// Every sample.
    pub fn all(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter()
    }

    /// The samples of a metric whose labels include these.
    pub fn matching<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(key, value)| sample.labels.get(*key).is_some_and(|found| found == value))
        })
    }

    /// Their sum; panics if there is none, so that a misspelt name never counts as zero.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        assert!(self.matching(name, labels).next().is_some(), "no series {name} {labels:?}");
        self.matching(name, labels).map(|sample| sample.value).sum()
    }

    /// Their sum, zero if there is none: for label values that appear with the first event.
    pub fn sum_or_zero(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|sample| sample.value).sum()
    }

    /// The sum of the values of a metric whose label differs from `value`.
    pub fn sum_without(&self, name: &str, labels: &[(&str, &str)], (key, value): (&str, &str)) -> f64 {
        let others =
            self.matching(name, labels).filter(|s| s.labels.get(key).is_none_or(|found| found != value));
        others.map(|sample| sample.value).sum()
    }

    /// Checks what must hold whenever one looks: each destination is in exactly one state, each
    /// set counts its usable destinations right, and `set_all_down` never contradicts them.
    pub fn check_invariants(&self) {
        for up in self.matching("sipwarden_destination_up", &[]) {
            let (set, id) = (label(up, "set"), label(up, "destination"));
            let place = [("set", set), ("destination", id)];
            let states = self.sum("sipwarden_destination_state", &place);
            assert!(is(states, 1.0), "{set}/{id} is in {states} states");
        }
        let sets: BTreeSet<&str> =
            self.matching("sipwarden_set_all_down", &[]).map(|sample| label(sample, "set")).collect();
        assert!(!sets.is_empty(), "no set is exposed");
        for set in sets {
            let place = [("set", set)];
            let available = self.sum("sipwarden_set_destinations_available", &place);
            let up = self.sum_or_zero("sipwarden_destination_up", &place);
            assert!(is(available, up), "{set}: {available} available but {up} up");
            let all_down = self.sum("sipwarden_set_all_down", &place);
            assert!(is(all_down, 0.0) || is(available, 0.0), "{set} is all down with {available} available");
        }
    }
}

/// Whether a value that counts things equals a number.
pub fn is(value: f64, number: f64) -> bool {
    (value - number).abs() < 0.5
}

fn label<'a>(sample: &'a Sample, key: &str) -> &'a str {
    sample.labels.get(key).unwrap_or_else(|| panic!("{} has no label {key}", sample.name))
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, rest)) = series.split_once('{') else {
        return Some(Sample { name: series.to_owned(), labels: BTreeMap::new(), value });
    };
    let mut rest = rest.strip_suffix('}')?;
    let mut labels = BTreeMap::new();
    while !rest.is_empty() {
        let (key, quoted) = rest.split_once("=\"")?;
        let (text, after) = unquote(quoted)?;
        labels.insert(key.to_owned(), text);
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    Some(Sample { name: name.to_owned(), labels, value })
}

/// Reads a label value up to its closing quote.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text.chars();
    loop {
        match rest.next()? {
            '"' => return Some((value, rest.as_str())),
            '\\' => match rest.next()? {
                'n' => value.push('\n'),
                escaped => value.push(escaped),
            },
            plain => value.push(plain),
        }
    }
}
