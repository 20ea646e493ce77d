//! The real binary between a caller and a callee on loopback, one datagram at a time.
//!
//! Nothing is sent before everything that the last datagram caused has arrived and every worker
//! sleeps again, so the proxy takes the same steps and wakes as often in every run, however fast the
//! machine is. T1 is as long as it may be, and nothing is probed: no clock adds a message. Only Timer
//! K cannot be put off, so a run that it would disturb is given up.

use crate::harness::collector::Collector;
use crate::harness::process::Process;
use crate::harness::product::{self, Config};
use crate::harness::sockets::{self, Kind};
use crate::harness::wait;
use crate::harness::workspace::Workspace;
use crate::rig::script::Script;
use nix::libc;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long anything may take: a profiler makes it slow.
const PATIENCE: Duration = Duration::from_secs(60);
/// Timer K ends the transaction of the first BYE after T4, 5 s.
const QUIET: Duration = Duration::from_millis(4_500);

/// The system calls in which a worker waits for its sockets.
#[cfg(target_arch = "x86_64")]
const WAITS: [i64; 2] = [libc::SYS_epoll_wait, libc::SYS_epoll_pwait];
#[cfg(not(target_arch = "x86_64"))]
const WAITS: [i64; 1] = [libc::SYS_epoll_pwait];

/// A running proxy and the two parties.
pub struct Ladder {
    process: Process,
    proxy: SocketAddr,
    caller: UdpSocket,
    callee: UdpSocket,
    script: Script,
    calls: u64,
    begun: Instant,
    buffer: Vec<u8>,
    /// For each worker, the file that says which system call it is in.
    workers: Vec<PathBuf>,
    _workspace: Workspace,
}

impl Ladder {
    /// Starts `PROFILER… sipwarden run` with so many workers, and waits until it is bound. Spans of
    /// every call go to this collector, if there is one.
    pub fn start(workers: u64, collector: Option<&Collector>, profiler: &[&str]) -> Self {
        // The proxy's socket is closed here: it is to bind the address itself.
        let [caller, callee] = [bind(101), bind(102)];
        let sip = bind(103).local_addr().expect("it is bound");
        for socket in [&caller, &callee] {
            socket.set_read_timeout(Some(PATIENCE)).expect("it is longer than nothing");
        }
        let address = |socket: &UdpSocket| socket.local_addr().expect("it is bound").to_string();
        let traced = |collector: &Collector| {
            format!("tracing: {{otlp: \"{}\", protocol: http, ratio: 1.0}}\n", collector.url())
        };
        let tracing = collector.map_or_else(String::new, traced);
        let config = Config::at(sip).with(&format!(
            "workers: {workers}\n{tracing}sip: {{t1: 5s, t2: 5s}}\nsets:\n  pbx:\n    probe: {{enabled: false}}\n    \
             failover: {{no_response_after: 60s}}\n    destinations: [\"sip:{}\"]",
            address(&callee)
        ));
        let workspace = Workspace::new("ladder");
        let file = workspace.write("sipwarden.yaml", config.text());
        let plain = product::command(&["run", "-c"]);
        let mut command = match profiler {
            [] => product::command(&[]),
            [program, options @ ..] => {
                let mut command = Command::new(program);
                command.args(options).arg(plain.get_program());
                command
            }
        };
        command.args(plain.get_args()).arg(file);
        let mut process = Process::start(&workspace, "sipwarden", &mut command);
        wait::until_true("sipwarden is bound", PATIENCE, || {
            process.expect_alive();
            sockets::is_bound(Kind::Udp, config.sip)
        });
        let script = Script::new(&config.sip.to_string(), &address(&caller), &address(&callee), 0);
        let workers = wait::until("every worker runs", PATIENCE, || {
            let found = workers_of(process.pid());
            (found.len() as u64 == workers).then_some(found)
        });
        let (proxy, buffer) = (config.sip, vec![0; 65_535]);
        let (calls, begun) = (0, Instant::now());
        Self { process, proxy, caller, callee, script, calls, begun, buffer, workers, _workspace: workspace }
    }

    /// Plays one whole call.
    pub fn call(&mut self) {
        self.calls += 1;
        self.script.invite(self.calls);
        self.say(&self.caller);
        self.expect_up(b"SIP/2.0 100 ");
        self.expect_down(b"INVITE ");
        self.answer(180, b"SIP/2.0 180 ");
        self.answer(200, b"SIP/2.0 200 ");
        self.follow("ACK", 1);
        self.follow("BYE", 2);
        self.answer(200, b"SIP/2.0 200 ");
    }

    /// Ends the proxy as an administrator would, and waits for it.
    pub fn end(mut self) {
        wait_until_asleep(&self.workers);
        let took = self.begun.elapsed();
        assert!(took < QUIET, "the calls took {took:?}: timers would be counted that other runs do not see");
        self.process.signal("TERM");
        let status = self.process.wait(PATIENCE);
        assert!(status.success(), "sipwarden ended with {status}:\n{}", self.process.log());
    }

    fn follow(&mut self, method: &str, cseq: u32) {
        self.script.follow(self.calls, method, cseq);
        self.say(&self.caller);
        self.expect_down(method.as_bytes());
    }

    fn answer(&mut self, code: u16, expected: &[u8]) {
        self.script.answer(code);
        self.say(&self.callee);
        self.expect_up(expected);
    }

    fn say(&self, socket: &UdpSocket) {
        wait_until_asleep(&self.workers);
        socket.send_to(&self.script.said, self.proxy).expect("loopback takes it");
    }

    fn expect_up(&mut self, start: &[u8]) {
        receive(&self.caller, &mut self.buffer, &mut self.script.up, start);
    }

    fn expect_down(&mut self, start: &[u8]) {
        receive(&self.callee, &mut self.buffer, &mut self.script.down, start);
    }
}

/// A socket whose address is always as long in print, so that messages are, too: three digits in
/// each part, and five in the ports that the kernel gives.
fn bind(last: u8) -> UdpSocket {
    let [.., high, low] = std::process::id().to_be_bytes();
    let host = Ipv4Addr::new(127, 100 + high % 100, 100 + low % 100, last);
    UdpSocket::bind((host, 0)).expect("a port is free on loopback")
}

fn workers_of(process: u32) -> Vec<PathBuf> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let threads = threads.map(|thread| thread.path());
    let is_worker = |thread: &PathBuf| {
        fs::read_to_string(thread.join("comm")).is_ok_and(|name| name.starts_with("worker-"))
    };
    threads.filter(is_worker).map(|thread| thread.join("syscall")).collect()
}

/// Waits until each of these threads waits for its sockets; one that waits for a turn inside a
/// profiler is in another system call.
fn wait_until_asleep(workers: &[PathBuf]) {
    let deadline = Instant::now() + PATIENCE;
    let is_asleep = |worker: &PathBuf| {
        let state = fs::read_to_string(worker).expect("one may look at one's own child");
        let call = state.split_whitespace().next().and_then(|number| number.parse().ok());
        call.is_some_and(|call: i64| WAITS.contains(&call))
    };
    while !workers.iter().all(is_asleep) {
        assert!(Instant::now() < deadline, "a worker does not come to rest");
        std::thread::yield_now();
    }
}

fn receive(socket: &UdpSocket, buffer: &mut [u8], message: &mut Vec<u8>, start: &[u8]) {
    let length = socket.recv(buffer).expect("it comes in time");
    message.clear();
    message.extend_from_slice(buffer.get(..length).expect("that much was received"));
    let shown = || String::from_utf8_lossy(message);
    assert!(message.starts_with(start), "expected {}:\n{}", String::from_utf8_lossy(start), shown());
}
