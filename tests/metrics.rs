//! What `/metrics` says, whatever happens: through the real core, the real readers of its events and the
//! encoder of the scrape.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a test looks for is there, or the test fails"
)]

#[path = "metrics/exposition.rs"]
mod exposition;
#[path = "observability/families.rs"]
mod families;
#[path = "metrics/hostile.rs"]
mod hostile;
#[path = "metrics/invariants.rs"]
mod invariants;
#[path = "metrics/limits.rs"]
mod limits;
#[path = "metrics/openmetrics.rs"]
mod openmetrics;
#[path = "otlp/rig.rs"]
#[expect(dead_code, reason = "shared with the tests of the export, which use the rest")]
mod rig;
#[path = "support/sim.rs"]
#[expect(dead_code, reason = "shared with the flows, which use the rest")]
mod sim;
#[path = "metrics/watched.rs"]
mod watched;
