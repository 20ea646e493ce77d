//! A real Prometheus with the product's own rules.

use super::address;
use super::http;
use super::process::Process;
use super::wait;
use super::workspace::Workspace;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    address: SocketAddr,
    /// How many rules it was given.
    pub rules: usize,
    process: Process,
}

impl Prometheus {
    /// Starts one that scrapes `target` as job `sipwarden`, itself as a job that is none of ours, and evaluates copies of `alerts/*.yml`
    /// in which `patch` has replaced what it likes.
    pub fn start(workspace: &Workspace, target: SocketAddr, patch: impl Fn(&str) -> String) -> Self {
        Self::start_with(workspace, target, None, patch)
    }

    /// The same that tells an Alertmanager.
    pub fn start_with(
        workspace: &Workspace,
        target: SocketAddr,
        alertmanager: Option<SocketAddr>,
        patch: impl Fn(&str) -> String,
    ) -> Self {
        let alerts = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts");
        let (mut rules, mut count) = (Vec::new(), 0);
        for entry in fs::read_dir(&alerts).expect("alerts/ is there").flatten() {
            let path = entry.path();
            let is_example = path.to_string_lossy().contains(".example.");
            if !is_example && path.extension().is_some_and(|extension| extension == "yml") {
                let name = format!("rules-{}", entry.file_name().to_string_lossy());
                let text = fs::read_to_string(&path).expect("a rule file can be read");
                count += text.lines().map(str::trim_start).filter(|line| is_rule(line)).count();
                rules.push(workspace.write(&name, &patch(&text)).display().to_string());
            }
        }
        assert!(!rules.is_empty(), "no rules in {}", alerts.display());
        let rules: String = rules.iter().map(|rule| format!("\n  - {rule}")).collect();
        let alerting = alertmanager.map_or_else(String::new, |address| {
            format!("alerting: {{alertmanagers: [{{static_configs: [{{targets: [\"{address}\"]}}]}}]}}\n")
        });
        let address = address::endpoint();
        let config = workspace.write(
            "prometheus.yml",
            &format!(
                "global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}}\n\
                 rule_files:{rules}\n{alerting}\
                 scrape_configs:\n  - job_name: sipwarden\n    static_configs: [{{targets: [\"{target}\"]}}]\n\
                 \x20 - job_name: prometheus\n    static_configs: [{{targets: [\"{address}\"]}}]\n"
            ),
        );
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", workspace.path("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--enable-feature=exemplar-storage");
        let process = Process::start(workspace, "prometheus", &mut command);
        let mut started = Self { address, rules: count, process };
        wait::until_true("Prometheus is ready", Duration::from_secs(30), || {
            started.process.expect_alive();
            http::get(address, "/-/ready").is_ok_and(|answer| answer.status == 200)
        });
        started
    }

    /// The data that the API gives at a path for these parameters, or the error that it tells.
    pub fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let pairs = parameters.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        let query: Vec<String> = pairs.collect();
        let answer = http::get(self.address, &format!("/api/v1/{path}?{}", query.join("&")));
        let mut answer = answer.map_err(|error| error.to_string())?.json();
        match answer.get("status").and_then(Value::as_str) {
            Some("success") => Ok(answer.get_mut("data").map(Value::take).unwrap_or_default()),
            _ => Err(answer.get("error").map_or_else(|| answer.to_string(), Value::to_string)),
        }
    }

    /// The values of an instant query.
    pub fn query(&self, expression: &str) -> Vec<f64> {
        let answer = self.ask("query", &[("query", expression)]).expect("the query is right");
        let rows = answer.pointer("/result").and_then(Value::as_array).cloned().unwrap_or_default();
        rows.iter().filter_map(|row| row.pointer("/value/1")?.as_str()?.parse().ok()).collect()
    }

    /// The state of the alert for a set: `pending`, `firing`, or nothing.
    pub fn alert(&self, name: &str, set: &str) -> Option<String> {
        let answer = self.ask("alerts", &[]).expect("Prometheus tells its alerts");
        let alerts = answer.pointer("/alerts")?.as_array()?.clone();
        let alert = alerts.iter().find(|alert| {
            let label = |key: &str| alert.pointer(&format!("/labels/{key}")).and_then(Value::as_str);
            label("alertname") == Some(name) && label("set") == Some(set)
        })?;
        alert.pointer("/state")?.as_str().map(str::to_owned)
    }
}

/// Whether a line of a rule file begins a rule.
fn is_rule(line: &str) -> bool {
    line.starts_with("- alert:") || line.starts_with("- record:")
}

/// A text as part of a query string.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
