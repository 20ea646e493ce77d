//! One row of Kamailio as one destination of ours.

use super::common::Common;
use super::listeners::Listeners;
use super::parameters::ATTRIBUTES;
use super::place::{Place, Warning, shown};
use super::row::{Row, flag};
use super::yaml::{flow, quoted};
use crate::facts::Transport;
use crate::sip::model::{DestinationUri, parse_destination};
use std::collections::BTreeSet;
use std::net::IpAddr;

const DEFAULT_PORT: u16 = 5060;
/// Characters of an id.
const MAX_ID: usize = 64;

/// A destination, ready to be written.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) place: Place,
    /// What is to be said about it.
    pub(super) comments: Vec<String>,
    /// `{id: …, uri: …}`.
    pub(super) item: String,
    /// Its address, unless it has a name.
    pub(super) address: Option<IpAddr>,
    /// Transport and family (IPv6 or not) of the listener that it needs but does not name.
    pub(super) needs: Option<(Transport, Option<bool>)>,
}

/// What the set decides about a row.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Position {
    /// Its tier.
    pub(super) priority: u32,
    /// Its weight, if one is to be written.
    pub(super) weight: Option<u32>,
    /// Whether Kamailio's algorithm kept to `maxload`.
    pub(super) is_limited: Option<bool>,
}

/// A row that can be a destination.
#[derive(Debug)]
pub(super) struct Usable {
    pub(super) row: Row,
    uri: DestinationUri,
    transport: Transport,
}

impl Usable {
    /// The row as it is read here; or that it is left out, and why.
    pub(super) fn new(row: Row) -> Result<Self, Warning> {
        let read = parse_destination(&row.uri).map_err(|error| shown(&error.to_string()));
        match read.and_then(|uri| Ok((transport(&uri)?, uri))) {
            Ok((transport, uri)) => Ok(Self { row, uri, transport }),
            Err(reason) => {
                let text = format!("{} left out: {reason}", shown(&row.uri));
                Err(Warning { place: row.place, text })
            }
        }
    }
}

/// The destination of a row.
pub(super) fn convert(
    usable: &Usable,
    position: Position,
    common: &Common,
    listeners: &mut Listeners,
    ids: &mut BTreeSet<String>,
) -> Destination {
    let Usable { row, uri, transport } = usable;
    let transport = *transport;
    let address = uri.host.parse::<IpAddr>().ok();
    let is_ipv6 = address.map(|address| address.is_ipv6());
    let mut comments = vec![];
    if !row.description.is_empty() {
        comments.push(shown(&row.description));
    }
    let mut pairs = vec![];
    pairs.extend(id(row, uri, transport, ids, &mut comments).map(|id| ("id", quoted(&id))));
    pairs.push(("uri", quoted(&row.uri)));
    pairs.extend(position.weight.map(|weight| ("weight", weight.to_string())));
    if position.priority > 0 {
        pairs.push(("priority", position.priority.to_string()));
    }
    pairs.extend(max_calls(row, position, &mut comments).map(|calls| ("max_calls", calls.to_string())));
    pairs.extend(state(row, common, &mut comments).map(|state| ("state", state.to_owned())));
    let listener = listener(row, transport, is_ipv6, listeners, &mut comments);
    let needs = listener.is_none().then_some((transport, is_ipv6));
    pairs.extend(listener.map(|name| ("listener", quoted(&name))));
    let probe = probe(row, &mut comments);
    if !probe.is_empty() {
        pairs.push(("probe", flow(&probe)));
    }
    rest(row, &mut comments);
    Destination { place: row.place.clone(), comments, item: flow(&pairs), address, needs }
}

fn transport(uri: &DestinationUri) -> Result<Transport, String> {
    match uri.transport.as_deref() {
        _ if uri.secure => Err("sips: needs TLS, which is not supported in this version".into()),
        None => Ok(Transport::Udp),
        Some(word) => Transport::from_word(word)
            .ok_or_else(|| format!("transport={} is not supported in this version", shown(word))),
    }
}

/// Whether a text can be an id, or the name of a listener.
pub(super) fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:@[]-".contains(&b))
}

/// The id, if it must be written because it is not the one that the URI implies.
fn id(
    row: &Row,
    uri: &DestinationUri,
    transport: Transport,
    ids: &mut BTreeSet<String>,
    comments: &mut Vec<String>,
) -> Option<String> {
    let host = match uri.host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        Ok(IpAddr::V4(_)) | Err(_) => uri.host.to_ascii_lowercase(),
    };
    let suffix = if transport == Transport::Udp { String::new() } else { format!("-{transport}") };
    let implied = format!("{host}:{}{suffix}", uri.port.unwrap_or(DEFAULT_PORT));
    let duid = row.attr("duid").filter(|duid| {
        let is_valid = is_id(duid);
        if !is_valid {
            comments.push(format!("duid={} cannot be an id, so it is left out", shown(duid)));
        }
        is_valid
    });
    let wanted = match duid {
        Some(duid) => duid.to_owned(),
        None if is_id(&implied) => implied.clone(),
        None => format!("line-{}", row.place.line),
    };
    let mut id = wanted.clone();
    let mut number = 1_u32;
    while !ids.insert(id.clone()) {
        number += 1;
        let end = format!("-{number}");
        id = wanted.chars().take(MAX_ID - end.len()).collect();
        id += &end;
    }
    if number > 1 {
        comments.push(format!("`{}` is the id of another destination of this set", shown(&wanted)));
    }
    (id != implied).then_some(id)
}

fn max_calls(row: &Row, position: Position, comments: &mut Vec<String>) -> Option<u32> {
    let written = row.attr("maxload")?;
    match written.parse::<u32>() {
        Ok(0) => None,
        Ok(calls) => {
            if position.is_limited == Some(false) {
                comments.push("maxload: only algorithm 10 kept to it; here it always holds".into());
            }
            Some(calls)
        }
        Err(_) => {
            comments.push(format!("maxload={} is not a number of calls", shown(written)));
            None
        }
    }
}

/// What the administrator wants, from the flags.
fn state(row: &Row, common: &Common, comments: &mut Vec<String>) -> Option<&'static str> {
    let has = |bit: u32| row.flags & bit != 0;
    if row.flags & !flag::ALL != 0 {
        comments.push(format!("flags {:#x}: bits above 32 are not known", row.flags));
    }
    if has(flag::NO_DNS) {
        comments.push("flag 16: names are looked up off the call path, so there is nothing to spare".into());
    }
    if has(flag::DISABLED) {
        return Some("disabled");
    }
    if !has(flag::INACTIVE) {
        return None;
    }
    let pinged = if has(flag::NO_PING) {
        Some(false)
    } else if has(flag::PROBING) {
        common.pings_flagged
    } else {
        common.pings_all
    };
    match pinged.unwrap_or(has(flag::PROBING)) {
        true => {
            comments.push("flag 1: inactive until a ping succeeded; here the first probe decides".into());
            None
        }
        false => {
            comments.push("flag 1: inactive, and never pinged".into());
            Some("disabled")
        }
    }
}

fn listener(
    row: &Row,
    transport: Transport,
    is_ipv6: Option<bool>,
    listeners: &mut Listeners,
    comments: &mut Vec<String>,
) -> Option<String> {
    if let Some(name) = row.attr("sockname") {
        if let Some(name) = listeners.named(name, transport, is_ipv6) {
            return Some(name);
        }
        comments.push(format!("sockname={}: no listener of that name can reach it", shown(name)));
    }
    let socket = row.attr("socket")?;
    match listeners.of_socket(socket, transport, is_ipv6, &row.place) {
        Ok(name) => Some(name),
        Err(reason) => {
            comments.push(format!("socket={}: {reason}", shown(socket)));
            None
        }
    }
}

fn probe(row: &Row, comments: &mut Vec<String>) -> Vec<(&'static str, String)> {
    let mut probe = vec![];
    if row.flags & flag::NO_PING != 0 {
        probe.push(("enabled", "false".into()));
    }
    if let Some(from) = row.attr("ping_from") {
        match parse_destination(from) {
            Ok(_) => probe.push(("from", quoted(from))),
            Err(error) => comments.push(format!("ping_from={}: {error}", shown(from))),
        }
    }
    probe
}

/// The attributes without a key.
fn rest(row: &Row, comments: &mut Vec<String>) {
    for (name, value) in &row.attrs {
        let known = ATTRIBUTES.iter().find(|(known, _, _)| known == name);
        let remark = match known {
            Some((_, _, "")) => continue,
            Some(("cc", _, _)) if value != "1" => continue,
            Some((_, _, remark)) => remark,
            None => "an attribute for the script; there is none here to read it",
        };
        let written = if value.is_empty() { shown(name) } else { shown(&format!("{name}={value}")) };
        comments.push(format!("{written}: {remark}"));
    }
}
