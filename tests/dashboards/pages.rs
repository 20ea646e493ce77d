//! The dashboards.

#[path = "pages/destination.rs"]
mod destination;
#[path = "pages/overview.rs"]
pub mod overview;
#[path = "pages/runtime.rs"]
mod runtime;
#[path = "pages/signalling.rs"]
mod signalling;
#[path = "pages/slo.rs"]
mod slo;

use serde_json::Value;

/// Every dashboard: the name of its file, and what is in it.
pub fn all() -> Vec<(String, Value)> {
    vec![overview::page(), destination::page(), signalling::page(), slo::page(), runtime::page()]
}
