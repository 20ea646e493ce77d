//! SIPp as caller and as callee, with scenarios of `tests/sipp` or, as `sipp:NAME`, its own.

use super::address;
use super::process::Process;
use super::sockets::{self, Kind};
use super::wait;
use super::workspace::Workspace;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What marks a scenario that is SIPp's own.
const BUILT_IN: &str = "sipp:";

/// SIPp's name of one socket over a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// One stream connection.
    Tcp,
}

impl Transport {
    const fn mode(self) -> &'static str {
        match self {
            Self::Udp => "u1",
            Self::Tcp => "t1",
        }
    }

    const fn kind(self) -> Kind {
        match self {
            Self::Udp => Kind::Udp,
            Self::Tcp => Kind::Tcp,
        }
    }

    /// Its word in a SIP URI.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// A SIPp that answers.
#[derive(Debug)]
pub struct Callee {
    /// Where it answers.
    pub address: SocketAddr,
    process: Process,
    statistics: PathBuf,
}

impl Callee {
    /// Starts a scenario on an address of its own and waits until it is bound. `pause` is what
    /// the scenario's pauses last.
    pub fn start(workspace: &Workspace, scenario: &str, transport: Transport, pause: Duration) -> Self {
        Self::start_at(workspace, scenario, transport, pause, address::endpoint())
    }

    /// The same on a given address.
    pub fn start_at(
        workspace: &Workspace,
        scenario: &str,
        transport: Transport,
        pause: Duration,
        address: SocketAddr,
    ) -> Self {
        let name = format!("callee-{address}");
        let mut command = sipp(workspace, &name, scenario, transport, address);
        command.args(["-d", &pause.as_millis().to_string(), "-timeout", "170s"]);
        let statistics = write_statistics(workspace, &name, &mut command);
        let mut process = Process::start(workspace, &name, &mut command);
        wait::until_true("the callee is bound", Duration::from_secs(10), || {
            process.expect_alive();
            sockets::is_bound(transport.kind(), address)
        });
        Self { address, process, statistics }
    }

    /// How the calls stand that it has been sent.
    pub fn tally(&self) -> Option<Tally> {
        Tally::read(&self.statistics, 0)
    }

    /// Ends it without a word (SIGKILL).
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

/// Phones that register again and again, and take calls where they have registered from.
#[derive(Debug)]
pub struct Phones {
    process: Process,
}

impl Phones {
    /// Starts phones of these users, which register with the password `secret` at a proxy, and serve
    /// each call by a scenario.
    pub fn start(
        workspace: &Workspace,
        serving: &str,
        transport: Transport,
        at: SocketAddr,
        users: &[String],
    ) -> Self {
        let address = address::endpoint();
        let name = format!("phones-{address}");
        let line = |user: &String| format!("{user};[authentication username={user} password=secret]\n");
        let list = workspace.write(&format!("{name}.csv"), &list_of(users, line));
        let mut command = sipp(workspace, &name, "phone_registers", transport, address);
        command.arg(at.to_string()).arg("-inf").arg(list).arg("-oocsf").arg(scenario_file(serving));
        let count = users.len().to_string();
        command.args(["-m", &count, "-l", &count, "-r", &count, "-d", "1000", "-timeout", "170s"]);
        Self { process: Process::start(workspace, &name, &mut command) }
    }

    /// Fails if it has ended, as it does when no registration goes on.
    pub fn expect_alive(&mut self) {
        self.process.expect_alive();
    }
}

fn list_of(users: &[String], line: impl Fn(&String) -> String) -> String {
    std::iter::once("SEQUENTIAL\n".to_owned()).chain(users.iter().map(line)).collect()
}

fn scenario_file(scenario: &str) -> PathBuf {
    let file = Path::new("tests/sipp").join(scenario).with_extension("xml");
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// What a caller is to do.
#[derive(Debug, Clone, Copy)]
pub struct Calls<'a> {
    /// Its scenario.
    pub scenario: &'a str,
    /// Where it calls.
    pub to: SocketAddr,
    /// How it sends.
    pub transport: Transport,
    /// The user part it calls.
    pub user: &'a str,
    /// How many calls it makes.
    pub count: u32,
    /// How many calls it starts in a second.
    pub rate: u32,
    /// How long a call is held.
    pub hold: Duration,
    /// Whom it calls in turn, for a scenario that asks for it.
    pub users: &'a [String],
    /// Where the other half of a controller of two calls is (3PCC).
    pub twin: Option<SocketAddr>,
}

impl<'a> Calls<'a> {
    /// Calls of the plain caller over UDP to the SIPp callee, hardly held.
    pub fn to(to: SocketAddr, count: u32, rate: u32) -> Self {
        let (scenario, transport, user) = ("caller", Transport::Udp, "callee");
        let hold = Duration::from_millis(100);
        Self { scenario, to, transport, user, count, rate, hold, users: &[], twin: None }
    }

    /// With another scenario.
    pub fn scenario(self, scenario: &'a str) -> Self {
        Self { scenario, ..self }
    }

    /// Makes the calls and counts how they ended.
    pub fn make(self, workspace: &Workspace) -> Tally {
        self.start(workspace).finish()
    }

    /// Starts making the calls.
    pub fn start(self, workspace: &Workspace) -> Caller {
        let address = if self.to.is_ipv6() { address::endpoint_v6() } else { address::endpoint() };
        let name = format!("{}-{address}", self.scenario);
        let mut command = sipp(workspace, &name, self.scenario, self.transport, address);
        command.arg(self.to.to_string()).args(["-s", self.user]);
        command.args(["-m", &self.count.to_string(), "-r", &self.rate.to_string()]);
        command.args(["-d", &self.hold.as_millis().to_string(), "-recv_timeout", "20s"]);
        if !self.users.is_empty() {
            let list = list_of(self.users, |user| format!("{user}\n"));
            command.arg("-inf").arg(workspace.write(&format!("{name}.users"), &list));
        }
        if let Some(twin) = self.twin {
            command.args(["-3pcc", &twin.to_string()]);
        }
        let statistics = write_statistics(workspace, &name, &mut command);
        let process = Process::start(workspace, &name, &mut command);
        let seconds = u64::from(self.count / self.rate.max(1));
        let patience = Duration::from_secs(seconds + 40) + self.hold;
        Caller { process, statistics, patience, count: self.count }
    }
}

/// A SIPp that is calling.
#[derive(Debug)]
pub struct Caller {
    process: Process,
    statistics: PathBuf,
    patience: Duration,
    count: u32,
}

impl Caller {
    /// How the calls stand, once SIPp has written its first line of statistics.
    pub fn tally(&self) -> Option<Tally> {
        Tally::read(&self.statistics, self.count)
    }

    /// Waits until this many calls have succeeded.
    pub fn wait_for_successes(&self, count: u32) {
        wait::until_true(&format!("{count} successful calls"), self.patience, || {
            self.tally().is_some_and(|tally| tally.successful >= count)
        });
    }

    /// Panics if it does not call any more.
    pub fn expect_calling(&mut self) {
        self.process.expect_alive();
        let ended = self.tally().map_or(0, |tally| tally.successful + tally.failed);
        assert!(ended < self.count, "all of its {} calls have ended", self.count);
    }

    /// Has it begin no further call, and waits until those that it has begun have ended.
    pub fn stop(self) -> Tally {
        self.process.signal("USR1");
        self.finish()
    }

    /// Waits until every call has ended.
    pub fn finish(mut self) -> Tally {
        self.process.wait(self.patience);
        self.tally().unwrap_or_else(|| panic!("SIPp wrote no statistics:\n{}", self.process.log()))
    }
}

/// How calls ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// How many there were to be.
    pub planned: u32,
    /// As the scenario wants it.
    pub successful: u32,
    /// Otherwise.
    pub failed: u32,
    /// Why those failed, by SIPp's name of the reason.
    pub reasons: BTreeMap<String, u32>,
    /// Messages SIPp sent again.
    pub retransmissions: u32,
}

impl Tally {
    /// Panics unless every planned call went as the scenario wants it.
    pub fn expect_all_successful(&self) {
        assert!(self.failed == 0 && self.successful == self.planned, "{self:?}");
    }

    /// Reads the last line of SIPp's statistics.
    fn read(file: &Path, planned: u32) -> Option<Self> {
        let text = std::fs::read_to_string(file).ok()?;
        let mut lines = text.lines();
        let names: Vec<&str> = lines.next()?.split(';').collect();
        let last: Vec<&str> = lines.next_back()?.split(';').collect();
        let cells: BTreeMap<&str, &str> = names.into_iter().zip(last).collect();
        let count = |name: &str| cells.get(name)?.parse::<u32>().ok();
        let reasons = cells.keys().filter_map(|name| {
            let reason =
                name.strip_prefix("Failed")?.strip_suffix("(C)").filter(|reason| *reason != "Call")?;
            count(name).filter(|number| *number > 0).map(|number| (reason.to_owned(), number))
        });
        Some(Self {
            planned,
            successful: count("SuccessfulCall(C)")?,
            failed: count("FailedCall(C)")?,
            reasons: reasons.collect(),
            retransmissions: count("Retransmissions(C)")?,
        })
    }
}

fn write_statistics(workspace: &Workspace, name: &str, command: &mut Command) -> PathBuf {
    let file = workspace.path(&format!("{name}.csv"));
    command.args(["-trace_stat", "-fd", "1", "-stf"]).arg(&file);
    file
}

fn sipp(
    workspace: &Workspace,
    name: &str,
    scenario: &str,
    transport: Transport,
    address: SocketAddr,
) -> Command {
    let mut command = Command::new("sipp");
    match scenario.strip_prefix(BUILT_IN) {
        Some(own) => command.args(["-sn", own]),
        None => command.arg("-sf").arg(scenario_file(scenario)),
    };
    // SIPp looks here for the media that its own scenarios play.
    command.current_dir(workspace.path("")).args(["-t", transport.mode(), "-nostdin"]);
    // SIPp wants an IPv6 address in brackets.
    let host = if address.is_ipv6() { format!("[{}]", address.ip()) } else { address.ip().to_string() };
    command.args(["-i", &host, "-p", &address.port().to_string()]);
    command.args(["-trace_err", "-error_file"]).arg(workspace.path(&format!("{name}.err")));
    command
}
