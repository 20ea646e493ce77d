//! *Destination drill-down*: which one is sick, since when, and why?

#[path = "destination/failover.rs"]
mod failover;
#[path = "destination/load.rs"]
mod load;
#[path = "destination/probes.rs"]
mod probes;
#[path = "destination/signalling.rs"]
mod signalling;
#[path = "destination/state.rs"]
mod state;

use crate::build::frame::{Page, Scope};
use serde_json::Value;

/// The labels of a destination.
const BY: &str = "set, destination";

/// The dashboard.
pub fn page() -> (String, Value) {
    let description = "Which destination is sick, since when, and why? Choose one, or compare several.";
    Page::new("sipwarden-destination", "Destination drill-down", description, Scope::Destinations)
        .row("State")
        .line(
            4,
            [
                (5, state::now()),
                (4, state::since()),
                (4, state::failures()),
                (4, state::code()),
                (4, state::probed()),
                (3, state::well()),
            ],
        )
        .line(6, [(24, state::history())])
        .line(6, [(12, state::holds()), (12, state::changes())])
        .line(5, [(24, state::configured())])
        .row("Probes")
        .line(8, [(12, probes::round_trip()), (12, probes::heat())])
        .line(7, [(8, probes::results()), (8, probes::loss()), (8, probes::lag())])
        .line(7, [(8, probes::smoothed()), (8, probes::streaks()), (8, probes::addresses())])
        .row("Signalling")
        .line(8, [(8, signalling::requests()), (8, signalling::responses()), (8, signalling::codes())])
        .line(
            8,
            [(8, signalling::first_response()), (8, signalling::setup_delay()), (8, signalling::duration())],
        )
        .line(7, [(12, signalling::retransmissions()), (12, signalling::timeouts())])
        .row("Load")
        .line(7, [(8, load::calls()), (8, load::in_flight()), (8, load::share())])
        .row("Failover")
        .line(8, [(8, failover::away()), (8, failover::here()), (8, failover::edges())])
        .done()
}
