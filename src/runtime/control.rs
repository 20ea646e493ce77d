//! The control plane's answers to the HTTP server.

use super::command::{Command, Commands};
use super::reload::{Change, Reloader};
use crate::admin::{Control, NotSet, Pieces, ReloadReport, Unavailable};
use crate::facts::clock::Clock;
use crate::facts::event::{ConfigApplied, Event, ReloadTrigger};
use crate::facts::lookup::Resolution;
use crate::facts::snapshot::{Detail, Snapshot};
use crate::facts::{Admin, Target};
use crate::proxy::Plan;
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
    plan: RwLock<Arc<Plan>>,
    ready: AtomicBool,
    clock: Clock,
}

impl ControlPlane {
    /// Joins the parts; not ready until told so.
    pub(super) fn new(commands: Commands, telemetry: Telemetry, reloader: Reloader, clock: Clock) -> Self {
        Self {
            commands,
            recorder: Mutex::new(telemetry.recorder()),
            telemetry,
            plan: RwLock::new(Arc::clone(reloader.plan())),
            reloader: tokio::sync::Mutex::new(reloader),
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
                // New series exist before the first event about them.
                self.telemetry.apply(Arc::clone(next.plan.directory()));
                let plan = Arc::clone(&next.plan);
                let asked = self.commands.ask_owner(|done| Command::Reload(plan, trigger, done)).await;
                let Ok(applied) = asked else {
                    return Err(self.refused(trigger, "the workers did not take it in time".to_owned()));
                };
                self.set_plan(&next.plan);
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

    /// Takes the ends of look-ups: worker 0 hears of each, and where names stand for other endpoints
    /// all workers get a plan with those.
    pub(super) async fn take_answers(&self, resolutions: Vec<Resolution>) {
        let mut reloader = self.reloader.lock().await;
        reloader.note(&resolutions);
        for resolution in resolutions {
            if self.commands.to_owner(Command::Resolved(resolution)).await.is_err() {
                return;
            }
        }
        let Some((next, changes)) = reloader.replan() else { return };
        self.telemetry.apply(Arc::clone(next.plan.directory()));
        let plan = Arc::clone(&next.plan);
        if self.commands.ask_owner(|done| Command::Replan(plan, done)).await.is_err() {
            // The next answer brings it up again.
            return self.telemetry.apply(Arc::clone(reloader.plan().directory()));
        }
        self.set_plan(&next.plan);
        reloader.accept_endpoints(next);
        changes.iter().for_each(|change| self.record(change));
    }

    /// The longest time that a drain may take.
    pub(super) async fn drain_timeout(&self) -> std::time::Duration {
        self.reloader.lock().await.drain_timeout()
    }

    fn refused(&self, trigger: ReloadTrigger, error: String) -> String {
        self.record(&Event::ReloadFailed { trigger, error: error.as_str().into() });
        error
    }

    fn set_plan(&self, plan: &Arc<Plan>) {
        *self.plan.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(plan);
    }

    /// A destination of a configured id; that of one address of several is none.
    fn find(&self, set: &str, id: &str) -> Result<Target, NotSet> {
        let plan = Arc::clone(&self.plan.read().unwrap_or_else(PoisonError::into_inner));
        let (table, set) = (plan.table(), plan.table().set_by_name(set).ok_or(NotSet::NoSet)?);
        if let Some(found) = table.owned_by(set, id).next() {
            return Ok(found.target);
        }
        let members = table.set(set).map_or(&[][..], |set| set.members());
        let is_one_of_several = members.iter().any(|target| plan.directory().names.target(*target) == id);
        Err(if is_one_of_several { NotSet::OneOfSeveral } else { NotSet::NoDestination })
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
        // Until it is taken the plan stays the one that the target is of.
        let _plan = self.reloader.lock().await;
        let target = self.find(set, id)?;
        Ok(self.commands.ask_owner(|done| Command::SetAdmin(target, admin, done)).await?)
    }

    fn clock(&self) -> Clock {
        self.clock
    }
}
