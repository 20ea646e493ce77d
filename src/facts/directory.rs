//! Who is who in one configuration: what a reader of events needs to name ids, and to say where we are.

use super::names::Names;
use super::{Algorithm, SetId, Target};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The sets, destinations and listeners of one configuration, with the names of all ids that may still be
/// held.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    /// Names of every id that anything may be held under, so that late events of a removed destination
    /// still have one.
    pub names: Names,
    /// The configured sets, in file order.
    pub sets: Vec<DirectorySet>,
    /// The listeners, by [`super::ListenerId`].
    pub listeners: Vec<DirectoryListener>,
}

/// One configured set.
#[derive(Debug, Clone)]
pub struct DirectorySet {
    /// Its id.
    pub id: SetId,
    /// How it chooses.
    pub algorithm: Algorithm,
    /// Its destinations, in file order.
    pub targets: Vec<Target>,
    /// Whether it falls back to another set.
    pub has_fallback: bool,
}

/// One listener: its name, and where it is for whom.
#[derive(Debug, Clone)]
pub struct DirectoryListener {
    /// Its name.
    pub name: Arc<str>,
    /// What peers in a network are told in Via, first match wins.
    pub inside: Vec<(IpNet, Advertise)>,
    /// What everybody else is told.
    pub outside: Advertise,
    /// Our own address towards peers in a network, first match wins.
    pub own: Vec<(IpNet, Arc<str>)>,
    /// Our own address towards everybody else.
    pub address: Arc<str>,
    /// The port that it is bound to.
    pub port: u16,
}

/// A host and port as written into messages.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Advertise {
    /// A host name or an address; an IPv6 address without brackets.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
}

impl std::fmt::Display for Advertise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            _ => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl DirectoryListener {
    /// One at an address by which everybody knows it.
    pub fn at(name: &str, bound: SocketAddr) -> Self {
        let outside = Advertise::from(bound);
        let (address, port) = (Arc::clone(&outside.host), outside.port);
        Self { name: name.into(), inside: vec![], outside, own: vec![], address, port }
    }

    /// What a peer knows it as.
    pub fn known_as(&self, peer: IpAddr) -> &Advertise {
        let inside = self.inside.iter().find(|(network, _)| network.contains(&peer));
        inside.map_or(&self.outside, |(_, told)| told)
    }

    /// Our own address towards a peer: the one that the kernel sends from.
    pub fn address_towards(&self, peer: IpAddr) -> &str {
        let own = self.own.iter().find(|(network, _)| network.contains(&peer));
        own.map_or(&self.address, |(_, address)| address)
    }
}

impl From<SocketAddr> for Advertise {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string().into(), port: address.port() }
    }
}
