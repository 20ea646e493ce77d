//! The row *Version and configuration*.

use crate::build::kinds::{bars, light, number, table};
use crate::build::panel::Panel;
use crate::build::query::ours;

pub fn up() -> Panel {
    let all = format!(r#"{} or up{{P, job="sipwarden"}}"#, ours("up{P}"));
    light(
        "Scraped",
        "Whether Prometheus reaches each instance. Not for a minute: SipwardenDown. One that was never reached \
         is only known by a job named sipwarden.",
    )
        .unit("none")
        .mapped(&[("0", "down", "red"), ("1", "up", "green")])
        .colors("red", &[(1.0, "green")])
        .instant("{{instance}}", &all)
}

pub fn uptime() -> Panel {
    number("Running for", "Time since the process started.")
        .unit("dtdurations")
        .colors("orange", &[(600.0, "text")])
        .instant("{{instance}}", &ours("time() - process_start_time_seconds{P}"))
}

pub fn accepted() -> Panel {
    light(
        "Configuration",
        "Whether the last reload was accepted. Refused: the one before it runs on, and a restart would fail \
         (SipwardenConfigReloadFailed).",
    )
    .unit("none")
    .mapped(&[("0", "refused", "red"), ("1", "accepted", "green")])
    .colors("red", &[(1.0, "green")])
    .instant("{{instance}}", "sipwarden_config_last_reload_successful{P}")
}

pub fn age() -> Panel {
    number("Configuration in force for", "Time since a configuration was last accepted.")
        .unit("dtdurations")
        .colors("text", &[])
        .instant("{{instance}}", "time() - sipwarden_config_last_reload_success_timestamp_seconds{P}")
}

pub fn drift() -> Panel {
    number(
        "Different configurations",
        "How many configurations are in force. More than one among instances that should be equal: \
         SipwardenConfigDrift.",
    )
    .unit("none")
    .colors("green", &[(2.0, "orange")])
    .instant("configurations", r#"count(count_values("hash", sipwarden_config_hash{P}))"#)
}

pub fn builds() -> Panel {
    table(
        "Versions",
        "What runs where. Equal configurations have equal hashes.",
        &["instance", "version", "revision", "rustc", "features"],
    )
    .rows("max by (instance, version, revision, rustc, features) (sipwarden_build_info{P})")
    .column("hash of the configuration", "hex", "max by (instance) (sipwarden_config_hash{P})")
    .done()
}

pub fn reloads() -> Panel {
    bars("Reloads by trigger and result", "signal: SIGHUP. file: its content changed. api: POST /-/reload.")
        .unit("none")
        .query(
            "{{trigger}}: {{result}}",
            "sum by (trigger, result) (increase(sipwarden_config_reloads_total{P}[R]))",
        )
}

pub fn panics() -> Panel {
    number("Panics", "Of any thread since the start. Each is a defect of sipwarden: please report it.")
        .unit("none")
        .colors("green", &[(1.0, "red")])
        .instant("panics", "sum(increase(sipwarden_panics_total{P}[W]))")
}
