//! No family of metrics is exposed for nothing: each is drawn, alerted on, or exempt for a reason.

use super::{World, query};
use serde_json::Value;
use std::collections::BTreeSet;

/// Families that no dashboard draws and no alert reads, and why.
pub const EXEMPT: &[(&str, &str)] = &[];

/// What is wrong: families that nobody looks at, and exemptions that are not needed.
pub fn gaps(dashboards: &[Value], alerts: &[String], world: &World, exempt: &[(&str, &str)]) -> Vec<String> {
    let drawn = dashboards.iter().flat_map(|dashboard| query::families(dashboard, world));
    let alerted = alerts.iter().flat_map(|expr| query::named(expr, world));
    let used: BTreeSet<String> = drawn.chain(alerted).collect();
    let is_exempt = |name: &str| exempt.iter().any(|(exempt, _)| *exempt == name);
    let unused = world.families.keys().filter(|name| !used.contains(*name) && !is_exempt(name));
    let mut found: Vec<String> =
        unused.map(|name| format!("{name} is neither drawn nor alerted on")).collect();
    for (name, reason) in exempt {
        if used.contains(*name) || !world.families.contains_key(*name) || reason.is_empty() {
            found.push(format!("{name} needs no exemption, or has no reason for it"));
        }
    }
    found
}
