//! Queries in short: `{P}`, `{A}`, `{S}`, `{N}`, `{D}` for the selectors by variables, `[R]` and `[W]` for ranges.

/// The data source of every query: the variable.
pub const SOURCE: &str = "${datasource}";

/// What each letter selects: the process; alerts, of which some are about no single instance; a set; a set
/// or none; a destination.
const SELECTORS: [(char, &str); 5] = [
    ('P', r#"job=~"$job", instance=~"$instance""#),
    ('A', r#"job=~"$job", instance=~"$instance|""#),
    ('S', r#"job=~"$job", instance=~"$instance", set=~"$set""#),
    ('N', r#"job=~"$job", instance=~"$instance", set=~"$set|""#),
    ('D', r#"job=~"$job", instance=~"$instance", set=~"$set", destination=~"$destination""#),
];

/// Writes a query out, on one line. `[R]` is the range for rates, `[W]` the range that the panel shows.
pub fn expand(short: &str) -> String {
    let mut query = short.split_whitespace().collect::<Vec<_>>().join(" ");
    for (letter, selector) in SELECTORS {
        query = query
            .replace(&format!("{{{letter}}}"), &format!("{{{selector}}}"))
            .replace(&format!("{{{letter},"), &format!("{{{selector},"));
    }
    query
        .replace("[R]", "[$__rate_interval]")
        .replace("[W]", "[$__range]")
        .replace("( ", "(")
        .replace(" )", ")")
}

/// A query of what every process exposes under the same name (`up`, `process_*`), of ours only: with *All*
/// the variables alone would let everybody's through. An instance that is down has been one of ours.
pub fn ours(short: &str) -> String {
    format!("{short} and on (job, instance) last_over_time(sipwarden_build_info{{P}}[1d])")
}

/// A query for each of several words that differ in it, at the place of `WORD` and `INDEX`, joined by `or`.
pub fn each(words: &[&str], short: &str) -> String {
    let parts = words.iter().enumerate();
    let parts = parts.map(|(index, word)| short.replace("WORD", word).replace("INDEX", &index.to_string()));
    parts.collect::<Vec<_>>().join(" or ")
}

/// A percentile of a histogram's observations within the range for rates, by some labels.
pub fn quantile(percentile: &str, by: &str, selector: &str) -> String {
    let by = if by.is_empty() { "le".to_owned() } else { format!("{by}, le") };
    format!("histogram_quantile({percentile}, sum by ({by}) (rate({selector}[R])))")
}

#[test]
fn letters_and_ranges_are_written_out_on_one_line() {
    let query = expand("sum(\n  rate(a{S, b=\"c\"}[R])\n) / b{P}[W]");
    let wanted = r#"sum(rate(a{job=~"$job", instance=~"$instance", set=~"$set", b="c"}[$__rate_interval])) / b{job=~"$job", instance=~"$instance"}[$__range]"#;
    assert_eq!(query, wanted);
    assert_eq!(each(&["x", "y"], "INDEX * a{s=\"WORD\"}"), "0 * a{s=\"x\"} or 1 * a{s=\"y\"}");
}
