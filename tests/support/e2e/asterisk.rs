//! A real Asterisk, run by `tests/peers/asterisk.sh`.

use super::address;
use super::process::Process;
use super::wait;
use super::workspace::Workspace;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A running Asterisk.
#[derive(Debug)]
pub struct Asterisk {
    /// Where it answers, over UDP and TCP.
    pub address: SocketAddr,
    name: String,
    process: Process,
}

impl Asterisk {
    /// Starts one on an address of its own and waits until it has booted.
    pub fn start(workspace: &Workspace) -> Self {
        Self::start_at(workspace, address::endpoint())
    }

    /// The same on a given address.
    pub fn start_at(workspace: &Workspace, address: SocketAddr) -> Self {
        let name = format!("peer-{}", address.ip());
        let mut command = Command::new(script());
        command.args(["run", &name, &address.ip().to_string(), &address.port().to_string()]);
        let process = Process::start(workspace, &name, &mut command);
        let mut started = Self { address, name, process };
        wait::until_true("Asterisk has booted", Duration::from_secs(30), || {
            started.process.expect_alive();
            started.cli("core waitfullybooted").contains("fully booted")
        });
        started
    }

    /// What its command line answers.
    pub fn cli(&self, command: &str) -> String {
        let output = Command::new(script()).args(["cli", &self.name, command]).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    }

    /// Calls going on, and calls it has had in all.
    pub fn calls(&self) -> (u32, u32) {
        let answer = self.cli("core show channels");
        let number = |what: &str| {
            let line = answer.lines().find(|line| line.contains(what))?;
            line.split_whitespace().next()?.parse().ok()
        };
        match (number("active channel"), number("calls processed").or_else(|| number("call processed"))) {
            (Some(active), Some(processed)) => (active, processed),
            _ => panic!("Asterisk does not say what it does: {answer}"),
        }
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/asterisk.sh")
}
