//! `sipwarden list`: the destinations of a running sipwarden as a table or as JSON.

use super::changes;
use super::remote::Remote;
use super::term::{self, Cell, Style, Tone};
use crate::admin::client::{Client, Error};
use crate::admin::destinations::{DestinationView, Listing, ProbeView, SetView};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

/// Options of `list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this set
    #[arg(value_name = "SET")]
    pub set: Option<String>,
    /// Print JSON, with the history of changes and probes
    #[arg(long, conflicts_with = "watch")]
    pub json: bool,
    /// Show the last 200 changes of state instead, each with its reason
    #[arg(long, conflicts_with_all = ["watch", "json"])]
    pub changes: bool,
    /// Draw the table again every second until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    /// Where the running sipwarden is.
    #[command(flatten)]
    pub remote: Remote,
}

const TABLE: &str = "/api/v1/destinations?history=false";
const WHOLE: &str = "/api/v1/destinations";
const EVERY: Duration = Duration::from_secs(1);

/// Runs the command.
pub fn run(args: Args) -> ExitCode {
    let Args { set, json, changes, watch, remote } = args;
    remote.run(|client| async move {
        if watch {
            return Ok(redraw(&client, set.as_deref()).await);
        }
        let listing: Listing = client.get(if json || changes { WHOLE } else { TABLE }).await?;
        let listing = match only(listing, set.as_deref()) {
            Ok(listing) => listing,
            Err(known) => return Ok(term::fail(&known, None)),
        };
        let text = match json {
            _ if changes => changes::lines(Style::of_stdout(), &listing).join("\n") + "\n",
            true => serde_json::to_string_pretty(&listing).expect("a listing has string keys") + "\n",
            false => lines(Style::of_stdout(), &listing, SystemTime::now()).join("\n") + "\n",
        };
        Ok(term::print(&text))
    })
}

/// Keeps one set of a listing; the error names those there are.
fn only(mut listing: Listing, set: Option<&str>) -> Result<Listing, String> {
    let Some(wanted) = set else { return Ok(listing) };
    let known: Vec<String> = listing.sets.iter().map(|set| set.name.clone()).collect();
    listing.sets.retain(|set| set.name == wanted);
    match listing.sets.is_empty() {
        true => Err(format!("no set {wanted:?}; there are: {}", known.join(", "))),
        false => Ok(listing),
    }
}

/// Draws the table every second until Ctrl-C, whatever becomes of the process it asks.
async fn redraw(client: &Client, set: Option<&str>) -> ExitCode {
    let style = Style::of_stdout();
    let clear = if term::is_terminal() { "\x1b[H\x1b[J" } else { "" };
    let mut tick = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return ExitCode::SUCCESS,
            _ = tick.tick() => {}
        }
        let now = SystemTime::now();
        let time = humantime::format_rfc3339_seconds(now).to_string();
        let mut text = style.paint(Tone::Faint, &format!("{}  {time}", client.url()));
        text.push('\n');
        let listing = client.get::<Listing>(TABLE).await.map_err(|error: Error| error.to_string());
        match listing.and_then(|listing| only(listing, set)) {
            Ok(listing) => text.push_str(&lines(style, &listing, now).join("\n")),
            Err(error) => text.push_str(&style.paint(Tone::Bad, &error)),
        }
        if term::put(&format!("{clear}{text}\n")).is_err() {
            return ExitCode::SUCCESS;
        }
    }
}

/// The table of every set.
fn lines(style: Style, listing: &Listing, now: SystemTime) -> Vec<String> {
    let mut lines = Vec::new();
    for set in &listing.sets {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.push(heading(style, set));
        let head = [
            "DESTINATION",
            "STATE",
            "SINCE",
            "WHY",
            "PROBE",
            "RTT",
            "CALLS",
            "WEIGHT",
            "PRIORITY",
            "KAMAILIO",
        ];
        let mut rows = vec![head.map(|name| Cell::text(name).in_tone(Tone::Faint)).to_vec()];
        rows.extend(set.destinations.iter().map(|destination| row(destination, now)));
        if set.destinations.iter().any(|destination| destination.dns.is_some()) {
            let names = ["ADDRESS", "RESOLVED"].map(|name| Cell::text(name).in_tone(Tone::Faint));
            let cells = set.destinations.iter().map(|destination| resolved(destination, now));
            for (row, cells) in rows.iter_mut().zip(std::iter::once(names).chain(cells)) {
                row.extend(cells);
            }
        }
        lines.extend(term::table(style, &rows));
    }
    if lines.is_empty() {
        lines.push("no sets".to_owned());
    }
    lines
}

fn heading(style: Style, set: &SetView) -> String {
    let serving = set.destinations.iter().filter(|d| matches!(d.state.as_str(), "up" | "failing")).count();
    let count = format!("{serving} of {} up", set.destinations.len());
    let verdict = match set.all_down {
        true => style.paint(Tone::Bad, "ALL DOWN"),
        false => style.paint(Tone::Plain, &count),
    };
    format!(
        "{}  {}  {verdict}",
        style.paint(Tone::Strong, &set.name),
        style.paint(Tone::Faint, &set.algorithm)
    )
}

fn row(destination: &DestinationView, now: SystemTime) -> Vec<Cell> {
    let since = humantime::parse_rfc3339(&destination.since).ok();
    let since = since.map(|since| now.duration_since(since).unwrap_or(Duration::ZERO));
    let rtt = destination.probe.last_rtt_seconds;
    vec![
        Cell::text(&destination.id),
        Cell::text(&destination.state).in_tone(Tone::of_state(&destination.state)),
        Cell::text(since.map_or_else(|| "-".to_owned(), term::age)),
        Cell::text(why(destination, now)),
        Cell::text(probe(&destination.probe)),
        Cell::text(rtt.map_or_else(|| "-".to_owned(), term::milliseconds)),
        Cell::text(calls(destination)),
        Cell::number(destination.weight),
        Cell::number(destination.priority),
        Cell::text(&destination.kamailio).in_tone(Tone::Faint),
    ]
}

/// What its name stands for, and how old the answer is.
fn resolved(destination: &DestinationView, now: SystemTime) -> [Cell; 2] {
    let address = Cell::text(destination.address.as_deref().unwrap_or("-"));
    let Some(dns) = &destination.dns else { return [address, Cell::text("-")] };
    let at = dns.resolved.as_deref().and_then(|at| humantime::parse_rfc3339(at).ok());
    let age =
        at.map_or_else(|| "never".to_owned(), |at| term::age(now.duration_since(at).unwrap_or_default()));
    match dns.stale {
        true => [address, Cell::text(format!("stale {age}")).in_tone(Tone::Bad)],
        false => [address, Cell::text(age)],
    }
}

/// The calls on a destination, and how many it takes.
fn calls(destination: &DestinationView) -> String {
    match destination.max_calls {
        Some(most) => format!("{}/{most}", destination.calls),
        None => destination.calls.to_string(),
    }
}

/// What brought the destination into its state and, if that will pass by itself, when.
fn why(destination: &DestinationView, now: SystemTime) -> String {
    let mut why = match destination.changes.last() {
        Some(change) => match &change.outcome {
            Some(outcome) => format!("{} ({outcome})", change.reason),
            None => change.reason.clone(),
        },
        None => "-".to_owned(),
    };
    let until = match destination.state.as_str() {
        "ejected" => destination.ejected_until.as_deref(),
        "throttled" => destination.retry_after_until.as_deref(),
        _ => None,
    };
    if let Some(until) = until.and_then(|until| humantime::parse_rfc3339(until).ok()) {
        let left = until.duration_since(now).unwrap_or(Duration::ZERO);
        why.push_str(&format!(", {} left", term::age(left)));
    }
    why
}

/// How far the probes are from changing the state.
fn probe(probe: &ProbeView) -> String {
    match (probe.enabled, &probe.last_outcome, probe.consecutive_failures) {
        (false, _, _) => "off".to_owned(),
        (true, None, _) => "waiting".to_owned(),
        (true, Some(_), 0) if probe.consecutive_successes < probe.up_needed => {
            format!("{}/{} good", probe.consecutive_successes, probe.up_needed)
        }
        (true, Some(_), 0) => "good".to_owned(),
        (true, Some(outcome), failures) => {
            format!("{}/{} {outcome}", failures.min(probe.down_after), probe.down_after)
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::admin::destinations::{ChangeView, DnsView};

    /// A destination in a state, after so many failed probes.
    pub fn destination(id: &str, state: &str, failures: u32) -> DestinationView {
        let since = "2026-01-01T00:00:00.000Z".to_owned();
        DestinationView {
            id: id.to_owned(),
            uri: format!("sip:{id}"),
            address: None,
            dns: None,
            state: state.to_owned(),
            since: since.clone(),
            kamailio: "AP".to_owned(),
            probe: ProbeView {
                enabled: true,
                down_after: 3,
                up_after: 1,
                up_needed: 1,
                consecutive_failures: failures,
                consecutive_successes: u32::from(failures == 0),
                last_outcome: Some(if failures == 0 { "code 200" } else { "timeout" }.to_owned()),
                last_rtt_seconds: (failures == 0).then_some(0.0004),
                ..ProbeView::default()
            },
            admin: "enabled".to_owned(),
            passive_failures: 0,
            ejected_until: None,
            retry_after_until: None,
            calls: 3,
            max_calls: (failures > 0).then_some(10),
            weight: 1,
            priority: 0,
            changes: vec![ChangeView {
                at: since,
                from: "unknown".to_owned(),
                to: state.to_owned(),
                reason: "probe".to_owned(),
                outcome: (failures > 0).then(|| "timeout".to_owned()),
                admin: "enabled".to_owned(),
            }],
            probes: vec![],
            exchange: None,
        }
    }

    fn listing(all_down: bool) -> Listing {
        let destinations = vec![destination("10.0.0.1:5060", "up", 0), destination("b", "down", 7)];
        let set =
            SetView { name: "pbx".to_owned(), algorithm: "round_robin".to_owned(), all_down, destinations };
        Listing { sets: vec![set] }
    }

    fn now() -> SystemTime {
        humantime::parse_rfc3339("2026-01-01T00:02:03Z").unwrap()
    }

    #[test]
    fn the_table_says_state_since_why_and_probe() {
        assert_eq!(
            lines(Style::plain(), &listing(false), now()),
            [
                "pbx  round_robin  1 of 2 up",
                "  DESTINATION    STATE  SINCE  WHY              PROBE        RTT     CALLS  WEIGHT  PRIORITY  KAMAILIO",
                "  10.0.0.1:5060  up     2m 3s  probe            good         0.4 ms  3           1         0  AP",
                "  b              down   2m 3s  probe (timeout)  3/3 timeout  -       3/10        1         0  AP",
            ]
        );
    }

    #[test]
    fn an_ejection_and_a_pause_tell_how_long_they_last() {
        let mut ejected = destination("a", "ejected", 0);
        ejected.ejected_until = Some("2026-01-01T00:02:30Z".to_owned());
        ejected.changes[0].reason = "passive".to_owned();
        ejected.changes[0].outcome = Some("code 503".to_owned());
        assert_eq!(why(&ejected, now()), "passive (code 503), 27s left");
        ejected.state = "throttled".to_owned();
        ejected.retry_after_until = Some("2026-01-01T00:02:13Z".to_owned());
        assert_eq!(why(&ejected, now()), "passive (code 503), 10s left");
    }

    #[test]
    fn names_are_shown_with_their_addresses_and_the_age_of_the_answer() {
        let mut listing = listing(false);
        let set = &mut listing.sets[0].destinations;
        set[0].address = Some("10.0.0.1:5060".to_owned());
        let dns = |resolved: Option<&str>, stale| DnsView {
            name: "pbx.example".to_owned(),
            addresses: vec![],
            resolved: resolved.map(ToOwned::to_owned),
            stale,
        };
        let ends = |listing: &Listing| -> Vec<String> {
            let lines = lines(Style::plain(), listing, now());
            lines.iter().skip(1).map(|line| line.split("KAMAILIO").last().unwrap().to_owned()).collect()
        };
        set[0].dns = Some(dns(Some("2026-01-01T00:02:00Z"), false));
        set[1].dns = Some(dns(None, false));
        let shown = ends(&listing);
        assert_eq!(shown[0], "  ADDRESS        RESOLVED");
        assert!(shown[1].ends_with("AP        10.0.0.1:5060  3s"), "{shown:?}");
        assert!(shown[2].ends_with("AP        -              never"), "{shown:?}");
        listing.sets[0].destinations[0].dns = Some(dns(Some("2026-01-01T00:00:00Z"), true));
        assert!(ends(&listing)[1].ends_with("10.0.0.1:5060  stale 2m 3s"));
    }

    #[test]
    fn a_set_with_nothing_usable_says_so() {
        assert_eq!(lines(Style::plain(), &listing(true), now())[0], "pbx  round_robin  ALL DOWN");
    }

    #[test]
    fn an_unknown_set_is_an_error_that_names_the_known_ones() {
        assert_eq!(
            only(listing(false), Some("carriers")).unwrap_err(),
            "no set \"carriers\"; there are: pbx"
        );
        assert_eq!(only(listing(false), Some("pbx")).unwrap().sets.len(), 1);
    }
}
