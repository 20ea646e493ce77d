//! Everything that watches the product, at once and against the real tools: the binary under calls,
//! failover, hostile traffic, reloads, a restart, the loss of a whole set and its return; Prometheus
//! and Alertmanager as they ship. Then every question of every dashboard has an answer, and every
//! exemplar leads to a trace.

#[path = "observability/dashboards.rs"]
mod dashboards;
#[path = "observability/exemplars.rs"]
mod exemplars;
#[path = "support/e2e/harness.rs"]
mod harness;
#[path = "observability/judgement.rs"]
mod judgement;
#[path = "observability/questions.rs"]
mod questions;
#[path = "observability/story.rs"]
mod story;
#[path = "torture/table.rs"]
#[allow(dead_code, reason = "the verdicts are those of another test")]
mod table;
#[path = "observability/variables.rs"]
mod variables;

use harness::alertmanager::{Alertmanager, Notice};
use harness::collector::Collector;
use harness::product::Sipwarden;
use harness::prometheus::Prometheus;
use harness::sipp::Calls;
use harness::wait;
use harness::workspace::Workspace;
use questions::Shown;
use serde_json::Value;
use std::time::{Duration, SystemTime};
use story::Stage;

const ALL_DOWN: &str = "SipwardenAllDestinationsDown";
const DOWN: &str = "SipwardenDestinationDown";

/// Queries that this story gives no data, and why.
const EMPTY: &[(&str, &str)] = &[];

/// Shortens the waiting times of rules, that of the page most, and evaluates all groups as often as
/// Prometheus is told to; nothing else of the rules is changed.
fn hurry(rules: &str) -> String {
    let mut of_page = false;
    let lines = rules.lines().filter(|line| !line.trim_start().starts_with("interval:")).map(|line| {
        let (indent, key) = line.split_at(line.len() - line.trim_start().len());
        if let Some(name) = key.strip_prefix("- alert: ") {
            of_page = name.trim() == ALL_DOWN;
        }
        match key.starts_with("for:") {
            true if of_page => format!("{indent}for: 1s"),
            true => format!("{indent}for: 6s"),
            false => line.to_owned(),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Notifications at once; nothing else of the example is changed.
fn at_once(config: &str) -> String {
    let lines = config.lines().map(|line| {
        let (indent, key) = line.split_at(line.len() - line.trim_start().len());
        let is_wait = key.starts_with("group_wait:") || key.starts_with("group_interval:");
        match key.split_once(':').filter(|_| is_wait) {
            Some((key, _)) => format!("{indent}{key}: 1s"),
            None => line.to_owned(),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Waits until the webhook has been told that the page of `pbx` fires, or is over.
fn wait_for_page(alertmanager: &Alertmanager, is_firing: bool) {
    let what = format!("the webhook is told {ALL_DOWN}, firing: {is_firing}");
    wait::until_true(&what, Duration::from_secs(30), || {
        let is = |notice: &Notice| notice.is_of(ALL_DOWN, "pbx") && notice.is_firing == is_firing;
        alertmanager.notices().iter().any(is)
    });
}

/// Both destinations die: the page comes, and what follows from it does not.
fn lose_everything(alertmanager: &Alertmanager, prometheus: &Prometheus) {
    wait_for_page(alertmanager, true);
    wait::until_true("both single alerts are held back", Duration::from_secs(30), || {
        let held = alertmanager.held("pbx");
        let single: Vec<_> = held.iter().filter(|(name, _)| name == DOWN).collect();
        assert!(single.iter().all(|(_, is_inhibited)| *is_inhibited), "{held:?}");
        single.len() == 2
    });
    let told: Vec<Notice> =
        alertmanager.notices().into_iter().filter(|notice| notice.is_of(DOWN, "pbx")).collect();
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(prometheus.alert(DOWN, "pbx").as_deref(), Some("firing"));
}

/// Every rule has been evaluated, and without an error.
fn expect_healthy_rules(prometheus: &Prometheus) {
    let data = prometheus.ask("rules", &[]).expect("Prometheus tells its rules");
    let groups = data.get("groups").and_then(Value::as_array).cloned().unwrap_or_default();
    let rules = groups.iter().filter_map(|group| group.get("rules")?.as_array()).flatten();
    let (healthy, ill): (Vec<&Value>, Vec<&Value>) = rules.partition(|rule| rule["health"] == "ok");
    let ill: Vec<String> =
        ill.iter().map(|rule| format!("{}: {}", rule["name"], rule["lastError"])).collect();
    assert!(ill.is_empty(), "{}", ill.join("\n"));
    assert_eq!(healthy.len(), prometheus.rules, "rules");
}

/// Every query of every dashboard has an answer that can be true, but for those that are listed.
fn expect_answers(prometheus: &Prometheus, instance: &str, since: SystemTime) {
    let (step, scrape) = (Duration::from_secs(1), Duration::from_millis(500));
    let shown = Shown { since, step, scrape, instance };
    let dashboards = dashboards::all();
    let places: Vec<&str> = dashboards
        .iter()
        .flat_map(|dashboard| &dashboard.queries)
        .map(|query| query.place.as_str())
        .collect();
    for place in EMPTY.iter().map(|(place, _)| *place).chain(judgement::known()) {
        assert!(places.contains(&place), "{place} is no query of a dashboard");
    }
    let problems = dashboards.iter().flat_map(|dashboard| questions::problems(prometheus, dashboard, shown));
    let problems: Vec<String> =
        problems.filter(|problem| !EMPTY.iter().any(|(place, _)| problem.starts_with(place))).collect();
    assert!(problems.is_empty(), "{} of {} queries:\n{}", problems.len(), places.len(), problems.join("\n"));
}

#[test]
fn dashboards_rules_and_alerts_work_on_real_traffic() {
    let workspace = Workspace::new("observability");
    let collector = Collector::start();
    let mut stage = Stage::start(&workspace);
    let config = stage.config(&collector);
    let mut sipwarden = Sipwarden::start(&workspace, &config);
    let alertmanager = Alertmanager::start(&workspace, at_once);
    let since = SystemTime::now();
    let prometheus = Prometheus::start_with(&workspace, sipwarden.http, Some(alertmanager.address), hurry);
    sipwarden.wait_until_up("pbx", 2);
    // It takes seconds to begin, and what happens before is not counted.
    wait::until_true("Prometheus has scraped sipwarden", Duration::from_secs(20), || {
        !prometheus.query("sipwarden_build_info").is_empty()
    });

    story::calls(&workspace, &sipwarden);
    story::hostile_traffic(&stage, &sipwarden);
    story::reloads(&sipwarden, &config);
    sipwarden.process.signal("TERM");
    sipwarden.process.wait(Duration::from_secs(40));
    sipwarden = Sipwarden::start(&workspace, &config);
    sipwarden.wait_until_up("pbx", 2);
    story::calls(&workspace, &sipwarden);
    story::hostile_traffic(&stage, &sipwarden);

    // The annotation of a death looks a minute back.
    wait::until_true("pbx has been up for a minute", Duration::from_secs(80), || {
        !prometheus.query("sipwarden_destination_up{set=\"pbx\"} offset 65s == 1").is_empty()
    });
    stage.kill_pbx();
    sipwarden.wait_until_all_down("pbx", true);
    Calls::to(sipwarden.sip, 20, 10).scenario("caller_refused").make(&workspace).expect_all_successful();
    lose_everything(&alertmanager, &prometheus);
    stage.revive_pbx(&workspace);
    sipwarden.wait_until_up("pbx", 2);
    wait_for_page(&alertmanager, false);
    Calls::to(sipwarden.sip, 20, 10).make(&workspace).expect_all_successful();

    expect_healthy_rules(&prometheus);
    expect_answers(&prometheus, &sipwarden.http.to_string(), since);
    exemplars::expect_traces(&prometheus, &collector, since);
}
