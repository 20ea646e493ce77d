//! A configuration compiled for the core: names numbered, shared by all workers, immutable.

use super::local::Local;
use super::mark::MarkId;
use super::{Interfaces, Route, Settings};
use crate::dispatch::{Loads, Table};
use crate::facts::directory::{Directory, DirectorySet};
use crate::facts::names::Names;
use crate::facts::{SetId, Target};
use crate::probe::{Roster, Wanted, hash_of};
use ipnet::IpNet;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is still said of a call when it has ended: its last transactions, and the news of them.
const LAST_WORDS: Duration = Duration::from_secs(600);

/// One configuration, compiled.
#[derive(Debug)]
pub struct Plan {
    settings: Settings,
    directory: Arc<Directory>,
    table: Arc<Table>,
    local: Local,
    routes: Vec<PlannedRoute>,
    sources: Vec<(IpNet, SetId)>,
    by_mark: HashMap<MarkId, Target>,
    roster: Arc<Roster>,
}

/// A route with its sets numbered.
#[derive(Debug)]
pub struct PlannedRoute {
    /// Its conditions.
    pub conditions: Route,
    /// The set that a request must come from.
    pub from_set: Option<SetId>,
    /// The set to dispatch to.
    pub set: SetId,
}

impl Plan {
    /// Compiles settings, numbering names that are new in `names`.
    pub fn new(settings: Settings, interfaces: &Interfaces, names: &mut Names) -> Self {
        let table = Table::new(settings.sets.iter().map(|set| set.dispatch.clone()).collect(), names);
        let sets = table.sets().map(|set| DirectorySet {
            id: set.id(),
            algorithm: set.algorithm(),
            targets: set.members().to_vec(),
            has_fallback: !set.fallbacks().is_empty(),
        });
        let local = Local::new(&settings.listeners, interfaces);
        let directory =
            Directory { names: names.clone(), sets: sets.collect(), listeners: local.directory() };
        let by_mark = directory
            .sets
            .iter()
            .flat_map(|set| set.targets.iter().map(|target| (set.id, *target)))
            .map(|(set, target)| (MarkId::of(names.set(set), names.target(target)), target))
            .collect();
        let sources = table.sets().flat_map(|set| set.sources().iter().map(|net| (*net, set.id()))).collect();
        let routes = settings.routes.iter().filter_map(|route| {
            // The configuration has checked that the sets exist.
            let from_set = route.from_set.as_deref().map(|name| table.set_by_name(name));
            let set = table.set_by_name(&route.set)?;
            Some(PlannedRoute { conditions: route.clone(), from_set: from_set.flatten(), set })
        });
        Self {
            roster: Arc::new(roster(&table, &settings)),
            routes: routes.collect(),
            local,
            directory: Arc::new(directory),
            table: Arc::new(table),
            sources,
            by_mark,
            settings,
        }
    }

    /// Takes the numbers from names that no configuration has had for longer than anything can be held
    /// under them; a call holds its destination's however old it is. This plan is the one in force.
    pub fn give_back(&self, names: &mut Names, loads: &Loads, now: Instant) {
        let Settings { max_call_age, timer_c, .. } = self.settings;
        // A call is forgotten a little after its age, and what it answers last is a transaction.
        let after = max_call_age + max_call_age / 8 + timer_c + LAST_WORDS;
        let table = &self.table;
        names.give_back(
            |target| table.destination(target).is_some() || loads.calls(target) > 0,
            |set| table.set(set).is_some(),
            now,
            after,
        );
    }

    /// The same plan, which has in common with the one before it what is equal. It is for those who
    /// compile: workers then need not compare.
    pub fn after(mut self, former: &Self) -> Self {
        if let Some(table) = Arc::get_mut(&mut self.table) {
            table.share(&former.table);
        }
        if self.roster.is_like(&former.roster) {
            self.roster = Arc::clone(&former.roster);
        }
        self
    }

    /// How many sets of the plan another one has not.
    pub fn sets_missing_in(&self, other: &Self) -> u32 {
        let missing = self.table.sets().filter(|set| other.table.set(set.id()).is_none());
        u32::try_from(missing.count()).unwrap_or(u32::MAX)
    }

    /// The settings it was compiled from.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Who is who.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// The sets and their destinations.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Who is to be probed, and how.
    pub fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    /// Who we are on the wire.
    pub fn local(&self) -> &Local {
        &self.local
    }

    /// The routes, first match wins.
    pub fn routes(&self) -> &[PlannedRoute] {
        &self.routes
    }

    /// Sets whose configured `sources` hold an address.
    pub fn sets_of_source(&self, address: IpAddr) -> impl Iterator<Item = SetId> {
        self.sources.iter().filter(move |(network, _)| network.contains(&address)).map(|(_, set)| *set)
    }

    /// The destination that a mark names, if it is still configured.
    pub fn target_of(&self, mark: MarkId) -> Option<Target> {
        self.by_mark.get(&mark).copied()
    }

    /// Largest request sent to a destination over UDP; `None`: its transport is fixed.
    pub fn mtu_of(&self, target: Target) -> Option<usize> {
        self.table.destination(target)?.settings.mtu
    }

    /// The name of a destination as written in marks.
    pub fn mark_of(&self, target: Target) -> MarkId {
        let names = &self.directory.names;
        names.set_of(target).map_or(MarkId::NONE, |set| MarkId::of(names.set(set), names.target(target)))
    }
}

fn roster(table: &Table, settings: &Settings) -> Roster {
    let sets = table.sets().zip(&settings.sets);
    let members = sets.flat_map(|(set, configured)| set.members().iter().zip(&configured.probes));
    Roster::new(members.filter_map(|(target, settings)| {
        let known = &table.destination(*target)?.settings;
        let listener = known.listener.map_or(u32::MAX, |id| u32::try_from(id.index()).unwrap_or(0));
        let endpoint = hash_of(&(&known.endpoint, known.transport, listener));
        Some(Wanted { endpoint, settings, target: *target })
    }))
}
