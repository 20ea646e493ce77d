//! `metrics.detail` and `metrics.max_series`.

use crate::sim::{CALLER, Call, plan, reply};
use crate::watched::{Watched, telemetry_settings};
use sipwarden::facts::names::Names;
use sipwarden::telemetry::{Format, Telemetry};
use std::sync::Arc;

fn yaml(destinations: usize, metrics: &str) -> String {
    let destination = |n: usize| format!("{{id: d{n}, uri: \"sip:10.1.{}.{}:5060\"}}", n / 200, n % 200 + 1);
    let destinations: Vec<String> = (0..destinations).map(destination).collect();
    format!(
        "listen: [\"udp://10.0.0.1:5060\"]\nworkers: 1\nmetrics: {metrics}\nsets:\n  pbx:\n    destinations: [{}]\n",
        destinations.join(", ")
    )
}

/// The detail in force and the series computed for it, as `sipwarden check` prints them.
fn exposure(yaml: &str) -> (&'static str, usize) {
    let plan = plan(yaml, &mut Names::default());
    let (detail, series) =
        Telemetry::exposure(Arc::clone(plan.directory()), &telemetry_settings(yaml).metrics);
    (detail, usize::try_from(series).expect("it fits"))
}

fn of_destination(text: &str, id: &str) -> usize {
    let label = format!("destination=\"{id}\"");
    text.lines().filter(|line| line.contains(&label)).count()
}

#[test]
fn what_is_computed_is_what_is_exposed() {
    for detail in ["full", "basic", "state"] {
        let yaml = yaml(7, &format!("{{detail: {detail}}}"));
        let mut watched = Watched::new(&yaml);
        watched.world.advance(1_500);
        watched.record();
        let (in_force, computed) = exposure(&yaml);
        assert_eq!(in_force, detail);
        // Room is kept for one label set of each kind that comes later: of selections and codes of a
        // destination, of transactions with and without a set, of selections of a set by their time.
        let later = match detail {
            "full" => 7 * 2 + 2 + 12,
            "basic" => 7 + 2 + 12,
            _ => 2 + 12,
        };
        assert_eq!(watched.series(), computed - later, "{detail}");
    }
}

#[test]
fn state_has_forty_series_of_a_destination_and_still_tells_of_calls() {
    let mut watched = Watched::new(&yaml(3, "{detail: state}"));
    watched.world.advance(1_500);
    let mut call = Call::new("one");
    watched.world.receive(CALLER, &call.request("INVITE"));
    let invite = watched.world.drain_all().into_iter().find(|sent| sent.text.starts_with("INVITE ")).unwrap();
    watched.world.receive(&invite.hop.remote.to_string(), &reply(&invite.text, 486, "callee", ""));
    watched.record();
    let text = watched.scrape(Format::Text);
    for id in ["d0", "d1", "d2"] {
        assert_eq!(of_destination(&text, id), 40, "{id}");
    }
    let own = "set=\"pbx\",destination=\"d0\"";
    let sum = |family: &str| {
        let of = text.lines().filter(|line| line.starts_with(family));
        of.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum::<u64>()
    };
    assert_eq!(sum("sipwarden_destination_requests_total{set="), 1);
    assert_eq!(sum("sipwarden_destination_responses_total{set="), 1);
    assert_eq!(sum("sipwarden_selections_total{set="), 1);
    assert!(text.contains(&format!("sipwarden_destination_up{{{own}}} 1\n")));
    assert!(text.contains(
        "sipwarden_transactions_total{set=\"pbx\",method=\"INVITE\",code=\"486\",origin=\"upstream\"} 1\n"
    ));
}

#[test]
fn auto_takes_the_richest_detail_that_fits() {
    let detail = |destinations, max: u32| exposure(&yaml(destinations, &format!("{{max_series: {max}}}"))).0;
    assert_eq!(detail(2, 50_000), "full");
    assert_eq!(detail(1_000, 50_000), "state");
    let (_, full) = exposure(&yaml(20, "{detail: full}"));
    let (_, basic) = exposure(&yaml(20, "{detail: basic}"));
    let max = |series: usize| u32::try_from(series).unwrap();
    assert_eq!(detail(20, max(full)), "full");
    assert_eq!(detail(20, max(full) - 1), "basic");
    assert_eq!(detail(20, max(basic)), "basic");
    assert_eq!(detail(20, max(basic) - 1), "state");
}

#[test]
fn what_is_too_much_is_summed_up_and_states_sets_and_probes_never_are() {
    const MAX: usize = 12_000;
    let mut watched = Watched::new(&yaml(60, &format!("{{detail: full, max_series: {MAX}}}")));
    watched.world.advance(1_500);
    // Every destination gets one call, and answers with a code of its own.
    for n in 0..60_usize {
        let mut call = Call::new(&format!("c{n}"));
        watched.world.receive(CALLER, &call.request("INVITE"));
        let sent = watched.world.drain_all();
        let invite = sent.iter().find(|sent| sent.text.starts_with("INVITE ")).unwrap();
        let code = [480, 484, 485, 488, 491, 600, 603, 604, 606, 420][n % 10];
        watched.world.receive(&invite.hop.remote.to_string(), &reply(&invite.text, code, "callee", ""));
        watched.world.drain_all();
    }
    watched.record();
    let text = watched.scrape(Format::Text);
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    assert!(series <= MAX, "{series} series");
    assert!(series > MAX - 600, "only {series} series: the limit is not used");
    let values = |family: &str, filter: &str| -> Vec<u64> {
        let lines =
            text.lines().filter(|line| line.starts_with(&format!("{family}{{")) && line.contains(filter));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse().ok()).collect()
    };
    for family in [
        "sipwarden_destination_state",
        "sipwarden_destination_up",
        "sipwarden_probes_total",
        "sipwarden_probe_rtt_seconds_count",
        "sipwarden_destination_transitions_total",
    ] {
        assert!(
            !values(family, "destination=\"d0\"").is_empty()
                && !values(family, "destination=\"d59\"").is_empty(),
            "{family}"
        );
        assert!(values(family, "\"other\"").is_empty(), "{family} is folded");
    }
    for family in [
        "sipwarden_destination_requests_total",
        "sipwarden_destination_responses_total",
        "sipwarden_destination_response_codes_total",
        "sipwarden_selections_total",
    ] {
        let (all, other) = (values(family, "set=\"pbx\""), values(family, "destination=\"other\""));
        assert_eq!(all.iter().sum::<u64>(), 60, "nothing of {family} is lost");
        assert!(
            other.iter().sum::<u64>() > 0 && values(family, "destination=\"d59\"").is_empty(),
            "{family}"
        );
        let dropped = values("sipwarden_metric_series_dropped_total", &format!("family=\"{family}\""));
        assert!(dropped.iter().sum::<u64>() > 0, "{family} says what it dropped");
    }
    let dropped = |text: &str| -> u64 {
        let lines = text.lines().filter(|line| line.starts_with("sipwarden_metric_series_dropped_total{"));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
    };
    let again = watched.scrape(Format::Text);
    assert!(dropped(&again) > dropped(&text), "the alert sees it grow for as long as it lasts");
    let names = |text: &str| {
        let lines = text.lines().filter_map(|line| line.rsplit_once(' '));
        lines.map(|(series, _)| series.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&again), names(&text), "the same series in every scrape");
}

#[test]
fn a_label_set_that_finds_no_room_is_summed_up_for_its_owner() {
    let (_, computed) = exposure(&yaml(1, "{detail: full}"));
    let mut watched = Watched::new(&yaml(1, &format!("{{detail: full, max_series: {}}}", computed + 4)));
    watched.world.advance(1_500);
    for (n, code) in [484, 485, 491, 604, 606, 484, 491].into_iter().enumerate() {
        let mut call = Call::new(&format!("c{n}"));
        watched.world.receive(CALLER, &call.request("INVITE"));
        let sent = watched.world.drain_all();
        let invite = sent.iter().find(|sent| sent.text.starts_with("INVITE ")).unwrap();
        watched.world.receive(&invite.hop.remote.to_string(), &reply(&invite.text, code, "callee", ""));
        watched.world.drain_all();
        watched.record();
        let _ = watched.scrape(Format::Text);
    }
    let text = watched.scrape(Format::Text);
    let codes: u64 = text
        .lines()
        .filter(|line| line.starts_with("sipwarden_destination_response_codes_total{"))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
        .sum();
    assert_eq!(codes, 7, "nothing is lost");
    assert!(text.contains("destination=\"d0\",code=\"other\"}"), "{text}");
    assert!(watched.series() <= computed + 4, "{} series of at most {}", watched.series(), computed + 4);
}
