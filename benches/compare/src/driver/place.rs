//! Where it all runs: a network namespace of our own with fixed addresses, or else free ports on the
//! loopback interface of this machine.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CloneFlags, CpuSet, sched_getaffinity, sched_setaffinity, unshare};
use nix::unistd::Pid;

use super::procfs;

/// Addresses of everything, and the cores.
#[derive(Clone, Debug)]
pub struct Place {
    /// Whether the namespace is ours.
    pub isolated: bool,
    /// Where the proxy receives SIP.
    pub proxy: SocketAddrV4,
    /// Where sipwarden serves HTTP.
    pub http: SocketAddrV4,
    /// Where another program on the proxy's core listens.
    pub burner: SocketAddrV4,
    /// Where spans go.
    pub sink: SocketAddrV4,
    /// The caller.
    pub caller: SocketAddrV4,
    /// The port of every destination.
    pub callees: u16,
    /// The core that is measured.
    pub proxy_core: usize,
    /// The core of everything else.
    pub generator_core: usize,
}

const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const CALLER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

impl Place {
    /// Enters a namespace, or says why it cannot and finds free ports.
    pub fn enter(host: bool, cores: Option<(usize, usize)>) -> Result<Self> {
        let mut place = match host {
            true => Place::on_host()?,
            false => match own_namespace() {
                Ok(()) => Place::in_namespace(),
                Err(reason) => {
                    eprintln!(
                        "no network namespace ({reason:#}): running on this machine's loopback interface"
                    );
                    Place::on_host()?
                }
            },
        };
        let mine = sched_getaffinity(Pid::from_raw(0))?;
        let allowed: Vec<usize> =
            (0..CpuSet::count()).filter(|&core| mine.is_set(core) == Ok(true)).collect();
        (place.proxy_core, place.generator_core) = match (cores, &allowed[..]) {
            (Some(cores), _) => cores,
            (None, [first, .., last]) => (*last, *first),
            (None, &[only]) => {
                eprintln!("one core for proxy and load alike: it works, but no figure means anything");
                (only, only)
            }
            (None, []) => bail!("no core to run on"),
        };
        let mut set = CpuSet::new();
        set.set(place.generator_core)?;
        sched_setaffinity(Pid::from_raw(0), &set).context("stay away from the proxy's core")?;
        Ok(place)
    }

    /// The addresses in a namespace of our own.
    pub fn in_namespace() -> Self {
        let at = SocketAddrV4::new;
        Place {
            isolated: true,
            proxy: at(PROXY, 5060),
            http: at(PROXY, 9360),
            burner: at(PROXY, 9999),
            sink: at(PROXY, 4318),
            caller: at(CALLER, 6000),
            callees: 7000,
            proxy_core: 1,
            generator_core: 0,
        }
    }

    fn on_host() -> Result<Self> {
        let udp = |address: Ipv4Addr| anyhow::Ok(UdpSocket::bind((address, 0))?.local_addr()?.port());
        let tcp = || anyhow::Ok(TcpListener::bind((PROXY, 0))?.local_addr()?.port());
        Ok(Place {
            isolated: false,
            proxy: SocketAddrV4::new(PROXY, udp(PROXY)?),
            http: SocketAddrV4::new(PROXY, tcp()?),
            burner: SocketAddrV4::new(PROXY, tcp()?),
            sink: SocketAddrV4::new(PROXY, tcp()?),
            caller: SocketAddrV4::new(CALLER, udp(CALLER)?),
            callees: udp(Ipv4Addr::UNSPECIFIED)?,
            ..Place::in_namespace()
        })
    }
}

fn own_namespace() -> Result<()> {
    let version = Command::new("ip").arg("-V").output();
    ensure!(version.is_ok(), "`ip` is missing: apt-get install iproute2");
    unshare(CloneFlags::CLONE_NEWNET).context("it takes root")?;
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
    ensure!(up.success(), "`ip link set lo up` failed");
    Ok(())
}

/// What must be told with every figure: machine, kernel, and how noisy the core is before we begin.
pub fn machine(place: &Place) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or_default();
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let before = procfs::core(place.proxy_core).0;
    std::thread::sleep(std::time::Duration::from_millis(500));
    let busy = (procfs::core(place.proxy_core).0 - before) / 0.5 * 100.0;
    format!(
        "{}, {cores} cores, Linux {}, {}; load average before {load}, proxy's core {busy:.0} % busy by others",
        model.trim_start_matches(['\t', ' ', ':']),
        kernel.trim(),
        if place.isolated { "own network namespace" } else { "this machine's loopback interface" },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_on_the_host_are_free_and_differ() {
        let place = Place::on_host().unwrap();
        let ports = [place.proxy.port(), place.callees, place.http.port(), place.sink.port()];
        assert!(ports.iter().all(|&port| port >= 1024), "{ports:?}");
        assert_ne!(place.http, place.sink);
    }
}
