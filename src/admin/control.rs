//! What the HTTP server asks of the process it belongs to; the runtime answers.
//!
//! Owns the words of that conversation only; never a socket, a thread or a setting.

use super::explain::Explanation;
use super::probes::Probing;
use crate::facts::Admin;
use crate::facts::clock::Clock;
use crate::facts::snapshot::{Detail, Snapshot};
use crate::proxy::Question;
use async_trait::async_trait;
use std::sync::Arc;

/// A text that is made while it is sent.
pub struct Pieces(pub(super) Box<dyn Iterator<Item = String> + Send>);

impl Pieces {
    /// A text of these pieces, some of which may be empty.
    pub fn new(pieces: impl Iterator<Item = String> + Send + 'static) -> Self {
        Self(Box::new(pieces))
    }
}

/// The process as the HTTP server sees it.
#[async_trait]
pub trait Control: Send + Sync + 'static {
    /// The text of `/metrics`.
    async fn metrics(&self, format: MetricsFormat) -> Result<Pieces, Unavailable>;
    /// What every worker knows; only worker 0 tells sets and destinations.
    async fn snapshots(&self, detail: Detail) -> Result<Vec<Snapshot>, Unavailable>;
    /// What is configured.
    async fn config(&self) -> Effective;
    /// Whether the configuration is loaded, the sockets are bound and no drain has begun; never a
    /// matter of the destinations.
    fn is_ready(&self) -> bool;
    /// Reads the configuration again and applies it whole; `Err` is the text of what is wrong with
    /// it, and then nothing has changed.
    async fn reload(&self, reset: Reset) -> Result<ReloadReport, String>;
    /// Starts a probe of each destination of a set, or of one, that is probed at all.
    async fn probe(&self, set: &str, id: Option<&str>) -> Result<Probing, NotSet>;
    /// Says where a request would go; changes nothing.
    async fn explain(&self, set: &str, question: &Question) -> Result<Explanation, NotExplained>;
    /// Sets the administrator's wish for a destination.
    async fn set_admin(&self, set: &str, id: &str, admin: Admin) -> Result<(), NotSet>;
    /// How instants of snapshots become times of day.
    fn clock(&self) -> Clock;
}

/// The configuration in force.
#[derive(Debug, Clone)]
pub struct Effective {
    /// First 48 bits of its SHA-256, as `sipwarden_config_hash` says.
    pub hash: u64,
    /// All of it with every default, as JSON; secrets are cut.
    pub json: Arc<str>,
}

/// How `/metrics` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsFormat {
    /// Prometheus text 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
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

/// Why a question is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotExplained {
    /// There is no such set.
    #[error("no such set")]
    NoSet,
    /// The question makes no request.
    #[error("{0}")]
    Question(&'static str),
    /// The worker that would take the request did not answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Whether a reload also forgets what was learned and wished at run time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// Every destination that stays keeps its state.
    No,
    /// Every destination is as after a start.
    Yes,
}

/// What a reload did.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ReloadReport {
    /// Whether anything in the configuration had changed.
    pub changed: bool,
    /// Whether states and wishes of an administrator were forgotten.
    #[serde(default)]
    pub reset: bool,
    /// Destinations that were not there before.
    pub added: u32,
    /// Destinations that are gone.
    pub removed: u32,
    /// Destinations that stay as they were.
    pub kept: u32,
    /// Keys that changed but take effect only after a restart.
    pub needs_restart: Vec<String>,
}
