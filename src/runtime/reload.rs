//! From a changed file to a plan that the workers can take, or to a refusal that changes nothing.
//!
//! A change is seen by content, looked at every few seconds, which survives renames and bind mounts
//! where file-system notifications do not.

use crate::config::{self, Config};
use crate::dispatch::{Loads, SetSettings};
use crate::facts::ListenerId;
use crate::facts::event::Event;
use crate::facts::lookup::Resolution;
use crate::facts::names::Names;
use crate::proxy::{self, Answers, Interfaces, Listener, Plan};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time between looks at the file.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Where a configuration is loaded from.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    /// The YAML file.
    pub path: PathBuf,
    /// The environment that overrides it.
    pub environment: BTreeMap<String, String>,
}

impl ConfigFile {
    /// Loads it; the error is the whole text for a person.
    pub fn load(&self) -> Result<Config, config::Error> {
        config::load(&self.path, &self.environment)
    }
}

/// What runs, and how to get what is to run next.
#[derive(Debug)]
pub(super) struct Reloader {
    file: Option<ConfigFile>,
    seen: Option<Vec<u8>>,
    /// What the process was started with: sockets, threads and export are its to this day.
    started: Config,
    /// What was applied last.
    config: Config,
    /// The listeners as bound.
    listeners: Vec<Listener>,
    /// The settings of that, as configured: a destination for each name.
    settings: proxy::Settings,
    /// The last good answer for each name that is configured.
    answers: Answers,
    /// The settings compiled, with a destination for each endpoint.
    plan: Arc<Plan>,
    names: Names,
    /// What every destination has to do, removed ones included.
    loads: Arc<Loads>,
    interfaces: Interfaces,
}

/// What loading again gave.
#[derive(Debug)]
pub(super) enum Change {
    /// The same configuration.
    None,
    /// Another one, ready to be taken.
    Next(Box<Next>),
}

/// A configuration that is not applied yet.
#[derive(Debug)]
pub(super) struct Next {
    /// For the workers.
    pub(super) plan: Arc<Plan>,
    /// Keys that changed but are read at start only.
    pub(super) needs_restart: Vec<Box<str>>,
    config: Config,
    settings: proxy::Settings,
    names: Names,
}

/// The configuration that runs, with other endpoints, not applied yet.
#[derive(Debug)]
pub(super) struct Replanned {
    /// For the workers.
    pub(super) plan: Arc<Plan>,
    names: Names,
}

impl Reloader {
    /// Begins with what was started: the configuration, and its listeners as bound.
    pub(super) fn new(
        file: Option<ConfigFile>,
        config: Config,
        listeners: Vec<Listener>,
        loads: Arc<Loads>,
        interfaces: Interfaces,
    ) -> Self {
        let mut names = Names::default();
        let mut settings = proxy::Settings { listeners: listeners.clone(), ..config.proxy.clone() };
        share_limits(&mut settings, config.workers);
        let plan = Arc::new(Plan::new(settings.clone(), &interfaces, &mut names));
        let answers = Answers::new();
        let seen = file.as_ref().and_then(|file| std::fs::read(&file.path).ok());
        let started = config.clone();
        Self { file, seen, started, config, listeners, settings, answers, plan, names, loads, interfaces }
    }

    /// The configuration that runs.
    pub(super) const fn config(&self) -> &Config {
        &self.config
    }

    /// Its plan.
    pub(super) const fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The longest time that a drain may take.
    pub(super) const fn drain_timeout(&self) -> Duration {
        self.config.drain_timeout
    }

    /// Whether the file's content differs from what was last looked at. An unreadable file is
    /// taken for one that is being replaced.
    pub(super) fn file_changed(&self) -> bool {
        let content = self.file.as_ref().and_then(|file| std::fs::read(&file.path).ok());
        content.is_some_and(|content| self.seen.as_ref() != Some(&content))
    }

    /// Loads again and compiles what differs. Nothing changes but what counts as looked at.
    pub(super) fn load(&mut self) -> Result<Change, String> {
        let Some(file) = &self.file else {
            return Err("this instance was started without a configuration file".to_owned());
        };
        self.seen = std::fs::read(&file.path).ok();
        let config = file.load().map_err(|error| error.to_string())?;
        let same = config.proxy.hash == self.config.proxy.hash;
        if same && config::restart_keys(&self.config, &config).is_empty() {
            return Ok(Change::None);
        }
        let mut settings = self.on_bound_listeners(&config)?;
        share_limits(&mut settings, self.started.workers);
        let mut names = self.names.clone();
        self.plan.give_back(&mut names, &self.loads, Instant::now());
        let expanded = settings.expanded(&self.answers);
        let plan = Arc::new(Plan::new(expanded, &self.interfaces, &mut names).after(&self.plan));
        Ok(Change::Next(Box::new(Next {
            plan,
            settings,
            names,
            needs_restart: config::restart_keys(&self.started, &config).into_iter().map(Box::from).collect(),
            config,
        })))
    }

    /// What runs, to be applied once more.
    pub(super) fn again(&self) -> Next {
        Next {
            plan: Arc::clone(&self.plan),
            needs_restart: config::restart_keys(&self.started, &self.config)
                .into_iter()
                .map(Box::from)
                .collect(),
            config: self.config.clone(),
            settings: self.settings.clone(),
            names: self.names.clone(),
        }
    }

    /// Takes over what the workers have taken; gives the plan before it.
    pub(super) fn accept(&mut self, next: Next) -> Arc<Plan> {
        let Next { plan, config, settings, names, .. } = next;
        (self.config, self.settings, self.names) = (config, settings, names);
        self.answers.retain(|lookup, _| plan.table().lookups().contains_key(lookup));
        std::mem::replace(&mut self.plan, plan)
    }

    /// Takes in the ends of look-ups. Only an answer that is not empty takes the place of another.
    pub(super) fn note(&mut self, resolutions: &[Resolution]) {
        let wanted = self.plan.table().lookups();
        for Resolution { lookup, found, .. } in resolutions {
            if !found.is_empty() && wanted.contains_key(lookup) {
                self.answers.insert(lookup.clone(), found.clone());
            }
        }
    }

    /// Compiles again what runs, if names stand for other endpoints than in the plan, and tells which.
    /// Nothing changes.
    pub(super) fn replan(&self) -> Option<(Replanned, Vec<Event>)> {
        let settings = self.settings.expanded(&self.answers);
        let pairs = || self.plan.settings().sets.iter().zip(&settings.sets);
        if pairs().all(|(old, new)| old.dispatch.destinations == new.dispatch.destinations) {
            return None;
        }
        let changes = pairs().flat_map(|(old, new)| self.changes(&old.dispatch, &new.dispatch)).collect();
        let mut names = self.names.clone();
        self.plan.give_back(&mut names, &self.loads, Instant::now());
        let plan = Arc::new(Plan::new(settings, &self.interfaces, &mut names).after(&self.plan));
        Some((Replanned { plan, names }, changes))
    }

    /// Takes over endpoints that the workers have taken; gives the plan before it.
    pub(super) fn accept_endpoints(&mut self, next: Replanned) -> Arc<Plan> {
        self.names = next.names;
        std::mem::replace(&mut self.plan, next.plan)
    }

    fn changes(&self, old: &SetSettings, new: &SetSettings) -> Vec<Event> {
        let Some(set) = self.plan.table().set_by_name(&old.name) else { return vec![] };
        let before = endpoints(old);
        let changed = endpoints(new).into_iter().filter(|(id, ids)| before.get(id) != Some(ids));
        changed
            .map(|(id, endpoints)| Event::EndpointsChanged { set, id: Arc::clone(id), endpoints })
            .collect()
    }

    /// The settings with the listeners that are bound; what names another listener is refused,
    /// because a message could not leave on it.
    fn on_bound_listeners(&self, config: &Config) -> Result<proxy::Settings, String> {
        let mut settings = config.proxy.clone();
        if config.net.listeners == self.started.net.listeners {
            for (listener, bound) in settings.listeners.iter_mut().zip(&self.listeners) {
                listener.bind = bound.bind;
            }
            return Ok(settings);
        }
        let configured = std::mem::replace(&mut settings.listeners, self.listeners.clone());
        let bound = |id: &mut Option<ListenerId>| -> Result<(), String> {
            let Some(named) = id.and_then(|id| configured.get(id.index())) else { return Ok(()) };
            let position = self.listeners.iter().position(|listener| listener.name == named.name);
            let position = position.and_then(|position| u8::try_from(position).ok());
            *id = Some(ListenerId::new(position.ok_or_else(|| {
                format!("listener {} is used but not bound yet: it needs a restart", named.name)
            })?));
            Ok(())
        };
        for route in &mut settings.routes {
            bound(&mut route.listener)?;
        }
        for destination in settings.sets.iter_mut().flat_map(|set| &mut set.dispatch.destinations) {
            bound(&mut destination.listener)?;
        }
        Ok(settings)
    }
}

/// The ids of a set's destinations that have names, by configured id.
fn endpoints(set: &SetSettings) -> BTreeMap<&Arc<str>, Vec<Arc<str>>> {
    let mut endpoints: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for destination in set.destinations.iter().filter(|destination| destination.lookup.is_some()) {
        endpoints.entry(&destination.owner).or_default().push(Arc::clone(&destination.id));
    }
    endpoints
}

/// Each worker holds its share of what the process may: calls are spread over them by hash.
fn share_limits(settings: &mut proxy::Settings, workers: u8) {
    let workers = workers.max(1);
    settings.max_transactions = settings.max_transactions.div_ceil(u32::from(workers));
    settings.timers.linger = settings.timers.linger.div_ceil(usize::from(workers));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Transport;
    use crate::facts::event::DnsResult;
    use crate::facts::lookup::{Found, Lookup};

    fn found(last: u8) -> Found {
        Found { address: ([10, 0, 0, last], 5060).into(), rank: 0, weight: None }
    }

    fn answer(found: Vec<Found>) -> Vec<Resolution> {
        let lookup = Lookup { name: "pbx.example".into(), port: None, transport: Transport::Udp };
        let result = if found.is_empty() { DnsResult::NxDomain } else { DnsResult::Ok };
        vec![Resolution { lookup, result, found, took: Duration::ZERO }]
    }

    /// The ids of a plan's destinations with their numbers.
    fn members(plan: &Plan) -> Vec<(String, usize)> {
        let names = &plan.directory().names;
        let ids = plan.table().destinations().map(|d| d.target);
        ids.map(|target| (names.target(target).to_owned(), target.index())).collect()
    }

    #[test]
    fn answers_become_plans_whose_numbers_are_never_given_twice() {
        let text = "sets: {pbx: {destinations: [{id: pbx, uri: \"sip:pbx.example\"}]}}";
        let config = config::from_str(text, "test.yaml", &BTreeMap::new()).unwrap();
        let listeners = config.proxy.listeners.clone();
        let loads = Loads::new(Instant::now());
        let mut reloader = Reloader::new(None, config, listeners, loads, Interfaces::default());
        reloader.note(&answer(vec![]));
        assert!(reloader.replan().is_none(), "never resolved");
        reloader.note(&answer(vec![found(1)]));
        assert!(reloader.replan().is_none(), "one address is the destination itself");

        reloader.note(&answer(vec![found(1), found(2)]));
        let (refused, _) = reloader.replan().unwrap();
        drop(refused);
        let (next, changes) = reloader.replan().unwrap();
        let ids = ["pbx@10.0.0.1:5060", "pbx@10.0.0.2:5060"].map(Arc::<str>::from);
        let [Event::EndpointsChanged { id, endpoints, .. }] = &*changes else { panic!("{changes:?}") };
        assert_eq!((&**id, &**endpoints), ("pbx", &ids[..]));
        reloader.accept_endpoints(next);
        let expected = [(ids[0].to_string(), 1), (ids[1].to_string(), 2)];
        assert_eq!(members(reloader.plan()), expected, "as if the refused one had never been");
        assert!(reloader.replan().is_none());
        reloader.note(&answer(vec![]));
        assert!(reloader.replan().is_none(), "an empty answer removes nothing");

        reloader.note(&answer(vec![found(3)]));
        reloader.accept_endpoints(reloader.replan().unwrap().0);
        assert_eq!(members(reloader.plan()), [("pbx".to_owned(), 0)]);
        reloader.note(&answer(vec![found(3), found(2)]));
        reloader.accept_endpoints(reloader.replan().unwrap().0);
        let numbers: Vec<usize> = members(reloader.plan()).into_iter().map(|(_, number)| number).collect();
        assert_eq!(numbers, [3, 2]);
    }

    #[test]
    fn limits_are_shared_by_the_workers_that_run_whatever_a_reload_says() {
        let path = std::env::temp_dir().join(format!("sipwarden-limits-{}.yaml", std::process::id()));
        let write = |workers: u8, linger: &str| {
            let limits = format!("limits: {{transactions: 1000, linger: {linger}}}");
            let sets = "sets: {pbx: {destinations: [\"sip:10.0.0.1\"]}}";
            std::fs::write(&path, format!("workers: {workers}\n{limits}\n{sets}\n")).unwrap();
        };
        let limits = |plan: &Plan| (plan.settings().max_transactions, plan.settings().timers.linger);
        write(4, "64MiB");
        let file = ConfigFile { path: path.clone(), environment: BTreeMap::new() };
        let config = file.load().unwrap();
        let listeners = config.proxy.listeners.clone();
        let loads = Loads::new(Instant::now());
        let mut reloader = Reloader::new(Some(file), config, listeners, loads, Interfaces::default());
        assert_eq!(limits(reloader.plan()), (250, 16 << 20));
        write(1, "32MiB");
        let change = reloader.load();
        std::fs::remove_file(&path).unwrap();
        let Ok(Change::Next(next)) = change else { panic!("{change:?}") };
        assert_eq!(limits(&next.plan), (250, 8 << 20));
    }
}
