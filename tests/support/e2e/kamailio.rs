//! A real Kamailio with its dispatcher module, as the one to compare with.

use super::address;
use super::process::Process;
use super::sockets::{self, Kind};
use super::wait;
use super::workspace::Workspace;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Everything of a dispatcher's script but the choice: relay, failure probes, no failover.
const HEAD: &str = r#"#!KAMAILIO
# One, so that requests are taken in the order of their coming.
children=1
disable_tcp=yes
auto_aliases=no
dns=no
rev_dns=no
debug=0
log_stderror=yes
loadmodule "tm.so"
loadmodule "tmx.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "ctl.so"
loadmodule "dispatcher.so"
modparam("tm", "fr_timer", 600)
modparam("dispatcher", "flags", 2)
modparam("dispatcher", "hash_pvar", "$hdr(X-Key)")
modparam("dispatcher", "ds_ping_interval", 1)
modparam("dispatcher", "ds_ping_from", "sip:kamailio@127.0.0.1")
modparam("dispatcher", "ds_probing_mode", 1)
modparam("dispatcher", "ds_probing_threshold", 1)
modparam("dispatcher", "reload_delta", 0)
"#;

const ROUTE: &str = r#"
	if (!ds_select_dst("$var(set)", "$var(algorithm)")) {
		sl_send_reply("503", "No destination");
		exit;
	}
	t_relay();
}
"#;

/// One dispatcher set, and how a request is placed in it.
#[derive(Debug)]
pub struct Choice {
    /// The second parameter of `ds_select_dst`.
    pub algorithm: u32,
    /// The lines of its `dispatcher.list`: destination and priority.
    pub lines: Vec<(SocketAddr, u32)>,
}

/// A running Kamailio.
#[derive(Debug)]
pub struct Kamailio {
    /// Where it takes requests for each choice.
    pub listens: Vec<SocketAddr>,
    control: SocketAddr,
    process: Process,
}

impl Kamailio {
    /// Starts one that listens once for each choice; their sets are numbered from 1.
    pub fn start(workspace: &Workspace, choices: &[Choice]) -> Self {
        Self::start_with(workspace, choices, "")
    }

    /// The same with further parameters of modules.
    pub fn start_with(workspace: &Workspace, choices: &[Choice], parameters: &str) -> Self {
        let control = address::endpoint();
        let listens: Vec<SocketAddr> = choices.iter().map(|_| address::endpoint()).collect();
        let (mut list, mut config) = (String::new(), format!("{HEAD}{parameters}"));
        let mut route = String::from(
            "request_route {\n\tif (is_method(\"ACK\")) { if (t_check_trans()) t_relay(); exit; }\n\
             \tif (t_precheck_trans()) { t_check_trans(); exit; }\n\tt_check_trans();\n",
        );
        for ((set, choice), listen) in (1..).zip(choices).zip(&listens) {
            for (destination, priority) in &choice.lines {
                let _ = writeln!(list, "{set} sip:{destination} 0 {priority}");
            }
            let _ = writeln!(config, "listen=udp:{listen}");
            let _ = writeln!(
                route,
                "\tif ($Ri == \"{}\") {{ $var(set) = {set}; $var(algorithm) = {}; }}",
                listen.ip(),
                choice.algorithm
            );
        }
        let list = workspace.write("dispatcher.list", &list);
        let _ = writeln!(config, "modparam(\"dispatcher\", \"list_file\", \"{}\")", list.display());
        let _ = writeln!(config, "modparam(\"ctl\", \"binrpc\", \"tcp:{control}\")");
        let file = workspace.write("kamailio.cfg", &(config + &route + ROUTE));
        let mut command = Command::new(binary());
        // Finished calls stay for seconds, at up to 33 KB each: with less it answers 503 when it is quick.
        command.args(["-DD", "-E", "-m", "512", "-M", "8", "-f"]).arg(file).arg("-Y").arg(workspace.path(""));
        let process = Process::start(workspace, "kamailio", &mut command);
        let mut started = Self { listens, control, process };
        wait::until_true("Kamailio is ready", Duration::from_secs(20), || {
            started.process.expect_alive();
            started.listens.iter().all(|listen| sockets::is_bound(Kind::Udp, *listen))
                && sockets::is_bound(Kind::Tcp, control)
                && started.ask(&["dispatcher.list"]).is_some()
        });
        started
    }

    /// Has a command of `kamcmd` done, and panics if it is refused.
    pub fn control(&self, arguments: &[&str]) -> String {
        self.ask(arguments).unwrap_or_else(|| panic!("kamcmd {arguments:?} fails"))
    }

    /// Waits until a destination is inactive in every set that has it.
    pub fn wait_until_inactive(&self, destination: SocketAddr) {
        let uri = format!("URI: sip:{destination}");
        wait::until_true("Kamailio has noticed the death", Duration::from_secs(15), || {
            let list = self.control(&["dispatcher.list"]);
            let mut lines = list.lines().map(str::trim);
            let mut flags = Vec::new();
            while lines.any(|line| line == uri) {
                flags.extend(lines.next().and_then(|line| line.strip_prefix("FLAGS: ")));
            }
            !flags.is_empty() && flags.iter().all(|flags| flags.starts_with('I'))
        });
    }

    fn ask(&self, arguments: &[&str]) -> Option<String> {
        let socket = format!("tcp:{}", self.control);
        let output = Command::new(tool("kamcmd")).args(["-s", &socket]).args(arguments).output();
        let output = output.expect("kamcmd runs: ./scripts/test-deps.sh");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success() && !text.starts_with("error")).then_some(text)
    }
}

impl Drop for Kamailio {
    /// Its main process ends the others; killed at once, it would leave them behind.
    fn drop(&mut self) {
        if self.process.ended().is_none() {
            self.process.signal("TERM");
            wait::stays_true(Duration::from_secs(5), || self.process.ended().is_none());
        }
    }
}

fn binary() -> String {
    tool("kamailio")
}

/// Debian puts daemons where only root looks for programs.
fn tool(name: &str) -> String {
    let there = format!("/usr/sbin/{name}");
    if Path::new(&there).exists() { there } else { name.to_owned() }
}
