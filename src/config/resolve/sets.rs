//! The rules of sets, their destinations and their probes.

mod load;

use super::super::cursor::Problems;
use super::super::error::{Mark, Problem};
use super::super::fields::{Trigger, show_duration};
use super::super::items::{DestinationItem, HashKey, Sets};
use super::super::keys::{Failover, Passive, Probe, RetryAfter, Set as Keys, Sip};
use super::super::path::KeyPath;
use super::{ID_RULE, is_id, listener_named, text_line};
use crate::dispatch::{
    DestinationSettings, Endpoint, FailoverSettings, HashCompat, HashPart, Host, PassiveSettings,
    RetryAfterSettings, SetSettings, Thresholds,
};
use crate::facts::Transport;
use crate::facts::lookup::{DEFAULT_PORT, Lookup};
use crate::proxy::{Listener, Set};
use crate::sip::model::{DestinationUri, parse_destination};
use crate::{probe, transaction};
use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// Sets at most.
const MAX_SETS: usize = 1_000;
/// Destinations of all sets at most.
const MAX_DESTINATIONS: usize = 100_000;
/// What the mtu of a destination can be.
const MTU: RangeInclusive<u32> = 512..=65_535;
/// Characters of what is wrong with a URI; the line is shown anyway.
const MAX_REASON: usize = 200;

pub(super) fn resolve(
    sets: &mut Sets,
    listeners: &[Listener],
    timers: &transaction::Settings,
    sip: &Sip,
    problems: &Problems,
) -> Vec<Set> {
    let at = KeyPath::root().key("sets");
    if sets.0.is_empty() {
        let help = "the least that works: sets: {pbx: {destinations: [sip:10.0.0.1:5060]}}";
        problems.add(Problem::key(&at, "expected at least one set of destinations").help(help));
    }
    let count: usize = sets.0.iter().map(|(_, set)| set.destinations.len()).sum();
    if sets.0.len() > MAX_SETS || count > MAX_DESTINATIONS {
        let message = format!("more than {MAX_SETS} sets or {MAX_DESTINATIONS} destinations");
        problems.add(Problem::key(&at, message));
        return vec![];
    }
    load::check_fallbacks(&sets.0, &at, problems);
    sets.0
        .iter_mut()
        .map(|(name, keys)| set(name, keys, &at.key(name), listeners, timers, sip, problems))
        .collect()
}

fn set(
    name: &str,
    keys: &mut Keys,
    path: &KeyPath,
    listeners: &[Listener],
    timers: &transaction::Settings,
    sip: &Sip,
    problems: &Problems,
) -> Set {
    if !is_id(name) {
        problems.add(Problem::key(path, ID_RULE));
    }
    if keys.hash.key.is_empty() {
        problems
            .add(Problem::key(&path.key("hash").key("key"), "expected at least one part, such as call_id"));
    }
    let unlike_kamailio =
        |key: &[HashKey]| key.len() > 1 || key.iter().any(|part| part.0 == HashPart::SourceIp);
    if keys.hash.compat == Some(HashCompat::Kamailio) && unlike_kamailio(&keys.hash.key) {
        let message = "`compat: kamailio` goes with one part alone, and not with source_ip";
        problems.add(Problem::key(&path.key("hash").key("key"), message));
    }
    let destinations_path = path.key("destinations");
    if keys.destinations.is_empty() {
        problems.add(Problem::key(&destinations_path, "a set needs at least one destination"));
    }
    check_probe(&keys.probe, &path.key("probe"), problems);
    let failover = failover(&keys.failover, &path.key("failover"), timers, problems);
    let passive = passive(&keys.passive, &path.key("passive"), problems);
    let RetryAfter { honour, max } = keys.retry_after;
    let mut seen: HashMap<String, KeyPath> = HashMap::new();
    let (mut destinations, mut probes) = (vec![], vec![]);
    for item in &mut keys.destinations {
        let probe = item.keys.probe.apply(&keys.probe, problems);
        if probe != keys.probe {
            check_probe(&probe, &item.path.key("probe"), problems);
        }
        load::check_limits(item, sip.record_route, problems);
        let path = item.id_path();
        let Some(destination) = destination(item, &probe, listeners, sip.mtu, problems) else { continue };
        let id = destination.id.to_string();
        if let Some(first) = seen.get(&id) {
            let message = format!("a second destination with the id `{id}` in this set; the first is");
            problems.add(Problem::value(&path, message).other(first, Mark::Value));
        } else {
            seen.insert(id, path);
        }
        destinations.push(destination);
        probes.push(probe_settings(&probe));
    }
    if !destinations.is_empty() && destinations.iter().all(|d| d.weight == 0) {
        let message = "every weight is 0, so no destination would get a request";
        let help = "to take a set out of service, give its destinations `state: draining`";
        problems.add(Problem::key(&destinations_path, message).help(help));
    }
    let dispatch = SetSettings {
        name: name.into(),
        algorithm: keys.algorithm,
        hash_compat: keys.hash.compat,
        hash_key: keys.hash.key.iter().map(|part| part.0.clone()).collect(),
        register_key: keys.register_key.0.clone(),
        objective: keys.objective,
        reject_retry_after: keys.reject_retry_after,
        sources: keys.sources.iter().map(|network| network.0).collect(),
        destinations,
        failover,
        passive,
        retry_after: RetryAfterSettings { honour, max },
        fallback: keys.fallback.as_deref().map(Into::into),
        when_all_down: keys.when_all_down,
        slow_start: keys.slow_start,
    };
    Set { dispatch, probes }
}

impl DestinationItem {
    /// What a problem with the id is about: the id, or the URI that implies it.
    fn id_path(&self) -> KeyPath {
        match &self.keys.id {
            Some(_) => self.path.key("id"),
            None if self.short => self.path.clone(),
            None => self.path.key("uri"),
        }
    }
}

fn destination(
    item: &mut DestinationItem,
    probe: &Probe,
    listeners: &[Listener],
    default_mtu: u32,
    problems: &Problems,
) -> Option<DestinationSettings> {
    let Some(text) = item.keys.uri.clone() else {
        problems.add(Problem::value(&item.path, "a destination needs `uri`, such as sip:10.0.0.1:5060"));
        return None;
    };
    let uri_path = if item.short { item.path.clone() } else { item.path.key("uri") };
    let checked = parse_destination(&text).map_err(|error| error.to_string());
    let checked = checked.and_then(|uri| transport(&uri).map(|transport| (uri, transport)));
    let (uri, transport) = match checked {
        Ok(pair) => pair,
        Err(message) => {
            let message: String = message.chars().take(MAX_REASON).collect();
            let message = message.escape_debug().to_string().replace("``", "an empty text");
            problems.add(Problem::value(&uri_path, message));
            return None;
        }
    };
    let endpoint = endpoint(&uri);
    check_listener(&endpoint, transport, item.keys.listener.is_some(), &uri_path, listeners, problems);
    let listener_path = item.path.key("listener");
    let listener = item.keys.listener.as_deref().and_then(|name| {
        let id = listener_named(name, &listener_path, listeners, problems)?;
        let listener = listeners.get(id.index())?;
        if !carries(listener, &endpoint, transport) {
            let message =
                format!("the listener `{name}` cannot reach {text}: other transport or address family");
            problems.add(Problem::value(&listener_path, message));
        }
        Some(id)
    });
    let mtu = mtu(item, &uri, transport, default_mtu, problems);
    let shown = shown_uri(&uri);
    let id = match &item.keys.id {
        Some(id) => id.clone(),
        None => default_id(&uri, &endpoint, transport),
    };
    if !is_id(&id) {
        let path = if item.keys.id.is_some() { item.path.key("id") } else { uri_path.clone() };
        let problem = Problem::value(&path, format!("`{}` cannot be an id; {ID_RULE}", id.escape_debug()));
        problems.add(if item.keys.id.is_some() { problem } else { problem.help("give it an `id`") });
    }
    item.keys.id = Some(id.clone());
    item.keys.uri = Some(shown.clone());
    Some(DestinationSettings {
        id: id.as_str().into(),
        owner: id.as_str().into(),
        uri: shown.as_str().into(),
        lookup: lookup(&uri, transport),
        endpoint,
        transport,
        weight: item.keys.weight,
        priority: item.keys.priority,
        rank: 0,
        admin: item.keys.state,
        listener,
        mtu,
        thresholds: probe
            .enabled
            .then_some(Thresholds { down_after: probe.down_after, up_after: probe.up_after }),
        max_calls: item.keys.max_calls,
        max_cps: item.keys.max_cps,
    })
}

/// The largest request sent over UDP; `None` where the transport is fixed.
fn mtu(
    item: &DestinationItem,
    uri: &DestinationUri,
    transport: Transport,
    default: u32,
    problems: &Problems,
) -> Option<usize> {
    let path = item.path.key("mtu");
    match item.keys.mtu {
        Some(_) if transport != Transport::Udp => {
            let message = format!("is for UDP; this destination is reached over {transport}");
            problems.add(Problem::value(&path, message));
        }
        Some(written) if !MTU.contains(&written) => {
            let message = format!("expected a whole number from {} to {}, or null", MTU.start(), MTU.end());
            problems.add(Problem::value(&path, message));
        }
        Some(_) | None => {}
    }
    let is_fixed = transport != Transport::Udp || uri.transport.is_some();
    let mtu = item.keys.mtu.or((!is_fixed).then_some(default));
    mtu.and_then(|mtu| usize::try_from(mtu).ok())
}

fn transport(uri: &DestinationUri) -> Result<Transport, String> {
    if uri.secure {
        return Err("sips: needs TLS, which is not supported in this version".into());
    }
    match uri.transport.as_deref() {
        None => Ok(Transport::Udp),
        Some(word @ ("tls" | "ws" | "wss" | "sctp")) => {
            Err(format!("transport={word} is not supported in this version; expected udp or tcp"))
        }
        Some(word) => {
            Transport::from_word(word).ok_or_else(|| "expected transport=udp or transport=tcp".into())
        }
    }
}

fn endpoint(uri: &DestinationUri) -> Endpoint {
    let host = match uri.host.parse::<IpAddr>() {
        Ok(address) => Host::Address(address),
        Err(_) => Host::Name(uri.host.to_ascii_lowercase().into()),
    };
    Endpoint { host, port: uri.port.unwrap_or(DEFAULT_PORT) }
}

/// What is looked up, unless the host is an address.
fn lookup(uri: &DestinationUri, transport: Transport) -> Option<Lookup> {
    let is_address = uri.host.parse::<IpAddr>().is_ok();
    (!is_address).then(|| Lookup { name: uri.host.to_ascii_lowercase().into(), port: uri.port, transport })
}

fn shown_host(uri: &DestinationUri) -> String {
    match uri.host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        Ok(IpAddr::V4(_)) | Err(_) => uri.host.to_ascii_lowercase(),
    }
}

/// The URI without its user part.
fn shown_uri(uri: &DestinationUri) -> String {
    let mut text = format!("sip:{}", shown_host(uri));
    if let Some(port) = uri.port {
        text += &format!(":{port}");
    }
    if let Some(transport) = &uri.transport {
        text += &format!(";transport={transport}");
    }
    for (name, value) in &uri.params {
        text += &match value {
            Some(value) => format!(";{name}={value}"),
            None => format!(";{name}"),
        };
    }
    text
}

fn default_id(uri: &DestinationUri, endpoint: &Endpoint, transport: Transport) -> String {
    let suffix = match transport {
        Transport::Udp => "",
        Transport::Tcp => "-tcp",
    };
    format!("{}:{}{suffix}", shown_host(uri), endpoint.port)
}

fn carries(listener: &Listener, endpoint: &Endpoint, transport: Transport) -> bool {
    let family = match &endpoint.host {
        Host::Address(address) => address.is_ipv4() == listener.bind.is_ipv4(),
        Host::Name(_) => true,
    };
    listener.transport == transport && family
}

fn check_listener(
    endpoint: &Endpoint,
    transport: Transport,
    has_own: bool,
    path: &KeyPath,
    listeners: &[Listener],
    problems: &Problems,
) {
    // Without any listener that is the problem to mend first.
    if has_own || listeners.is_empty() || listeners.iter().any(|l| carries(l, endpoint, transport)) {
        return;
    }
    let any = match endpoint.host {
        Host::Address(IpAddr::V6(_)) => "[::]",
        Host::Address(IpAddr::V4(_)) | Host::Name(_) => "0.0.0.0",
    };
    let family = if any == "[::]" { "IPv6 " } else { "" };
    let message = format!("no {family}listener for {transport}, so this destination cannot be reached");
    let help = format!("add {transport}://{any}:5060 to `listen`");
    problems.add(Problem::value(path, message).help(help));
}

fn check_probe(probe: &Probe, path: &KeyPath, problems: &Problems) {
    if !probe.enabled {
        return;
    }
    let interval = show_duration(probe.interval);
    if probe.timeout >= probe.interval {
        let message = format!("{} is not below `interval`, {interval}", show_duration(probe.timeout));
        problems.add(Problem::value(&path.key("timeout"), message));
    }
    if probe.fast_interval > probe.interval {
        let message = format!("{} is above `interval`, {interval}", show_duration(probe.fast_interval));
        problems.add(Problem::value(&path.key("fast_interval"), message));
    }
    let is_token = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    let unfit = ["INVITE", "ACK", "CANCEL", "BYE"];
    let method = probe.method.as_str();
    if method.is_empty() || !method.bytes().all(is_token) || unfit.contains(&method) {
        let message = format!(
            "expected a method that can stand alone, such as OPTIONS, found `{}`",
            method.escape_debug()
        );
        problems.add(Problem::value(&path.key("method"), message));
    }
    let is_unfit = |from: &String| parse_destination(from).is_err();
    if probe.from.as_ref().is_some_and(is_unfit) {
        let message = "expected a URI such as sip:sipwarden@example.com";
        problems.add(Problem::value(&path.key("from"), message));
    }
    if let Some(agent) = &probe.user_agent {
        text_line(agent, &path.key("user_agent"), problems);
    }
    if probe.accept.is_empty() {
        let message = "expected at least one code; with none, every destination is down";
        problems.add(Problem::key(&path.key("accept"), message));
    }
}

fn probe_settings(probe: &Probe) -> probe::Settings {
    let pairs =
        |codes: &[super::super::fields::Codes]| codes.iter().map(|codes| (codes.0, codes.1)).collect();
    probe::Settings {
        enabled: probe.enabled,
        interval: probe.interval,
        fast_interval: probe.fast_interval,
        timeout: probe.timeout,
        jitter_percent: probe.jitter.0,
        method: probe.method.as_str().into(),
        from: probe.from.as_deref().map(Into::into),
        max_forwards: u8::try_from(probe.max_forwards).unwrap_or(u8::MAX),
        user_agent: probe.user_agent.as_deref().map(Into::into),
        accept: probe::CodeRanges { include: pairs(&probe.accept), exclude: pairs(&probe.reject) },
    }
}

fn passive(keys: &Passive, path: &KeyPath, problems: &Problems) -> PassiveSettings {
    if keys.max_ejection < keys.base_ejection {
        let (max, base) = (show_duration(keys.max_ejection), show_duration(keys.base_ejection));
        let message = format!("{max} is below `base_ejection`, {base}");
        problems.add(Problem::value(&path.key("max_ejection"), message));
    }
    PassiveSettings {
        enabled: keys.enabled,
        consecutive_failures: keys.consecutive_failures,
        base_ejection: keys.base_ejection,
        max_ejection: keys.max_ejection,
        max_ejected_percent: keys.max_ejected_percent,
    }
}

fn failover(
    keys: &Failover,
    path: &KeyPath,
    timers: &transaction::Settings,
    problems: &Problems,
) -> FailoverSettings {
    let limit = timers.timeout();
    for (name, value) in [
        ("no_response_after", keys.no_response_after),
        ("no_response_after_non_invite", keys.no_response_after_non_invite),
    ] {
        if value >= limit {
            let message = format!(
                "{} is not below 64 × `sip.t1`, {}, when the attempt ends anyway",
                show_duration(value),
                show_duration(limit)
            );
            problems.add(Problem::value(&path.key(name), message));
        }
    }
    if keys.no_progress_after.is_some_and(|limit| limit.is_zero()) {
        problems.add(Problem::value(
            &path.key("no_progress_after"),
            "expected more than 0s, or null for no limit",
        ));
    }
    let final_code = keys.final_code.map(|code| u16::try_from(code).unwrap_or(u16::MAX));
    if final_code.is_some_and(|code| !(400..700).contains(&code) || matches!(code, 401 | 407 | 408)) {
        let message =
            "expected a code from 400 to 699 other than 401, 407 and 408, or null for the best response";
        problems.add(Problem::value(&path.key("final_code"), message));
    }
    let codes = keys.on.iter().filter_map(|trigger| match trigger {
        Trigger::Code(code) => Some(*code),
        Trigger::NoResponse | Trigger::Transport => None,
    });
    let mut on_codes: Vec<u16> = codes.collect();
    on_codes.sort_unstable();
    on_codes.dedup();
    FailoverSettings {
        on_no_response: keys.on.contains(&Trigger::NoResponse),
        on_transport: keys.on.contains(&Trigger::Transport),
        on_codes,
        no_response_after: keys.no_response_after,
        no_response_after_non_invite: keys.no_response_after_non_invite,
        no_progress_after: keys.no_progress_after,
        max_attempts: keys.max_attempts,
        total: keys.total,
        after_18x: keys.after_18x,
        final_code,
    }
}
