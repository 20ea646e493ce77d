//! What is wrong with a configuration, said so that it can be mended: where, what was expected,
//! and what was probably meant.

use super::path::KeyPath;
use std::fmt;

/// Problems shown in one run.
const MAX_SHOWN: usize = 20;
/// Characters of an offending line shown.
const MAX_LINE: usize = 120;

/// Why a configuration was refused: every problem found, with its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Error {
    text: String,
    line: Option<usize>,
}

impl Error {
    /// Makes the error of a file that could not be read at all.
    pub(super) fn unreadable(text: impl Into<String>) -> Self {
        Self { text: text.into(), line: None }
    }

    /// The line of the first problem, if it stands in the file.
    pub fn line(&self) -> Option<usize> {
        self.line
    }
}

/// A line and a column of a file, both from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// Which part of an entry a problem is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Key,
    Value,
    /// The later of two equal keys.
    SecondKey,
}

/// Where a problem is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Path(KeyPath, Mark),
    Position(Position),
    Variable(String),
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) place: Place,
    message: String,
    help: Option<String>,
    /// A second place to name at the end of the message, such as the first of two duplicates.
    other: Option<(KeyPath, Mark)>,
}

impl Problem {
    /// A problem with a value.
    pub(super) fn value(path: &KeyPath, message: impl fmt::Display) -> Self {
        let message = if path.is_root() { message.to_string() } else { format!("`{path}`: {message}") };
        Self { place: Place::Path(path.clone(), Mark::Value), message, help: None, other: None }
    }

    /// A problem with a key, not with what it holds.
    pub(super) fn key(path: &KeyPath, message: impl fmt::Display) -> Self {
        Self::value(path, message).mark(Mark::Key)
    }

    /// A problem at a position.
    pub(super) fn at(position: Position, message: impl Into<String>) -> Self {
        Self { place: Place::Position(position), message: message.into(), help: None, other: None }
    }

    /// A problem with an environment variable.
    pub(super) fn variable(name: &str, message: impl Into<String>) -> Self {
        Self { place: Place::Variable(name.to_owned()), message: message.into(), help: None, other: None }
    }

    /// Points at another part of the entry.
    pub(super) fn mark(mut self, mark: Mark) -> Self {
        if let Place::Path(_, old) = &mut self.place {
            *old = mark;
        }
        self
    }

    /// Says what to do.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Names a second place, as `line N` at the end of the message.
    pub(super) fn other(mut self, path: &KeyPath, mark: Mark) -> Self {
        self.other = Some((path.clone(), mark));
        self
    }

    /// Moves a problem that an override caused to the variable.
    fn blame(&mut self, overrides: &[(KeyPath, String)], places: &super::tree::Places) {
        let Place::Path(path, mark) = &self.place else { return };
        let inside = overrides.iter().rev().find(|(prefix, _)| path.is_within(prefix));
        let around = || match mark {
            Mark::Key if !places.has_key(path) => overrides.iter().find(|(inner, _)| inner.is_within(path)),
            Mark::Key | Mark::Value | Mark::SecondKey => None,
        };
        if let Some((_, name)) = inside.or_else(around) {
            self.place = Place::Variable(name.clone());
        }
    }

    /// The path, unless the problem is at a position or with a variable.
    pub(super) fn path(&self) -> Option<&KeyPath> {
        match &self.place {
            Place::Path(path, _) => Some(path),
            Place::Position(_) | Place::Variable(_) => None,
        }
    }

    /// Says that the value is a default, if nothing is said yet.
    pub(super) fn about_default(&mut self) {
        if matches!(self.place, Place::Path(_, Mark::Value)) && self.help.is_none() {
            self.help = Some("it is not written; this is its default".into());
        }
    }
}

/// What an error text quotes from.
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
    /// Which variable set which value.
    pub(super) overrides: &'a [(KeyPath, String)],
    pub(super) env: &'a std::collections::BTreeMap<String, String>,
}

impl Source<'_> {
    /// Writes up problems in the order of the file, those of the environment last.
    pub(super) fn error(&self, mut problems: Vec<Problem>) -> Error {
        let needs_places = |problem: &Problem| matches!(problem.place, Place::Path(..));
        let places = if problems.iter().any(|problem| needs_places(problem) || problem.other.is_some()) {
            super::tree::Places::of(self.text)
        } else {
            super::tree::Places::default()
        };
        problems.iter_mut().for_each(|problem| problem.blame(self.overrides, &places));
        let position = |place: &Place| match place {
            Place::Path(path, mark) => Some(places.find(path, *mark)),
            Place::Position(position) => Some(*position),
            Place::Variable(_) => None,
        };
        let mut placed: Vec<_> =
            problems.into_iter().map(|problem| (position(&problem.place), problem)).collect();
        placed.sort_by_key(|(position, _)| (position.is_none(), *position));
        placed.dedup();
        let more = placed.len().saturating_sub(MAX_SHOWN);
        let line = placed.first().and_then(|(position, _)| *position).map(|position| position.line);
        let mut blocks: Vec<String> = vec![];
        for (position, problem) in placed.iter().take(MAX_SHOWN) {
            let mut problem = problem.clone();
            if let Some((path, mark)) = &problem.other {
                let first = places.find(path, *mark);
                problem.message = format!("{} on line {}", problem.message, first.line);
            }
            blocks.push(self.block(*position, &problem));
        }
        if more > 0 {
            blocks.push(format!("and {more} more problems"));
        }
        Error { text: blocks.join("\n\n"), line }
    }

    fn block(&self, position: Option<Position>, problem: &Problem) -> String {
        let mut text = match (position, &problem.place) {
            (Some(at), _) => {
                let Position { line, column } = at;
                let quoted = self.text.lines().nth(line - 1).unwrap_or_default();
                let head = format!("{}:{line}:{column}: {}", self.name, problem.message);
                format!("{head}\n{}", quote(&line.to_string(), quoted, column))
            }
            (None, Place::Variable(name)) => {
                let value = self.env.get(name).map_or("", String::as_str);
                let head = format!("environment {name}: {}", problem.message);
                format!("{head}\n{}", quote("", &format!("{name}={value}"), name.chars().count() + 2))
            }
            (None, Place::Path(..) | Place::Position(_)) => problem.message.clone(),
        };
        if let Some(help) = &problem.help {
            text += &format!("\n  help: {help}");
        }
        text
    }
}

/// One line with a caret under the column; a long line is cut around it, control characters do not
/// reach the terminal.
fn quote(number: &str, line: &str, column: usize) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let start = if column > MAX_LINE { column - MAX_LINE / 2 } else { 0 };
    let shown: String = line.chars().skip(start).take(MAX_LINE).map(clean).collect();
    let lead = if start > 0 { "…" } else { "" };
    let tail = if line.chars().count() > start + MAX_LINE { "…" } else { "" };
    let caret = " ".repeat(column.saturating_sub(start + 1) + lead.chars().count());
    format!("{number:>5} | {lead}{}{tail}\n      | {caret}^", shown.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_a_long_line_around_the_caret() {
        let line = format!("{}X{}", "a".repeat(300), "b".repeat(300));
        let text = quote("7", &line, 301);
        let [shown, caret] = text.lines().collect::<Vec<_>>()[..] else { panic!("two lines") };
        let column = caret.chars().position(|c| c == '^').unwrap();
        assert_eq!(shown.chars().nth(column), Some('X'));
        assert!(shown.chars().count() < 140);
    }

    #[test]
    fn never_shows_control_characters() {
        assert!(!quote("1", "a\u{1b}[31mb", 1).contains('\u{1b}'));
    }
}
