//! A child process that dies with its guard.

use super::wait;
use super::workspace::Workspace;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A running child whose output goes to a file.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command, its output in `NAME.log` of the workspace.
    pub fn start(workspace: &Workspace, name: &str, command: &mut Command) -> Self {
        let log = workspace.path(&format!("{name}.log"));
        let out = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("the test's directory can be written");
        let err = out.try_clone().expect("a file handle can be doubled");
        let child =
            command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().unwrap_or_else(|error| {
                panic!("{name} cannot be started ({error}): run ./scripts/test-deps.sh")
            });
        Self { name: name.to_owned(), child, log }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked for its state")
    }

    /// Sends it a signal, by name without SIG.
    pub fn signal(&self, signal: &str) {
        let sent =
            Command::new("sh").args(["-c", "kill -\"$0\" \"$1\"", signal, &self.pid().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{} takes no signal {signal}", self.name);
    }

    /// Ends it at once (SIGKILL).
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        wait::until(&what, within, || self.ended())
    }

    /// Panics if it has ended.
    pub fn expect_alive(&mut self) {
        if let Some(status) = self.ended() {
            panic!("{} ended with {status}:\n{}", self.name, self.log());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
