//! *SIP RED*: rate, errors and duration of everything that is signalled, and what it costs us.

#[path = "signalling/calls.rs"]
mod calls;
#[path = "signalling/messages.rs"]
mod messages;
#[path = "signalling/requests.rs"]
mod requests;
#[path = "signalling/selection.rs"]
mod selection;

use crate::build::frame::{Page, Scope};
use serde_json::Value;

/// The dashboard.
pub fn page() -> (String, Value) {
    let description =
        "Rate, errors and duration: of requests, of calls as RFC 6076 measures them, of messages.";
    Page::new("sipwarden-signalling", "SIP RED", description, Scope::Destinations)
        .row("Requests")
        .line(8, [(8, requests::rate()), (8, requests::errors()), (8, requests::duration())])
        .line(7, [(8, requests::refused()), (8, requests::unselectable()), (8, requests::in_flight())])
        .row("Calls (RFC 6076)")
        .line(8, [(8, calls::setup_delay()), (8, calls::failed_delay()), (8, calls::effectiveness())])
        .line(7, [(8, calls::disconnect_delay()), (8, calls::registration_delay()), (8, calls::duration())])
        .line(7, [(24, calls::dialogs())])
        .row("Selection and failover")
        .line(7, [(8, selection::attempts()), (8, selection::failovers()), (8, selection::reasons())])
        .line(7, [(8, selection::retried()), (8, selection::duration()), (8, selection::full())])
        .row("Messages")
        .line(7, [(8, messages::messages()), (8, messages::bytes()), (8, messages::delay())])
        .line(7, [(8, messages::unparsed()), (8, messages::dropped()), (8, messages::retransmissions())])
        .line(7, [(8, messages::connections()), (8, messages::connects()), (8, messages::errors())])
        .done()
}
