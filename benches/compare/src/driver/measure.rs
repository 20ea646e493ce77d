//! One run: destinations first, then a fresh proxy, and the load when all destinations are known to be up.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::contestants::Contestant;
use super::loads::{Load, Memory, Pace};
use super::place::Place;
use super::process::Process;
use super::procfs::{self, Usage};
use crate::generate::Mode;
use crate::generate::report::Report;
use crate::sink::Received;

/// How long anything may take beyond what it should.
const PATIENCE: Duration = Duration::from_secs(20);
/// When the second half of `Memory::Established` begins: equally many transactions linger from here on.
const STEADY: Duration = Duration::from_secs(40);
/// What `Memory::Back` waits for: the longest that a transaction lingers is 32 s.
const REST: Duration = Duration::from_secs(40);

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

/// Counters at one moment.
#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    usage: Usage,
    core: (f64, f64),
    errors: u64,
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
        let pid = proxy.as_ref().map(Process::id);
        self.load(load, pid, &mut generator, &mut record)?;
        if let Some(proxy) = &mut proxy {
            proxy.check()?;
        }
        drop(proxy);
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

    fn start_generator(&self, load: &Load, through_proxy: bool) -> Result<Process> {
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
        options.extend(load.calls.map(|calls| ("--calls", calls.to_string())));
        options.extend(load.behave.iter().map(|&behaviour| ("--behave", behaviour.to_owned())));
        let mut words = vec![std::env::current_exe()?.display().to_string(), "generate".to_owned()];
        words.extend(options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]));
        let mut generator =
            Process::start("generator", &words, (place.generator_core, self.nice), self.work, true)?;
        generator.expect("listening", PATIENCE)?;
        Ok(generator)
    }

    /// Waits for an answer to OPTIONS, then, if it probes first, until every destination is in use.
    fn wait_until_ready(
        &self,
        contestant: &Contestant,
        load: &Load,
        proxy: &mut Process,
        generator: &mut Process,
        begin: Instant,
        record: &mut Record,
    ) -> Result<()> {
        if contestant.is_proxy() {
            let took = self.wait_for_options(proxy, begin)?;
            record.figures.insert("start_ms", took.as_secs_f64() * 1000.0);
        }
        if contestant.probes_at_start() {
            generator.expect("probed", PATIENCE).context("not every destination was probed")?;
            self.wait_for_available(load.destinations)?;
        }
        // Timers that a start sets off, and for those that do not answer OPTIONS the start itself.
        std::thread::sleep(Duration::from_millis(500));
        proxy.check()
    }

    fn wait_for_options(&self, proxy: &mut Process, begin: Instant) -> Result<Duration> {
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 3), 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(2)))?;
        let (us, target) = (socket.local_addr()?, self.place.proxy);
        let mut buffer = [0; 4096];
        for number in 0.. {
            if begin.elapsed() > PATIENCE {
                bail!("no answer to OPTIONS on {target}");
            }
            proxy.check()?;
            let request = format!(
                "OPTIONS sip:{target} SIP/2.0\r\nVia: SIP/2.0/UDP {us};rport;branch=z9hG4bK-ready-{number}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:driver@{us}>;tag=ready\r\nTo: <sip:{target}>\r\n\
                 Call-ID: ready-{number}-{us}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
            );
            // Until the port is bound, an ICMP error comes back.
            if socket.send_to(request.as_bytes(), target).is_ok()
                && socket.recv(&mut buffer).is_ok_and(|length| buffer[..length].starts_with(b"SIP/2.0 2"))
            {
                return Ok(begin.elapsed());
            }
        }
        bail!("unreachable: the loop ends by returning")
    }

    /// Asks sipwarden how many destinations may take calls.
    fn wait_for_available(&self, wanted: u32) -> Result<()> {
        let (begin, line) =
            (Instant::now(), format!("\nsipwarden_set_destinations_available{{set=\"main\"}} {wanted}\n"));
        while begin.elapsed() < PATIENCE {
            let mut answer = String::new();
            let mut stream = TcpStream::connect(self.place.http)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: driver\r\nConnection: close\r\n\r\n")?;
            stream.read_to_string(&mut answer)?;
            if answer.contains(&line) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("not all of {wanted} destinations are available")
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
        let before = self.sample(pid);
        let mut middle = None;
        if load.memory == Some(Memory::Established) {
            std::thread::sleep(STEADY.saturating_sub(go.elapsed()));
            middle = Some((memory().0, go.elapsed()));
        }
        generator.expect("counted", patience(load.count_s))?;
        let after = self.sample(pid);
        let peak = memory();
        let end = go.elapsed();
        let report: Report = generator.json(patience(load.drain_s))?;
        self.figures(load, &report, before, after, record);
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
            (Some(Memory::Established) | None, ..) => {}
        }
        record.generator = Some(report);
        Ok(())
    }

    fn sample(&self, pid: Option<u32>) -> Sample {
        Sample {
            at: Instant::now(),
            usage: pid.map(procfs::usage).unwrap_or_default(),
            core: procfs::core(self.place.proxy_core),
            errors: procfs::receive_errors(),
        }
    }

    fn figures(&self, load: &Load, report: &Report, before: Sample, after: Sample, record: &mut Record) {
        let seconds = (after.at - before.at).as_secs_f64();
        let cpu_s = (after.usage.cpu_ns - before.usage.cpu_ns) as f64 / 1e9;
        let calls = report.counted.max(1) as f64;
        let (foreign, steal) = (
            (after.core.0 - before.core.0 - cpu_s).max(0.0) / seconds,
            (after.core.1 - before.core.1) / seconds,
        );
        let lost = (1.0 - report.cpu).max(0.0);
        let left_open = if load.memory == Some(Memory::Established) { 0 } else { report.left_open };
        let (resent, repeated) = (report.resent, report.repeated);
        let put = &mut record.figures;
        put.extend([
            ("per_s", report.counted as f64 / report.counted_s),
            ("cpu_us", cpu_s * 1e6 / calls),
            ("cpu_util", cpu_s / seconds),
            ("switches", (after.usage.switches - before.usage.switches) as f64 / calls),
            ("failed", (report.failed + left_open) as f64),
            ("retx_up", (resent.request + resent.bye + resent.answer) as f64),
            ("retx_down", (repeated.invite + repeated.bye + repeated.answer) as f64),
            (
                "retx",
                (resent.request
                    + resent.bye
                    + resent.answer
                    + repeated.invite
                    + repeated.bye
                    + repeated.answer) as f64,
            ),
            ("drops", (after.errors - before.errors) as f64),
            ("generator_busy", report.busy),
            ("generator_lost", lost),
            ("foreign", foreign),
            ("steal", steal),
            ("dead_after_s", (report.last_invite_to_first_s - 4.0).max(0.0)),
        ]);
        let latency = report.latency;
        for (names, quantiles) in [
            (
                ["progress_p50", "progress_p90", "progress_p99", "progress_p999", "progress_max"],
                latency.progress,
            ),
            (["answer_p50", "answer_p90", "answer_p99", "answer_p999", "answer_max"], latency.answer),
            (["other_p50", "other_p90", "other_p99", "other_p999", "other_max"], latency.other),
        ] {
            if quantiles.count > 0 {
                let values = [quantiles.p50, quantiles.p90, quantiles.p99, quantiles.p999, quantiles.max];
                put.extend(names.into_iter().zip(values));
            }
        }
        // At a fixed rate others only take what the favoured proxy leaves; at saturation it is missing.
        let limit = if load.saturates() { 0.05 } else { 0.2 };
        if foreign > limit || lost > 0.08 || steal > 0.05 {
            record.disturbed = Some(format!(
                "others took {:.0} % of the proxy's core, {:.0} % of the generator's; the hypervisor {:.0} %",
                foreign * 100.0,
                lost * 100.0,
                steal * 100.0
            ));
        }
    }
}
