//! The control plane's answers to the HTTP server.

use super::command::{Command, Commands, Memory};
use super::reload::{Change, Next, Reloader};
use super::state_file::StateFile;
use super::surroundings::Watched;
use crate::admin::explain::Explanation;
use crate::admin::probes::Probing;
use crate::admin::{
    Control, Effective, MetricsFormat, NotExplained, NotSet, Pieces, ReloadReport, Reset, Unavailable,
};
use crate::facts::clock::Clock;
use crate::facts::event::{ConfigApplied, Event, ReloadTrigger};
use crate::facts::lookup::Resolution;
use crate::facts::snapshot::{DestinationSnapshot, Detail, Snapshot};
use crate::facts::{Admin, Target, WorkerId};
use crate::proxy::{self, Plan, Question};
use crate::telemetry::{Format, MetricsIndex, Recorder, Telemetry};
use async_trait::async_trait;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

/// Between two looks whether what was in force is still in use.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

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
    state_file: Option<Arc<StateFile>>,
    watched: Watched,
}

impl ControlPlane {
    /// Joins the parts; not ready until told so.
    pub(super) fn new(
        commands: Commands,
        telemetry: Telemetry,
        reloader: Reloader,
        clock: Clock,
        state_file: Option<StateFile>,
        watched: Watched,
    ) -> Self {
        Self {
            commands,
            recorder: Mutex::new(telemetry.recorder()),
            telemetry,
            plan: RwLock::new(Arc::clone(reloader.plan())),
            reloader: tokio::sync::Mutex::new(reloader),
            ready: AtomicBool::new(false),
            clock,
            state_file: state_file.map(Arc::new),
            watched,
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

    /// Loads the configuration again and applies it whole, or changes nothing. One at a time. What was
    /// learned and wished at run time can be forgotten in the same stroke.
    pub(super) async fn reload_for(
        &self,
        trigger: ReloadTrigger,
        memory: Memory,
    ) -> Result<ReloadReport, String> {
        let mut reloader = self.reloader.lock().await;
        self.telemetry.reload_started();
        // A large file takes longer than others who share this thread may wait.
        let loaded = tokio::task::block_in_place(|| reloader.load());
        let report = match (loaded, memory) {
            (Err(error), _) => return Err(self.refused(trigger, error)),
            (Ok(Change::None), Memory::Keep) => {
                self.record(&Event::ReloadUnchanged { trigger });
                return Ok(ReloadReport::default());
            }
            (Ok(Change::None), Memory::Forget) => {
                let report = self.apply(trigger, memory, &reloader.again()).await?;
                ReloadReport { changed: false, ..report }
            }
            (Ok(Change::Next(next)), _) => {
                let report = self.apply(trigger, memory, &next).await?;
                retire(reloader.accept(*next));
                report
            }
        };
        Ok(ReloadReport { reset: memory == Memory::Forget, ..report })
    }

    async fn apply(
        &self,
        trigger: ReloadTrigger,
        memory: Memory,
        next: &Next,
    ) -> Result<ReloadReport, String> {
        // New series exist before the first event about them.
        let former = tokio::task::block_in_place(|| self.apply_metrics(&next.plan));
        let plan = Arc::clone(&next.plan);
        let ordered = self.commands.order(|order| Command::Reload(plan, trigger, memory, order)).await;
        let Ok(applied) = ordered else {
            retire(self.telemetry.take_back(&former));
            return Err(self.refused(trigger, "the workers did not take it in time".to_owned()));
        };
        self.set_plan(&next.plan);
        let applied = ConfigApplied { needs_restart: next.needs_restart.clone(), ..applied };
        let report = ReloadReport {
            changed: true,
            reset: false,
            added: applied.added,
            removed: applied.removed,
            kept: applied.kept,
            needs_restart: applied.needs_restart.iter().map(|key| key.to_string()).collect(),
        };
        self.record(&Event::ConfigApplied(Arc::new(applied)));
        Ok(report)
    }

    /// Writes the state file, if one is configured.
    pub(super) async fn save_states(&self) {
        let Some(file) = self.state_file.clone() else { return };
        let Ok(remembered) = self.commands.ask_owner(Command::Remembered).await else { return };
        let written = tokio::task::spawn_blocking(move || file.save(&remembered, SystemTime::now())).await;
        if let Ok(Err(error)) = written {
            self.record(&Event::StateNotSaved { error: error.to_string().into() });
        }
    }

    /// Whether there is a state file to keep up to date.
    pub(super) fn keeps_states(&self) -> bool {
        self.state_file.is_some()
    }

    /// Reloads if the content of the file has changed since it was last looked at.
    pub(super) async fn reload_if_changed(&self) {
        if self.reloader.lock().await.file_changed() {
            // The outcome is an event; nobody waits for the answer.
            let _ = self.reload_for(ReloadTrigger::File, Memory::Keep).await;
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
        let former = self.apply_metrics(&next.plan);
        let plan = Arc::clone(&next.plan);
        if self.commands.order(|order| Command::Replan(plan, order)).await.is_err() {
            // The next answer brings it up again.
            return retire(self.telemetry.take_back(&former));
        }
        self.set_plan(&next.plan);
        retire(reloader.accept_endpoints(next));
        changes.iter().for_each(|change| self.record(change));
    }

    /// The longest time that a drain may take.
    pub(super) async fn drain_timeout(&self) -> std::time::Duration {
        self.reloader.lock().await.drain_timeout()
    }

    /// Has telemetry take up the sets and destinations of a plan; what it had before is kept while
    /// workers have it.
    fn apply_metrics(&self, plan: &Plan) -> Arc<MetricsIndex> {
        let former = self.telemetry.apply(Arc::clone(plan.directory()));
        retire(Arc::clone(&former));
        former
    }

    fn refused(&self, trigger: ReloadTrigger, error: String) -> String {
        self.record(&Event::ReloadFailed { trigger, error: error.as_str().into() });
        error
    }

    fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.plan.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_plan(&self, plan: &Arc<Plan>) {
        *self.plan.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(plan);
    }

    /// A destination of a configured id; that of one address of several is none.
    fn find(&self, set: &str, id: &str) -> Result<Target, NotSet> {
        let plan = self.plan();
        let (table, set) = (plan.table(), plan.table().set_by_name(set).ok_or(NotSet::NoSet)?);
        if let Some(found) = table.owned_by(set, id).next() {
            return Ok(found.target);
        }
        let members = table.set(set).map_or(&[][..], |set| set.members());
        let is_one_of_several = members.iter().any(|target| plan.directory().names.target(*target) == id);
        Err(if is_one_of_several { NotSet::OneOfSeveral } else { NotSet::NoDestination })
    }
}

/// Keeps what was in force until no worker has it any more: to let go of a large configuration takes
/// longer than calls may wait.
fn retire(former: Arc<impl Send + Sync + 'static>) {
    tokio::spawn(async move {
        while Arc::strong_count(&former) > 1 {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    });
}

#[async_trait]
impl Control for ControlPlane {
    async fn metrics(&self, format: MetricsFormat) -> Result<Pieces, Unavailable> {
        let format = match format {
            MetricsFormat::Text => Format::Text,
            MetricsFormat::OpenMetrics => Format::OpenMetrics,
        };
        // Looked at first: asking the workers fills their queues.
        let surroundings = self.watched.look(&self.commands);
        let snapshots = self.snapshots(Detail::Metrics).await?;
        Ok(Pieces::new(self.telemetry.render(snapshots, surroundings, format)))
    }

    async fn snapshots(&self, detail: Detail) -> Result<Vec<Snapshot>, Unavailable> {
        self.commands.ask_all(|answer| Command::Snapshot(detail, answer)).await
    }

    async fn config(&self) -> Effective {
        let reloader = self.reloader.lock().await;
        let config = reloader.config();
        Effective { hash: config.proxy.hash, json: Arc::clone(&config.effective) }
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    async fn reload(&self, reset: Reset) -> Result<ReloadReport, String> {
        let memory = match reset {
            Reset::No => Memory::Keep,
            Reset::Yes => Memory::Forget,
        };
        self.reload_for(ReloadTrigger::Api, memory).await
    }

    async fn probe(&self, set: &str, id: Option<&str>) -> Result<Probing, NotSet> {
        let snapshot = self.commands.ask_owner(|answer| Command::Snapshot(Detail::Metrics, answer)).await?;
        let set = snapshot.sets.iter().find(|known| &*known.name == set).ok_or(NotSet::NoSet)?;
        let plan = self.plan();
        let owner = |target| plan.table().destination(target).map(|known| &*known.settings.owner);
        // A configured id is all the addresses that it stands for.
        let asked = |known: &&DestinationSnapshot| {
            id.is_none_or(|id| &*known.id == id || owner(known.target) == Some(id))
        };
        let found: Vec<&DestinationSnapshot> = set.destinations.iter().filter(asked).collect();
        if found.is_empty() {
            return Err(NotSet::NoDestination);
        }
        let probed: Vec<&DestinationSnapshot> = found.into_iter().filter(|d| d.probe.enabled).collect();
        let interval = probed.iter().map(|known| known.probe.interval).max().unwrap_or_default();
        let targets = probed.iter().map(|known| known.target).collect();
        let at = Instant::now();
        self.commands.ask_owner(|done| Command::Probe(targets, done)).await?;
        let probing = probed.iter().map(|known| known.id.to_string()).collect();
        Ok(Probing { at, probing, interval })
    }

    async fn explain(&self, set: &str, question: &Question) -> Result<Explanation, NotExplained> {
        let request = question.request().map_err(NotExplained::Question)?;
        let source = question.source.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let owner = proxy::owner(&request, self.commands.workers()).unwrap_or(WorkerId(0));
        let trial = self.commands.ask(owner, Command::Trial).await?;
        let id = trial.plan().table().set_by_name(set).ok_or(NotExplained::NoSet)?;
        let plan = Arc::clone(trial.plan());
        let ranked =
            tokio::task::spawn_blocking(move || trial.run(id, &request, source, Instant::now())).await;
        let candidates = ranked.map_err(|_| Unavailable)?;
        Ok(Explanation::new(&plan, id, question, &candidates))
    }

    async fn set_admin(&self, set: &str, id: &str, admin: Admin) -> Result<(), NotSet> {
        // Until it is taken the plan stays the one that the target is of.
        let _plan = self.reloader.lock().await;
        let target = self.find(set, id)?;
        Ok(self.commands.order(|order| Command::SetAdmin(target, admin, order)).await?)
    }

    fn clock(&self) -> Clock {
        self.clock
    }
}

#[cfg(test)]
mod tests {
    use super::super::reload::ConfigFile;
    use super::*;
    use crate::dispatch::Loads;
    use crate::net::{self, Exchange, ReceiveBuffers, Streams};
    use std::collections::BTreeMap;
    use tokio::runtime::Handle;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_reload_that_no_worker_takes_leaves_the_metrics_of_what_runs() {
        let path = std::env::temp_dir().join(format!("sipwarden-stuck-{}.yaml", std::process::id()));
        let write = |set: &str| {
            std::fs::write(&path, format!("sets: {{{set}: {{destinations: [\"sip:10.0.0.1\"]}}}}\n"))
                .unwrap();
        };
        write("old");
        let file = ConfigFile { path: path.clone(), environment: BTreeMap::new() };
        let config = file.load().unwrap();
        let listeners = config.proxy.listeners.clone();
        let loads = Loads::new(Instant::now());
        let reloader = Reloader::new(Some(file), config.clone(), listeners, loads, net::interfaces());
        let directory = Arc::clone(reloader.plan().directory());
        let telemetry = Telemetry::start(&config.telemetry, directory, Handle::current()).unwrap();
        let (commands, _stuck) = Commands::new(1);
        let (exchange, _deliveries) = Exchange::new(1);
        let streams = Streams::new(config.net.clone(), exchange.clone());
        let watched = Watched { exchange, streams, buffers: ReceiveBuffers::default(), runtimes: vec![] };
        let clock = Clock::new(Instant::now(), SystemTime::now());
        let control = ControlPlane::new(commands, telemetry, reloader, clock, None, watched);
        write("new");
        let refused = control.reload_for(ReloadTrigger::Api, Memory::Keep).await;
        std::fs::remove_file(&path).unwrap();
        assert_eq!(refused.unwrap_err(), "the workers did not take it in time");
        let surroundings = control.watched.look(&control.commands);
        let scrape = control.telemetry.render(vec![], surroundings, Format::Text);
        let text = scrape.collect::<String>();
        assert!(text.contains("set=\"old\"") && !text.contains("set=\"new\""), "{text}");
    }
}
