//! What the HTTP server asks of the process it belongs to; the runtime answers.
//!
//! Owns the words of that conversation only; never a socket, a thread or a setting.

use crate::facts::Admin;
use crate::facts::clock::Clock;
use crate::facts::snapshot::{Detail, Snapshot};
use async_trait::async_trait;

/// A text that is made while it is sent.
pub struct Pieces(pub(super) Box<dyn Iterator<Item = String> + Send>);

impl Pieces {
    /// A text of these pieces, none of which is empty.
    pub fn new(pieces: impl Iterator<Item = String> + Send + 'static) -> Self {
        Self(Box::new(pieces))
    }
}

/// The process as the HTTP server sees it.
#[async_trait]
pub trait Control: Send + Sync + 'static {
    /// The text of `/metrics`.
    async fn metrics(&self) -> Result<Pieces, Unavailable>;
    /// What every worker knows; only worker 0 tells sets and destinations.
    async fn snapshots(&self, detail: Detail) -> Result<Vec<Snapshot>, Unavailable>;
    /// Whether the configuration is loaded, the sockets are bound and no drain has begun; never a
    /// matter of the destinations.
    fn is_ready(&self) -> bool;
    /// Reads the configuration again and applies it whole; `Err` is the text of what is wrong with
    /// it, and then nothing has changed.
    async fn reload(&self) -> Result<ReloadReport, String>;
    /// Sets the administrator's wish for a destination.
    async fn set_admin(&self, set: &str, id: &str, admin: Admin) -> Result<(), NotSet>;
    /// How instants of snapshots become times of day.
    fn clock(&self) -> Clock;
}

/// A worker did not answer within a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a worker did not answer in time")]
pub struct Unavailable;

/// Why an administrator's wish was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSet {
    /// There is no such set.
    #[error("no such set")]
    NoSet,
    /// The set has no such destination.
    #[error("no such destination")]
    NoDestination,
    /// It is one address of several that a name stands for, which share one wish.
    #[error("one of several addresses of a destination")]
    OneOfSeveral,
    /// The owner of the states did not answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// What a reload did.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ReloadReport {
    /// Whether anything in the configuration had changed.
    pub changed: bool,
    /// Destinations that were not there before.
    pub added: u32,
    /// Destinations that are gone.
    pub removed: u32,
    /// Destinations that stay as they were.
    pub kept: u32,
    /// Keys that changed but take effect only after a restart.
    pub needs_restart: Vec<String>,
}
