//! Ways to break a rule, made from its text: every comparison, number, range, matcher, label of a
//! clause, operator and operand, and whatever stands beside the expression.

#![expect(
    clippy::indexing_slicing,
    reason = "positions are those of tokens just found; a test fails by panicking"
)]

use super::rules::{Rule, text};
use serde_yaml::Value;

/// A rule broken in one place.
#[derive(Debug, Clone)]
pub struct Mutant {
    /// What was done to it.
    pub what: String,
    /// The rule as it is then.
    pub body: Value,
}

/// All ways to break a rule.
pub fn of(rule: &Rule) -> Vec<Mutant> {
    let expr = rule.expr();
    let mut found: Vec<_> = expressions(expr)
        .into_iter()
        .map(|(what, broken)| Mutant { what, body: with(&rule.body, &["expr"], broken) })
        .collect();
    if !rule.is_alert() {
        let body = with(&rule.body, &["record"], "another:name".to_owned());
        found.push(Mutant { what: "another name".to_owned(), body });
    }
    if let wait @ 1.. = seconds(text(&rule.body, &["for"])) {
        for (what, length) in [("for twice as long", 2 * wait), ("for no time", 0)] {
            let body = with(&rule.body, &["for"], format!("{length}s"));
            found.push(Mutant { what: what.to_owned(), body });
        }
    }
    for section in ["labels", "annotations"] {
        let keys = rule.body.get(section).and_then(Value::as_mapping).into_iter().flatten();
        for key in keys.filter_map(|(key, _)| key.as_str()) {
            let body = with(&rule.body, &[section, key], "other".to_owned());
            found.push(Mutant { what: format!("another {key}"), body });
        }
    }
    found
}

fn with(body: &Value, path: &[&str], new: String) -> Value {
    let mut body = body.clone();
    let place = path.iter().try_fold(&mut body, |value, key| value.get_mut(key)).expect("the key is there");
    *place = Value::String(new);
    body
}

/// A duration such as `5m`, in seconds; 0 if it is none.
fn seconds(text: &str) -> u64 {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..) {
        Some("s") => 1,
        Some("m") => 60,
        Some("h") => 3_600,
        Some("d") => 86_400,
        _ => 0,
    };
    digits.parse::<u64>().unwrap_or(0) * unit
}

/// A piece of an expression: where it begins, and how deep in parentheses it is.
#[derive(Debug, Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    start: usize,
    depth: usize,
    in_braces: bool,
}

impl Token<'_> {
    fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

/// Words, numbers, strings, ranges and operators; the blanks are left out.
fn tokens(expr: &str) -> Vec<Token<'_>> {
    let (mut found, mut at, mut depth, mut in_braces) = (Vec::new(), 0, 0_usize, false);
    while let Some(rest) = expr.get(at..).filter(|rest| !rest.is_empty()) {
        let length = match rest.as_bytes()[0] {
            b' ' | b'\n' => {
                at += 1;
                continue;
            }
            b'"' => rest[1..].find('"').expect("a string ends") + 2,
            b'[' => rest.find(']').expect("a range ends") + 1,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'0'..=b'9' => {
                rest.find(|c: char| !c.is_ascii_alphanumeric() && !"_:.".contains(c)).unwrap_or(rest.len())
            }
            _ if ["==", "!=", "<=", ">=", "=~", "!~"].iter().any(|op| rest.starts_with(op)) => 2,
            _ => 1,
        };
        let text = &rest[..length];
        in_braces = (in_braces || text == "{") && text != "}";
        depth -= usize::from(text == ")");
        found.push(Token { text, start: at, depth, in_braces });
        depth += usize::from(text == "(");
        at += length;
    }
    found
}

/// The expression with what lies between two bytes replaced.
fn replace(expr: &str, start: usize, end: usize, new: &str) -> String {
    format!("{}{new}{}", &expr[..start], &expr[end..])
}

fn expressions(expr: &str) -> Vec<(String, String)> {
    let tokens = tokens(expr);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let after = tokens.get(at + 1).map_or("", |token| token.text);
        let number = tokens[..=at].iter().filter(|other| other.text == token.text).count();
        let news = if token.in_braces { matcher(token) } else { plain(token, after) };
        for new in news {
            let what = format!("{} (no. {number}) → {new}", token.text);
            found.push((what, replace(expr, token.start, token.end(), &new)));
        }
        for (start, end, what) in cuts(expr, &tokens, at) {
            found.push((
                format!("without {what} at {} (no. {number})", token.text),
                replace(expr, start, end, ""),
            ));
        }
    }
    found
}

/// What may stand for a token outside of braces.
fn plain(token: &Token<'_>, after: &str) -> Vec<String> {
    let new = match token.text {
        "==" => vec!["!="],
        "!=" => vec!["=="],
        ">" if after == "0" => vec!["<", ">="],
        ">" => vec!["<"],
        "<=" => vec![">", "<"],
        "/" => vec!["*"],
        "*" => vec!["/"],
        "-" => vec!["+"],
        "+" => vec!["-"],
        "sum" => vec!["max"],
        "max" => vec!["min"],
        "count" => vec!["sum"],
        "and" => vec!["unless"],
        "unless" => vec!["and"],
        "0" => vec!["2"],
        number if number.parse::<f64>().is_ok() => {
            let number: f64 = number.parse().unwrap_or_default();
            return vec![(number * 2.0).to_string(), (number / 2.0).to_string()];
        }
        range if range.starts_with('[') => {
            let length = seconds(range.trim_matches(['[', ']']));
            return vec![format!("[{}s]", 2 * length), format!("[{}s]", length / 2)];
        }
        _ => vec![],
    };
    new.into_iter().map(str::to_owned).collect()
}

/// What may stand for an operator or a value in braces.
fn matcher(token: &Token<'_>) -> Vec<String> {
    match token.text {
        "=" => vec!["!=".to_owned()],
        "!=" => vec!["=".to_owned()],
        "=~" => vec!["!~".to_owned()],
        "!~" => vec!["=~".to_owned()],
        value if value.contains('|') => {
            let words: Vec<_> = value.trim_matches('"').split('|').collect();
            let without = |left_out: usize| {
                let rest = words.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, word)| *word);
                format!("\"{}\"", rest.collect::<Vec<_>>().join("|"))
            };
            (0..words.len()).map(without).collect()
        }
        _ => vec![],
    }
}

/// What can be cut out at a token: a matcher, a label of a clause, an operand.
fn cuts(expr: &str, tokens: &[Token<'_>], at: usize) -> Vec<(usize, usize, String)> {
    let token = &tokens[at];
    let after = |offset: usize| tokens.get(at + offset).map_or("", |token| token.text);
    if token.in_braces && ["=", "!=", "=~", "!~"].contains(&after(1)) {
        let comma = usize::from(after(3) == ",");
        let end = tokens[at + 2 + comma].end();
        return vec![(token.start, end, expr[token.start..end].to_owned())];
    }
    match token.text {
        "by" | "on" if after(1) == "(" && after(3) == "," => labels(expr, tokens, at + 2),
        "and" | "unless" | "or" => operands(expr, tokens, at),
        _ => vec![],
    }
}

fn labels(expr: &str, tokens: &[Token<'_>], first: usize) -> Vec<(usize, usize, String)> {
    let inside = tokens[first..].iter().take_while(|token| token.text != ")").count();
    let cut = |place: usize| {
        let (start, end) = if place == first {
            (tokens[place].start, tokens[place + 1].end())
        } else {
            (tokens[place - 1].start, tokens[place].end())
        };
        (start, end, expr[start..end].to_owned())
    };
    (first..first + inside).step_by(2).map(cut).collect()
}

/// Either side of a set operator; what `unless` takes from cannot be left out.
fn operands(expr: &str, tokens: &[Token<'_>], at: usize) -> Vec<(usize, usize, String)> {
    let op = &tokens[at];
    let opening = tokens[..at].iter().rposition(|token| token.text == "(" && token.depth + 1 == op.depth);
    let left = opening.map_or(0, |opening| tokens[opening].end());
    let mut operand = at + 1;
    if tokens[operand].text == "on" {
        operand += 2 + tokens[operand + 2..].iter().take_while(|token| token.text != ")").count() + 1;
    }
    let inner = tokens[operand..].iter().take_while(|token| token.depth > op.depth || token.text == "(");
    let mut last = operand + inner.count();
    if tokens[operand].text != "(" {
        last = operand;
    }
    let right = tokens.get(last).unwrap_or(&tokens[tokens.len() - 1]).end();
    let mut found = vec![(op.start, right, expr[op.start..right].to_owned())];
    if op.text != "unless" {
        let end = tokens[operand].start;
        found.push((left, end, expr[left..end].to_owned()));
    }
    found
}

#[test]
fn finds_every_way_to_break_an_expression() {
    let expr = r#"(a{x="1", y=~"u|v"} > 0) and on (job, set) (sum by (set) (rate(b[5m])) / 4 > 0.5)"#;
    let broken: Vec<_> = expressions(expr).into_iter().map(|(_, broken)| broken).collect();
    for wanted in [
        r#"(a{ y=~"u|v"} > 0) and on (job, set) (sum by (set) (rate(b[5m])) / 4 > 0.5)"#,
        r#"(a{x="1", } > 0) and on (job, set) (sum by (set) (rate(b[5m])) / 4 > 0.5)"#,
        r#"(a{x="1", y=~"v"} > 0) and on (job, set) (sum by (set) (rate(b[5m])) / 4 > 0.5)"#,
        r#"(a{x="1", y=~"u|v"} >= 0) and on (job, set) (sum by (set) (rate(b[5m])) / 4 > 0.5)"#,
        r#"(a{x="1", y=~"u|v"} > 0) "#,
        r#"(sum by (set) (rate(b[5m])) / 4 > 0.5)"#,
        r#"(a{x="1", y=~"u|v"} > 0) and on (job) (sum by (set) (rate(b[5m])) / 4 > 0.5)"#,
        r#"(a{x="1", y=~"u|v"} > 0) and on (job, set) (sum by (set) (rate(b[150s])) / 4 > 0.5)"#,
        r#"(a{x="1", y=~"u|v"} > 0) and on (job, set) (sum by (set) (rate(b[5m])) / 8 > 0.5)"#,
        r#"(a{x="1", y=~"u|v"} > 0) and on (job, set) (sum by (set) (rate(b[5m])) / 4 > 0.25)"#,
    ] {
        assert!(broken.iter().any(|broken| broken == wanted), "{wanted} is not among {broken:#?}");
    }
    assert!(broken.iter().all(|broken| broken != expr));
}
