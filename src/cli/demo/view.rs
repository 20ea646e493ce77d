//! How the demo looks: lines that stay, and on a terminal a table that follows what happens.

use super::observe::Seen;
use crate::cli::term::{self, Cell, Live, Style, Tone};
use std::io;
use std::time::Instant;

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Something is being done.
    Doing,
    /// It was observed.
    Observed,
    /// It was not.
    Missing,
    /// For the reader's information.
    Note,
}

/// The demo's output.
#[derive(Debug)]
pub struct View {
    style: Style,
    live: Option<Live>,
    block: Vec<String>,
    started: Instant,
}

impl View {
    /// The view on standard output.
    pub fn new() -> Self {
        let live = term::is_terminal().then(Live::default);
        Self { style: Style::of_stdout(), live, block: Vec::new(), started: Instant::now() }
    }

    /// Whether a table follows what happens.
    pub const fn is_live(&self) -> bool {
        self.live.is_some()
    }

    /// Writes a heading and the addresses under it.
    pub fn open(&mut self, heading: &str, addresses: &[(&str, String)]) -> io::Result<()> {
        let mut lines = vec![self.style.paint(Tone::Strong, heading)];
        let row = |(name, address): &(&str, String)| {
            vec![Cell::text(*name).in_tone(Tone::Faint), Cell::text(address.as_str())]
        };
        lines.extend(term::table(self.style, &addresses.iter().map(row).collect::<Vec<_>>()));
        lines.push(String::new());
        self.write(&lines)
    }

    /// Writes a line that stays, with the time since the start.
    pub fn say(&mut self, mark: Mark, text: &str) -> io::Result<()> {
        let seconds = format!("{:5.1}s", self.started.elapsed().as_secs_f64());
        let (sign, tone) = match mark {
            Mark::Doing => ("·", Tone::Plain),
            Mark::Observed => ("✓", Tone::Good),
            Mark::Missing => ("✗", Tone::Bad),
            Mark::Note => (" ", Tone::Faint),
        };
        let text = if mark == Mark::Note { self.style.paint(tone, text) } else { term::printable(text) };
        let line =
            format!("{}  {} {text}", self.style.paint(Tone::Faint, &seconds), self.style.paint(tone, sign));
        self.write(&[line])
    }

    /// Draws the table again, on a terminal.
    pub fn show(&mut self, seen: &Seen) -> io::Result<()> {
        if self.live.is_none() {
            return Ok(());
        }
        self.block = block(self.style, seen);
        self.write(&[])
    }

    fn write(&mut self, lines: &[String]) -> io::Result<()> {
        match &mut self.live {
            Some(live) => live.draw(lines, &self.block),
            None => lines.iter().try_for_each(|line| term::put(&format!("{line}\n"))),
        }
    }
}

/// The table of destinations and the line of calls under it.
fn block(style: Style, seen: &Seen) -> Vec<String> {
    let head = ["DESTINATION", "STATE", "WHY", "SELECTIONS", "ANSWERED", "RTT"];
    let mut rows = vec![head.map(|name| Cell::text(name).in_tone(Tone::Faint)).to_vec()];
    rows.extend(seen.destinations.iter().map(|destination| {
        vec![
            Cell::text(&destination.id),
            Cell::text(&destination.state).in_tone(Tone::of_state(&destination.state)),
            Cell::text(&destination.why),
            Cell::number(destination.selections),
            Cell::number(destination.answered),
            Cell::text(destination.rtt.map_or_else(|| "-".to_owned(), term::milliseconds)),
        ]
    }));
    let mut lines = vec![String::new()];
    lines.extend(term::table(style, &rows));
    let tally = &seen.tally;
    let calls = format!("{} calls placed, {} answered", tally.placed, tally.answered);
    let mut refused: Vec<String> =
        tally.refused.iter().map(|(code, calls)| format!("{calls} got {code}")).collect();
    if tally.silent > 0 {
        refused.push(format!("{} got nothing", tally.silent));
    }
    let failed = match refused.is_empty() {
        true => style.paint(Tone::Good, "0 failed"),
        false => style.paint(Tone::Warning, &refused.join(", ")),
    };
    let all_down = match seen.all_down {
        Some(value) if value > 0.0 => style.paint(Tone::Bad, "all down"),
        _ => String::new(),
    };
    lines.push(format!("  {calls}, {failed}  {all_down}"));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_each_destination_and_the_calls() {
        let mut seen = Seen::default();
        for (index, destination) in seen.destinations.iter_mut().enumerate() {
            destination.id = format!("pbx-{}", index + 1);
            destination.state = "up".to_owned();
            destination.selections = 7.0;
        }
        seen.tally.placed = 21;
        let lines = block(Style::plain(), &seen);
        assert_eq!(lines[1], "  DESTINATION  STATE  WHY  SELECTIONS  ANSWERED  RTT");
        assert_eq!(lines[2], "  pbx-1        up                   7         0  -");
        assert!(lines[5].starts_with("  21 calls placed, 0 answered, 0 failed"), "{lines:?}");
    }
}
