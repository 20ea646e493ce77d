//! Child processes: pinned to a core, favoured by the scheduler, and gone when we are.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;

use super::procfs;

/// A process that was started here, and is ended here at the latest.
pub struct Process {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    log: PathBuf,
}

impl Process {
    /// Starts the words on a core. Its standard output is read line by line if `talks`, else it goes to the
    /// log, as its errors do.
    pub fn start(
        name: &str,
        words: &[String],
        (core, nice): (usize, i32),
        work: &Path,
        talks: bool,
    ) -> Result<Self> {
        let log = work.join(format!("{name}.log"));
        let errors = File::create(&log).with_context(|| format!("write {}", log.display()))?;
        let mut command = Command::new("setpriv");
        command.args([
            "--pdeathsig",
            "TERM",
            "nice",
            "-n",
            &nice.to_string(),
            "taskset",
            "-c",
            &core.to_string(),
        ]);
        command.args(words).stderr(errors.try_clone()?);
        if talks {
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
        } else {
            command.stdin(Stdio::null()).stdout(errors);
        }
        let mut child = command.spawn().with_context(|| format!("start {}", words[0]))?;
        let (sender, lines) = channel();
        if let Some(output) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        let input = child.stdin.take();
        Ok(Process { name: name.to_owned(), child, input, lines, log })
    }

    /// Its id; wrappers exec, so it is that of the program.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its output.
    fn line(&mut self, patience: Duration) -> Result<String> {
        match self.lines.recv_timeout(patience) {
            Ok(line) => Ok(line),
            Err(_) => bail!("{} said nothing for {} s{}", self.name, patience.as_secs(), self.last_words()),
        }
    }

    /// Reads until this line comes.
    pub fn expect(&mut self, wanted: &str, patience: Duration) -> Result<()> {
        while self.line(patience).with_context(|| format!("waiting for `{wanted}`"))? != wanted {}
        Ok(())
    }

    /// Reads until the line of JSON comes that it ends with.
    pub fn json<T: DeserializeOwned>(&mut self, patience: Duration) -> Result<T> {
        loop {
            let line = self.line(patience).context("waiting for its report")?;
            if line.starts_with('{') {
                return Ok(serde_json::from_str(&line)?);
            }
        }
    }

    /// Writes a line to its standard input.
    pub fn tell(&mut self, word: &str) -> Result<()> {
        let input = self.input.as_mut().context("it does not listen")?;
        writeln!(input, "{word}").with_context(|| format!("{} is gone{}", self.name, self.last_words()))
    }

    /// Ends its standard input.
    pub fn hush(&mut self) {
        self.input = None;
    }

    /// Fails if it is gone.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}{}", self.name, self.last_words()),
        }
    }

    /// Asks it to end, and waits until it has.
    pub fn end(mut self, patience: Duration) -> Result<()> {
        kill(Pid::from_raw(self.id().cast_signed()), Signal::SIGTERM)?;
        let begin = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begin.elapsed() > patience {
                bail!("{} did not end in {} s{}", self.name, patience.as_secs(), self.last_words());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(12)..].join("\n  ");
        format!("; {} ends with:\n  {tail}", self.log.display())
    }
}

impl Drop for Process {
    /// SIGTERM, two seconds, SIGKILL: to this process and those that it started, by id.
    fn drop(&mut self) {
        let family = procfs::family(self.id());
        let signal = |pid: u32, signal: Signal| kill(Pid::from_raw(pid.cast_signed()), signal).is_ok();
        self.input = None;
        if matches!(self.child.try_wait(), Ok(None)) {
            signal(self.id(), Signal::SIGTERM);
            let end = Instant::now() + Duration::from_secs(2);
            while Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        for pid in family {
            signal(pid, Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}
