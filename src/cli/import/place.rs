//! Where something was read, and what the user is to be told about it.

use std::fmt;
use std::rc::Rc;

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The file, as it was named on the command line.
    pub(super) file: Rc<str>,
    /// The line, from 1.
    pub(super) line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Something to be told on standard error.
#[derive(Debug, Clone)]
pub(super) struct Warning {
    /// What it is about.
    pub(super) place: Place,
    /// What it is.
    pub(super) text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// Characters of foreign text that a message repeats.
const MAX_SHOWN: usize = 80;

/// Foreign text in a message: on one line, printable, and short.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_SHOWN).map(printable).collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// The character, unless YAML or a terminal would take it for more than a character.
pub(super) fn printable(character: char) -> char {
    let is_break = matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    if character.is_control() || is_break { '\u{fffd}' } else { character }
}
