//! Whole calls through a core between simulated parties: messages and events, to the millisecond.
#![expect(clippy::indexing_slicing, reason = "what is missing fails the test")]

#[path = "support/sim.rs"]
mod sim;

#[path = "flows/access.rs"]
mod access;
#[path = "flows/call.rs"]
mod call;
#[path = "flows/cancel.rs"]
mod cancel;
#[path = "flows/churn.rs"]
mod churn;
#[path = "flows/dialog.rs"]
mod dialog;
#[path = "flows/edges.rs"]
mod edges;
#[path = "flows/failover.rs"]
mod failover;
#[path = "flows/fallback.rs"]
mod fallback;
#[path = "flows/health.rs"]
mod health;
#[path = "flows/keys.rs"]
mod keys;
#[path = "flows/linger.rs"]
mod linger;
#[path = "flows/load.rs"]
mod load;
#[path = "flows/mtu.rs"]
mod mtu;
#[path = "flows/names.rs"]
mod names;
#[path = "flows/passive.rs"]
mod passive;
#[path = "flows/registrations.rs"]
mod registrations;
#[path = "flows/reload.rs"]
mod reload;
#[path = "flows/responses.rs"]
mod responses;
#[path = "flows/routing.rs"]
mod routing;
#[path = "flows/timers.rs"]
mod timers;
#[path = "flows/tracing.rs"]
mod tracing;
#[path = "flows/transactions.rs"]
mod transactions;
