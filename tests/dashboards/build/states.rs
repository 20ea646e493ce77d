//! The states of destinations as numbers with texts and colours.

use super::panel::Mapping;
use super::query::each;
use sipwarden::telemetry::values::STATES;

/// The colour of a state, the same on every dashboard.
pub fn color(state: &str) -> &'static str {
    match state {
        "up" => "green",
        "failing" => "yellow",
        "down" => "red",
        "ejected" => "orange",
        "throttled" => "purple",
        "draining" => "blue",
        "disabled" => "#5a6069",
        "unknown" => "#a3a8b0",
        _ => panic!("the state {state} has no colour"),
    }
}

/// The state of each destination as its position in the list of states: a state timeline wants one
/// number for each line, and the metric has one series for each state.
pub fn as_number(by: &str) -> String {
    let terms = each(STATES, r#"INDEX * sipwarden_destination_state{D, state="WORD"}"#);
    format!("sum by ({by}) ({terms})")
}

/// Texts and colours of what [`as_number`] gives.
pub fn numbers() -> Vec<(String, &'static str, &'static str)> {
    STATES.iter().enumerate().map(|(index, state)| (index.to_string(), *state, color(state))).collect()
}

/// Texts and colours of the label `state`.
pub fn words() -> Vec<Mapping<'static>> {
    STATES.iter().map(|state| (*state, *state, color(state))).collect()
}
