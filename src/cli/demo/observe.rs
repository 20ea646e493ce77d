//! What the demo sees: the dispatcher's own `/metrics` and API, and the caller's count.
//!
//! Looks only through the doors that everybody has; never into the process it runs in.

use super::caller::{Caller, Tally};
use super::{DESTINATIONS, SET};
use crate::admin::client::{Client, Error};
use crate::admin::destinations::Listing;
use std::net::SocketAddr;

/// One look at everything.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The destinations, in file order.
    pub destinations: [SeenDestination; DESTINATIONS],
    /// `sipwarden_set_all_down` of the set, if it is there.
    pub all_down: Option<f64>,
    /// Failovers of the set so far.
    pub failovers: f64,
    /// What became of the calls.
    pub tally: Tally,
}

/// One destination, as seen.
#[derive(Debug, Clone, Default)]
pub struct SeenDestination {
    /// Its id.
    pub id: String,
    /// Its state.
    pub state: String,
    /// What brought it there.
    pub why: String,
    /// Round trip of the last answered probe, in seconds.
    pub rtt: Option<f64>,
    /// Selections so far.
    pub selections: f64,
    /// Calls that the caller saw it answer.
    pub answered: u64,
}

impl Seen {
    /// Whether every destination is in a state.
    pub fn are_all(&self, state: &str) -> bool {
        self.destinations.iter().all(|destination| destination.state == state)
    }
}

/// Looks at the dispatcher and the caller.
pub async fn look(
    client: &Client,
    caller: &Caller,
    addresses: &[SocketAddr; DESTINATIONS],
) -> Result<Seen, Error> {
    let text = client.get_text("/metrics").await?;
    let listing: Listing = client.get("/api/v1/destinations?history=false").await?;
    let tally = caller.tally();
    let mut seen = Seen {
        all_down: sum(&text, "sipwarden_set_all_down", &[("set", SET)]),
        failovers: sum(&text, "sipwarden_failovers_total", &[("set", SET)]).unwrap_or(0.0),
        ..Seen::default()
    };
    let listed = listing.sets.into_iter().filter(|set| set.name == SET).flat_map(|set| set.destinations);
    for ((slot, listed), address) in seen.destinations.iter_mut().zip(listed).zip(addresses) {
        let labels = [("set", SET), ("destination", listed.id.as_str())];
        let selections = sum(&text, "sipwarden_selections_total", &labels).unwrap_or(0.0);
        let why = listed.changes.last().map(|change| match &change.outcome {
            Some(outcome) => format!("{}: {outcome}", change.reason),
            None => change.reason.clone(),
        });
        *slot = SeenDestination {
            selections,
            why: why.unwrap_or_default(),
            rtt: listed.probe.last_rtt_seconds,
            answered: tally.by_destination.get(address).copied().unwrap_or(0),
            state: listed.state,
            id: listed.id,
        };
    }
    seen.tally = tally;
    Ok(seen)
}

/// The sum of the series of a family that carry these labels; `None` if there is none.
fn sum(text: &str, family: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let wanted: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    let series =
        text.lines().filter_map(|line| line.strip_prefix(family)?.strip_prefix('{')?.split_once('}'));
    let of_interest =
        series.filter(|(given, _)| wanted.iter().all(|label| given.split(',').any(|pair| pair == label)));
    of_interest
        .filter_map(|(_, value)| value.split_whitespace().next()?.parse::<f64>().ok())
        .fold(None, |total, value| Some(total.unwrap_or(0.0) + value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_the_series_that_carry_the_labels() {
        let text = "# TYPE a counter\na{set=\"pbx\",destination=\"x\"} 2\na{destination=\"y\",set=\"pbx\"} 3\n\
            a{set=\"pbx2\",destination=\"x\"} 7\nab{set=\"pbx\"} 9\nb 1\n";
        assert_eq!(sum(text, "a", &[("set", "pbx")]), Some(5.0));
        assert_eq!(sum(text, "a", &[("set", "pbx"), ("destination", "y")]), Some(3.0));
        assert_eq!(sum(text, "a", &[("set", "none")]), None);
        assert_eq!(sum(text, "c", &[]), None);
    }
}
