//! Where a request goes: into a set, along its Route set, to us, or nowhere.
//!
//! Route preprocessing (RFC 3261 §16.4), target determination (§16.5), next hop (§16.6 step 6) and
//! who may send what. Chooses sets, never destinations.

use super::admit::Admitted;
use super::dialogs::{Dialog, Dialogs, Party};
use super::flow::{self, FlowOf, Flows, Forged};
use super::local::DEFAULT_PORT;
use super::mark::{MarkId, Marks};
use super::plan::{Plan, PlannedRoute};
use super::reject::Rejection;
use crate::dispatch::{Destination, Verdicts};
use crate::facts::event::Refusal;
use crate::facts::{Hop, Method, SetId, Target, Transport};
use crate::sip::{Message, RequestEdit, Uri, without_maddr};
use smallvec::SmallVec;
use std::net::SocketAddr;

/// What is changed in the copy of a request that goes on, apart from Via and Max-Forwards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteEdits {
    /// Route values that named us and come off the front.
    pub pop_routes: usize,
    /// The Request-URI that replaces the one received.
    pub request_uri: Option<Box<[u8]>>,
    /// The URI appended as the last Route value, for a strict router (§16.6 step 6).
    pub append_route: Option<Box<[u8]>>,
    /// Whether the last Route value became the Request-URI (§16.4).
    pub drop_last_route: bool,
    /// Whose flow is named in the Path or Record-Route that it gets.
    pub flow: Option<FlowOf>,
}

impl RouteEdits {
    /// The edit of a copy that goes on, so far as routing says.
    pub fn edit<'a>(&'a self, via: &'a [u8], max_forwards: u8) -> RequestEdit<'a> {
        RequestEdit {
            request_uri: self.request_uri.as_deref(),
            via,
            max_forwards,
            pop_routes: self.pop_routes,
            append_route: self.append_route.as_deref(),
            drop_last_route: self.drop_last_route,
            ..RequestEdit::default()
        }
    }
}

/// Where a request goes.
#[derive(Debug)]
pub enum Decision {
    /// To a destination of a set.
    Dispatch(SetId),
    /// To a next hop that is given.
    Relay {
        /// The hop.
        hop: Hop,
        /// The destination that the hop is, if it is one.
        target: Option<Target>,
        /// Largest request sent over UDP; `None`: the transport is fixed, by a URI or by the
        /// connection that the dialog came on.
        mtu: Option<usize>,
    },
    /// Nowhere: it asks for ourselves.
    ForUs,
    /// Nowhere: it is refused.
    Reject(Rejection),
}

/// A decision with what it rests on.
#[derive(Debug)]
pub struct Routed {
    /// Where to.
    pub decision: Decision,
    /// What is changed on the way.
    pub edits: RouteEdits,
    /// The destination that the dialog belongs to, as far as a valid mark or the table tells.
    pub dialog_target: Option<Target>,
}

/// What routing looks at.
#[derive(Debug, Clone, Copy)]
pub struct View<'p> {
    /// The configuration.
    pub plan: &'p Plan,
    /// Who is where.
    pub verdicts: &'p Verdicts,
    /// Reads marks.
    pub marks: &'p Marks,
    /// Reads flows.
    pub flows: &'p Flows,
    /// The dialogs alive.
    pub dialogs: &'p Dialogs,
}

/// Decides where a request goes.
pub fn route<'a>(request: Message<'a>, admitted: Admitted<'a>, hop: Hop, view: View<'_>) -> Routed {
    let all: SmallVec<[&[u8]; 4]> = request.routes().collect();
    let ours = leading_routes_of_ours(request, &all, view);
    let mut edits = RouteEdits { pop_routes: ours.count, ..RouteEdits::default() };
    let mut rest = all.get(ours.count..).unwrap_or_default();
    let (mut mark, mut flow) = (ours.mark, ours.flow);
    let mut uri = admitted.uri;

    // §16.4: a strict router before us put our Record-Route URI into the Request-URI and the
    // Request-URI into the last Route.
    if uri.is_sip()
        && uri.param("lr").is_some()
        && view.plan.local().is_us(&uri)
        && let Some((last, before)) = rest.split_last()
        && let Some(restored) = Uri::parse(last)
    {
        mark = mark.or_else(|| view.marks.read(&uri, request.call_id()));
        flow = flow.or_else(|| view.flows.read(&uri));
        edits.request_uri = Some((*last).into());
        edits.drop_last_route = true;
        uri = restored;
        rest = before;
    }
    // §16.4: an maddr that is ours has done its work.
    let without_maddr = is_maddr_ours(uri, hop, view).then(|| without_maddr(request.request_uri()));
    if let Some(stripped) = without_maddr.as_deref().filter(|_| !edits.drop_last_route)
        && let Some(parsed) = Uri::parse(stripped)
    {
        edits.request_uri = Some(stripped.into());
        uri = parsed;
    }
    let dialog_target = mark.and_then(|mark| view.plan.target_of(mark));
    // A mark is proof of a dialog: whoever got a response knows it, so it lets nothing new in.
    let has_valid_mark = mark.is_some() && request.to_tag().is_some();
    let sender = Sender { sets: sets_of(hop, view), has_valid_mark };

    let is_inside = request.to_tag().is_some();
    let down_a_flow = flow.and_then(|flow| by_flow(flow, is_inside, hop, &sender, view));
    let decision = if let Some(decision) = down_a_flow {
        if let Some((next, uri)) = rest.first().and_then(|next| Some((*next, Uri::parse(next)?))) {
            make_way_for_strict(next, uri, request, &mut edits);
        }
        edits.flow = matches!(decision, Decision::Relay { .. }).then_some(FlowOf::Receiver);
        decision
    } else if let Some(next) = rest.first() {
        relay_by_route(next, request, &mut edits, hop, &sender, dialog_target, view)
    } else if !is_inside {
        edits.flow = flow_of_sender(request, &sender, view);
        new_request(request, uri, hop, &sender, view)
    } else if uri.is_sip() && view.plan.local().is_us(&uri) {
        return by_dialog_table(request, edits, view);
    } else {
        // A To tag alone proves nothing: the next hop must be one that the sender may reach.
        let relayed = relay_to(uri, hop, &sender, dialog_target, view);
        let is_unknown = matches!(&relayed, Decision::Reject(rejection) if rejection.answer.code == 404);
        is_unknown.then(|| to_named_party(request, uri, view)).flatten().unwrap_or(relayed)
    };
    Routed { decision, edits, dialog_target }
}

/// Whether a URI's maddr names the listener that its request came to.
fn is_maddr_ours(uri: Uri<'_>, hop: Hop, view: View<'_>) -> bool {
    let port = uri.port.unwrap_or(DEFAULT_PORT);
    let is_same_transport = uri.transport().is_none_or(|transport| transport == Some(hop.transport));
    uri.maddr_ip().is_some_and(|address| {
        is_same_transport && view.plan.local().is_at(hop.listener, SocketAddr::new(address, port))
    })
}

/// Who sent a request.
struct Sender {
    /// The sets that it comes from.
    sets: SmallVec<[SetId; 2]>,
    /// Whether it is inside a dialog and shows a mark of ours for this call.
    has_valid_mark: bool,
}

struct OurRoutes {
    count: usize,
    mark: Option<MarkId>,
    flow: Option<Result<Hop, Forged>>,
}

/// The Route values at the front that name us: one, or two where the dialog crosses listeners.
fn leading_routes_of_ours(request: Message<'_>, routes: &[&[u8]], view: View<'_>) -> OurRoutes {
    let mut ours = OurRoutes { count: 0, mark: None, flow: None };
    for route in routes.iter().take(2) {
        let Some(uri) = Uri::parse(route).filter(|uri| uri.is_sip() && view.plan.local().is_us(uri)) else {
            break;
        };
        ours.count += 1;
        ours.mark = ours.mark.or_else(|| view.marks.read(&uri, request.call_id()));
        ours.flow = ours.flow.or_else(|| view.flows.read(&uri));
    }
    ours
}

/// Where a Route that names a flow leads (RFC 5626 §5.3); `None`: where it would without.
fn by_flow(
    flow: Result<Hop, Forged>,
    is_inside: bool,
    from: Hop,
    sender: &Sender,
    view: View<'_>,
) -> Option<Decision> {
    let is_from_set = !sender.sets.is_empty();
    let forbidden = |text| Some(Decision::Reject(Rejection::new(403, Refusal::Forbidden, text)));
    match flow {
        // Inside a dialog it may be of an earlier process, and then the other rules carry the dialog.
        Err(Forged) if is_inside => None,
        Err(Forged) => forbidden("the flow in the Route is not one of ours"),
        // Inside a dialog the phone shows it, too, and its requests go the other way.
        Ok(flow) if is_inside && (!is_from_set || flow::is_from(flow, from)) => None,
        Ok(_) if !is_from_set => forbidden("only a destination may send down a flow"),
        Ok(flow) => {
            let listener = view.plan.local().listener_for(flow.transport, flow.remote.ip(), flow.listener);
            Some(if listener == Some(flow.listener) {
                // A phone behind a NAT is reached over nothing else, however large the request.
                Decision::Relay { hop: flow, target: None, mtu: None }
            } else {
                Decision::Reject(Rejection::new(430, Refusal::NoRoute, "the listener of the flow is gone"))
            })
        }
    }
}

/// Whether what a phone sends is to lead back down its flow: a REGISTER (RFC 3327), and what may open
/// a dialog if its Contact says `ob` (RFC 5626 §5.3.1).
fn flow_of_sender(request: Message<'_>, sender: &Sender, view: View<'_>) -> Option<FlowOf> {
    if !view.plan.settings().path || !sender.sets.is_empty() {
        return None;
    }
    let method = request.method();
    let wants_it = || request.contact().and_then(Uri::parse).is_some_and(|uri| uri.param("ob").is_some());
    (method == Method::Register || method.forms_dialog() && wants_it()).then_some(FlowOf::Sender)
}

/// The sets that a message's source belongs to: as an endpoint of theirs (or on a connection to
/// one), or by their configured `sources`.
fn sets_of(hop: Hop, view: View<'_>) -> SmallVec<[SetId; 2]> {
    let names = &view.plan.directory().names;
    let endpoints = view.verdicts.at(hop.transport, hop.remote);
    let by_endpoint = endpoints.into_iter().flatten().filter_map(|target| names.set_of(*target));
    let mut sets: SmallVec<[SetId; 2]> = by_endpoint.collect();
    for set in view.plan.sets_of_source(hop.remote.ip()) {
        if !sets.contains(&set) {
            sets.push(set);
        }
    }
    sets
}

fn relay_by_route<'a>(
    next: &[u8],
    request: Message<'a>,
    edits: &mut RouteEdits,
    hop: Hop,
    sender: &Sender,
    dialog_target: Option<Target>,
    view: View<'_>,
) -> Decision {
    let Some(uri) = Uri::parse(next) else {
        return Decision::Reject(Rejection::new(400, Refusal::BadRequest, "the Route cannot be read"));
    };
    make_way_for_strict(next, uri, request, edits);
    relay_to(uri, hop, sender, dialog_target, view)
}

/// §16.6 step 6: if the next hop is a strict router, Request-URI and Route change places.
fn make_way_for_strict(next: &[u8], uri: Uri<'_>, request: Message<'_>, edits: &mut RouteEdits) {
    if uri.param("lr").is_none() {
        edits.append_route = Some(edits.request_uri.take().unwrap_or_else(|| request.request_uri().into()));
        edits.request_uri = Some(next.into());
        edits.pop_routes += 1;
    }
}

/// A request outside a dialog, without a Route to somebody else.
fn new_request<'a>(
    request: Message<'a>,
    uri: Uri<'_>,
    hop: Hop,
    sender: &Sender,
    view: View<'_>,
) -> Decision {
    let names_us = uri.is_sip() && view.plan.local().is_us(&uri);
    if names_us && request.method() == Method::Options && uri.user.is_none() {
        return Decision::ForUs;
    }
    match find_set(request, uri, hop, sender, view) {
        Some(set) => Decision::Dispatch(set),
        None if names_us || sender.sets.is_empty() => {
            Decision::Reject(Rejection::new(404, Refusal::NoRoute, "no route matches"))
        }
        // From a destination, and no route out: along the Request-URI.
        None => relay_to(uri, hop, sender, None, view),
    }
}

fn find_set(request: Message<'_>, uri: Uri<'_>, hop: Hop, sender: &Sender, view: View<'_>) -> Option<SetId> {
    if view.plan.routes().is_empty() {
        let only = view.plan.table().sets().next()?.id();
        return (!sender.sets.contains(&only)).then_some(only);
    }
    let matching = view.plan.routes().iter().find(|route| matches(route, request, uri, hop, sender));
    matching.map(|route| route.set)
}

fn matches(route: &PlannedRoute, request: Message<'_>, uri: Uri<'_>, hop: Hop, sender: &Sender) -> bool {
    let from_set = match route.from_set {
        Some(set) => sender.sets.contains(&set),
        // Never back into the set that it comes from, unless a route says so.
        None => !sender.sets.contains(&route.set),
    };
    let conditions = &route.conditions;
    let method = |name: &super::MethodName| name.token.as_bytes() == request.method_token();
    from_set
        && (conditions.methods.is_empty() || conditions.methods.iter().any(method))
        && conditions.listener.is_none_or(|listener| listener == hop.listener)
        && (conditions.source.is_empty()
            || conditions.source.iter().any(|network| network.contains(&hop.remote.ip())))
        && conditions.ruri_host.as_ref().is_none_or(|host| host.as_bytes().eq_ignore_ascii_case(uri.host))
        && conditions.ruri_user.as_ref().is_none_or(|regex| regex.is_match(uri.user.unwrap_or_default()))
}

/// A request of a dialog whose sender lost the Route set.
fn by_dialog_table<'a>(request: Message<'a>, mut edits: RouteEdits, view: View<'_>) -> Routed {
    let found = view.dialogs.find(request);
    let known = found.and_then(|(dialog, party)| Some((dialog, party, view.dialogs.contact(party)?)));
    let Some((dialog, party, contact)) = known else {
        let rejection = Rejection::new(481, Refusal::BadRequest, "the dialog is not known");
        return Routed { decision: Decision::Reject(rejection), edits, dialog_target: None };
    };
    edits.request_uri = Some(contact);
    Routed { decision: to_party(dialog, party, view), edits, dialog_target: dialog.target }
}

/// Where a request of a dialog goes whose remote target is a name that we do not look up: to where
/// that party's messages come from, if the dialog is known.
fn to_named_party(request: Message<'_>, uri: Uri<'_>, view: View<'_>) -> Option<Decision> {
    let (dialog, party) = view.dialogs.find(request)?;
    let contact = view.dialogs.contact(party)?;
    let contact = Uri::parse(&contact).filter(|contact| contact.is_sip() && !contact.is_secure())?;
    let is_named = uri.host_ip().is_none() && uri.maddr_ip().is_none();
    (is_named && uri.is_sip() && contact.host.eq_ignore_ascii_case(uri.host))
        .then(|| to_party(dialog, party, view))
}

/// Along the way that a party's own messages come.
fn to_party(dialog: &Dialog, party: &Party, view: View<'_>) -> Decision {
    let target = target_at(party.hop, dialog.target, view);
    // Whoever is no destination may be behind a NAT, which only the way it came by passes.
    let mtu = target.and_then(|target| view.plan.mtu_of(target));
    Decision::Relay { hop: party.hop, target, mtu }
}

/// Relays to where a URI points, if the sender may reach it: requests from a set may go anywhere,
/// others only to an endpoint of ours or along a route that we marked.
fn relay_to(
    uri: Uri<'_>,
    from: Hop,
    sender: &Sender,
    dialog_target: Option<Target>,
    view: View<'_>,
) -> Decision {
    let Some(hop) = next_hop(uri, from, dialog_target, view) else {
        let text = "the next hop is neither an address nor the name of a destination";
        return Decision::Reject(Rejection::new(404, Refusal::NoRoute, text));
    };
    let target = target_at(hop, dialog_target, view);
    let may = !sender.sets.is_empty() || sender.has_valid_mark || target.is_some();
    if may {
        let default = Some(view.plan.settings().mtu);
        let mtu = target.map_or(default, |target| view.plan.mtu_of(target));
        Decision::Relay { hop, target, mtu: mtu.filter(|_| uri.transport().is_none()) }
    } else {
        Decision::Reject(Rejection::new(403, Refusal::Forbidden, "the next hop is not one of ours"))
    }
}

/// The destination that a hop leads to; the dialog's own if several stand for that address.
fn target_at(hop: Hop, dialog_target: Option<Target>, view: View<'_>) -> Option<Target> {
    let at = view.verdicts.at(hop.transport, hop.remote)?;
    dialog_target.filter(|target| at.contains(target)).or_else(|| at.first().copied())
}

/// The hop of a URI (RFC 3263 without NAPTR): an address, or the name of a destination.
fn next_hop(uri: Uri<'_>, from: Hop, dialog_target: Option<Target>, view: View<'_>) -> Option<Hop> {
    if !uri.is_sip() || uri.is_secure() {
        return None;
    }
    let transport = match uri.transport() {
        None => Transport::Udp,
        Some(transport) => transport?,
    };
    // maddr stands for the host (RFC 3261 §19.1.1), be it an address or a name.
    let (address, name) = match uri.param("maddr") {
        Some(maddr) => (uri.maddr_ip(), maddr),
        None => (uri.host_ip(), uri.host),
    };
    let remote = match address {
        Some(address) => SocketAddr::new(address, uri.port.unwrap_or(DEFAULT_PORT)),
        None => address_of_name(name, uri.port, dialog_target, view)?,
    };
    if !is_unicast(remote) {
        return None;
    }
    view.plan.local().hop_to(transport, remote, from.listener)
}

/// Nothing is ever sent to a broadcast, multicast or unspecified address.
fn is_unicast(address: SocketAddr) -> bool {
    let is_broadcast = match address {
        SocketAddr::V4(v4) => v4.ip().is_broadcast(),
        SocketAddr::V6(_) => false,
    };
    !is_broadcast && !address.ip().is_multicast() && !address.ip().is_unspecified() && address.port() != 0
}

/// The address of a destination by its name. Where that stands for several, it is the one that the
/// dialog is with; without a port the one of its SRV record counts.
fn address_of_name(
    host: &[u8],
    port: Option<u16>,
    dialog_target: Option<Target>,
    view: View<'_>,
) -> Option<SocketAddr> {
    let lookup = |destination: &Destination| {
        let lookup = destination.settings.lookup.as_ref()?;
        lookup.name.as_bytes().eq_ignore_ascii_case(host).then_some(lookup.port)
    };
    let table = view.plan.table();
    let own = dialog_target.and_then(|target| table.destination(target));
    let (address, is_srv) = own.into_iter().chain(table.destinations()).find_map(|destination| {
        let port = lookup(destination)?;
        Some((view.verdicts.of(destination.target)?.address?, port.is_none()))
    })?;
    match port {
        None if is_srv => Some(address),
        port => Some(SocketAddr::new(address.ip(), port.unwrap_or(DEFAULT_PORT))),
    }
}
