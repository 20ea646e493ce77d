//! `sipwarden demo`: the whole thing on one machine, with nothing else installed.
//!
//! Starts the real dispatcher, three SIP destinations and a caller on loopback, does things to the
//! destinations and says what was observed. The dispatcher is told nothing of being in a demo but
//! through its configuration.

mod caller;
mod dispatcher;
mod observe;
mod story;
mod text;
mod uas;
mod view;

use super::term;
use crate::admin::client::Client;
use caller::Caller;
use dispatcher::Dispatcher;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use story::Stage;
use tokio::signal::unix::{SignalKind, signal};
use uas::Uas;
use view::{Mark, View};

/// The demo's only set.
const SET: &str = "pbx";
/// How many destinations it has.
const DESTINATIONS: usize = 3;
/// Where the HTTP server of the demo listens if the port is free.
const HTTP: ([u8; 4], u16) = ([127, 0, 0, 1], 9360);
/// Shortest `--for`: the story and some room.
const SHORTEST: Duration = Duration::from_secs(15);

/// Options of `demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Exit with the story's verdict after this time (15s at least) instead of staying up
    #[arg(long = "for", value_name = "TIME", value_parser = parse_for)]
    pub duration: Option<Duration>,
    /// Calls placed a second, 5 to 500
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(5..=500))]
    pub rate: u32,
}

fn parse_for(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 20s"))?;
    match time < SHORTEST {
        true => Err(format!("the story needs {} s at least", SHORTEST.as_secs())),
        false => Ok(time),
    }
}

/// Runs the command.
pub fn run(args: Args) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(play(&args)),
        Err(error) => Err(format!("cannot start: {error}")),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => term::fail(&error, None),
    }
}

/// Starts everything, plays, and stops everything; `true` if every step was observed.
async fn play(args: &Args) -> Result<bool, String> {
    let started = Instant::now();
    let failed = |error: std::io::Error| format!("cannot open a socket on 127.0.0.1: {error}");
    let destinations = [
        Uas::new().await.map_err(failed)?,
        Uas::new().await.map_err(failed)?,
        Uas::new().await.map_err(failed)?,
    ];
    let yaml = configuration(free_http(), &destinations.each_ref().map(Uas::address));
    let dispatcher = Dispatcher::start(&yaml).await?;
    let url = format!("http://{}", dispatcher.http());
    let client = Client::new(&url, None).map_err(|error| error.to_string())?;
    let caller = Caller::new(dispatcher.sip(), args.rate).await.map_err(failed)?;
    let mut view = View::new();
    let heading = format!("sipwarden demo: {} calls/s over three destinations on this machine", args.rate);
    let addresses = [
        ("status page", format!("{url}/")),
        ("metrics", format!("{url}/metrics")),
        ("destinations", format!("{url}/api/v1/destinations")),
        ("SIP", format!("udp://{}", dispatcher.sip())),
    ];
    let _ = view.open(&heading, &addresses);
    let stage = Stage { destinations, caller, client, view, rate: args.rate };
    let verdict = until_told(stage, args.duration.map(|duration| started + duration), &url).await;
    dispatcher.stop().await;
    verdict
}

/// Plays the story, then stays up until the time is up or a signal comes.
async fn until_told(mut stage: Stage, end: Option<Instant>, url: &str) -> Result<bool, String> {
    let no_signal = |error| format!("cannot watch for signals: {error}");
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signal)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signal)?;
    let mut verdict = None;
    let staying = async {
        verdict = Some(stage.play().await?);
        if end.is_none() {
            stage.view.say(Mark::Note, &format!("open {url}/ ; Ctrl-C ends the demo"))?;
        }
        stage.follow().await
    };
    let time_up = async {
        match end {
            Some(end) => tokio::time::sleep_until(end.into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        // Nobody reads any more: the verdict stands.
        _ = staying => {}
        () = time_up => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    if verdict.is_none() {
        let _ = stage.view.say(Mark::Missing, "stopped before the story ended");
    }
    Ok(verdict.unwrap_or(false))
}

/// The usual HTTP address if it is free, else any port.
fn free_http() -> SocketAddr {
    let usual = SocketAddr::from(HTTP);
    match std::net::TcpListener::bind(usual) {
        Ok(_) => usual,
        Err(_) => ([127, 0, 0, 1], 0).into(),
    }
}

/// The demo's configuration: fast probes and failover, short ejections, everything else as it always is. One worker,
/// so that three calls in turn meet three destinations.
fn configuration(http: SocketAddr, destinations: &[SocketAddr; DESTINATIONS]) -> String {
    let each = |(index, address): (usize, &SocketAddr)| {
        format!("      - {{id: pbx-{}, uri: \"sip:{address}\"}}\n", index + 1)
    };
    let destinations: String = destinations.iter().enumerate().map(each).collect();
    format!(
        "listen: [\"udp://127.0.0.1:0\"]\n\
         workers: 1\n\
         http: {{listen: \"{http}\"}}\n\
         sets:\n  {SET}:\n    algorithm: round_robin\n    destinations:\n{destinations}\
         \x20   probe: {{interval: 500ms, fast_interval: 200ms, timeout: 200ms, down_after: 2}}\n\
         \x20   failover: {{no_response_after: 500ms}}\n\
         \x20   passive: {{base_ejection: 1s, max_ejection: 1s}}\n\
         drain: {{timeout: 1s}}\n\
         log: {{level: error}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_stay_must_hold_the_story() {
        assert!(parse_for("14s").is_err() && parse_for("soon").is_err());
        assert_eq!(parse_for("20s"), Ok(Duration::from_secs(20)));
        assert!(story::WITHIN < SHORTEST);
    }

    #[test]
    fn a_time_too_short_and_a_rate_out_of_range_are_usage_errors() {
        use clap::Parser;
        for args in [["--for", "14s"], ["--for", "soon"], ["--rate", "0"], ["--rate", "1000"]] {
            let line = ["sipwarden", "demo"].iter().chain(&args);
            assert_eq!(crate::cli::Cli::try_parse_from(line).unwrap_err().exit_code(), 2, "{args:?}");
        }
        assert!(
            crate::cli::Cli::try_parse_from(["sipwarden", "demo", "--for", "20s", "--rate", "30"]).is_ok()
        );
    }
}
