//! Who owns which block of numbers under one configuration.
//!
//! Built at load and at every reload; what stays keeps its block, what is gone loses it.

use super::block::Block;
use super::exposure::{Detail, Exposure};
use crate::facts::directory::{Directory, DirectoryListener, DirectorySet};
use crate::facts::{Algorithm, SetId, Target};
use crate::telemetry::page::owner;
use crate::telemetry::settings::MetricsSettings;
use crate::telemetry::table::BlockKind;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Sets of up to this many destinations count each pair of a failover.
const MAX_EDGES: usize = 16;

/// One listener.
#[derive(Debug)]
pub struct ListenerEntry {
    /// Its name.
    pub name: Arc<str>,
    /// Its labels as they are written.
    pub labels: String,
    /// Its numbers.
    pub block: Arc<Block>,
}

/// One set, or the requests of none.
#[derive(Debug)]
pub struct SetEntry {
    /// Its id; meaningless for no set.
    pub id: SetId,
    /// Its name, empty for no set.
    pub name: Arc<str>,
    /// Its labels as they are written.
    pub labels: String,
    /// Its algorithm, none for no set.
    pub algorithm: Option<Algorithm>,
    /// Its numbers.
    pub block: Arc<Block>,
}

/// Failovers from one destination to another.
#[derive(Debug)]
pub struct Edge {
    /// The other, `None` for all others together.
    pub to: Option<Target>,
    /// Its id.
    pub name: Arc<str>,
    /// How many.
    pub count: Arc<AtomicU64>,
}

/// One destination.
#[derive(Debug)]
pub struct TargetEntry {
    /// Its set's name.
    pub set: Arc<str>,
    /// Its id.
    pub id: Arc<str>,
    /// Its labels as they are written.
    pub labels: String,
    /// Whether it is told apart in the families that may be folded.
    pub is_apart: bool,
    /// Its set.
    pub set_id: SetId,
    /// Its set's algorithm.
    pub algorithm: Algorithm,
    /// Its numbers.
    pub block: Arc<Block>,
    /// Failovers away from it.
    pub edges: Vec<Edge>,
}

/// All owners under one configuration.
#[derive(Debug)]
pub struct Index {
    /// Counts the configurations.
    pub generation: u64,
    /// Who is who.
    pub directory: Arc<Directory>,
    /// The process's numbers.
    pub process: Arc<Block>,
    /// The listeners, by id.
    pub listeners: Vec<ListenerEntry>,
    /// Requests without a set.
    pub no_set: SetEntry,
    /// The configured sets, by id.
    pub sets: Vec<Option<SetEntry>>,
    /// The configured destinations, by target.
    pub targets: Vec<Option<TargetEntry>>,
    /// How much of it is exposed.
    pub exposure: Exposure,
}

impl Index {
    /// An index of nothing but the process.
    pub fn empty() -> Self {
        Self {
            generation: 0,
            directory: Arc::default(),
            process: Arc::new(Block::new(BlockKind::Process)),
            listeners: vec![],
            no_set: no_set(Arc::new(Block::new(BlockKind::Set))),
            sets: vec![],
            targets: vec![],
            exposure: Exposure { detail: Detail::Full, series: 0, apart: 0, room: 0 },
        }
    }

    /// The index of another configuration, with the blocks of all that stays.
    pub fn follow(&self, directory: Arc<Directory>, settings: &MetricsSettings) -> Self {
        let mut next = Self {
            generation: self.generation + 1,
            process: Arc::clone(&self.process),
            listeners: self.listeners_of(&directory),
            no_set: no_set(Arc::clone(&self.no_set.block)),
            sets: (0..directory.names.set_count()).map(|_| None).collect(),
            targets: (0..directory.names.target_count()).map(|_| None).collect(),
            directory: Arc::clone(&directory),
            exposure: self.exposure,
        };
        for set in &directory.sets {
            let name: Arc<str> = directory.names.set(set.id).into();
            for target in &set.targets {
                let entry = self.target_of(&directory, set, &name, *target);
                if let Some(place) = next.targets.get_mut(target.index()) {
                    *place = Some(entry);
                }
            }
            let block = match self.set(set.id) {
                Some(known) => Arc::clone(&known.block),
                None => Arc::new(Block::new(BlockKind::Set)),
            };
            if let Some(place) = next.sets.get_mut(set.id.index()) {
                let labels = owner(&[("set", &*name)]);
                *place = Some(SetEntry { id: set.id, name, labels, algorithm: Some(set.algorithm), block });
            }
        }
        next.exposure = Exposure::of(&next, settings);
        let apart = next.exposure.apart;
        for (position, entry) in next.targets.iter_mut().flatten().enumerate() {
            entry.is_apart = position < apart;
        }
        next
    }

    /// The entry of a configured set.
    #[inline]
    pub fn set(&self, id: SetId) -> Option<&SetEntry> {
        self.sets.get(id.index())?.as_ref()
    }

    /// The entry of a configured set, or of none; nothing for a set that was removed.
    pub fn set_or_none(&self, id: Option<SetId>) -> Option<&SetEntry> {
        match id {
            Some(id) => self.set(id),
            None => Some(&self.no_set),
        }
    }

    /// The entry of a configured destination.
    #[inline]
    pub fn target(&self, target: Target) -> Option<&TargetEntry> {
        self.targets.get(target.index())?.as_ref()
    }

    fn listeners_of(&self, directory: &Directory) -> Vec<ListenerEntry> {
        let known = |name: &Arc<str>| self.listeners.iter().find(|entry| entry.name == *name);
        let entry = |DirectoryListener { name, .. }: &DirectoryListener| ListenerEntry {
            name: Arc::clone(name),
            labels: owner(&[("listener", &**name)]),
            block: match known(name) {
                Some(entry) => Arc::clone(&entry.block),
                None => Arc::new(Block::new(BlockKind::Listener)),
            },
        };
        directory.listeners.iter().map(entry).collect()
    }

    fn target_of(
        &self,
        directory: &Directory,
        set: &DirectorySet,
        name: &Arc<str>,
        target: Target,
    ) -> TargetEntry {
        let known = self.target(target);
        let edge = |to: Option<Target>| {
            let count = known
                .and_then(|entry| entry.edges.iter().find(|edge| edge.to == to))
                .map_or_else(Arc::default, |edge| Arc::clone(&edge.count));
            let name = to.map_or("other", |to| directory.names.target(to)).into();
            Edge { to, name, count }
        };
        let is_small = set.targets.len() <= MAX_EDGES;
        let within = set.targets.iter().filter(|to| is_small && **to != target);
        let mut edges: Vec<_> = within.map(|to| edge(Some(*to))).collect();
        if !is_small || set.has_fallback {
            edges.push(edge(None));
        }
        let id: Arc<str> = directory.names.target(target).into();
        TargetEntry {
            set: Arc::clone(name),
            labels: owner(&[("set", &**name), ("destination", &*id)]),
            id,
            is_apart: true,
            set_id: set.id,
            algorithm: set.algorithm,
            block: known.map_or_else(
                || Arc::new(Block::new(BlockKind::Destination)),
                |entry| Arc::clone(&entry.block),
            ),
            edges,
        }
    }
}

fn no_set(block: Arc<Block>) -> SetEntry {
    SetEntry {
        id: SetId::new(u16::MAX),
        name: "".into(),
        labels: owner(&[("set", "")]),
        algorithm: None,
        block,
    }
}
