//! The load: caller and callees in one thread that never sleeps while it measures, so that the proxy
//! does not pay for waking it and latencies are not blurred by scheduling.
//!
//! The callees answer from the start. Once a line comes on standard input (or at once, with `--now`), the
//! load begins. On standard output: `listening`, `probed` when every destination has had an OPTIONS,
//! `counting` when the warm-up is over, `counted` at the end of the time that counts, then one line of JSON.

mod alarms;
pub mod behaviour;
mod callee;
pub mod callees;
mod caller;
mod calls;
mod histogram;
mod messages;
mod options;
pub mod report;
mod scraper;
mod wire;

use std::io::BufRead;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use alarms::{Alarm, Alarms};
use callee::Seen;
use callees::Callees;
use calls::Calls;
use messages::Messages;
pub use options::{Mode, Options};
use report::{Clocks, Report};
use scraper::Scraper;

const SECOND: u64 = 1_000_000_000;
const T1: u64 = SECOND / 2;
/// Datagrams read from one socket before the other has its turn.
const BATCH: usize = 32;

struct Generator<'a> {
    options: &'a Options,
    caller: UdpSocket,
    callees: Callees,
    messages: Messages,
    calls: Calls,
    alarms: Alarms,
    scraper: Option<Scraper>,
    seen: Vec<Seen>,
    unprobed: u32,
    report: Report,
    clocks: Clocks,
    buffer: Vec<u8>,
    scratch: Vec<u8>,
    going: bool,
    start: Instant,
    now: u64,
    patience: u64,
    hold: u64,
    ring: u64,
    /// The time that counts.
    window: (u64, u64),
}

/// Plays the load and prints the report.
pub fn run(options: &Options) -> Result<()> {
    ensure!(
        options.rate.is_none_or(|rate| rate > 0.0) && options.window > 0,
        "a load needs a rate or a window"
    );
    let mut generator = Generator::new(options)?;
    println!("listening");
    if !options.now {
        generator.wait_for_word();
    }
    generator.play()?;
    println!("{}", serde_json::to_string(&generator.report)?);
    Ok(())
}

impl<'a> Generator<'a> {
    fn new(options: &'a Options) -> Result<Self> {
        let nanoseconds = |seconds: f64| (seconds * SECOND as f64) as u64;
        let caller = UdpSocket::bind(options.caller).with_context(|| format!("bind {}", options.caller))?;
        caller.set_nonblocking(true)?;
        caller.connect(options.target)?;
        callees::roomy(&caller)?;
        // Calls of an earlier run against the same proxy must not be taken for ours.
        let mark = format!("{:08x}", std::process::id() ^ (Instant::now().elapsed().subsec_nanos() << 22));
        let messages = Messages::new(options.target, options.caller, options.mode, &mark, options.size)?;
        let warm = nanoseconds(options.warm);
        Ok(Generator {
            options,
            caller,
            callees: Callees::bind(options.port)?,
            messages,
            calls: Calls::default(),
            alarms: Alarms::default(),
            scraper: options.scrape.map(|target| Scraper::new(target, options.scrape_every)),
            seen: vec![Seen::default(); options.destinations as usize],
            unprobed: options.destinations,
            report: Report::default(),
            clocks: Clocks::new(),
            buffer: vec![0; 65536],
            scratch: Vec::with_capacity(16384),
            going: false,
            start: Instant::now(),
            now: 0,
            patience: nanoseconds(options.patience),
            hold: nanoseconds(options.hold / 1000.0),
            ring: nanoseconds(options.ring / 1000.0),
            window: (warm, warm + nanoseconds(options.count)),
        })
    }

    /// Answers probes until the driver says go. When the driver is gone, so are we.
    fn wait_for_word(&mut self) {
        let go = Arc::new(AtomicBool::new(false));
        let told = go.clone();
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                if line.is_err() {
                    break;
                }
                told.store(true, Ordering::Relaxed);
            }
            std::process::exit(3);
        });
        while !go.load(Ordering::Relaxed) {
            if !self.receive() {
                std::thread::sleep(Duration::from_micros(300));
            }
        }
    }

    fn play(&mut self) -> Result<()> {
        self.start = Instant::now();
        self.going = true;
        let (mut busy, mut cpu, mut marks) = (0, (0, 0), ["counting", "counted"].into_iter().peekable());
        while marks.peek().is_some() || (self.calls.going_on() > 0 && !self.over()) {
            let before = self.tick();
            if self.enough() && self.calls.going_on() == 0 {
                self.window.1 = self.window.1.min(before).max(self.window.0);
            }
            let bound = if marks.peek() == Some(&"counting") { self.window.0 } else { self.window.1 };
            if before >= bound
                && let Some(mark) = marks.next()
            {
                cpu = (cpu.1, cpu_time()?);
                println!("{mark}");
            }
            let begun = before < self.window.1 && self.begin_calls();
            let worked = self.receive() | self.ring_alarms() | begun;
            self.scrape();
            let after = self.tick();
            if worked && self.counts()(before) {
                busy += after - before;
            }
        }
        let counted = (self.window.1 - self.window.0).max(1);
        self.report.counted_s = counted as f64 / SECOND as f64;
        self.report.busy = busy as f64 / counted as f64;
        self.report.cpu = (cpu.1 - cpu.0) as f64 / counted as f64;
        self.conclude();
        Ok(())
    }

    /// Whether all calls that were asked for have begun.
    fn enough(&self) -> bool {
        self.options.calls.is_some_and(|calls| self.report.started >= calls)
    }

    /// The last of the waiting for calls that are still open.
    fn over(&self) -> bool {
        self.now >= self.window.1 + (self.options.drain * SECOND as f64) as u64
    }

    fn tick(&mut self) -> u64 {
        self.now = self.start.elapsed().as_nanos() as u64;
        self.now
    }

    fn invites(&self) -> bool {
        self.options.mode == Mode::Invite
    }

    /// Whether a moment is in the time that counts.
    fn counts(&self) -> impl Fn(u64) -> bool + use<> {
        let (from, to) = self.window;
        move |moment| (from..to).contains(&moment)
    }

    fn receive(&mut self) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut worked = false;
        for _ in 0..BATCH {
            let Some(asked) = self.callees.receive(&mut buffer) else { break };
            self.tick();
            self.on_request(&buffer[..asked.length], asked);
            worked = true;
        }
        for _ in 0..BATCH {
            // An error other than emptiness is an ICMP answer; the next turn reads on.
            let Ok(length) = self.caller.recv(&mut buffer) else { break };
            self.tick();
            self.on_response(&buffer[..length]);
            worked = true;
        }
        self.buffer = buffer;
        worked
    }

    fn scrape(&mut self) {
        let Some(scraper) = &mut self.scraper else { return };
        let Some(done) = scraper.turn(self.now, &mut self.buffer) else { return };
        if self.counts()(done.since) {
            match done.bytes {
                Some(bytes) => {
                    self.report.scrape_bytes = bytes;
                    self.clocks.scrape.add(done.took);
                }
                None => self.report.scrapes_failed += 1,
            }
        }
    }

    fn ring_alarms(&mut self) -> bool {
        let mut worked = false;
        while let Some((call, alarm)) = self.alarms.pop(self.now) {
            worked = true;
            match alarm {
                Alarm::Request(n) => self.resend_request(call, n),
                Alarm::Bye(n) => self.resend_bye(call, n),
                Alarm::Answer(n) => self.resend_answer(call, n),
                Alarm::PickUp => self.pick_up(call),
                Alarm::HangUp => self.hang_up(call),
                Alarm::GiveUp => self.give_up(call),
            }
        }
        worked
    }

    /// Begins what is due: by the schedule, or as many as have ended.
    fn begin_calls(&mut self) -> bool {
        let before = self.report.started;
        while self.options.mode != Mode::None && !self.enough() && self.report.started < before + BATCH as u64
        {
            match self.options.rate {
                Some(rate) => {
                    let due = (self.report.started as f64 * SECOND as f64 / rate) as u64;
                    if due > self.now {
                        break;
                    }
                    if self.counts()(due) {
                        self.clocks.slip.add(self.now - due);
                    }
                }
                None if self.calls.going_on() >= self.options.window as usize => break,
                None => {}
            }
            self.call();
        }
        self.report.started > before
    }

    fn conclude(&mut self) {
        let calls = || self.seen.iter().map(|seen| seen.calls);
        self.report.destinations_used = calls().filter(|&calls| calls > 0).count() as u64;
        self.report.destinations_range = (calls().min().unwrap_or(0), calls().max().unwrap_or(0));
        self.report.left_open = self.calls.going_on() as u64;
        self.report.latency = self.clocks.latencies();
        self.report.slip = self.clocks.slip.quantiles();
    }
}

/// CPU time of this process in nanoseconds.
fn cpu_time() -> Result<u64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    Ok((usage.user_time() + usage.system_time()).num_microseconds() as u64 * 1000)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV4;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    /// 50 calls straight to destination 0, on free ports.
    fn report(more: &[&str]) -> Report {
        let free = || UdpSocket::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
        let (caller, port) = (free().to_string(), free().port());
        let target = SocketAddrV4::new(callees::address(0), port).to_string();
        let port = port.to_string();
        let line =
            ["-", "--target", &target, "--caller", &caller, "--port", &port, "--warm", "0", "--calls", "50"];
        let line = Line::parse_from(line.iter().chain(&["--count", "60"]).chain(more));
        let mut generator = Generator::new(&line.options).unwrap();
        generator.play().unwrap();
        generator.report
    }

    #[test]
    fn calls_ring_talk_and_end_well_and_the_load_is_over_with_the_last() {
        let report = report(&["--window", "8", "--ring", "5", "--hold", "5", "--patience", "60"]);
        assert_eq!((report.started, report.completed, report.failed, report.left_open), (50, 50, 0, 0));
        let latency = report.latency;
        assert_eq!((latency.progress.count, latency.answer.count, latency.other.count), (50, 50, 0));
        // A quantile is the lower bound of its bucket, which is under one per cent wide.
        assert!(latency.answer.p50 > 0.99 * 5000.0 && report.counted_s < 60.0, "{report:?}");
        assert_eq!((report.request_bytes, report.destinations_range), (756, (50, 50)));
    }

    #[test]
    fn a_refused_call_has_failed_with_its_code() {
        let report = report(&["--rate", "1000", "--behave", "0=503"]);
        assert_eq!((report.failed, report.codes.get(&503), report.latency.other.count), (50, Some(&50), 50));
    }

    #[test]
    fn messages_and_options_are_asked_and_answered() {
        for mode in ["message", "options"] {
            let report = report(&["--mode", mode]);
            assert_eq!((report.completed, report.latency.other.count), (50, 50), "{mode}");
        }
    }

    #[test]
    fn who_is_not_answered_asks_again_and_gives_up() {
        let report = report(&["--window", "50", "--behave", "0=mute", "--patience", "0.7"]);
        assert_eq!((report.given_up, report.failed, report.resent.request), (50, 50, 50));
    }
}
