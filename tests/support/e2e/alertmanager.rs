//! A real Alertmanager with the product's own example, and the webhook that its receivers call.

use super::process::Process;
use super::workspace::Workspace;
use super::{address, http, inbox, wait};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One alert in a notification.
#[derive(Debug, Clone)]
pub struct Notice {
    /// The receiver that it was sent to.
    pub receiver: String,
    /// Whether it fires, or is over.
    pub is_firing: bool,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl Notice {
    /// Whether it is of this alert and set.
    pub fn is_of(&self, alert: &str, set: &str) -> bool {
        let is = |label: &str, value: &str| self.labels.get(label).is_some_and(|found| found == value);
        is("alertname", alert) && is("set", set)
    }
}

/// A running Alertmanager.
#[derive(Debug)]
pub struct Alertmanager {
    /// Where it listens.
    pub address: SocketAddr,
    notices: Arc<Mutex<Vec<Notice>>>,
    _process: Process,
}

impl Alertmanager {
    /// Starts one with `alerts/alertmanager.example.yml`, in which `patch` has replaced what it likes;
    /// its receivers' URLs, all on 127.0.0.1:9, become that of the webhook.
    pub fn start(workspace: &Workspace, patch: impl Fn(&str) -> String) -> Self {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/alertmanager.example.yml");
        let example = std::fs::read_to_string(example).expect("the example can be read");
        let notices: Arc<Mutex<Vec<Notice>>> = Arc::default();
        let kept = Arc::clone(&notices);
        let webhook = inbox::start(move |_, body| {
            let Ok(notification) = serde_json::from_slice::<Value>(body) else { return false };
            kept.lock().unwrap_or_else(PoisonError::into_inner).extend(read(&notification));
            true
        });
        assert!(example.contains("http://127.0.0.1:9/"), "the receivers of the example lead nowhere");
        let config = patch(&example.replace("http://127.0.0.1:9/", &format!("http://{webhook}/")));
        let config = workspace.write("alertmanager.yml", &config);
        let address = address::endpoint();
        let mut command = Command::new("prometheus-alertmanager");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", workspace.path("alertmanager").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=");
        let mut process = Process::start(workspace, "alertmanager", &mut command);
        wait::until_true("Alertmanager is ready", Duration::from_secs(30), || {
            process.expect_alive();
            http::get(address, "/-/ready").is_ok_and(|answer| answer.status == 200)
        });
        Self { address, notices, _process: process }
    }

    /// What the webhook has been told so far.
    pub fn notices(&self) -> Vec<Notice> {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The names of the alerts of a set that it holds, and whether each is silenced by another.
    pub fn held(&self, set: &str) -> Vec<(String, bool)> {
        let answer = http::get(self.address, "/api/v2/alerts").expect("Alertmanager answers").json();
        let alerts = answer.as_array().cloned().unwrap_or_default();
        let of_set = alerts.iter().filter(|alert| text(alert, "/labels/set") == set);
        let held = of_set.map(|alert| {
            let inhibited = alert.pointer("/status/inhibitedBy").and_then(Value::as_array);
            (text(alert, "/labels/alertname").to_owned(), inhibited.is_some_and(|by| !by.is_empty()))
        });
        held.collect()
    }
}

fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn read(notification: &Value) -> Vec<Notice> {
    let alerts = notification.pointer("/alerts").and_then(Value::as_array).cloned().unwrap_or_default();
    let notice = |alert: &Value| Notice {
        receiver: text(notification, "/receiver").to_owned(),
        is_firing: text(alert, "/status") == "firing",
        labels: serde_json::from_value(alert.get("labels").cloned().unwrap_or_default()).unwrap_or_default(),
    };
    alerts.iter().map(notice).collect()
}
