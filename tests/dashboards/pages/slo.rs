//! *Call-setup SLO*: is the objective kept, and how fast is the error budget spent?

use crate::build::frame::{Page, Scope};
use crate::build::kinds::{areas, bars, dial, lines, number, table};
use crate::build::panel::{Panel, thresholds};
use crate::build::ratios::{self, CALLS};
use serde_json::{Value, json};

/// The windows of the burn rates, in the order of their alerts.
const WINDOWS: [&str; 7] = ["5m", "30m", "1h", "2h", "6h", "1d", "3d"];

/// The dashboard.
pub fn page() -> (String, Value) {
    let description = "Is the objective of each set kept, and how fast is its error budget spent? Failed are calls \
        that were answered 408, 500, 502, 503 or 504; INVITEs that were redirected or challenged are no calls.";
    Page::new("sipwarden-slo", "Call-setup SLO", description, Scope::Destinations)
        .row("Thirty days")
        .line(6, [(4, objective()), (5, kept()), (5, budget()), (5, calls()), (5, failed())])
        .row("Burn rate")
        .line(9, [(14, burn()), (10, windows())])
        .row("What failed")
        .line(8, [(12, codes()), (12, success())])
        .line(8, [(24, volume())])
        .done()
}

fn objective() -> Panel {
    number("Objective", "The share of calls that is to be set up: sets.NAME.objective.")
        .unit("percentunit")
        .decimals(2)
        .colors("text", &[])
        .instant("{{set}}", "max by (set) (sipwarden_set_objective_ratio{S})")
}

fn kept() -> Panel {
    number("Calls set up, 30 d", "The share of the last 30 days' calls that did not fail.")
        .window("30d")
        .unit("percentunit")
        .decimals(3)
        .colors("red", &[(0.99, "orange"), (0.999, "green")])
        .nothing("no calls")
        .instant("{{set}}", &format!("1 - {}", ratios::failed("sum by (set)", "W")))
}

fn budget() -> Panel {
    dial(
        "Error budget left, 30 d",
        "The failures that the objective still allows within 30 days. 0: it is missed.",
    )
    .window("30d")
    .unit("percentunit")
    .decimals(1)
    .up_to(1.0)
    .colors("red", &[(0.1, "orange"), (0.5, "green")])
    .nothing("no calls")
    .instant("{{set}}", &ratios::budget_left("W"))
}

fn calls() -> Panel {
    number(
        "Calls, 30 d",
        "INVITEs of the last 30 days with a final answer, but for 3xx, 401, 402 and 407: those come again.",
    )
    .window("30d")
    .unit("short")
    .colors("text", &[])
    .instant("{{set}}", &format!("sum by (set) (increase({CALLS}[W]))"))
}

fn failed() -> Panel {
    let query = format!("sum by (set) (increase({}[W]))", ratios::failures());
    number("Failed calls, 30 d", "INVITEs of the last 30 days that were answered 408, 500, 502, 503 or 504.")
        .window("30d")
        .unit("short")
        .colors("green", &[(0.5, "orange")])
        .instant("{{set}}", &query)
}

fn codes() -> Panel {
    bars(
        "Failed calls by code and origin",
        "What spends the budget. local: sipwarden refused or timed out, upstream: a destination failed and \
         no other one helped.",
    )
    .unit("reqps")
    .nothing("No call failed")
    .query(
        "{{set}} {{code}} {{origin}}",
        &format!("sum by (set, code, origin) (rate({}[R])) > 0", ratios::failures()),
    )
}

fn success() -> Panel {
    let share = ratios::failed("sum by (set)", "R").replace("increase", "rate");
    lines(
        "Calls set up, over time",
        "The share that did not fail. The line of each set's objective is dashed.",
    )
    .unit("percentunit")
    .decimals(2)
    .field("max", json!(1))
    .fitted()
    .nothing("No calls")
    .query("{{set}}", &format!("1 - {share}"))
    .query("{{set}} objective", "max by (set) (sipwarden_set_objective_ratio{S})")
    .matching(
        "/ objective$/",
        &[("custom.lineStyle", json!({"fill": "dash", "dash": [8, 8]})), ("custom.fillOpacity", json!(0))],
    )
}

fn volume() -> Panel {
    areas(
        "Calls by second",
        "INVITEs with a final answer, but for 3xx, 401, 402 and 407. On a quiet line one failed call is a large share: the alerts ask for a \
         few failures at least.",
    )
    .unit("reqps")
    .query("{{set}}", &format!("sum by (set) (rate({CALLS}[R]))"))
}

/// How many times faster than allowed a set's budget is spent, within a window.
fn rate(window: &str) -> String {
    format!(
        r#"max by (set) (set:sipwarden_invite_errors:ratio_rate{window}{{job=~"$job", set=~"$set"}})
           / on (set) (1 - max by (set) (sipwarden_set_objective_ratio{{S}}))"#
    )
}

fn burn() -> Panel {
    let panel = lines(
        "Burn rate",
        "1: the budget of 30 days lasts 30 days. The lines are where SipwardenCallSetupErrorBudgetBurn fires: \
         14.4 over 1 h and 5 m, 6 over 6 h and 30 m, 3 over 1 d and 2 h, 1 over 3 d and 6 h. From the \
         recording rules in alerts/.",
    )
    .unit("none")
    .decimals(2)
    .limit(&[(1.0, "blue"), (3.0, "yellow"), (6.0, "orange"), (14.4, "red")])
    .nothing("No calls, or the recording rules are not loaded")
    .told();
    WINDOWS
        .into_iter()
        .fold(panel, |panel, window| panel.query(&format!("{{{{set}}}} {window}"), &rate(window)))
}

fn windows() -> Panel {
    let table = table(
        "Burn rate by window",
        "A pair of windows above its line fires: 1h and 5m above 14.4, 6h and 30m above 6 (pages), 1d and 2h \
         above 3, 3d and 6h above 1 (tickets), each with some failed calls at least.",
        &["set"],
    )
    .nothing("No calls, or the recording rules are not loaded");
    let colors = thresholds("text", &[(1.0, "blue"), (3.0, "yellow"), (6.0, "orange"), (14.4, "red")]);
    let column = |table: crate::build::kinds::Table, window: &str| {
        table.column(window, "none", &rate(window)).with(
            window,
            &[
                ("decimals", json!(1)),
                ("thresholds", colors.clone()),
                ("custom.cellOptions", json!({"type": "color-text"})),
            ],
        )
    };
    WINDOWS.into_iter().fold(table, column).done()
}
