//! `sipwarden probe`: probes destinations now, and says what came of it.

use super::remote::Remote;
use super::term::{self, Cell, Style, Tone};
use crate::admin::client::{Client, Error};
use crate::admin::destinations::{DestinationView, Listing};
use crate::admin::probes::{self, ProbingView};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, sleep};

/// Time between looks at what has come of it.
const EVERY: Duration = Duration::from_millis(100);

/// Options of `probe`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The set
    #[arg(value_name = "SET")]
    pub set: String,
    /// Only the destination with this id
    #[arg(value_name = "DEST")]
    pub destination: Option<String>,
    /// Also show each probe as it went over the wire
    #[arg(long)]
    pub raw: bool,
    /// Where the running sipwarden is.
    #[command(flatten)]
    pub remote: Remote,
}

/// Runs the command: 0 if every destination gave an answer that its configuration accepts.
pub fn run(args: Args) -> ExitCode {
    let Args { set, destination, raw, remote } = args;
    remote.run(|client| async move {
        let asked: ProbingView = client.post(&probes::path(&set, destination.as_deref()), None).await?;
        let Some(probed) = outcome(&client, &asked).await? else {
            let hint = "sipwarden list shows how they are";
            return Ok(term::fail(&"not every probe has ended in time", Some(hint)));
        };
        if let Err(error) = term::put(&(lines(Style::of_stdout(), &probed, raw).join("\n") + "\n")) {
            return Ok(term::fail(&error, None));
        }
        let is_well = probed.iter().all(|destination| destination.probe.consecutive_failures == 0);
        Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// Waits for a probe of each that began after it was asked for; `None` if one is overdue.
async fn outcome(client: &Client, asked: &ProbingView) -> Result<Option<Vec<DestinationView>>, Error> {
    let deadline = Instant::now() + Duration::try_from_secs_f64(asked.within_seconds).unwrap_or_default();
    let at = time(Some(&asked.at));
    loop {
        let listing: Listing = client.get("/api/v1/destinations").await?;
        let set = listing.sets.into_iter().find(|set| set.name == asked.set);
        let members = set.map(|set| set.destinations).unwrap_or_default();
        let mut probed: Vec<DestinationView> =
            members.into_iter().filter(|member| asked.probing.contains(&member.id)).collect();
        probed.retain(|member| time(member.probe.last_started.as_deref()) >= at);
        if probed.len() >= asked.probing.len() {
            return Ok(Some(probed));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        sleep(EVERY).await;
    }
}

fn time(text: Option<&str>) -> Option<SystemTime> {
    humantime::parse_rfc3339(text?).ok()
}

fn lines(style: Style, probed: &[DestinationView], raw: bool) -> Vec<String> {
    let head = ["DESTINATION", "ANSWER", "RTT", "STATE"];
    let mut rows = vec![head.map(|name| Cell::text(name).in_tone(Tone::Faint)).to_vec()];
    rows.extend(probed.iter().map(|destination| {
        let probe = &destination.probe;
        let is_well = probe.consecutive_failures == 0;
        let rtt = probe
            .last_rtt_seconds
            .filter(|_| destination.exchange.as_ref().is_some_and(|exchange| exchange.response.is_some()));
        let tone = if is_well { Tone::Good } else { Tone::Bad };
        vec![
            Cell::text(&destination.id),
            Cell::text(probe.last_outcome.as_deref().unwrap_or("-")).in_tone(tone),
            Cell::text(rtt.map_or_else(|| "-".to_owned(), term::milliseconds)),
            Cell::text(&destination.state).in_tone(Tone::of_state(&destination.state)),
        ]
    }));
    let mut lines = term::table(style, &rows);
    for destination in probed.iter().filter(|_| raw) {
        let Some(exchange) = &destination.exchange else { continue };
        let to = exchange.remote.as_deref().unwrap_or("nowhere");
        for (title, message) in [
            (format!("{} > {to}  {}", destination.id, exchange.started), &exchange.request),
            (format!("{} < {to}  {}", destination.id, exchange.ended), &exchange.response),
        ] {
            lines.push(String::new());
            lines.push(style.paint(Tone::Strong, &title));
            match message {
                Some(message) => lines.extend(message.trim_end().lines().map(|line| {
                    let line = line.trim_end();
                    if line.is_empty() { String::new() } else { format!("  {}", term::printable(line)) }
                })),
                None => lines.push("  nothing".to_owned()),
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::probes::ExchangeView;
    use crate::cli::list::tests::destination;

    #[test]
    fn says_what_each_answered_and_shows_it_if_asked() {
        let mut up = destination("a", "up", 0);
        up.exchange = Some(ExchangeView {
            started: "2026-01-01T00:00:00.000Z".to_owned(),
            ended: "2026-01-01T00:00:00.001Z".to_owned(),
            remote: Some("10.0.0.1:5060".to_owned()),
            request: Some("OPTIONS sip:a SIP/2.0\r\nX: 1\r\n\r\n".to_owned()),
            response: Some("SIP/2.0 200 \\x1b OK\r\n\r\n".to_owned()),
        });
        let probed = [up, destination("b", "down", 3)];
        let table = lines(Style::plain(), &probed, false);
        assert_eq!(
            table,
            [
                "  DESTINATION  ANSWER    RTT     STATE",
                "  a            code 200  0.4 ms  up",
                "  b            timeout   -       down",
            ]
        );
        assert_eq!(
            lines(Style::plain(), &probed, true)[3..],
            [
                "",
                "a > 10.0.0.1:5060  2026-01-01T00:00:00.000Z",
                "  OPTIONS sip:a SIP/2.0",
                "  X: 1",
                "",
                "a < 10.0.0.1:5060  2026-01-01T00:00:00.001Z",
                "  SIP/2.0 200 \\x1b OK",
            ]
        );
    }
}
