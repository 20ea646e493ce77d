//! Each rule of `alerts/*.yml` broken in every way that its text offers: the promtool tests notice.
//! Takes minutes, and is no part of a plain `cargo test`: `scripts/mutate-alerts.sh` runs it.

#[path = "alerts/mutants.rs"]
mod mutants;
#[path = "alerts/rules.rs"]
mod rules;
#[path = "alerts/trial.rs"]
mod trial;

/// What breaks nothing: a rule, or part of its name; what is done to it; why that is the same rule.
const EQUIVALENT: [(&str, &str, &str); 12] = [
    ("SipwardenCallsRejectedNoDestination", "sum (no. 1) → max", ONE),
    ("SipwardenSetFull", "sum (no. 1) → max", ONE),
    ("SipwardenFailoversExhausted", "sum (no. 1) → max", ONE),
    ("SipwardenRetransmissionsHigh", "sum (no. 1) → max", ONE),
    ("SipwardenProbesStalled", "max (no. 1) → min", ONE),
    ("SipwardenProbeScheduleLag", "sum (no. 1) → max", ONE),
    ("SipwardenReceiveBufferDrops", "sum (no. 1) → max", ONE),
    ("SipwardenRuntimeLag", "sum (no. 1) → max", ONE),
    ("set_destination:sipwarden_probe_rtt_seconds:p95_rate5m", "sum (no. 1) → max", ONE),
    ("set_destination:sipwarden_srd_seconds:p95_rate5m", "sum (no. 1) → max", ONE),
    ("SipwardenWatchdog", "1 (no. 1) → 2", "any value fires"),
    ("SipwardenWatchdog", "1 (no. 1) → 0.5", "any value fires"),
];

const ONE: &str = "the matchers leave one series for each group";

#[test]
fn the_tests_notice_every_broken_rule() {
    let (count, survivors) = trial::survivors(&rules::rules(), mutants::of);
    let expected = EQUIVALENT.map(|(rule, what, _)| format!("{rule}: {what}"));
    let unnoticed: Vec<_> = survivors.iter().filter(|survivor| !expected.contains(survivor)).collect();
    println!("{count} broken rules, {} not noticed, {} equivalent", unnoticed.len(), expected.len());
    assert!(unnoticed.is_empty(), "{count} broken rules; no promtool test notices: {unnoticed:#?}");
    let stale: Vec<_> = expected.iter().filter(|expected| !survivors.contains(expected)).collect();
    assert!(stale.is_empty(), "noticed, so not equivalent: {stale:#?}");
}
