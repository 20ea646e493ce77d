//! Reading one value after another out of the merged tree, noting every problem instead of
//! stopping at the first. What a wrong value leaves behind is its default, never used in the end.

use super::error::{Mark, Problem};
use super::near::nearest;
use super::path::KeyPath;
use super::section::Section;
use figment::value::{Dict, Num, Value};
use std::cell::RefCell;
use std::fmt;

/// What is wrong with a configuration so far.
#[derive(Default)]
pub(super) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    pub(super) fn add(&self, problem: Problem) {
        self.0.borrow_mut().push(problem);
    }
    pub(super) fn take(&self) -> Vec<Problem> {
        std::mem::take(&mut self.0.borrow_mut())
    }
}

/// One value, where it is, and where to note what is wrong with it.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    pub(super) value: &'a Value,
    pub(super) path: KeyPath,
    pub(super) problems: &'a Problems,
}

/// What a key can hold.
pub(super) trait Field: Clone {
    /// Its type in the words of the manual.
    fn kind() -> String;
    /// Reads it; whatever is not written stays as in `base`.
    fn read(cursor: &Cursor<'_>, base: Self) -> Self;
    /// How it is written in YAML.
    fn show(&self) -> serde_yaml::Value;
}

/// A field without parts of its own.
pub(super) trait Scalar: Clone {
    /// Its type in the words of the manual, also used as what was expected.
    fn kind() -> String;
    /// Reads it, or notes the problem.
    fn parse(cursor: &Cursor<'_>) -> Option<Self>;
    /// How it is written in YAML.
    fn show(&self) -> serde_yaml::Value;
}

impl<T: Scalar> Field for T {
    fn kind() -> String {
        T::kind()
    }
    fn read(cursor: &Cursor<'_>, base: Self) -> Self {
        T::parse(cursor).unwrap_or(base)
    }
    fn show(&self) -> serde_yaml::Value {
        Scalar::show(self)
    }
}

impl<'a> Cursor<'a> {
    /// The value under a key, if it is written.
    pub(super) fn get(&self, key: &str) -> Option<Cursor<'a>> {
        let value = self.value.as_dict()?.get(key)?;
        Some(Cursor { value, path: self.path.key(key), problems: self.problems })
    }

    /// The value under a key, or under its other name; that both are written is a problem.
    pub(super) fn get_by(&self, key: &str, alias: Option<&str>) -> Option<Cursor<'a>> {
        let (named, aliased) = (self.get(key), alias.and_then(|alias| self.get(alias)));
        if let (Some(named), Some(aliased)) = (&named, &aliased) {
            let message = format!("another name of `{key}`, which is written too");
            self.problems.add(Problem::key(&aliased.path, message).other(&named.path, Mark::Key));
        }
        named.or(aliased)
    }

    /// Notes that the value is something else than expected.
    pub(super) fn expected(&self, what: impl fmt::Display) {
        self.problem(format!("expected {what}, found {}", describe(self.value)));
    }

    /// Notes a problem with the value.
    pub(super) fn problem(&self, message: impl fmt::Display) {
        self.problems.add(Problem::value(&self.path, message));
    }

    /// The text, if it is one.
    pub(super) fn text(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    /// Whether it is `null`, or a `${…}` that came out empty.
    pub(super) fn is_null(&self) -> bool {
        matches!(self.value, Value::Empty(..)) || self.text() == Some("")
    }

    /// A whole number; also in quotes, as `${…}` leaves it.
    pub(super) fn integer(&self) -> Option<i128> {
        match self.value {
            Value::Num(_, Num::F64(_) | Num::F32(_)) => None,
            Value::Num(_, number) => {
                number.to_i128().or_else(|| number.to_u128().and_then(|n| i128::try_from(n).ok()))
            }
            Value::String(_, text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// A number; also in quotes, as `${…}` leaves it.
    pub(super) fn number(&self) -> Option<f64> {
        match self.value {
            Value::Num(_, Num::F64(number)) => Some(*number),
            Value::Num(_, number) => number.to_i128().and_then(|n| i32::try_from(n).ok()).map(f64::from),
            Value::String(_, text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// A yes or no; also in quotes, as `${…}` leaves it.
    pub(super) fn boolean(&self) -> Option<bool> {
        match self.value {
            Value::Bool(_, value) => Some(*value),
            Value::String(_, text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// The items of a list, or `None` with the problem noted.
    pub(super) fn items(&self, what: impl fmt::Display) -> Option<Vec<Cursor<'a>>> {
        let Value::Array(_, items) = self.value else {
            self.expected(format!("a list of {what}, as in [a, b]"));
            return None;
        };
        let item = |(index, value)| Cursor { value, path: self.path.item(index), problems: self.problems };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// The keys of a section, all of which it knows, or `None` with the problem noted. A section
    /// whose every line is commented out is an empty one.
    pub(super) fn section(&self, section: &Section) -> Option<&'a Dict> {
        let dict = match self.value {
            Value::Dict(_, dict) => dict,
            Value::Empty(..) => return None,
            _ => {
                self.expected(format!("keys and values ({})", some_keys(section)));
                return None;
            }
        };
        for key in dict.keys().filter(|key| !section.keys.iter().any(|known| known.is_called(key.as_str()))) {
            self.problems.add(unknown(&self.path.key(key), key, section));
        }
        Some(dict)
    }
}

fn some_keys(section: &Section) -> String {
    let names: Vec<_> = section.keys.iter().take(3).map(|key| key.name).collect();
    format!("{}…", names.join(", "))
}

fn unknown(path: &KeyPath, key: &str, section: &Section) -> Problem {
    if section.later.contains(&key) {
        return Problem::key(path, "not supported in this version").help("remove the key");
    }
    if key == "<<" {
        return Problem::key(path, "YAML merge keys are not supported; write the keys out");
    }
    let all = section.keys.iter().map(|key| key.name);
    let listed = all.clone().collect::<Vec<_>>().join(", ");
    let problem = Problem::key(path, format!("unknown key; expected one of {listed}"));
    match nearest(key, all.chain(section.later.iter().copied())) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => match super::section::home_of(key) {
            Some(home) => problem.help(format!("`{key}` is a key of {home}")),
            None => problem,
        },
    }
}

/// A value in a few words, cut and escaped.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::String(_, text) if text.is_empty() => "an empty text".into(),
        Value::String(_, text) => {
            let cut: String = text.chars().take(60).collect();
            let tail = if cut.len() < text.len() { "…" } else { "" };
            format!("`{}{tail}`", cut.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'"))
        }
        Value::Char(_, c) => format!("`{}`", c.escape_debug()),
        Value::Bool(_, value) => format!("`{value}`"),
        Value::Num(_, Num::F64(number)) => format!("`{number}`"),
        Value::Num(_, number) => number.to_i128().map_or("a number".into(), |number| format!("`{number}`")),
        Value::Empty(..) => "nothing".into(),
        Value::Dict(..) => "keys and values".into(),
        Value::Array(..) => "a list".into(),
    }
}
