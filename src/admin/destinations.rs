//! `/api/v1/destinations`: what is known of each set and destination, as JSON.
//!
//! Owns the shape, which the commands read back; never the state behind it. Times are RFC 3339 in
//! UTC, durations are seconds, lists run from the oldest to the newest.

use super::probes::ExchangeView;
use crate::facts::Admin;
use crate::facts::clock::Clock;
use crate::facts::event::StateChange;
use crate::facts::snapshot::{DestinationSnapshot, ProbeNote, SetSnapshot, Snapshot};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Every set.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Listing {
    /// In file order.
    pub sets: Vec<SetView>,
}

/// One set.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SetView {
    /// Its configured name.
    pub name: String,
    /// How it chooses.
    pub algorithm: String,
    /// Whether it has members in service (enabled, and of a weight) and none of them is usable.
    pub all_down: bool,
    /// Its members, in file order.
    pub destinations: Vec<DestinationView>,
}

/// One destination.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DestinationView {
    /// Its id within the set.
    pub id: String,
    /// Its configured URI without user part.
    pub uri: String,
    /// The address and port it stands for, if known.
    pub address: Option<String>,
    /// The name that its address is found by; null for a literal address.
    #[serde(default)]
    pub dns: Option<DnsView>,
    /// The derived state.
    pub state: String,
    /// When that last changed.
    pub since: String,
    /// The two letters of Kamailio's list.
    pub kamailio: String,
    /// The facts of probing.
    pub probe: ProbeView,
    /// What the administrator wants.
    pub admin: String,
    /// Requests that failed at it in a row, towards an ejection.
    pub passive_failures: u32,
    /// When its ejection ends; null when it is not ejected.
    pub ejected_until: Option<String>,
    /// When the pause that it asked for with Retry-After ends; null when there is none.
    pub retry_after_until: Option<String>,
    /// Calls in progress on it.
    pub calls: u64,
    /// Calls allowed on it; null for no limit.
    pub max_calls: Option<u64>,
    /// Relative share.
    pub weight: u32,
    /// Tier; lower is tried first.
    pub priority: u32,
    /// The last changes of state, at most 200; only the last one without history.
    pub changes: Vec<ChangeView>,
    /// The last probes; none without history.
    pub probes: Vec<ProbeNoteView>,
    /// The last probe as it went over the wire; null without history, and before the first.
    #[serde(default)]
    pub exchange: Option<ExchangeView>,
}

/// What a name stands for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DnsView {
    /// The name.
    pub name: String,
    /// Every address of this destination; several only where they are not a destination each.
    pub addresses: Vec<String>,
    /// When it was last found to stand for them; null if it never was.
    pub resolved: Option<String>,
    /// Whether a later look-up failed, so that these are older addresses kept.
    pub stale: bool,
}

/// The facts of probing one destination.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ProbeView {
    /// Whether it is probed.
    pub enabled: bool,
    /// Configured time between probes.
    pub interval_seconds: f64,
    /// Failures in a row that make it down.
    pub down_after: u32,
    /// Successes in a row that make it up.
    pub up_after: u32,
    /// Successes in a row that make it up at present.
    pub up_needed: u32,
    /// Whether that is more than `up_after`, because it went down so often of late.
    pub damped: bool,
    /// Failed probes in a row.
    pub consecutive_failures: u32,
    /// Successful probes in a row.
    pub consecutive_successes: u32,
    /// How the last probe ended.
    pub last_outcome: Option<String>,
    /// Round trip of the last answered probe.
    pub last_rtt_seconds: Option<f64>,
    /// Smoothed time to a response, of probes and calls.
    pub rtt_seconds: Option<f64>,
    /// When the last probe that has ended had begun.
    #[serde(default)]
    pub last_started: Option<String>,
    /// When the last probe ended.
    pub last_finished: Option<String>,
    /// When the last successful probe ended.
    pub last_success: Option<String>,
}

/// One change of state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChangeView {
    /// When.
    pub at: String,
    /// The state before.
    pub from: String,
    /// The state after.
    pub to: String,
    /// Why.
    pub reason: String,
    /// How the probe or the request behind it ended, if one caused it.
    pub outcome: Option<String>,
    /// What the administrator wants since.
    pub admin: String,
}

/// One finished probe.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProbeNoteView {
    /// When it ended.
    pub at: String,
    /// How it ended.
    pub outcome: String,
    /// Its round trip, if it was answered.
    pub rtt_seconds: Option<f64>,
}

impl Listing {
    /// Says what the snapshots hold; only worker 0's tells sets.
    pub fn new(snapshots: &[Snapshot], clock: &Clock) -> Self {
        let sets = snapshots.iter().flat_map(|snapshot| &snapshot.sets);
        Self { sets: sets.map(|set| set_view(set, clock)).collect() }
    }
}

fn set_view(set: &SetSnapshot, clock: &Clock) -> SetView {
    SetView {
        name: set.name.to_string(),
        algorithm: set.algorithm.to_string(),
        all_down: set.all_down,
        destinations: set.destinations.iter().map(|destination| view(destination, clock)).collect(),
    }
}

fn view(destination: &DestinationSnapshot, clock: &Clock) -> DestinationView {
    let last = destination.last_change.iter().filter(|_| destination.changes.is_empty());
    DestinationView {
        id: destination.id.to_string(),
        uri: destination.uri.to_string(),
        address: destination.address.map(|address| address.to_string()),
        dns: destination.name.as_deref().map(|name| DnsView {
            name: name.to_owned(),
            addresses: destination.addresses.iter().map(ToString::to_string).collect(),
            resolved: destination.resolved.map(|at| time(at, clock)),
            stale: destination.dns_stale,
        }),
        state: destination.state.to_string(),
        since: time(destination.since, clock),
        kamailio: destination.state.kamailio(destination.probe.enabled).to_owned(),
        probe: probe_view(destination, clock),
        admin: destination.admin.to_string(),
        passive_failures: destination.passive_failures,
        ejected_until: destination.ejected_until.map(|until| time(until, clock)),
        retry_after_until: destination.retry_after_until.map(|until| time(until, clock)),
        calls: destination.load.calls,
        max_calls: destination.load.max_calls.map(u64::from),
        weight: destination.weight,
        priority: destination.priority,
        changes: destination.changes.iter().chain(last).map(|change| change_view(change, clock)).collect(),
        probes: destination.probes.iter().map(|note| note_view(note, clock)).collect(),
        exchange: destination.exchange.as_deref().map(|exchange| ExchangeView::new(exchange, clock)),
    }
}

fn probe_view(destination: &DestinationSnapshot, clock: &Clock) -> ProbeView {
    let probe = &destination.probe;
    ProbeView {
        enabled: probe.enabled,
        interval_seconds: probe.interval.as_secs_f64(),
        down_after: probe.down_after,
        up_after: probe.up_after,
        up_needed: probe.up_needed,
        damped: probe.damped,
        consecutive_failures: probe.consecutive_failures,
        consecutive_successes: probe.consecutive_successes,
        last_outcome: probe.last_outcome.map(|outcome| outcome.to_string()),
        last_rtt_seconds: probe.last_rtt.as_ref().map(Duration::as_secs_f64),
        rtt_seconds: destination.load.response_time.as_ref().map(Duration::as_secs_f64),
        last_started: probe.last_started.map(|at| time(at, clock)),
        last_finished: probe.last_finished.map(|at| time(at, clock)),
        last_success: probe.last_success.map(|at| time(at, clock)),
    }
}

fn change_view(change: &StateChange, clock: &Clock) -> ChangeView {
    ChangeView {
        at: time(change.at, clock),
        from: change.from.to_string(),
        to: change.to.to_string(),
        reason: change.reason.to_string(),
        outcome: change.outcome.map(|outcome| outcome.to_string()),
        admin: change.admin.to_string(),
    }
}

fn note_view(note: &ProbeNote, clock: &Clock) -> ProbeNoteView {
    ProbeNoteView {
        at: time(note.at, clock),
        outcome: note.outcome.to_string(),
        rtt_seconds: note.rtt.as_ref().map(Duration::as_secs_f64),
    }
}

fn time(at: Instant, clock: &Clock) -> String {
    humantime::format_rfc3339_millis(clock.wall(at)).to_string()
}

/// The body of `…/state`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateWish {
    state: String,
}

/// Reads the body of `…/state`; `Err` says what is wrong with it.
pub fn parse_state(body: &[u8]) -> Result<Admin, String> {
    let wish: StateWish =
        serde_json::from_slice(body).map_err(|_| "the body is not a wish for a state".to_owned())?;
    Admin::from_word(&wish.state).ok_or_else(|| format!("no state {:?} can be wished for", wish.state))
}

/// Writes the body of `…/state`.
pub fn state_body(admin: Admin) -> String {
    format!(r#"{{"state": "{admin}"}}"#)
}

/// The path of `…/state` for a destination.
pub fn state_path(set: &str, id: &str) -> String {
    format!("/api/v1/destinations/{}/{}/state", encode(set), encode(id))
}

/// Percent-encodes one segment of a path (RFC 3986 §3.3).
pub fn encode(segment: &str) -> String {
    use std::fmt::Write;
    segment.bytes().fold(String::with_capacity(segment.len()), |mut text, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b':' | b'@' | b'-' => {
                text.push(char::from(byte));
            }
            _ => write!(text, "%{byte:02X}").expect("writing to a string succeeds"),
        }
        text
    })
}

/// Undoes [`encode`]; `None` for a broken escape or bytes that are not UTF-8.
pub fn decode(segment: &str) -> Option<String> {
    let mut bytes = segment.bytes();
    let mut plain = Vec::with_capacity(segment.len());
    let hex = |digit: Option<u8>| char::from(digit?).to_digit(16).and_then(|value| u8::try_from(value).ok());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => (hex(bytes.next())? << 4) | hex(bytes.next())?,
            _ => byte,
        });
    }
    String::from_utf8(plain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_comes_back_as_it_was() {
        for id in ["10.0.0.1:5060", "[2001:db8::1]:5060-tcp", "a b/c%d?e#f", "ü@x", ""] {
            let encoded = encode(id);
            assert!(!encoded.contains(['/', '?', '#', ' ', '[']), "{encoded}");
            assert_eq!(decode(&encoded).as_deref(), Some(id));
        }
    }

    #[test]
    fn broken_escapes_are_refused() {
        for broken in ["%", "%4", "%zz", "%ff", "%c3%28", "%-1"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
        assert_eq!(decode("a+b%2f%5B").as_deref(), Some("a+b/["));
    }

    #[test]
    fn only_the_three_wishes_are_read() {
        for admin in Admin::ALL {
            assert_eq!(parse_state(state_body(*admin).as_bytes()), Ok(*admin));
        }
        for broken in ["", "{}", r#"{"state":"down"}"#, r#"{"state":"enabled","x":1}"#, "null", "enabled"] {
            assert!(parse_state(broken.as_bytes()).is_err(), "{broken}");
        }
        assert!(parse_state(br#"{"state":"asleep"}"#).unwrap_err().contains("\"asleep\""));
    }
}
