//! Machines of their own: network namespaces behind one switch, with an impaired link each.
//!
//! No namespace has a name: each lives as long as this process holds it or a child runs in it, so
//! that nothing is left on the host, however a test ends.

use nix::sched::{CloneFlags, setns, unshare};
use std::fs::File;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::process::{Command, Stdio};

/// A network namespace.
#[derive(Debug)]
struct Namespace {
    handle: File,
}

/// A switch, and the machines at it.
#[derive(Debug)]
pub struct Network {
    switch: Namespace,
    hosts: Vec<Host>,
}

/// A machine with loopback and one link, `eth0`.
#[derive(Debug)]
pub struct Host {
    /// Its address.
    pub address: Ipv4Addr,
    namespace: Namespace,
}

impl Namespace {
    fn new() -> Self {
        let made = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("network namespaces need root");
            File::open("/proc/thread-self/ns/net").expect("/proc is there")
        });
        let namespace = Self { handle: made.join().expect("a namespace is made") };
        namespace.run("ip", &["link", "set", "lo", "up"], "");
        namespace
    }

    /// Where another process finds it.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.handle.as_raw_fd())
    }

    fn join(&self) {
        setns(&self.handle, CloneFlags::CLONE_NEWNET).expect("the namespace can be joined");
    }

    fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            self.join();
            work()
        };
        std::thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panic| {
            std::panic::resume_unwind(panic);
        })
    }

    /// Runs a command in it and gives its output; panics if it fails.
    fn run(&self, program: &str, arguments: &[&str], input: &str) -> String {
        self.enter(|| {
            let mut child = Command::new(program)
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap_or_else(|error| panic!("{program} ({error}): run ./scripts/test-deps.sh"));
            child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("the command reads");
            let output = child.wait_with_output().expect("the command ends");
            assert!(output.status.success(), "{program} {arguments:?}: {}", output.status);
            String::from_utf8_lossy(&output.stdout).into_owned()
        })
    }
}

impl Network {
    /// Makes the switch and a host for each address, all in one /24.
    pub fn new(addresses: &[Ipv4Addr]) -> Self {
        let switch = Namespace::new();
        switch.run("ip", &["link", "add", "switch", "type", "bridge"], "");
        switch.run("ip", &["link", "set", "switch", "up"], "");
        let hosts = addresses.iter().enumerate().map(|(port, address)| {
            let namespace = Namespace::new();
            let port = format!("port{port}");
            let peer = ["type", "veth", "peer", "name", "eth0", "netns", &namespace.path()];
            switch.run("ip", &[&["link", "add", port.as_str()], &peer[..]].concat(), "");
            switch.run("ip", &["link", "set", &port, "master", "switch", "up"], "");
            namespace.run("ip", &["address", "add", &format!("{address}/24"), "dev", "eth0"], "");
            namespace.run("ip", &["link", "set", "eth0", "up"], "");
            Host { address: *address, namespace }
        });
        let hosts = hosts.collect();
        Self { switch, hosts }
    }

    /// The machines, in the order of their addresses.
    pub fn hosts<const N: usize>(&self) -> [&Host; N] {
        let hosts: Vec<&Host> = self.hosts.iter().collect();
        hosts.try_into().expect("as many as there are addresses")
    }

    /// From now on each host loses a share of the datagrams it is sent, and doubles a share of those
    /// it sends; in percent.
    pub fn impair(&self, lost: u32, doubled: u32) {
        for host in &self.hosts {
            let others = self.hosts.iter().filter(|other| other.address != host.address);
            let doubling: String = others
                .map(|other| {
                    let to = other.address;
                    format!("ip daddr {to} meta l4proto udp numgen random mod 100 < {doubled} counter name doubled dup to {to} device eth0;\n")
                })
                .collect();
            let rules = format!(
                "table ip link {{\n\
                 counter lost {{}}\ncounter doubled {{}}\n\
                 chain in {{ type filter hook input priority 0;\n\
                 iifname eth0 meta l4proto udp numgen random mod 100 < {lost} counter name lost drop;\n}}\n\
                 chain out {{ type filter hook output priority 0;\n{doubling}}}\n}}\n"
            );
            host.namespace.run("nft", &["-f", "-"], &rules);
        }
    }
}

impl Host {
    /// Does something with sockets and processes of this machine.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.namespace.enter(work)
    }

    /// Moves the calling thread here, for the rest of its life.
    pub fn join(&self) {
        self.namespace.join();
    }

    /// Datagrams that came here and were lost.
    pub fn lost(&self) -> u32 {
        self.counted("lost")
    }

    /// Datagrams that left here twice.
    pub fn doubled(&self) -> u32 {
        self.counted("doubled")
    }

    fn counted(&self, counter: &str) -> u32 {
        let listing = self.namespace.run("nft", &["list", "counter", "ip", "link", counter], "");
        let mut words = listing.split_whitespace().skip_while(|word| *word != "packets").skip(1);
        words.next().and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no counter: {listing}"))
    }
}
