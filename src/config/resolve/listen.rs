//! The rules of listeners.

use super::super::cursor::Problems;
use super::super::error::{Mark, Problem};
use super::super::items::ListenerItem;
use super::super::path::KeyPath;
use super::{ID_RULE, is_id};
use crate::facts::Transport;
use crate::facts::directory::Advertise;
use crate::proxy::Listener;
use crate::sip::model::parse_destination;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Listeners at most; a listener's id is one byte.
const MAX_LISTENERS: usize = 64;
const DEFAULT_PORT: u16 = 5060;

pub(super) fn resolve(items: &[ListenerItem], problems: &Problems) -> Vec<Listener> {
    let whole = KeyPath::root().key("listen");
    if items.is_empty() {
        problems.add(Problem::key(&whole, "expected at least one listener, such as udp://0.0.0.0:5060"));
    }
    if items.len() > MAX_LISTENERS {
        problems.add(Problem::key(&whole, format!("more than {MAX_LISTENERS} listeners")));
    }
    let mut done: Vec<(Listener, &KeyPath)> = vec![];
    for item in items.iter().take(MAX_LISTENERS) {
        let Some(listener) = listener(item, problems) else { continue };
        let same_bind = |(other, _): &&(Listener, &KeyPath)| {
            other.bind == listener.bind && other.transport == listener.transport && listener.bind.port() != 0
        };
        if let Some((_, first)) = done.iter().find(same_bind) {
            let message =
                format!("{}://{} is listened on twice; the first is", listener.transport, listener.bind);
            problems.add(Problem::value(&item.path, message).other(first, Mark::Value));
        } else if let Some((_, first)) = done.iter().find(|(other, _)| other.name == listener.name) {
            let message = format!("a second listener named `{}`; the first is", listener.name);
            problems.add(Problem::value(&item.path, message).other(first, Mark::Value));
        }
        done.push((listener, &item.path));
    }
    done.into_iter().map(|(listener, _)| listener).collect()
}

fn listener(item: &ListenerItem, problems: &Problems) -> Option<Listener> {
    let Some(text) = &item.keys.bind else {
        problems.add(Problem::value(&item.path, "a listener needs `bind`, such as udp://0.0.0.0:5060"));
        return None;
    };
    let path = if item.short { item.path.clone() } else { item.path.key("bind") };
    let (transport, bind) = match parse_bind(text) {
        Ok(pair) => pair,
        Err(message) => {
            problems.add(Problem::value(&path, message));
            return None;
        }
    };
    let name = match &item.keys.name {
        None => format!("{transport}://{bind}"),
        Some(name) if is_id(name) => name.clone(),
        Some(_) => {
            problems.add(Problem::value(&item.path.key("name"), ID_RULE));
            return None;
        }
    };
    let advertise = item.keys.advertise.as_deref().and_then(|text| {
        let parsed = parse_advertise(text, bind.port());
        if parsed.is_none() {
            let path = item.path.key("advertise");
            problems.add(Problem::value(&path, "expected HOST:PORT, such as 203.0.113.7:5060"));
        }
        parsed
    });
    let local = item.keys.local.iter().map(|network| network.0).collect();
    Some(Listener { name: name.as_str().into(), transport, bind, advertise, local })
}

fn parse_bind(text: &str) -> Result<(Transport, SocketAddr), String> {
    let expected = "expected udp://ADDRESS:PORT or tcp://ADDRESS:PORT";
    let shown = text.escape_debug();
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(format!("{expected}, found `{shown}`"));
    };
    let transport = match Transport::from_word(scheme) {
        Some(transport) => transport,
        None if ["tls", "ws", "wss"].contains(&scheme) => {
            return Err(format!("{scheme} is not supported in this version; {expected}"));
        }
        None => return Err(format!("{expected}, found `{shown}`")),
    };
    let with_port = || rest.parse::<SocketAddr>().ok();
    let without = || {
        let bare = rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(rest);
        bare.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, DEFAULT_PORT))
    };
    let bind = with_port().or_else(without);
    bind.map(|bind| (transport, bind)).ok_or_else(|| {
        format!("expected an address and a port, such as {scheme}://0.0.0.0:5060, found `{shown}`")
    })
}

fn parse_advertise(text: &str, bound: u16) -> Option<Advertise> {
    let host_port = if text.parse::<Ipv6Addr>().is_ok() { format!("[{text}]") } else { text.to_owned() };
    let uri = parse_destination(&format!("sip:{host_port}")).ok()?;
    let bare = uri.user.is_none() && uri.transport.is_none() && uri.params.is_empty();
    let unspecified = uri.host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified());
    let usual = if bound == 0 { DEFAULT_PORT } else { bound };
    let host = uri.host.to_ascii_lowercase().into();
    (bare && !unspecified).then(|| Advertise { host, port: uri.port.unwrap_or(usual) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_binds_of_both_families() {
        let bind = |text: &str| parse_bind(text).map(|(transport, bind)| format!("{transport} {bind}"));
        assert_eq!(bind("udp://0.0.0.0:5060").unwrap(), "udp 0.0.0.0:5060");
        assert_eq!(bind("tcp://[::1]:0").unwrap(), "tcp [::1]:0");
        assert_eq!(bind("udp://[::]").unwrap(), "udp [::]:5060");
        assert!(bind("udp://localhost:5060").is_err());
        assert!(bind("tls://0.0.0.0:5061").unwrap_err().contains("not supported in this version"));
    }

    #[test]
    fn reads_what_to_advertise() {
        let advertise = |text: &str| parse_advertise(text, 5070).map(|advertise| advertise.to_string());
        assert_eq!(advertise("sip.example.com").unwrap(), "sip.example.com:5070");
        assert_eq!(advertise("[2001:db8::1]:5062").unwrap(), "[2001:db8::1]:5062");
        assert_eq!(advertise("203.0.113.7").unwrap(), "203.0.113.7:5070");
        assert_eq!(advertise("0.0.0.0:5060"), None);
        assert_eq!(advertise("a b:5060"), None);
    }
}
