//! What Grafana is given besides the dashboards: data sources and the provider, here and in the tour.

use crate::lint::{list, text};
use crate::read;
use serde_json::{Value, json};

const SOURCES: [&str; 2] =
    ["dashboards/provisioning/datasources.yml", "examples/asterisk/grafana-datasources.yml"];

fn yaml(path: &str) -> Value {
    serde_yaml::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The data source of a type; there is one of each.
fn source(file: &Value, kind: &str) -> Value {
    let found: Vec<_> =
        list(file, "/datasources").iter().filter(|source| text(source, "/type") == kind).collect();
    assert_eq!(found.len(), 1, "data sources of type {kind}");
    found[0].clone()
}

#[test]
fn dashboards_cannot_be_changed_in_the_browser() {
    let providers = yaml("dashboards/provisioning/dashboards.yml");
    for (pointer, value) in
        [("folder", json!("SIP")), ("disableDeletion", json!(true)), ("allowUiUpdates", json!(false))]
    {
        assert_eq!(providers.pointer(&format!("/providers/0/{pointer}")), Some(&value));
    }
}

#[test]
fn exemplars_lead_to_the_trace_store() {
    for path in SOURCES {
        let file = yaml(path);
        let prometheus = source(&file, "prometheus");
        let tempo = source(&file, "tempo");
        let leads = json!([{"name": "trace_id", "datasourceUid": tempo["uid"]}]);
        assert_eq!(prometheus["jsonData"]["exemplarTraceIdDestinations"], leads, "{path}");
        assert_eq!(source(&file, "alertmanager")["jsonData"]["implementation"], "prometheus", "{path}");
    }
}

#[test]
fn the_tour_mounts_what_is_here_and_knows_its_scrape_interval() {
    let compose = yaml("compose.yaml");
    let volumes: Vec<_> =
        list(&compose, "/services/grafana/volumes").iter().filter_map(Value::as_str).collect();
    let provider =
        text(&yaml("dashboards/provisioning/dashboards.yml"), "/providers/0/options/path").to_owned();
    for mounted in [
        "./examples/asterisk/grafana-datasources.yml:/etc/grafana/provisioning/datasources/sipwarden.yml:ro",
        "./dashboards/provisioning/dashboards.yml:/etc/grafana/provisioning/dashboards/sipwarden.yml:ro",
        &format!("./dashboards:{provider}:ro"),
    ] {
        assert!(volumes.contains(&mounted), "{mounted} is not in {volumes:?}");
    }
    let scraped = text(&yaml("examples/asterisk/prometheus.yml"), "/global/scrape_interval").to_owned();
    let told = source(&yaml(SOURCES[1]), "prometheus")["jsonData"]["timeInterval"].clone();
    assert_eq!(told, json!(scraped));
    for kind in ["prometheus", "tempo", "alertmanager"] {
        let url = text(&source(&yaml(SOURCES[1]), kind), "/url").to_owned();
        let host = url.trim_start_matches("http://").split(':').next().unwrap_or("").to_owned();
        assert!(compose.pointer(&format!("/services/{host}")).is_some(), "{url}: no service {host}");
    }
}
