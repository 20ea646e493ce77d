//! What the probes of a destination look like.

use super::super::Plan;
use crate::dispatch::Host;
use crate::facts::{ListenerId, Target, Transport};
use crate::probe;
use crate::sip::{ProbeParts, ProbeTemplate};
use std::net::IpAddr;

/// The probe request of a destination; `None` if it is not in the plan.
pub fn of(plan: &Plan, target: Target, probe: &probe::Settings) -> Option<ProbeTemplate> {
    let settings = &plan.table().destination(target)?.settings;
    let transport = settings.transport;
    let listener = settings.listener.unwrap_or(ListenerId::new(0));
    let remote = match &settings.endpoint.host {
        Host::Address(address) => *address,
        Host::Name(_) => IpAddr::from([192, 0, 2, 1]),
    };
    let listener = plan.local().listener_for(transport, remote, listener).unwrap_or(listener);
    let us = plan.local().sent_by(listener, remote);
    let from = probe.from.as_deref().map_or_else(|| format!("sip:sipwarden@{us}"), ToOwned::to_owned);
    let parameter = match transport {
        Transport::Udp => "",
        Transport::Tcp => ";transport=tcp",
    };
    let parts = ProbeParts {
        method: &probe.method,
        target: &settings.uri,
        from: &from,
        contact: &format!("sip:sipwarden@{us}{parameter}"),
        max_forwards: probe.max_forwards,
        user_agent: probe.user_agent.as_deref().unwrap_or(&plan.settings().user_agent),
    };
    Some(ProbeTemplate::new(&parts))
}
