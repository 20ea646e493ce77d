//! The addresses of this host, read once at start.

use crate::proxy::Interfaces;
use ipnet::IpNet;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// Addresses of documentation (RFC 5737, RFC 3849): routed like any far one, never sent to.
const FAR_V4: &str = "192.0.2.1:9";
const FAR_V6: &str = "[2001:db8::1]:9";

/// Reads the directly connected networks and the default source addresses. What cannot be read is
/// left out, because a listener on a fixed address needs none of it.
pub fn interfaces() -> Interfaces {
    let mut networks: Vec<(IpNet, IpAddr)> = getifaddrs()
        .into_iter()
        .flatten()
        .filter_map(|interface| {
            let address = ip_of(interface.address.as_ref()?)?;
            let mask = interface.netmask.as_ref().and_then(ip_of)?;
            Some((IpNet::with_netmask(address, mask).ok()?.trunc(), address))
        })
        .filter(|(_, address)| !is_link_local(*address))
        .collect();
    networks.sort_by_key(|(network, address)| (std::cmp::Reverse(network.prefix_len()), *address));
    networks.dedup();
    Interfaces {
        networks,
        default_v4: source_towards("0.0.0.0:0", FAR_V4),
        default_v6: source_towards("[::]:0", FAR_V6),
    }
}

fn ip_of(storage: &SockaddrStorage) -> Option<IpAddr> {
    match (storage.as_sockaddr_in(), storage.as_sockaddr_in6()) {
        (Some(v4), _) => Some(v4.ip().into()),
        (None, Some(v6)) => Some(v6.ip().into()),
        (None, None) => None,
    }
}

/// A link-local address means nothing without an interface, which SIP cannot name.
const fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Connecting a UDP socket sends nothing, but makes the kernel choose a source address.
fn source_towards(any: &str, far: &str) -> Option<IpAddr> {
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(far.parse::<SocketAddr>().ok()?).ok()?;
    let source = socket.local_addr().ok()?.ip();
    (!source.is_unspecified() && !source.is_loopback()).then_some(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_network_is_among_the_connected_ones() {
        let found = interfaces();
        let loopback = "127.0.0.0/8".parse().unwrap();
        assert!(found.networks.contains(&(loopback, "127.0.0.1".parse().unwrap())), "{found:?}");
    }

    #[test]
    fn networks_are_ordered_from_the_most_specific() {
        let lengths: Vec<u8> =
            interfaces().networks.iter().map(|(network, _)| network.prefix_len()).collect();
        assert!(lengths.is_sorted_by(|a, b| a >= b), "{lengths:?}");
    }
}
