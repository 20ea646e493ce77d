//! Reads OpenMetrics 1.0 as strictly as its text says, and fails on anything else.

use std::collections::{BTreeMap, BTreeSet};

/// One sample of a family.
#[derive(Debug, Clone)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
    pub exemplar: Option<Exemplar>,
}

#[derive(Debug, Clone)]
pub struct Exemplar {
    pub labels: BTreeMap<String, String>,
    pub value: f64,
    pub at: f64,
}

/// One family.
#[derive(Debug, Default)]
pub struct Family {
    pub kind: String,
    pub unit: String,
    pub help: String,
    pub samples: Vec<Sample>,
}

/// The families by name.
pub fn parse(text: &str) -> BTreeMap<String, Family> {
    let body = text.strip_suffix("# EOF\n").expect("the last line is # EOF");
    assert!(
        !body.contains("# EOF") && !body.contains("\n\n") && !body.contains('\r'),
        "one end, no empty line"
    );
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in body.lines() {
        if let Some(head) = line.strip_prefix("# ") {
            let (word, rest) = head.split_once(' ').expect("a word");
            let (name, rest) = rest.split_once(' ').expect("a name");
            if name != current {
                assert!(!families.contains_key(name), "{name} begins twice");
                name.clone_into(&mut current);
            }
            let family = families.entry(current.clone()).or_default();
            assert!(family.samples.is_empty(), "{line} after samples");
            let place = match word {
                "TYPE" => &mut family.kind,
                "UNIT" => &mut family.unit,
                "HELP" => &mut family.help,
                _ => panic!("{line}"),
            };
            assert!(place.is_empty() && !rest.is_empty(), "{line}");
            rest.clone_into(place);
        } else {
            let family = families.get_mut(&current).unwrap_or_else(|| panic!("no family before {line}"));
            family.samples.push(sample(line));
        }
    }
    families.iter().for_each(|(name, family)| check(name, family));
    let mut seen = BTreeSet::new();
    for sample in families.values().flat_map(|family| &family.samples) {
        assert!(seen.insert((&sample.name, &sample.labels)), "{sample:?} twice");
    }
    families
}

fn check(name: &str, family: &Family) {
    assert!(matches!(&*family.kind, "counter" | "gauge" | "histogram"), "{name} is a {}", family.kind);
    assert!(
        family.unit.is_empty() || name.ends_with(&format!("_{}", family.unit)),
        "{name} in {}",
        family.unit
    );
    assert!(!family.help.is_empty() && !name.ends_with("_total"), "{name}");
    let is_name = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    for sample in &family.samples {
        let suffix = sample.name.strip_prefix(name).unwrap_or_else(|| panic!("{} under {name}", sample.name));
        let fits = match &*family.kind {
            "counter" => suffix == "_total",
            "gauge" => suffix.is_empty(),
            _ => matches!(suffix, "_bucket" | "_sum" | "_count"),
        };
        assert!(fits && sample.labels.keys().all(|label| is_name(label)), "{sample:?}");
        assert_eq!(sample.labels.contains_key("le"), suffix == "_bucket", "{sample:?}");
        if family.kind != "gauge" {
            assert!(sample.value >= 0.0, "{sample:?}");
        }
        if let Some(exemplar) = &sample.exemplar {
            assert!(matches!(suffix, "_bucket" | "_total"), "{sample:?}");
            let length: usize = exemplar.labels.iter().map(|(name, value)| name.len() + value.len()).sum();
            assert!(length <= 128 && exemplar.at > 1e9, "{sample:?}");
        }
    }
    if family.kind == "histogram" {
        histograms(name, family);
    }
}

/// Buckets ascend to +Inf and count up to `_count`; an exemplar lies in its bucket.
fn histograms(name: &str, family: &Family) {
    let mut rest = family.samples.as_slice();
    while !rest.is_empty() {
        let end = rest.iter().position(|sample| sample.name.ends_with("_count")).expect("a count") + 1;
        let (one, behind) = rest.split_at(end);
        rest = behind;
        let (mut bound, mut count) = (f64::NEG_INFINITY, 0.0);
        for bucket in one.iter().filter(|sample| sample.name.ends_with("_bucket")) {
            let le = &bucket.labels["le"];
            let next: f64 = if le == "+Inf" { f64::INFINITY } else { le.parse().expect("a number") };
            assert!(next > bound && bucket.value >= count, "{name}: {bucket:?}");
            assert!(le.contains(['.', 'e']) || le == "+Inf", "{name}: {le} is not canonical");
            if let Some(exemplar) = &bucket.exemplar {
                assert!(exemplar.value <= next && exemplar.value > bound, "{name}: {bucket:?}");
            }
            (bound, count) = (next, bucket.value);
        }
        assert!(bound.is_infinite(), "{name}: no bucket +Inf");
        let [.., sum, total] = one else { panic!("{name}: {one:?}") };
        assert!(sum.name.ends_with("_sum") && (total.value - count).abs() < 0.5, "{name}: {total:?}");
    }
}

fn sample(line: &str) -> Sample {
    let name_end = line.find(['{', ' ']).unwrap_or_else(|| panic!("{line}"));
    let (name, rest) = line.split_at(name_end);
    let (labels, rest) = labels(rest);
    let rest = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line}"));
    let (value, exemplar) = match rest.split_once(" # ") {
        Some((value, exemplar)) => {
            let (labels, rest) = self::labels(exemplar);
            let mut numbers = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line}")).split(' ');
            let mut number =
                || numbers.next().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{line}"));
            let exemplar = Exemplar { labels, value: number(), at: number() };
            assert_eq!(numbers.next(), None, "{line}");
            (value, Some(exemplar))
        }
        None => (rest, None),
    };
    let value = match value {
        "NaN" => f64::NAN,
        "+Inf" => f64::INFINITY,
        _ => value.parse().unwrap_or_else(|_| panic!("{line}")),
    };
    Sample { name: name.to_owned(), labels, value, exemplar }
}

/// Reads `{name="value",…}`, if it begins so, and gives what follows.
fn labels(text: &str) -> (BTreeMap<String, String>, &str) {
    let mut labels = BTreeMap::new();
    let Some(mut rest) = text.strip_prefix('{') else { return (labels, text) };
    loop {
        let (name, quoted) = rest.split_once("=\"").unwrap_or_else(|| panic!("{text}"));
        let mut value = String::new();
        let mut chars = quoted.chars();
        loop {
            match chars.next().unwrap_or_else(|| panic!("{text}")) {
                '"' => break,
                '\\' => value.push(match chars.next() {
                    Some('n') => '\n',
                    Some(escaped @ ('"' | '\\')) => escaped,
                    other => panic!("\\{other:?} in {text}"),
                }),
                plain => value.push(plain),
            }
        }
        assert_eq!(labels.insert(name.to_owned(), value), None, "{name} twice in {text}");
        rest = chars.as_str();
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return (labels, rest.strip_prefix('}').unwrap_or_else(|| panic!("{text}"))),
        }
    }
}
