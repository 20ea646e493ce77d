//! `sipwarden check`: says what is wrong with a configuration, or what it comes to.

use super::term;
use crate::config::{self, Config};
use crate::facts::names::Names;
use crate::proxy::{Interfaces, Plan};
use crate::telemetry::MetricsDetail;
use crate::telemetry::Telemetry;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// The alerts of `alerts/` that read what the detail `state` does not expose: they cannot fire there.
const SILENT_AT_STATE: [&str; 5] = [
    "SipwardenDestinationFlapping",
    "SipwardenDestinationNearCapacity",
    "SipwardenProbeLatencyHigh",
    "SipwardenRetransmissionsHigh",
    "SipwardenSetupDelayHigh",
];

/// What `check` is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration [default: sipwarden.yaml, then /etc/sipwarden/sipwarden.yaml]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Checks, and prints what is in force to standard output or what is wrong to standard error.
pub fn run(args: Args) -> ExitCode {
    let env: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let path = config::find(args.config.as_deref());
    match path.and_then(|path| Ok((config::load(&path, &env)?, path))) {
        Ok((config, path)) => term::print(&report(&config, &path.display().to_string())),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The effective configuration and each set's worst-case detection time; comments but for the
/// configuration, so that the whole can be loaded again.
fn report(config: &Config, name: &str) -> String {
    let mut text = format!("# {name}: valid; in force with every default:\n{}", config.effective_yaml());
    text += "\n# worst-case time from the death of a destination to its state down:\n";
    for set in &config.proxy.sets {
        let detection = match set.detection() {
            Some(detection) => humantime::format_duration(detection).to_string(),
            None => "never, because none is probed".into(),
        };
        let count = set.dispatch.destinations.len();
        let noun = if count == 1 { "destination" } else { "destinations" };
        text += &format!("#   {}: {detection} ({count} {noun})\n", set.dispatch.name);
    }
    let plan = Plan::new(config.proxy.clone(), &Interfaces::default(), &mut Names::default());
    let (detail, series) = Telemetry::exposure(Arc::clone(plan.directory()), &config.telemetry.metrics);
    let max = config.telemetry.metrics.max_series;
    text += &format!("# metrics: detail {detail}, {series} series of at most {max}\n");
    if detail == MetricsDetail::State.as_str() {
        text += "# warning: at detail state these alerts cannot fire; detail basic has what they need, and more series:\n";
        text += &format!("#   {}\n", SILENT_AT_STATE.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_the_detection_time_of_each_set() {
        let text = "sets: {pbx: {destinations: [sip:10.0.0.1]}}";
        let config = config::from_str(text, "x.yaml", &BTreeMap::new()).unwrap();
        let report = report(&config, "x.yaml");
        assert!(report.contains("#   pbx: 19s (1 destination)"), "{report}");
        assert!(report.contains("# metrics: detail full, "), "{report}");
        assert!(!report.contains("# warning"), "{report}");
        config::from_str(&report, "again.yaml", &BTreeMap::new()).unwrap();
    }

    #[test]
    fn says_which_alerts_cannot_fire_at_the_detail_chosen_or_computed() {
        let sets = "sets: {pbx: {destinations: [sip:10.0.0.1, sip:10.0.0.2]}}\nmetrics:";
        for (metrics, is_warned) in
            [("{detail: state}", true), ("{detail: basic}", false), ("{max_series: 1000}", true)]
        {
            let config = config::from_str(&format!("{sets} {metrics}"), "x.yaml", &BTreeMap::new()).unwrap();
            let report = report(&config, "x.yaml");
            assert_eq!(report.contains("alerts cannot fire"), is_warned, "{metrics}: {report}");
        }
    }
}
