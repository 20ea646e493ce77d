//! Builders of panels and dashboards: one look, one way to write queries, one grid.

#[path = "build/frame.rs"]
pub mod frame;
#[path = "build/kinds.rs"]
pub mod kinds;
#[path = "build/panel.rs"]
pub mod panel;
#[path = "build/query.rs"]
pub mod query;
#[path = "build/ratios.rs"]
pub mod ratios;
#[path = "build/states.rs"]
pub mod states;
