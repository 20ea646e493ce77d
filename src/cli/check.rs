//! `sipwarden check`: says what is wrong with a configuration, or what it comes to.

use super::term;
use crate::config::{self, Config};
use crate::facts::names::Names;
use crate::proxy::{Interfaces, Plan};
use crate::telemetry::Telemetry;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

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
        config::from_str(&report, "again.yaml", &BTreeMap::new()).unwrap();
    }
}
