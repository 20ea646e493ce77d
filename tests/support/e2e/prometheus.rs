//! A real Prometheus with the product's own rules.

use super::address;
use super::http;
use super::process::Process;
use super::wait;
use super::workspace::Workspace;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    address: SocketAddr,
    process: Process,
}

impl Prometheus {
    /// Starts one that scrapes `target` as job `sipwarden` and evaluates copies of `alerts/*.yml`
    /// in which `patch` has replaced what it likes.
    pub fn start(workspace: &Workspace, target: SocketAddr, patch: impl Fn(&str) -> String) -> Self {
        let alerts = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts");
        let mut rules = Vec::new();
        for entry in fs::read_dir(&alerts).expect("alerts/ is there").flatten() {
            let path = entry.path();
            let is_example = path.to_string_lossy().contains(".example.");
            if !is_example && path.extension().is_some_and(|extension| extension == "yml") {
                let name = format!("rules-{}", entry.file_name().to_string_lossy());
                let text = fs::read_to_string(&path).expect("a rule file can be read");
                rules.push(workspace.write(&name, &patch(&text)).display().to_string());
            }
        }
        assert!(!rules.is_empty(), "no rules in {}", alerts.display());
        let rules: String = rules.iter().map(|rule| format!("\n  - {rule}")).collect();
        let config = workspace.write(
            "prometheus.yml",
            &format!(
                "global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}}\n\
                 rule_files:{rules}\n\
                 scrape_configs:\n  - job_name: sipwarden\n    static_configs: [{{targets: [\"{target}\"]}}]\n"
            ),
        );
        let address = address::endpoint();
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", workspace.path("tsdb").display()))
            .arg(format!("--web.listen-address={address}"));
        let process = Process::start(workspace, "prometheus", &mut command);
        let mut started = Self { address, process };
        wait::until_true("Prometheus is ready", Duration::from_secs(30), || {
            started.process.expect_alive();
            http::get(address, "/-/ready").is_ok_and(|answer| answer.status == 200)
        });
        started
    }

    /// The values of an instant query.
    pub fn query(&self, expression: &str) -> Vec<f64> {
        let answer = http::get(self.address, &format!("/api/v1/query?query={expression}"));
        let answer = answer.expect("Prometheus answers").json();
        let rows =
            answer.pointer("/data/result").and_then(|rows| rows.as_array()).cloned().unwrap_or_default();
        rows.iter().filter_map(|row| row.pointer("/value/1")?.as_str()?.parse().ok()).collect()
    }

    /// The state of the alert for a set: `pending`, `firing`, or nothing.
    pub fn alert(&self, name: &str, set: &str) -> Option<String> {
        let answer = http::get(self.address, "/api/v1/alerts").expect("Prometheus answers").json();
        let alerts = answer.pointer("/data/alerts")?.as_array()?.clone();
        let alert = alerts.iter().find(|alert| {
            let label = |key: &str| alert.pointer(&format!("/labels/{key}")).and_then(|value| value.as_str());
            label("alertname") == Some(name) && label("set") == Some(set)
        })?;
        alert.pointer("/state")?.as_str().map(str::to_owned)
    }
}
