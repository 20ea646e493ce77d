//! The story of the demo: five things done to the destinations, each with what must be seen then.
//!
//! A step waits for what it must see, with a deadline; nothing is claimed that was not observed.

use super::caller::Caller;
use super::observe::{self, Seen};
use super::uas::Uas;
use super::view::{Mark, View};
use super::{DESTINATIONS, SET};
use crate::admin::client::Client;
use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Time for the whole story.
pub const WITHIN: Duration = Duration::from_secs(12);
/// How often the demo looks.
const LOOK_EVERY: Duration = Duration::from_millis(150);
/// Calls placed at once when a destination is killed, so that some meet it before its probes do.
const BURST: u32 = 6;
/// Time between two steps on a terminal.
const DWELL: Duration = Duration::from_millis(800);
/// Time without a failed call after which calls count as succeeding again.
const QUIET: Duration = Duration::from_millis(500);

/// The cast, and who looks at it.
#[derive(Debug)]
pub struct Stage {
    /// The destinations, in file order.
    pub destinations: [Uas; DESTINATIONS],
    /// The caller.
    pub caller: Caller,
    /// The way to `/metrics` and the API.
    pub client: Client,
    /// What the reader sees.
    pub view: View,
    /// Calls placed a second.
    pub rate: u32,
}

/// Whether a step was observed, and what was last seen if not.
type Verdict = Result<String, String>;

impl Stage {
    /// Plays the story; `true` if every step was observed. An error means that nobody reads.
    pub async fn play(&mut self) -> io::Result<bool> {
        let started = Instant::now();
        let end = started + WITHIN;
        let observed = self.calls_spread(end).await?
            && self.one_dies(end).await?
            && self.it_comes_back(end).await?
            && self.all_die(end).await?
            && self.all_come_back(end).await?;
        match observed {
            true => {
                let text = format!("every step was observed, in {:.1} s", started.elapsed().as_secs_f64());
                self.view.say(Mark::Observed, &text)?;
            }
            false => self.view.say(Mark::Missing, "the story ends here: a step was not observed")?,
        }
        Ok(observed)
    }

    /// Follows what happens until dropped. An error means that nobody reads.
    pub async fn follow(&mut self) -> io::Result<()> {
        loop {
            if let Ok(seen) = self.look().await {
                self.view.show(&seen)?;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn calls_spread(&mut self, end: Instant) -> io::Result<bool> {
        let wanted = u64::from(self.rate.clamp(6, 30));
        self.view.say(Mark::Doing, "calls flow to three destinations")?;
        self.until(end, Duration::from_secs(5), |seen| {
            let tally = &seen.tally;
            let spread = counts(seen, |destination| destination.answered);
            let text = format!("{} answered, {spread}; {} failed", calls(tally.answered), tally.failed());
            let all_serve = seen.destinations.iter().all(|d| d.answered > 0 && d.selections > 0.0);
            judge(seen.are_all("up") && all_serve && tally.answered >= wanted && tally.failed() == 0, text)
        })
        .await
    }

    async fn one_dies(&mut self, end: Instant) -> io::Result<bool> {
        let before = self.look_or_default().await;
        let killed_at = Instant::now();
        self.view.say(Mark::Doing, "pbx-2 is killed")?;
        let [_, victim, _] = &mut self.destinations;
        victim.kill().await;
        self.caller.burst(BURST).await;
        self.until(end, Duration::from_secs(4), |seen| {
            let [_, victim, _] = &seen.destinations;
            let failovers = seen.failovers - before.failovers;
            let (failed, cut) = (seen.tally.failed(), seen.tally.cut - before.tally.cut);
            let text = format!(
                "{} failed over to the others, {failed} failed{}; pbx-2 is {} ({}) after {:.1} s",
                calls(failovers),
                cut_off(cut),
                victim.state,
                victim.why,
                killed_at.elapsed().as_secs_f64()
            );
            judge(failovers > 0.0 && failed == 0 && victim.state == "down", text)
        })
        .await
    }

    async fn it_comes_back(&mut self, end: Instant) -> io::Result<bool> {
        let before = self.look_or_default().await;
        self.view.say(Mark::Doing, "pbx-2 is started again")?;
        let [_, victim, _] = &mut self.destinations;
        if let Err(error) = victim.start().await {
            self.view.say(Mark::Missing, &format!("cannot start it: {error}"))?;
            return Ok(false);
        }
        self.until(end, Duration::from_secs(4), |seen| {
            let [_, victim, _] = &seen.destinations;
            let [_, earlier, _] = &before.destinations;
            let answered = victim.answered.saturating_sub(earlier.answered);
            let failed = seen.tally.failed();
            let text = format!(
                "pbx-2 is {} and has answered {} more; {failed} failed",
                victim.state,
                calls(answered)
            );
            judge(victim.state == "up" && answered > 0 && failed == 0, text)
        })
        .await
    }

    async fn all_die(&mut self, end: Instant) -> io::Result<bool> {
        let before = self.look_or_default().await;
        self.view.say(Mark::Doing, "all three are killed")?;
        for destination in &mut self.destinations {
            destination.kill().await;
        }
        self.until(end, Duration::from_secs(4), |seen| {
            let refused = |seen: &Seen| seen.tally.refused.get(&503).copied().unwrap_or(0);
            let refused = refused(seen).saturating_sub(refused(&before));
            let gauge = seen.all_down.map_or_else(|| "absent".to_owned(), |value| value.to_string());
            let text = format!(
                "{} got 503; /metrics: sipwarden_set_all_down{{set=\"{SET}\"}} {gauge}",
                calls(refused)
            );
            judge(seen.are_all("down") && refused >= 3 && seen.all_down == Some(1.0), text)
        })
        .await
    }

    async fn all_come_back(&mut self, end: Instant) -> io::Result<bool> {
        let before = self.look_or_default().await;
        self.view.say(Mark::Doing, "all three are started again")?;
        for destination in &mut self.destinations {
            if let Err(error) = destination.start().await {
                self.view.say(Mark::Missing, &format!("cannot start one: {error}"))?;
                return Ok(false);
            }
        }
        let (mut failed, mut since) = (before.tally.failed(), Instant::now());
        self.until(end, Duration::from_secs(4), |seen| {
            if failed != seen.tally.failed() {
                (failed, since) = (seen.tally.failed(), Instant::now());
            }
            let gauge = seen.all_down.map_or_else(|| "absent".to_owned(), |value| value.to_string());
            let answered = seen.tally.answered - before.tally.answered;
            let pairs = seen.destinations.iter().zip(&before.destinations);
            let each = pairs.fold(true, |each, (after, before)| each && after.answered > before.answered);
            let text = format!(
                "calls succeed again: {answered} answered, none failed for {:.1} s; sipwarden_set_all_down {gauge}",
                since.elapsed().as_secs_f64()
            );
            let quiet = since.elapsed() >= QUIET;
            judge(seen.are_all("up") && each && quiet && seen.all_down == Some(0.0), text)
        })
        .await
    }

    /// Looks until what is wanted is seen or the time is up, and says which.
    async fn until(
        &mut self,
        end: Instant,
        within: Duration,
        mut wanted: impl FnMut(&Seen) -> Verdict,
    ) -> io::Result<bool> {
        let started = Instant::now();
        let deadline = end.min(started + within);
        loop {
            let verdict = match self.look().await {
                Ok(seen) => {
                    self.view.show(&seen)?;
                    wanted(&seen)
                }
                Err(error) => Err(error),
            };
            match verdict {
                Ok(text) => {
                    self.view.say(Mark::Observed, &text)?;
                    if self.view.is_live() {
                        self.dwell().await?;
                    }
                    return Ok(true);
                }
                Err(text) if deadline <= Instant::now() => {
                    let waited = started.elapsed().as_secs_f64();
                    self.view.say(Mark::Missing, &format!("not observed within {waited:.1} s: {text}"))?;
                    return Ok(false);
                }
                Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Gives a person time to look at the table.
    async fn dwell(&mut self) -> io::Result<()> {
        tokio::time::timeout(DWELL, self.follow()).await.unwrap_or(Ok(()))
    }

    async fn look(&self) -> Result<Seen, String> {
        let addresses: [SocketAddr; DESTINATIONS] = self.destinations.each_ref().map(Uas::address);
        observe::look(&self.client, &self.caller, &addresses).await.map_err(|error| error.to_string())
    }

    async fn look_or_default(&self) -> Seen {
        self.look().await.unwrap_or_default()
    }
}

fn judge(observed: bool, text: String) -> Verdict {
    if observed { Ok(text) } else { Err(text) }
}

/// `a 1, b 2, c 3`.
fn counts(seen: &Seen, of: impl Fn(&observe::SeenDestination) -> u64) -> String {
    let each: Vec<String> = seen.destinations.iter().map(|d| format!("{} {}", d.id, of(d))).collect();
    each.join(", ")
}

/// A call that was up on a destination dies with it, whatever a proxy does.
fn cut_off(calls: u64) -> String {
    match calls {
        0 => String::new(),
        1 => " (1 call in progress on it was cut off)".to_owned(),
        calls => format!(" ({calls} calls in progress on it were cut off)"),
    }
}

fn calls(count: impl Display) -> String {
    let count = count.to_string();
    let noun = if count == "1" { "call" } else { "calls" };
    format!("{count} {noun}")
}

#[cfg(test)]
mod tests;
