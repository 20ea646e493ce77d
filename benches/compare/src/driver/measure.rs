//! One run: destinations first, then a fresh proxy, and the load when all destinations are known to be up.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use super::contestants::Contestant;
use super::figures::{self, Sample};
use super::loads::{Load, Memory, Pace};
use super::place::Place;
use super::process::Process;
use super::procfs;
use crate::generate::Mode;
use crate::generate::report::Report;
use crate::sink::Received;

/// How long anything may take beyond what it should.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// When the second half of `Memory::Established` begins: equally many transactions linger from here on.
const STEADY: Duration = Duration::from_secs(40);
/// What `Memory::Back` waits for: the longest that a transaction lingers is 32 s.
pub(super) const REST: Duration = Duration::from_secs(40);

/// Between two samples of `Memory::Flat`.
const MINUTE: Duration = Duration::from_secs(60);

/// What all runs share.
pub struct Rig<'a> {
    /// Addresses and cores.
    pub place: &'a Place,
    /// Configurations and logs.
    pub work: &'a Path,
    /// Niceness of proxy and generator.
    pub nice: i32,
    /// Core of the span sink.
    pub sink_core: usize,
    /// Bytes of an INVITE.
    pub size: usize,
}

/// What one run gave.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Record {
    /// Name of the contestant.
    pub contestant: String,
    /// Name of the load.
    pub load: String,
    /// Which repetition, from 1.
    pub repetition: u32,
    /// By name; README.md says what each means.
    pub figures: BTreeMap<&'static str, f64>,
    /// What others took, if it was too much.
    pub disturbed: Option<String>,
    /// Why there are no figures.
    pub error: Option<String>,
    /// The generator's own account.
    pub generator: Option<Report>,
    /// Spans that were exported.
    pub spans: Option<Received>,
}

impl Rig<'_> {
    /// Runs a load against a fresh process.
    pub fn run(&self, contestant: &Contestant, load: &Load) -> Result<Record> {
        let mut record =
            Record { contestant: contestant.name.clone(), load: load.name.to_owned(), ..Record::default() };
        let mut sink = contestant.exports().then(|| self.start_sink()).transpose()?;
        let words = contestant.prepare(load, self.place, self.work)?;
        let mut generator = self.start_generator(load, words.is_some())?;
        let begin = Instant::now();
        let mut proxy = words.map(|words| {
            Process::start(&contestant.name, &words, (self.place.proxy_core, self.nice), self.work, false)
        });
        let mut proxy = proxy.take().transpose()?;
        if let Some(proxy) = &mut proxy {
            self.wait_until_ready(contestant, load, proxy, &mut generator, begin, &mut record)?;
        }
        let burner = load.burn_ms.map(|ms| self.start_burner(ms)).transpose()?;
        let pid = proxy.as_ref().map(Process::id);
        self.load(load, pid, &mut generator, &mut record)?;
        if let Some(proxy) = &mut proxy {
            proxy.check()?;
        }
        drop((proxy, burner));
        if let Some(sink) = &mut sink {
            sink.hush();
            record.spans = Some(sink.json(PATIENCE)?);
        }
        Ok(record)
    }

    fn start_sink(&self) -> Result<Process> {
        let own = std::env::current_exe()?.display().to_string();
        let words = [own, "sink".into(), "--listen".into(), self.place.sink.to_string()];
        let mut sink = Process::start("sink", &words, (self.sink_core, 0), self.work, true)?;
        sink.expect("listening", PATIENCE)?;
        Ok(sink)
    }

    fn start_burner(&self, ms: f64) -> Result<Process> {
        let own = std::env::current_exe()?.display().to_string();
        let options = ["burn".to_owned(), "--listen".into(), self.place.burner.to_string(), "--ms".into()];
        let words: Vec<String> = [own].into_iter().chain(options).chain([ms.to_string()]).collect();
        let cores = (self.place.proxy_core, self.nice);
        let mut burner = Process::start("burner", &words, cores, self.work, true)?;
        burner.expect("listening", PATIENCE)?;
        Ok(burner)
    }

    pub(super) fn start_generator(&self, load: &Load, through_proxy: bool) -> Result<Process> {
        let place = self.place;
        let direct = std::net::SocketAddrV4::new(crate::generate::callees::address(0), place.callees);
        let target = if through_proxy { place.proxy } else { direct };
        let mode = match load.mode {
            Mode::Invite => "invite",
            Mode::Message => "message",
            Mode::Options => "options",
            Mode::None => "none",
        };
        let mut options = vec![
            ("--target", target.to_string()),
            ("--caller", place.caller.to_string()),
            ("--port", place.callees.to_string()),
            ("--destinations", load.destinations.to_string()),
            ("--mode", mode.to_owned()),
            ("--warm", load.warm_s.to_string()),
            ("--count", load.count_s.to_string()),
            ("--drain", load.drain_s.to_string()),
            ("--patience", load.patience_s.to_string()),
            ("--hold", load.hold_ms.to_string()),
            ("--ring", load.ring_ms.to_string()),
            ("--size", self.size.to_string()),
            match load.pace {
                Pace::Window(calls) => ("--window", calls.to_string()),
                Pace::Rate(rate) => ("--rate", rate.to_string()),
            },
        ];
        if let Some(every) = load.scrape_s {
            let target = if load.burn_ms.is_some() { place.burner } else { place.http };
            options.push(("--scrape", target.to_string()));
            options.push(("--scrape-every", every.to_string()));
        }
        options.extend(load.calls.map(|calls| ("--calls", calls.to_string())));
        options.extend(load.behave.iter().map(|&behaviour| ("--behave", behaviour.to_owned())));
        let mut words = vec![std::env::current_exe()?.display().to_string(), "generate".to_owned()];
        words.extend(options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]));
        let mut generator =
            Process::start("generator", &words, (place.generator_core, self.nice), self.work, true)?;
        generator.expect("listening", PATIENCE)?;
        Ok(generator)
    }

    fn load(
        &self,
        load: &Load,
        pid: Option<u32>,
        generator: &mut Process,
        record: &mut Record,
    ) -> Result<()> {
        let memory = || pid.map_or((0.0, 0.0), procfs::memory);
        let base = memory();
        generator.tell("go")?;
        let go = Instant::now();
        let patience = |seconds: f64| PATIENCE + Duration::from_secs_f64(seconds);
        generator.expect("counting", patience(load.warm_s))?;
        let before = Sample::take(pid, self.place.proxy_core);
        let mut middle = None;
        if load.memory == Some(Memory::Established) {
            std::thread::sleep(STEADY.saturating_sub(go.elapsed()));
            middle = Some((memory().0, go.elapsed()));
        }
        let counted = |generator: &mut Process| generator.expect("counted", patience(load.count_s));
        let minutes = match load.memory {
            Some(Memory::Flat) => sampled_while(|| memory().0, || counted(generator))?,
            Some(_) | None => counted(generator).map(|()| vec![])?,
        };
        let after = Sample::take(pid, self.place.proxy_core);
        let peak = memory();
        let end = go.elapsed();
        let report: Report = generator.json(patience(load.drain_s))?;
        figures::put(load, &report, (before, after), record);
        let put = &mut record.figures;
        if pid.is_some() {
            put.extend([("base_mb", base.0), ("pss_mb", peak.0), ("peak_mb", peak.0), ("rss_mb", peak.1)]);
        }
        let per_call = |grown: f64, calls: f64| grown * 1024.0 / calls.max(1.0);
        match (load.memory, load.pace, middle) {
            (Some(Memory::Established), Pace::Rate(rate), Some((middle, at))) => {
                put.insert("kb_per_call", per_call(peak.0 - middle, rate * (end - at).as_secs_f64()));
            }
            (Some(Memory::Pending | Memory::Finished), ..) => {
                put.insert("kb_per_call", per_call(peak.0 - base.0, report.started as f64));
            }
            (Some(Memory::Back), ..) => {
                std::thread::sleep(REST);
                let rested = memory().0;
                put.extend([("after_mb", rested), ("kept_mb", rested - base.0)]);
            }
            (Some(Memory::Flat), ..) => {
                let most = minutes.iter().copied().fold(0.0, f64::max);
                put.extend([("first_mb", minutes.first().copied().unwrap_or_default()), ("most_mb", most)]);
                put.insert("last_mb", peak.0);
            }
            (Some(Memory::Established) | None, ..) => {}
        }
        record.generator = Some(report);
        Ok(())
    }
}

/// Takes a sample at once and every minute while something else goes on.
fn sampled_while(sample: impl Fn() -> f64 + Send, other: impl FnOnce() -> Result<()>) -> Result<Vec<f64>> {
    std::thread::scope(|scope| {
        let (over, ending) = std::sync::mpsc::channel::<()>();
        let sampler = scope.spawn(move || {
            let mut samples = vec![sample()];
            while ending.recv_timeout(MINUTE) == Err(RecvTimeoutError::Timeout) {
                samples.push(sample());
            }
            samples
        });
        let ended = other();
        drop(over);
        let samples = sampler.join().map_err(|_| anyhow::anyhow!("memory could not be read"))?;
        ended.map(|()| samples)
    })
}
