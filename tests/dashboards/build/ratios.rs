//! Queries that several dashboards share: success of calls, and what is left of the error budget.

/// The final codes that count against the objective: RFC 6076's ineffective attempts, and 502.
pub const FAILED: &str = "408|500|502|503|504";

/// Calls that failed, over calls; `sum` is the aggregation, `range` a letter of the short form of queries.
pub fn failed(sum: &str, range: &str) -> String {
    let calls = r#"sipwarden_transactions_total{S, method="INVITE""#;
    format!(
        r#"{sum} (increase({calls}, code=~"{FAILED}"}}[{range}])) / ({sum} (increase({calls}}}[{range}])) > 0)"#
    )
}

/// What is left of the error budget of each set, within a range: 1 all of it, 0 nothing,
/// also where more was spent.
pub fn budget_left(range: &str) -> String {
    format!(
        "clamp_min(1 - ({}) / on (set) (1 - max by (set) (sipwarden_set_objective_ratio{{S}})), 0)",
        failed("sum by (set)", range)
    )
}

/// The ratios of RFC 6076 with their names: SER, SEER and ISA.
pub fn rfc6076(by: &str) -> [(&'static str, String); 3] {
    let calls = |codes: &str| {
        format!(r#"sum by ({by}) (rate(sipwarden_transactions_total{{S, method="INVITE", {codes}}}[R]))"#)
    };
    let ratio = |some: &str, of: &str| format!("{} / ({} > 0)", calls(some), calls(of));
    [
        ("SER", ratio(r#"code=~"2..""#, r#"code!~"3..""#)),
        ("SEER", ratio(r#"code=~"2..|480|486|600|603""#, r#"code!~"3..|401|402|407""#)),
        ("ISA", ratio(r#"code=~"408|500|503|504""#, r#"code=~".+""#)),
    ]
}
