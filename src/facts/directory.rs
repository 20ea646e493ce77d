//! Who is who in one configuration: what a reader of events needs to name ids.

use super::names::Names;
use super::{Algorithm, SetId, Target};
use std::sync::Arc;

/// The sets, destinations and listeners of one configuration, with the names of all ids ever given.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    /// Names of every id since start, so that late events of a removed destination still have one.
    pub names: Names,
    /// The configured sets, in file order.
    pub sets: Vec<DirectorySet>,
    /// Listener names, by [`super::ListenerId`].
    pub listeners: Vec<Arc<str>>,
}

/// One configured set.
#[derive(Debug, Clone)]
pub struct DirectorySet {
    /// Its id.
    pub id: SetId,
    /// How it chooses.
    pub algorithm: Algorithm,
    /// Its destinations, in file order.
    pub targets: Vec<Target>,
    /// Whether it falls back to another set.
    pub has_fallback: bool,
}
