//! `sipwarden run`: serves until it is told to end.

use super::{allocator, term};
use crate::config::{self, Config};
use crate::facts::event::ReloadTrigger;
use crate::runtime::{self, ConfigFile, Running};
use crate::telemetry::{self, MetricsSettings};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Options of `run`.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// The configuration [default: sipwarden.yaml, then /etc/sipwarden/sipwarden.yaml]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: Args) -> ExitCode {
    allocator::give_memory_back();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(usize::from(MetricsSettings::CONTROL_THREADS))
        .thread_name("control")
        .enable_all()
        .build();
    let failed = |error: &dyn std::fmt::Display| term::fail(error, None);
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start: {error}")),
    };
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let loaded = config::find(args.config.as_deref()).and_then(|path| {
        let file = ConfigFile { path, environment };
        Ok((file.load()?, file))
    });
    match loaded {
        Ok((config, file)) => match runtime.block_on(serve(config, file)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error),
        },
        // It begins with the file and the line, for an editor to jump to.
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: Config, file: ConfigFile) -> Result<(), String> {
    let signals = Signals::new().map_err(|error| format!("cannot watch for signals: {error}"))?;
    telemetry::init_logs(&config.telemetry);
    telemetry::count_panics();
    let running = runtime::start(config, Some(file)).await.map_err(|error| error.to_string())?;
    announce(&running);
    signals.obey(running).await
}

/// Says on standard output where it listens, the ports that the kernel chose included.
fn announce(running: &Running) {
    let mut text = format!("sipwarden {} listens on", env!("CARGO_PKG_VERSION"));
    for (transport, address) in &running.sip {
        text.push_str(&format!(" {transport}://{address}"));
    }
    text.push_str(&format!(" http://{}\n", running.http));
    // Whoever does not read it does not need it.
    let _ = term::put(&text);
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Reloads on SIGHUP, drains on the first SIGTERM or SIGINT, ends at once on the second.
    async fn obey(mut self, mut running: Running) -> Result<(), String> {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => running.reload(ReloadTrigger::Signal).await,
                () = ended(&mut self.terminate, &mut self.interrupt) => break,
                worker = running.failed() => {
                    return Err(format!("worker {worker} has ended unexpectedly; the process cannot serve on"));
                }
            }
        }
        let ending = async {
            running.drain().await;
            running.stop().await;
        };
        tokio::select! {
            () = ending => {}
            () = ended(&mut self.terminate, &mut self.interrupt) => {}
        }
        Ok(())
    }
}

async fn ended(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
