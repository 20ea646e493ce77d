//! `/api/v1/probe/…`: probes on demand, as JSON, and a probe as it went over the wire.
//!
//! Owns the shapes, which the commands read back; never the probing behind them.

use crate::admin::destinations::encode;
use crate::facts::clock::Clock;
use crate::facts::snapshot::ProbeExchange;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Probes that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probing {
    /// When.
    pub at: Instant,
    /// The ids of the destinations that are probed, in file order.
    pub probing: Vec<String>,
    /// The longest configured time between their probes; a probe takes less.
    pub interval: Duration,
}

/// The answer of `/api/v1/probe/…`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbingView {
    /// The set.
    pub set: String,
    /// When the probes were asked for; those that count begin later.
    pub at: String,
    /// The ids of the destinations that are probed, in file order.
    pub probing: Vec<String>,
    /// Every one of them has ended after this time.
    pub within_seconds: f64,
}

/// Time for the probes of many destinations to begin.
const PACING: Duration = Duration::from_secs(2);

impl ProbingView {
    /// Says what was asked for.
    pub fn new(set: &str, probing: Probing, clock: &Clock) -> Self {
        // One may be under way, which another follows.
        let within = 2 * probing.interval + PACING;
        Self {
            set: set.to_owned(),
            at: humantime::format_rfc3339_millis(clock.wall(probing.at)).to_string(),
            probing: probing.probing,
            within_seconds: within.as_secs_f64(),
        }
    }
}

/// The path of `/api/v1/probe/…` for a set or one destination of it.
pub fn path(set: &str, id: Option<&str>) -> String {
    match id {
        Some(id) => format!("/api/v1/probe/{}/{}", encode(set), encode(id)),
        None => format!("/api/v1/probe/{}", encode(set)),
    }
}

/// One probe as it went over the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeView {
    /// When it began.
    pub started: String,
    /// When it ended.
    pub ended: String,
    /// Where it went; null if nothing could be sent.
    pub remote: Option<String>,
    /// The request; null if nothing could be sent. What is not printable stands as \xNN.
    pub request: Option<String>,
    /// The response; null if none came.
    pub response: Option<String>,
}

impl ExchangeView {
    /// Says how a probe went.
    pub fn new(exchange: &ProbeExchange, clock: &Clock) -> Self {
        let time = |at| humantime::format_rfc3339_millis(clock.wall(at)).to_string();
        let text = |bytes: &[u8]| (!bytes.is_empty()).then(|| readable(bytes));
        Self {
            started: time(exchange.started),
            ended: time(exchange.ended),
            remote: exchange.remote.map(|remote| remote.to_string()),
            request: text(&exchange.request),
            response: text(&exchange.response),
        }
    }
}

/// A message as text: lines stay lines, and every byte that is not printable text is escaped, so that
/// nothing from the wire drives a terminal. A backslash of the message itself is doubled.
fn readable(message: &[u8]) -> String {
    let mut text = String::with_capacity(message.len());
    for chunk in message.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\r' | '\n' => text.push(character),
                '\\' => text.push_str("\\\\"),
                '"' | '\'' => text.push(character),
                _ => text.extend(character.escape_debug()),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    if message.len() >= ProbeExchange::MAX {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_message_drives_a_terminal() {
        let message = b"SIP/2.0 200 \"OK\"\r\nServer: \x1b[31m\xff\\x\xe2\x80\xae\t\r\n\r\n";
        assert_eq!(
            readable(message),
            "SIP/2.0 200 \"OK\"\r\nServer: \\u{1b}[31m\\xff\\\\x\\u{202e}\\t\r\n\r\n"
        );
        let long = ProbeExchange::keep(&[b'a'; 5_000]);
        assert_eq!(readable(&long), "a".repeat(ProbeExchange::MAX) + "…");
    }
}
