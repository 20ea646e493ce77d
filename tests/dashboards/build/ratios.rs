//! Queries that several dashboards share: success of calls, and what is left of the error budget.

use super::panel::Panel;

/// Calls: INVITEs with a final answer that ends the attempt. One that was redirected or challenged is sent
/// again by the caller, and would count twice (RFC 6076 §4.7).
pub const CALLS: &str = r#"sipwarden_transactions_total{S, method="INVITE", code!~"3..|401|402|407"}"#;
/// The same, those that belong to no set included.
pub const ALL_CALLS: &str = r#"sipwarden_transactions_total{N, method="INVITE", code!~"3..|401|402|407"}"#;
/// The final codes that count against the objective: RFC 6076's ineffective attempts, and 502.
pub const FAILED: &str = "408|500|502|503|504";

/// Calls that failed.
pub fn failures() -> String {
    format!(r#"sipwarden_transactions_total{{S, method="INVITE", code=~"{FAILED}"}}"#)
}

/// Calls that failed, over calls; `sum` is the aggregation, `range` a letter of the short form of queries.
pub fn failed(sum: &str, range: &str) -> String {
    format!("{sum} (increase({}[{range}])) / ({sum} (increase({CALLS}[{range}])) > 0)", failures())
}

/// What is left of the error budget of each set, within a range: 1 all of it, 0 nothing,
/// also where more was spent.
pub fn budget_left(range: &str) -> String {
    format!(
        "clamp_min(1 - ({}) / on (set) (1 - max by (set) (sipwarden_set_objective_ratio{{S}})), 0)",
        failed("sum by (set)", range)
    )
}

/// The ratios of RFC 6076 as the recording rules define them, one line for each instance: an average over
/// instances would weigh an idle one as much as a busy one.
pub fn rfc6076(panel: Panel) -> Panel {
    let add = |panel: Panel, name: &str| {
        let rule = name.to_lowercase();
        let legend = format!("{{{{set}}}} {name} ({{{{instance}}}})");
        panel.query(&legend, &format!("set:sipwarden_{rule}:ratio_rate5m{{S}}"))
    };
    let panel =
        panel.unit("percentunit").up_to(1.0).nothing("No calls, or the recording rules are not loaded");
    ["SER", "SEER", "ISA"].into_iter().fold(panel, add)
}
