//! What a query may say: series that exist, labels that they have, values that these take.

use super::known::Known;
use super::promql::{Selector, selectors};
use std::collections::BTreeSet;

/// What is wrong with a query; nothing, if it is well.
pub fn faults(known: &Known, query: &str) -> Vec<String> {
    let found = match selectors(query) {
        Ok(found) => found,
        Err(error) => return vec![error],
    };
    let mut faults = Vec::new();
    let mut all = BTreeSet::from(["le".to_owned(), "config_hash".to_owned()]);
    for selector in &found {
        let Some(labels) = known.labels(&selector.metric) else {
            faults.push(format!("{} is not in docs/metrics.md", selector.metric));
            continue;
        };
        for matcher in &selector.matchers {
            if !labels.contains(&matcher.label) {
                faults.push(format!("{} has no label {}", selector.metric, matcher.label));
            }
            faults.extend(unknown_value(known, selector, &matcher.label, &matcher.op, &matcher.value));
        }
        all.extend(labels);
        // A counter's value is an accident of the last restart; a bare state counts all states.
        if selector.range.is_none() && selector.is_counter() {
            faults.push(format!("{} outside rate or increase", selector.metric));
        }
        let is_narrowed = selector.on("state").is_some() || selector.rest.starts_with("== 1");
        if !is_narrowed && selector.metric.ends_with("_state") {
            faults.push(format!("{} of any state", selector.metric));
        }
    }
    faults.extend(
        clauses(query).filter(|label| !all.contains(*label)).map(|label| format!("no series has {label}")),
    );
    faults
}

/// A value that a closed label never takes; of a regular expression each alternative that is a word.
fn unknown_value(known: &Known, selector: &Selector, label: &str, op: &str, value: &str) -> Option<String> {
    let taken = known.values(&selector.metric, label)?;
    let is_word =
        |word: &&str| word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !word.is_empty();
    let alternatives: Vec<_> = if op.ends_with('~') { value.split('|').collect() } else { vec![value] };
    let unknown = alternatives.into_iter().filter(is_word).find(|word| !taken.contains(*word))?;
    Some(format!("{label} of {} is never {unknown}", selector.metric))
}

/// The labels that `by`, `on`, `without` and `ignoring` name.
fn clauses(query: &str) -> impl Iterator<Item = &str> {
    ["by (", "on (", "without (", "ignoring ("]
        .into_iter()
        .flat_map(|clause| query.split(clause).skip(1))
        .filter_map(|rest| rest.split(')').next())
        .flat_map(|list| list.split(','))
        .map(str::trim)
}

/// The labels that the first `by` of an expression leaves.
pub fn labels_left(expr: &str) -> BTreeSet<String> {
    let first = expr.split(" by (").nth(1).or_else(|| expr.split("on (").nth(1)).unwrap_or("");
    let list = first.split(')').next().unwrap_or("");
    list.split(',')
        .map(|label| label.trim().to_owned())
        .filter(|label| !label.is_empty() && label != "le")
        .collect()
}

#[test]
fn finds_what_does_not_exist() {
    let known = Known::load();
    let good = r#"sum by (job, set) (rate(sipwarden_rejections_total{reason="all_full"}[5m])) > 0"#;
    assert_eq!(faults(&known, good), [""; 0]);
    for (from, to) in [
        ("rejections_total", "refusals_total"),
        ("{reason", "{cause"),
        ("all_full", "full"),
        ("(job, set)", "(job, sets)"),
        ("rate(sipwarden_rejections_total{reason=\"all_full\"}[5m])", "sipwarden_rejections_total"),
        ("> 0", "> 0 and (sipwarden_destination_state"),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good);
        assert!(!faults(&known, &bad).is_empty(), "{bad}");
    }
}
