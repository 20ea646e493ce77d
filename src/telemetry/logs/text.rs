//! Values of fields as they may stand in a log: escaped and cut.

use crate::facts::trace::SpanRef;
use std::fmt::{Display, Formatter, Result, Write};

/// How many characters of a text are told.
const MAX: usize = 512;

/// Text that may come from the wire: control characters and quotes are escaped.
#[derive(Debug, Clone, Copy)]
pub struct Safe<'a>(pub &'a str);

impl Display for Safe<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for character in self.0.chars().take(MAX) {
            match character {
                '\'' => f.write_char(character)?,
                _ => write!(f, "{}", character.escape_debug())?,
            }
        }
        if self.0.chars().nth(MAX).is_some() { f.write_char('…') } else { Ok(()) }
    }
}

/// A trace id as collectors show it.
#[derive(Debug, Clone, Copy)]
pub struct TraceId(pub SpanRef);

impl Display for TraceId {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{:032x}", self.0.trace())
    }
}

/// The same of a span.
#[derive(Debug, Clone, Copy)]
pub struct SpanId(pub SpanRef);

impl Display for SpanId {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{:016x}", self.0.span())
    }
}

/// The code of an answer, if there was one.
#[derive(Debug, Clone, Copy)]
pub struct Code(pub Option<u16>);

impl Display for Code {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0 {
            Some(code) => write!(f, "{code}"),
            None => f.write_str("no"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_the_wire_breaks_a_line_or_a_terminal() {
        assert_eq!(
            Safe("a\r\nb\"c\x1b[31m\u{7f}\u{202e}ü'").to_string(),
            "a\\r\\nb\\\"c\\u{1b}[31m\\u{7f}\\u{202e}ü'"
        );
        assert_eq!(Safe(&"x".repeat(600)).to_string().chars().count(), MAX + 1);
        let span = SpanRef::new(10, 11);
        assert_eq!(TraceId(span).to_string(), "0000000000000000000000000000000a");
        assert_eq!(SpanId(span).to_string(), "000000000000000b");
    }
}
