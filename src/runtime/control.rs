//! The control plane's answers to the HTTP server.

use super::command::{Command, Commands};
use super::reload::{Change, Reloader};
use crate::admin::{Control, NotSet, Pieces, ReloadReport, Unavailable};
use crate::facts::clock::Clock;
use crate::facts::directory::Directory;
use crate::facts::event::{ConfigApplied, Event, ReloadTrigger};
use crate::facts::snapshot::{Detail, Snapshot};
use crate::facts::{Admin, Target};
use crate::telemetry::{Recorder, Telemetry};
use async_trait::async_trait;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// What the HTTP server, the signals and the file watcher act on.
#[derive(Debug)]
pub(super) struct ControlPlane {
    commands: Commands,
    telemetry: Telemetry,
    recorder: Mutex<Recorder>,
    reloader: tokio::sync::Mutex<Reloader>,
    directory: RwLock<Arc<Directory>>,
    ready: AtomicBool,
    clock: Clock,
}

impl ControlPlane {
    /// Joins the parts; not ready until told so.
    pub(super) fn new(
        commands: Commands,
        telemetry: Telemetry,
        reloader: Reloader,
        directory: Arc<Directory>,
        clock: Clock,
    ) -> Self {
        Self {
            commands,
            recorder: Mutex::new(telemetry.recorder()),
            telemetry,
            reloader: tokio::sync::Mutex::new(reloader),
            directory: RwLock::new(directory),
            ready: AtomicBool::new(false),
            clock,
        }
    }

    /// Says whether the process takes calls.
    pub(super) fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// The way to the workers.
    pub(super) const fn commands(&self) -> &Commands {
        &self.commands
    }

    /// The telemetry.
    pub(super) const fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Records an event of the control plane.
    pub(super) fn record(&self, event: &Event) {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner).record(event);
    }

    /// Loads the configuration again and applies it whole, or changes nothing. One at a time.
    pub(super) async fn reload_for(&self, trigger: ReloadTrigger) -> Result<ReloadReport, String> {
        let mut reloader = self.reloader.lock().await;
        self.telemetry.reload_started();
        match reloader.load() {
            Err(error) => Err(self.refused(trigger, error)),
            Ok(Change::None) => {
                self.record(&Event::ReloadUnchanged { trigger });
                Ok(ReloadReport::default())
            }
            Ok(Change::Next(next)) => {
                let directory = Arc::clone(next.plan.directory());
                // New series exist before the first event about them.
                self.telemetry.apply(Arc::clone(&directory));
                let plan = Arc::clone(&next.plan);
                let asked = self.commands.ask_owner(|done| Command::Reload(plan, trigger, done)).await;
                let Ok(applied) = asked else {
                    return Err(self.refused(trigger, "the workers did not take it in time".to_owned()));
                };
                *self.directory.write().unwrap_or_else(PoisonError::into_inner) = directory;
                let applied = ConfigApplied { needs_restart: next.needs_restart.clone(), ..applied };
                let report = ReloadReport {
                    changed: true,
                    added: applied.added,
                    removed: applied.removed,
                    kept: applied.kept,
                    needs_restart: applied.needs_restart.iter().map(|key| key.to_string()).collect(),
                };
                reloader.accept(*next);
                self.record(&Event::ConfigApplied(Arc::new(applied)));
                Ok(report)
            }
        }
    }

    /// Reloads if the content of the file has changed since it was last looked at.
    pub(super) async fn reload_if_changed(&self) {
        if self.reloader.lock().await.file_changed() {
            // The outcome is an event; nobody waits for the answer.
            let _ = self.reload_for(ReloadTrigger::File).await;
        }
    }

    /// The longest time that a drain may take.
    pub(super) async fn drain_timeout(&self) -> std::time::Duration {
        self.reloader.lock().await.drain_timeout()
    }

    fn refused(&self, trigger: ReloadTrigger, error: String) -> String {
        self.record(&Event::ReloadFailed { trigger, error: error.as_str().into() });
        error
    }

    fn find(&self, set: &str, id: &str) -> Result<Target, NotSet> {
        let directory = Arc::clone(&self.directory.read().unwrap_or_else(PoisonError::into_inner));
        let names = &directory.names;
        let set = directory.sets.iter().find(|known| names.set(known.id) == set).ok_or(NotSet::NoSet)?;
        let found = set.targets.iter().copied().find(|target| names.target(*target) == id);
        found.ok_or(NotSet::NoDestination)
    }
}

#[async_trait]
impl Control for ControlPlane {
    async fn metrics(&self) -> Result<Pieces, Unavailable> {
        let snapshots = self.snapshots(Detail::Metrics).await?;
        Ok(Pieces::new(self.telemetry.render(snapshots)))
    }

    async fn snapshots(&self, detail: Detail) -> Result<Vec<Snapshot>, Unavailable> {
        self.commands.ask_all(|answer| Command::Snapshot(detail, answer)).await
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    async fn reload(&self) -> Result<ReloadReport, String> {
        self.reload_for(ReloadTrigger::Api).await
    }

    async fn set_admin(&self, set: &str, id: &str, admin: Admin) -> Result<(), NotSet> {
        let target = self.find(set, id)?;
        Ok(self.commands.ask_owner(|done| Command::SetAdmin(target, admin, done)).await?)
    }

    fn clock(&self) -> Clock {
        self.clock
    }
}
