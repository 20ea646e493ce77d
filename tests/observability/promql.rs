//! Just enough PromQL to lint expressions: the selectors in one, each with what surrounds it.

/// `label op "value"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher {
    pub label: String,
    pub op: String,
    pub value: String,
}

/// One vector selector.
#[derive(Debug, Clone, Default)]
pub struct Selector {
    pub metric: String,
    pub matchers: Vec<Matcher>,
    /// What stands in `[…]` after it.
    pub range: Option<String>,
    /// The functions and aggregations around it, outermost first.
    pub functions: Vec<String>,
    /// The rest of the expression after it.
    pub rest: String,
}

impl Selector {
    /// The matcher on a label.
    pub fn on(&self, label: &str) -> Option<&Matcher> {
        self.matchers.iter().find(|matcher| matcher.label == label)
    }

    /// The family's name: a histogram's series carry a suffix that the family does not.
    pub fn family(&self) -> &str {
        ["_bucket", "_count", "_sum"]
            .iter()
            .find_map(|suffix| self.metric.strip_suffix(suffix))
            .unwrap_or(&self.metric)
    }

    /// Whether the series only ever grows, so that its value says nothing by itself.
    pub fn is_counter(&self) -> bool {
        self.metric.ends_with("_total") || self.family() != self.metric
    }
}

const OPERATORS: [&str; 9] = ["and", "or", "unless", "bool", "offset", "atan2", "inf", "nan", "start"];
const CLAUSES: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// The selectors of an expression, in order.
pub fn selectors(expr: &str) -> Result<Vec<Selector>, String> {
    let mut reader = Reader { rest: expr, functions: Vec::new(), found: Vec::new() };
    while reader.step()? {}
    if reader.functions.is_empty() {
        Ok(reader.found)
    } else {
        Err(format!("a parenthesis is not closed in {expr}"))
    }
}

struct Reader<'a> {
    rest: &'a str,
    functions: Vec<String>,
    found: Vec<Selector>,
}

impl<'a> Reader<'a> {
    fn step(&mut self) -> Result<bool, String> {
        self.rest = self.rest.trim_start();
        let Some(first) = self.rest.chars().next() else { return Ok(false) };
        match first {
            'a'..='z' | 'A'..='Z' | '_' | ':' => self.word()?,
            // A number or a duration: its letters are no name.
            '0'..='9' => _ = self.take_while(|c| c.is_ascii_alphanumeric() || c == '.'),
            '(' => {
                self.functions.push(String::new());
                self.skip(first);
            }
            ')' => {
                self.functions.pop().ok_or("a parenthesis too many")?;
                self.skip(first);
            }
            '{' => return Err(format!("a selector without a metric name: {}", self.rest)),
            '"' => _ = self.string()?,
            _ => self.skip(first),
        }
        Ok(true)
    }

    fn word(&mut self) -> Result<(), String> {
        let word = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
        let next = self.rest.trim_start().chars().next();
        if CLAUSES.contains(&word) {
            if next == Some('(') {
                self.take_while(|c| c != ')');
                self.skip(')');
            }
        } else if next == Some('(') {
            self.functions.push(word.to_owned());
            self.take_while(|c| c != '(');
            self.skip('(');
        } else if OPERATORS.contains(&word.to_ascii_lowercase().as_str()) {
        } else if let Some(name) = self.aggregation_before_clause(word) {
            self.functions.push(name);
        } else {
            self.selector(word)?;
        }
        Ok(())
    }

    /// `sum by (…) (…)`: the clause stands between the name and its parenthesis.
    fn aggregation_before_clause(&mut self, word: &str) -> Option<String> {
        let after = self.rest.trim_start();
        let clause = ["by", "without"].into_iter().find(|clause| {
            after.strip_prefix(clause).is_some_and(|rest| rest.trim_start().starts_with('('))
        })?;
        let (_, rest) = after.get(clause.len()..)?.split_once(')')?;
        self.rest = rest.trim_start().strip_prefix('(')?;
        Some(word.to_owned())
    }

    fn selector(&mut self, metric: &str) -> Result<(), String> {
        let mut selector = Selector { metric: metric.to_owned(), ..Selector::default() };
        if self.rest.starts_with('{') {
            self.skip('{');
            loop {
                self.take_while(|c| c == ',' || c.is_whitespace());
                if self.rest.starts_with('}') {
                    self.skip('}');
                    break;
                }
                let label = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_').to_owned();
                let op = self.take_while(|c| matches!(c, '=' | '!' | '~')).to_owned();
                if label.is_empty() || op.is_empty() {
                    return Err(format!("a matcher of {metric} is broken: {}", self.rest));
                }
                selector.matchers.push(Matcher { label, op, value: self.string()? });
            }
        }
        if self.rest.starts_with('[') {
            self.skip('[');
            selector.range = Some(self.take_while(|c| c != ']').to_owned());
            self.skip(']');
        }
        selector.functions.clone_from(&self.functions);
        selector.rest = self.rest.trim_start().to_owned();
        self.found.push(selector);
        Ok(())
    }

    fn string(&mut self) -> Result<String, String> {
        self.rest
            .strip_prefix('"')
            .and_then(|rest| rest.split_once('"'))
            .map(|(value, rest)| {
                self.rest = rest;
                value.to_owned()
            })
            .ok_or_else(|| format!("expected a string in double quotes: {}", self.rest))
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !keep(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn skip(&mut self, expected: char) {
        self.rest = self.rest.strip_prefix(expected).unwrap_or(self.rest);
    }
}

#[test]
fn reads_nested_selectors() {
    let found = selectors(
        r#"histogram_quantile(0.95, sum by (le, set) (rate(a_bucket{job=~"$job", x!="}"}[5m]))) > 2m unless on (set) (b == 1)"#,
    )
    .expect("it parses");
    let names: Vec<_> = found.iter().map(|s| (s.metric.as_str(), s.functions.join(" "))).collect();
    assert_eq!(names, [("a_bucket", "histogram_quantile sum rate".to_owned()), ("b", String::new())]);
    let first = found.first().expect("two were found");
    assert_eq!((first.family(), first.is_counter(), first.range.as_deref()), ("a", true, Some("5m")));
    assert_eq!(first.on("x").map(|m| (m.op.as_str(), m.value.as_str())), Some(("!=", "}")));
    assert!(found.get(1).is_some_and(|b| b.rest.starts_with("== 1")));
    assert!(selectors("sum(a").is_err());
    assert!(selectors(r#"{job="x"}"#).is_err());
}
