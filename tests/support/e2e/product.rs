//! The product: its configuration, the running binary, and what its HTTP interface says.

use super::address;
use super::http;
use super::metrics::{Scrape, is};
use super::process::Process;
use super::wait;
use super::workspace::Workspace;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// How long a start may take here: a loaded machine, an unoptimised build.
pub const START: Duration = Duration::from_secs(10);

/// A probe plan that notices a death within two seconds.
pub const QUICK_PROBE: &str =
    "{interval: 500ms, fast_interval: 200ms, timeout: 400ms, down_after: 2, up_after: 1, jitter: 0%}";

/// Ejections that are over soon, so that what has returned serves again.
const QUICK_EJECTION: &str = "{base_ejection: 1s, max_ejection: 1s}";

/// A configuration being written.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where SIP is served, over UDP and TCP.
    pub sip: SocketAddr,
    /// Where HTTP is served.
    pub http: SocketAddr,
    text: String,
}

impl Config {
    /// A configuration that listens on addresses of its own and has no sets yet.
    pub fn new() -> Self {
        Self::at(address::endpoint())
    }

    /// The same with SIP served at a given address.
    pub fn at(sip: SocketAddr) -> Self {
        let http = address::endpoint();
        let text = format!("listen: [\"udp://{sip}\", \"tcp://{sip}\"]\nhttp: {{listen: \"{http}\"}}\n");
        Self { sip, http, text }
    }

    /// A configuration written elsewhere, which listens at these addresses.
    pub fn written(text: &str, sip: SocketAddr, http: SocketAddr) -> Self {
        Self { sip, http, text: text.to_owned() }
    }

    /// Adds lines at the top level.
    pub fn with(mut self, lines: &str) -> Self {
        self.text.push_str(lines);
        self.text.push('\n');
        self
    }

    /// Adds the only set, quickly probed, with destinations `name at address`.
    pub fn with_set(self, set: &str, transport: &str, destinations: &[(&str, SocketAddr)]) -> Self {
        let mut lines = format!(
            "sets:\n  {set}:\n    probe: {QUICK_PROBE}\n    passive: {QUICK_EJECTION}\n    destinations:"
        );
        for (id, address) in destinations {
            let _ = write!(lines, "\n      - {{id: {id}, uri: \"sip:{address};transport={transport}\"}}");
        }
        self.with(&lines)
    }

    /// The YAML.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// A running `sipwarden run`.
#[derive(Debug)]
pub struct Sipwarden {
    /// Where SIP is served.
    pub sip: SocketAddr,
    /// Where HTTP is served.
    pub http: SocketAddr,
    /// Its configuration file.
    pub file: PathBuf,
    /// The process.
    pub process: Process,
}

impl Sipwarden {
    /// Starts it and waits until it is ready.
    pub fn start(workspace: &Workspace, config: &Config) -> Self {
        let file = workspace.write("sipwarden.yaml", config.text());
        Self::start_by(workspace, config, file.clone(), command(&["run", "-c"]).arg(&file))
    }

    /// The same with variables in its environment.
    pub fn start_in(workspace: &Workspace, config: &Config, variables: &[(&str, &str)]) -> Self {
        let file = workspace.write("sipwarden.yaml", config.text());
        let mut command = command(&["run", "-c"]);
        command.arg(&file).envs(variables.iter().copied());
        Self::start_by(workspace, config, file, &mut command)
    }

    /// The same with an `/etc/hosts` of its own, in a mount namespace of its own (needs root).
    pub fn start_with_hosts(workspace: &Workspace, config: &Config, hosts: &str) -> Self {
        Self::start_with(workspace, config, "hosts", hosts)
    }

    /// The same that asks a DNS server of its own; a query is tried twice for a second.
    pub fn start_with_dns(workspace: &Workspace, config: &Config, server: IpAddr) -> Self {
        let text = format!("nameserver {server}\noptions timeout:1 attempts:1\n");
        Self::start_with(workspace, config, "resolv.conf", &text)
    }

    /// With another file in `/etc`.
    fn start_with(workspace: &Workspace, config: &Config, name: &str, text: &str) -> Self {
        let file = workspace.write("sipwarden.yaml", config.text());
        let other = workspace.write(name, text);
        let script = format!("mount --bind \"$0\" /etc/{name} && exec \"$1\" run -c \"$2\"");
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]).arg(other).arg(binary()).arg(&file);
        Self::start_by(workspace, config, file, &mut command)
    }

    fn start_by(workspace: &Workspace, config: &Config, file: PathBuf, command: &mut Command) -> Self {
        let process = Process::start(workspace, "sipwarden", command);
        let mut running = Self { sip: config.sip, http: config.http, file, process };
        wait::until_true("sipwarden is ready", START, || {
            running.process.expect_alive();
            running.is_ready()
        });
        running
    }

    /// Whether `/-/ready` says so.
    pub fn is_ready(&self) -> bool {
        http::get(self.http, "/-/ready").is_ok_and(|answer| answer.status == 200)
    }

    /// Scrapes `/metrics` and checks what must always hold.
    pub fn scrape(&self) -> Scrape {
        let answer = http::get(self.http, "/metrics").expect("/metrics answers");
        assert_eq!(answer.status, 200, "{}", answer.body);
        let scrape = Scrape::read(&answer.body);
        scrape.check_invariants();
        scrape
    }

    /// Waits until every destination of the set is known to be up.
    pub fn wait_until_up(&self, set: &str, destinations: usize) {
        let labels = [("set", set), ("state", "up")];
        wait::until_true("every destination is up", Duration::from_secs(10), || {
            usize_of(self.scrape().sum("sipwarden_destination_state", &labels)) == destinations
        });
    }

    /// Waits until the destination's gauge `sipwarden_destination_up` is 0 or 1.
    pub fn wait_until_usable(&self, set: &str, id: &str, usable: bool) {
        let labels = [("set", set), ("destination", id)];
        let wanted = f64::from(u8::from(usable));
        wait::until_true(
            &format!("sipwarden_destination_up of {id} is {wanted}"),
            Duration::from_secs(15),
            || is(self.scrape().sum("sipwarden_destination_up", &labels), wanted),
        );
    }

    /// Waits until `sipwarden_set_all_down` is 0 or 1.
    pub fn wait_until_all_down(&self, set: &str, all_down: bool) {
        let wanted = f64::from(u8::from(all_down));
        wait::until_true(
            &format!("sipwarden_set_all_down of {set} is {wanted}"),
            Duration::from_secs(15),
            || is(self.scrape().sum("sipwarden_set_all_down", &[("set", set)]), wanted),
        );
    }

    /// Its URL, for the commands that speak to it.
    pub fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Runs a command of the command line against it.
    pub fn ask(&self, arguments: &[&str]) -> Ended {
        let [name, rest @ ..] = arguments else { panic!("no command") };
        let url = self.url();
        let mut line = vec![*name, "--url", &url];
        line.extend(rest);
        run(&line)
    }
}

/// How a short command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs `sipwarden` with these arguments to its end, which must come by itself.
pub fn run(arguments: &[&str]) -> Ended {
    run_within(arguments, Duration::from_secs(20))
}

/// The same with a time limit of one's own.
pub fn run_within(arguments: &[&str], within: Duration) -> Ended {
    let mut child = command(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be started");
    // Pipes are drained by threads, so that a talkative command never blocks.
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let mut status = None;
    let ended = wait::stays_true(within, || {
        status = child.try_wait().expect("a child can be asked for its state");
        status.is_none()
    });
    if ended {
        let _ = child.kill();
        let _ = child.wait();
    }
    let (stdout, stderr) = (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default());
    let Some(status) = status else {
        panic!("sipwarden {arguments:?} still ran after {within:?}\n{stdout}\n{stderr}")
    };
    Ended { code: status.code(), stdout, stderr }
}

fn drain(pipe: Option<impl std::io::Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The binary with these arguments, untouched by the environment of whoever runs the tests.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments);
    let foreign = std::env::vars_os().map(|(key, _)| key).filter(|key| {
        key.to_str()
            .is_some_and(|key| key.starts_with("SIPWARDEN_") || key.starts_with("OTEL_") || key == "RUST_LOG")
    });
    for key in foreign {
        command.env_remove(key);
    }
    command
}

/// The binary under test.
pub fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_sipwarden"))
}

/// A count that came as a metric value.
pub fn usize_of(value: f64) -> usize {
    format!("{value:.0}").parse().unwrap_or_else(|_| panic!("{value} counts nothing"))
}
