//! What the commands write: colour on a terminal only, tables, a block redrawn in place.
//!
//! Owns the look; never decides what is said. Text that came from elsewhere is made printable
//! here.

use crate::facts::State;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

/// What a piece of text means; a terminal shows it as a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    Plain,
    /// A heading.
    Strong,
    /// Of less interest.
    Faint,
    /// As it should be.
    Good,
    /// To be watched.
    Warning,
    /// Wrong.
    Bad,
}

impl Tone {
    const fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Strong => Some("1"),
            Self::Faint => Some("2"),
            Self::Good => Some("32"),
            Self::Warning => Some("33"),
            Self::Bad => Some("31"),
        }
    }

    /// The tone of a state's word.
    pub fn of_state(word: &str) -> Self {
        match State::from_word(word) {
            Some(State::Up) => Self::Good,
            Some(State::Failing | State::Throttled | State::Draining) => Self::Warning,
            Some(State::Down | State::Ejected) => Self::Bad,
            Some(State::Disabled | State::Unknown) => Self::Faint,
            None => Self::Plain,
        }
    }
}

/// Whether text is coloured.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    colour: bool,
}

impl Style {
    /// The style of standard output: coloured on a terminal unless `NO_COLOR` is set.
    pub fn of_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colour: io::stdout().is_terminal() && !refused }
    }

    /// No colour.
    #[cfg(test)]
    pub const fn plain() -> Self {
        Self { colour: false }
    }

    /// The text in its tone, without what would move a cursor.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let text = printable(text);
        match tone.code().filter(|_| self.colour) {
            Some(code) => format!("\x1b[{code}m{text}\x1b[0m"),
            None => text,
        }
    }
}

/// Whether standard output is a terminal.
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Replaces control characters, so that no text can drive the terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

/// Writes to standard output; usually an error means that nobody reads it any more.
pub fn put(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes a command's result to standard output, and gives the exit code. A reader that closes
/// early, such as `head`, has had what it wanted; a full disk has not.
pub fn print(text: &str) -> ExitCode {
    match put(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            fail(&format!("cannot write to standard output: {error}"), None)
        }
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

/// Says on standard error what went wrong and what to do about it, and gives the exit code.
pub fn fail(error: &dyn Display, hint: Option<&str>) -> ExitCode {
    let mut out = io::stderr().lock();
    let lines: Vec<String> = error.to_string().lines().map(printable).collect();
    let _ = writeln!(out, "sipwarden: {}", lines.join("\n"));
    if let Some(hint) = hint {
        let _ = writeln!(out, "  hint: {}", printable(hint));
    }
    ExitCode::FAILURE
}

/// One cell of a table.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    tone: Tone,
    right: bool,
}

impl Cell {
    /// Text, set to the left.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: printable(&text.into()), tone: Tone::Plain, right: false }
    }

    /// A number, set to the right.
    pub fn number(number: impl Display) -> Self {
        Self { text: number.to_string(), tone: Tone::Plain, right: true }
    }

    /// The same in a tone.
    pub const fn in_tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }
}

/// Sets rows under one another; every column is as wide as its widest cell.
pub fn table(style: Style, rows: &[Vec<Cell>]) -> Vec<String> {
    let width = |cell: &Cell| cell.text.chars().count();
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        row.iter().zip(&mut widths).for_each(|(cell, widest)| *widest = width(cell).max(*widest));
    }
    let line = |row: &Vec<Cell>| {
        let mut line = String::new();
        for (cell, widest) in row.iter().zip(&widths) {
            let gap = " ".repeat(widest - width(cell));
            let text = style.paint(cell.tone, &cell.text);
            line.push_str("  ");
            line.push_str(&if cell.right { gap + &text } else { text + &gap });
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// A duration in at most two units, as a person would say it.
pub fn age(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds}s"),
        (0, 0, minutes, seconds) => format!("{minutes}m {seconds}s"),
        (0, hours, minutes, _) => format!("{hours}h {minutes}m"),
        (days, hours, _, _) => format!("{days}d {hours}h"),
    }
}

/// A round trip in milliseconds.
pub fn milliseconds(seconds: f64) -> String {
    let milliseconds = seconds * 1_000.0;
    if milliseconds < 10.0 { format!("{milliseconds:.1} ms") } else { format!("{milliseconds:.0} ms") }
}

/// A block at the end of the terminal that is drawn over itself, with lines that stay above it.
#[derive(Debug, Default)]
pub struct Live {
    height: usize,
}

impl Live {
    /// Writes lines that stay, then the block. Lines are cut at the right margin, not wrapped,
    /// because the block's height must be known.
    pub fn draw(&mut self, stay: &[String], block: &[String]) -> io::Result<()> {
        let mut text = String::from("\x1b[?25l\x1b[?7l\r");
        if self.height > 0 {
            text.push_str(&format!("\x1b[{}A", self.height));
        }
        text.push_str("\x1b[J");
        for line in stay.iter().chain(block) {
            text.push_str(line);
            text.push_str("\r\n");
        }
        text.push_str("\x1b[?7h\x1b[?25h");
        self.height = block.len();
        put(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec![Cell::text("id"), Cell::text("n")],
            vec![Cell::text("ünicode"), Cell::number(7).in_tone(Tone::Bad)],
            vec![Cell::text("x"), Cell::number(1_000)],
        ];
        let lines = table(Style::plain(), &rows);
        assert_eq!(lines, ["  id       n", "  ünicode     7", "  x        1000"]);
    }

    #[test]
    fn colour_never_changes_the_width_and_plain_has_none() {
        let row = [vec![Cell::text("up").in_tone(Tone::Good), Cell::text("x")]];
        assert_eq!(table(Style { colour: true }, &row), ["  \x1b[32mup\x1b[0m  x"]);
        assert_eq!(table(Style::plain(), &row), ["  up  x"]);
    }

    #[test]
    fn no_text_can_drive_the_terminal() {
        assert_eq!(
            Style { colour: true }.paint(Tone::Plain, "a\x1b[2Jb\r\n"),
            "a\u{fffd}[2Jb\u{fffd}\u{fffd}"
        );
        assert_eq!(table(Style::plain(), &[vec![Cell::text("\x1b[31m")]]), ["  \u{fffd}[31m"]);
    }

    #[test]
    fn ages_have_two_units_at_most() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (61, "1m 1s"), (3_600, "1h 0m"), (90_061, "1d 1h")] {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn round_trips_keep_a_digit_only_while_it_matters() {
        assert_eq!(milliseconds(0.000_42), "0.4 ms");
        assert_eq!(milliseconds(0.123_4), "123 ms");
    }
}
