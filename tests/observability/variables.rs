//! Variables in expressions, put in as Grafana does for Prometheus.

use std::collections::BTreeMap;
use std::time::Duration;

/// What a variable is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selected {
    /// *All*, by its own value, which goes in as it is.
    All(String),
    /// These values of a variable that may have several.
    Values(Vec<String>),
}

/// The values of all variables, and the times that a query is made with.
#[derive(Debug, Clone)]
pub struct Variables {
    /// By name.
    pub selected: BTreeMap<String, Selected>,
    /// The step of the query.
    pub interval: Duration,
    /// The time between two scrapes, as the data source knows it.
    pub scrape: Duration,
    /// The time that the dashboard shows.
    pub range: Duration,
}

impl Variables {
    /// The expression with everything put in; panics on a variable that nobody knows.
    pub fn put_into(&self, expression: &str) -> String {
        let mut out = String::new();
        let mut rest = expression;
        while let Some(position) = rest.find('$') {
            let (before, from) = rest.split_at(position);
            out.push_str(before);
            let (name, after) = name_of(from);
            out.push_str(&self.value(name).unwrap_or_else(|| panic!("${name} is unknown in {expression}")));
            rest = after;
        }
        out + rest
    }

    fn value(&self, name: &str) -> Option<String> {
        let rate_interval = (self.interval + self.scrape).max(self.scrape * 4);
        Some(match name {
            "__interval" => duration(self.interval),
            "__interval_ms" => self.interval.as_millis().to_string(),
            "__rate_interval" => duration(rate_interval),
            "__range" => duration(self.range),
            "__range_s" => self.range.as_secs().to_string(),
            "__range_ms" => self.range.as_millis().to_string(),
            _ => match self.selected.get(name)? {
                Selected::All(all) => all.clone(),
                Selected::Values(values) => match values.as_slice() {
                    [value] => escaped(value),
                    values => {
                        let values: Vec<String> = values.iter().map(|value| escaped(value)).collect();
                        format!("({})", values.join("|"))
                    }
                },
            },
        })
    }
}

/// The name behind a `$`, without braces and format, and what follows.
fn name_of(text: &str) -> (&str, &str) {
    let text = text.strip_prefix('$').unwrap_or(text);
    if let Some((inside, after)) = text.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
        return (inside.split(':').next().unwrap_or(inside), after);
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at(end)
}

/// A value inside a regular expression inside a quoted string.
fn escaped(value: &str) -> String {
    value.chars().fold(String::new(), |mut out, character| {
        if character == '\\' {
            out.push_str("\\\\\\\\");
        } else if "$^*{}[]'+?.()|".contains(character) {
            out.push_str("\\\\");
            out.push(character);
        } else {
            out.push(character);
        }
        out
    })
}

fn duration(time: Duration) -> String {
    match time.as_millis() {
        millis if millis % 1_000 == 0 => format!("{}s", millis / 1_000),
        millis => format!("{millis}ms"),
    }
}

#[test]
fn variables_go_in_as_in_grafana() {
    let values = |values: &[&str]| Selected::Values(values.iter().map(|v| (*v).to_owned()).collect());
    let selected = [
        ("job", Selected::All(".+".into())),
        ("set", values(&["pbx"])),
        ("destination", values(&["a.b:5060", "c"])),
    ];
    let selected = selected.map(|(name, selected)| (name.to_owned(), selected)).into();
    let second = Duration::from_secs(1);
    let variables = Variables { selected, interval: second, scrape: second / 2, range: second * 90 };
    let put = |text: &str| variables.put_into(text);
    assert_eq!(put(r#"up{job=~"$job"}[$__rate_interval]"#), r#"up{job=~".+"}[2s]"#);
    assert_eq!(put(r#"{set=~"$set|", d=~"${destination:regex}"}"#), r#"{set=~"pbx|", d=~"(a\\.b:5060|c)"}"#);
    assert_eq!(put("$__interval ${__range} $__range_s"), "1s 90s 90");
    let slow = Variables { interval: second * 30, ..variables.clone() };
    assert_eq!(slow.put_into("$__rate_interval"), "30500ms");
}
