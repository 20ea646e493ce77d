//! Every example file can be read, its configuration loads, and what it promises holds: a sidecar without
//! rights, images of one version, a grace period longer than the drain.

use serde::Deserialize;
use serde_yaml::Value;
use sipwarden::config;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the Compose files are, relative to the root.
const COMPOSE: [&str; 3] =
    ["compose.yaml", "examples/existing/compose.yaml", "examples/freeswitch/compose.yaml"];

fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents of a YAML file.
fn documents(text: &str) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(text);
    let read = |document| {
        let mut value = Value::deserialize(document).expect("it is YAML");
        value.apply_merge().expect("its merge keys name mappings");
        value
    };
    documents.map(read).collect()
}

/// The value at a path of keys.
fn at<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(value, |value, key| value.get(key).unwrap_or_else(|| panic!("no {key} of {path:?}")))
}

fn files(directory: &str, extension: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut found = vec![];
    let mut open = vec![root];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry"))
        {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn load(text: &str, name: &str) -> config::Config {
    config::from_str(text, name, &BTreeMap::new()).unwrap_or_else(|error| panic!("{error}"))
}

/// The configuration that a Compose file mounts lies in one of these.
fn configuration_beside(compose: &str) -> config::Config {
    let path = match compose {
        "compose.yaml" => "examples/asterisk/sipwarden.yaml".to_owned(),
        _ => compose.replace("compose.yaml", "sipwarden.yaml"),
    };
    load(&read(&path), &path)
}

#[test]
fn compose_files_confine_sipwarden_and_leave_time_for_the_drain() {
    for path in COMPOSE {
        let documents = documents(&read(path));
        let services = at(&documents[0], &["services"]).as_mapping().expect("services");
        for (name, service) in services {
            if let Some(other) = service.get("extends") {
                assert_eq!(
                    at(other, &["file"]),
                    &Value::from("../../compose.yaml"),
                    "one that is looked at here"
                );
                continue;
            }
            let image = at(service, &["image"]).as_str().expect("an image");
            // The default of ${NAME:-default}.
            let image = image.split_once(":-").map_or(image, |(_, default)| default.trim_end_matches('}'));
            let tag = image.rsplit_once(':').map(|(_, tag)| tag);
            assert!(tag.is_some_and(|tag| tag != "latest"), "{path}: {name:?} has no version: {image}");
        }
        let sipwarden = services.get("sipwarden").expect("sipwarden");
        assert_eq!(at(sipwarden, &["read_only"]), &Value::from(true), "{path}");
        assert_eq!(at(sipwarden, &["cap_drop"]), &Value::from(vec!["ALL"]), "{path}");
        assert_eq!(at(sipwarden, &["security_opt"]), &Value::from(vec!["no-new-privileges:true"]), "{path}");
        let grace = at(sipwarden, &["stop_grace_period"]).as_str().expect("a duration");
        let grace = humantime::parse_duration(grace).expect("a duration");
        assert!(grace > configuration_beside(path).drain_timeout, "{path}: {grace:?}");
    }
}

#[test]
fn the_kubernetes_files_hold_a_configuration_that_loads_and_pods_without_rights() {
    let documents = documents(&read("examples/kubernetes/sipwarden.yaml"));
    let of_kind = |kind: &str| {
        let found = documents.iter().find(|document| at(document, &["kind"]).as_str() == Some(kind));
        found.unwrap_or_else(|| panic!("no {kind}"))
    };
    let config = at(of_kind("ConfigMap"), &["data", "sipwarden.yaml"]).as_str().expect("text");
    let config = load(config, "examples/kubernetes/sipwarden.yaml");
    let pod = at(of_kind("Deployment"), &["spec", "template", "spec"]);
    let grace = at(pod, &["terminationGracePeriodSeconds"]).as_u64().expect("seconds");
    assert!(Duration::from_secs(grace) > config.drain_timeout);
    let container = at(pod, &["containers"]).get(0).expect("a container");
    assert_eq!(at(pod, &["securityContext", "runAsNonRoot"]), &Value::from(true));
    assert_eq!(at(container, &["securityContext", "readOnlyRootFilesystem"]), &Value::from(true));
    assert_eq!(at(container, &["securityContext", "capabilities", "drop"]), &Value::from(vec!["ALL"]));
    for probe in ["readinessProbe", "livenessProbe"] {
        let path = at(container, &[probe, "httpGet", "path"]).as_str().expect("a path");
        assert!(["/-/ready", "/-/healthy"].contains(&path), "{path}");
    }
    let monitor = &self::documents(&read("examples/kubernetes/monitoring.yaml"))[0];
    assert_eq!(at(monitor, &["spec", "selector"]), at(of_kind("Deployment"), &["spec", "selector"]));
}

#[test]
fn the_rules_for_the_prometheus_operator_are_those_of_the_alert_files() {
    let printed =
        std::process::Command::new(format!("{}/scripts/prometheus-rule.sh", env!("CARGO_MANIFEST_DIR")))
            .output()
            .expect("the script runs");
    let documents = documents(&String::from_utf8(printed.stdout).expect("text"));
    let groups = at(&documents[0], &["spec", "groups"]).as_sequence().expect("groups").clone();
    let mut written: Vec<Value> = vec![];
    for path in files("alerts", "yml") {
        let text = std::fs::read_to_string(&path).expect("a file");
        let is_rules = !path.to_string_lossy().contains("/tests/") && text.contains("\ngroups:");
        if is_rules {
            written
                .extend(at(&self::documents(&text)[0], &["groups"]).as_sequence().expect("groups").clone());
        }
    }
    assert!(!written.is_empty());
    assert_eq!(groups, written);
}

#[test]
fn every_example_file_can_be_read() {
    for path in files("examples", "yaml").into_iter().chain(files("examples", "yml")) {
        let text = std::fs::read_to_string(&path).expect("a file");
        assert!(documents(&text).iter().all(Value::is_mapping), "{}", path.display());
        let is_ours = path.ends_with("sipwarden.yaml") && !path.to_string_lossy().contains("kubernetes");
        if is_ours {
            load(&text, &path.to_string_lossy());
        }
    }
    let xml = files("examples", "xml");
    assert!(xml.iter().any(|path| path.to_string_lossy().contains("freeswitch")));
    for path in xml {
        let text = std::fs::read_to_string(&path).expect("a file");
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        if let Err(error) = roxmltree::Document::parse_with_options(&text, options) {
            panic!("{}: {error}", path.display());
        }
    }
}

#[test]
fn the_systemd_unit_gives_sipwarden_no_rights_and_time_for_the_drain() {
    let unit = read("examples/systemd/sipwarden.service");
    let settings: BTreeMap<&str, &str> = unit.lines().filter_map(|line| line.split_once('=')).collect();
    for (key, value) in [
        ("DynamicUser", "yes"),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("CapabilityBoundingSet", ""),
        ("MemoryDenyWriteExecute", "yes"),
    ] {
        assert_eq!(settings.get(key), Some(&value), "{key}");
    }
    let stop: u64 = settings["TimeoutStopSec"].parse().expect("seconds");
    let default = load("sets: {pbx: {destinations: [\"sip:10.0.0.1\"]}}", "default").drain_timeout;
    assert!(Duration::from_secs(stop) > default);
}
