//! Who we are on the wire: what is written into Via and Record-Route, which URIs name us, which
//! listener sends to a peer. Computed once per configuration.

use super::{Interfaces, Listener};
use crate::facts::directory::{Advertise, DirectoryListener};
use crate::facts::{Hop, ListenerId, Transport};
use crate::sip::Uri;
use crate::transaction::Branch;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The default port of SIP over UDP and TCP.
pub const DEFAULT_PORT: u16 = 5060;

/// Bytes of most Via values of ours.
pub const VIA_SIZE: usize = 112;

/// Our addresses, by listener.
#[derive(Debug)]
pub struct Local {
    listeners: Vec<Face>,
}

/// One listener's appearance.
#[derive(Debug)]
struct Face {
    transport: Transport,
    bind: SocketAddr,
    /// What is written towards peers in a network, most specific first.
    inside: Vec<(IpNet, String)>,
    /// What is written towards everybody else.
    outside: String,
    /// Hosts that name this listener, in lower case, with their ports.
    names: Vec<(String, u16)>,
    /// The names that are addresses.
    addresses: Vec<SocketAddr>,
    /// All of that for those who only tell of it.
    known: DirectoryListener,
}

impl Local {
    /// Works out the appearance of every listener.
    pub fn new(listeners: &[Listener], interfaces: &Interfaces) -> Self {
        Self { listeners: listeners.iter().map(|listener| Face::new(listener, interfaces)).collect() }
    }

    /// The listeners as telemetry tells of them.
    pub fn directory(&self) -> Vec<DirectoryListener> {
        self.listeners.iter().map(|face| face.known.clone()).collect()
    }

    /// Host and port as written into messages that leave a listener towards a peer.
    pub fn sent_by(&self, listener: ListenerId, remote: IpAddr) -> &str {
        self.listeners.get(listener.index()).map_or("", |face| {
            let inside = face.inside.iter().find(|(network, _)| network.contains(&remote));
            inside.map_or(&face.outside, |(_, text)| text)
        })
    }

    /// Appends the value of the Via of a request that leaves over a hop.
    pub fn write_via(&self, hop: Hop, branch: &Branch, out: &mut Vec<u8>) {
        let sent_by = self.sent_by(hop.listener, hop.remote.ip());
        for part in ["SIP/2.0/", hop.transport.via_token(), " ", sent_by, ";rport;branch="] {
            out.extend_from_slice(part.as_bytes());
        }
        branch.write(out);
    }

    /// Whether a URI's host and port name us.
    pub fn is_us(&self, uri: &Uri<'_>) -> bool {
        let port = uri.port.unwrap_or(DEFAULT_PORT);
        let address = uri.host_ip();
        self.listeners.iter().any(|face| {
            let by_address = address.is_some_and(|address| face.is_at(SocketAddr::new(address, port)));
            by_address || face.is_named(uri.host, port)
        })
    }

    /// Whether a listener is at an address.
    pub fn is_at(&self, listener: ListenerId, address: SocketAddr) -> bool {
        self.listeners.get(listener.index()).is_some_and(|face| face.is_at(address))
    }

    /// The listener that sends to a peer: `preferred` if it fits, else the first that does.
    pub fn listener_for(
        &self,
        transport: Transport,
        remote: IpAddr,
        preferred: ListenerId,
    ) -> Option<ListenerId> {
        let fits = |face: &Face| face.transport == transport && face.bind.is_ipv4() == remote.is_ipv4();
        if self.listeners.get(preferred.index()).is_some_and(fits) {
            return Some(preferred);
        }
        let position = self.listeners.iter().position(fits)?;
        u8::try_from(position).ok().map(ListenerId::new)
    }

    /// The hop to the same peer over another transport: from the same address of ours, if we listen
    /// there, else from the first listener that fits.
    pub fn beside(&self, hop: Hop, transport: Transport) -> Option<Hop> {
        let here = self.listeners.get(hop.listener.index())?.bind.ip();
        let is_here = |face: &Face| face.transport == transport && face.bind.ip() == here;
        let position =
            self.listeners.iter().position(is_here).and_then(|position| u8::try_from(position).ok());
        self.hop_to(transport, hop.remote, position.map_or(hop.listener, ListenerId::new))
    }

    /// The hop to a literal address.
    pub fn hop_to(&self, transport: Transport, remote: SocketAddr, preferred: ListenerId) -> Option<Hop> {
        let listener = self.listener_for(transport, remote.ip(), preferred)?;
        Some(Hop { transport, listener, remote, connection: None })
    }
}

impl Face {
    fn new(listener: &Listener, interfaces: &Interfaces) -> Self {
        let bind = listener.bind;
        let port = bind.port();
        let same_family = |address: &IpAddr| address.is_ipv4() == bind.is_ipv4();
        let default = if bind.is_ipv4() { interfaces.default_v4 } else { interfaces.default_v6 };
        let networks: Vec<(IpNet, IpAddr)> =
            interfaces.networks.iter().filter(|(_, address)| same_family(address)).copied().collect();
        let told = |address: IpAddr| Advertise::from(SocketAddr::new(address, port));

        let unspecified = bind.ip().is_unspecified();
        let first = networks.iter().map(|(_, address)| *address).find(|address| !address.is_loopback());
        let fallback = if unspecified { default.or(first) } else { Some(bind.ip()) };
        let fallback = fallback.or(networks.first().map(|(_, address)| *address)).unwrap_or(bind.ip());
        let own = |network: &IpNet| {
            let here = networks.iter().find(|(_, address)| network.contains(address));
            if unspecified { here.map_or(fallback, |(_, address)| *address) } else { bind.ip() }
        };
        let direct: Vec<IpNet> = networks.iter().map(|(network, _)| *network).collect();
        let local = if listener.local.is_empty() { &direct } else { &listener.local };
        let towards = |networks: &[IpNet]| -> Vec<(IpNet, Advertise)> {
            networks.iter().map(|network| (*network, told(own(network)))).collect()
        };
        let by_network = if unspecified { towards(&direct) } else { Vec::new() };
        let known = DirectoryListener {
            name: Arc::clone(&listener.name),
            inside: listener.advertise.as_ref().map_or_else(|| by_network.clone(), |_| towards(local)),
            outside: listener.advertise.clone().unwrap_or_else(|| told(fallback)),
            own: by_network.into_iter().map(|(network, own)| (network, own.host)).collect(),
            address: fallback.to_string().into(),
            port,
        };
        let inside = known.inside.iter().map(|(network, own)| (*network, own.to_string())).collect();
        let outside = known.outside.to_string();
        let mut names: Vec<(String, u16)> = Vec::new();
        if let Some(Advertise { host, port }) = &listener.advertise {
            names.push((host.to_ascii_lowercase(), *port));
        }
        if unspecified {
            names.extend(networks.iter().map(|(_, address)| (address.to_string(), port)));
            names.extend(default.map(|address| (address.to_string(), port)));
        }
        let is_address = |(host, port): &(String, u16)| Some(SocketAddr::new(host.parse().ok()?, *port));
        let addresses = names.iter().filter_map(is_address).collect();
        Self { transport: listener.transport, bind, inside, outside, names, addresses, known }
    }

    fn is_at(&self, address: SocketAddr) -> bool {
        address == self.bind || self.addresses.contains(&address)
    }

    fn is_named(&self, host: &[u8], port: u16) -> bool {
        self.names.iter().any(|(name, at)| *at == port && name.as_bytes().eq_ignore_ascii_case(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interfaces() -> Interfaces {
        Interfaces {
            networks: vec![
                ("127.0.0.0/8".parse().unwrap(), "127.0.0.1".parse().unwrap()),
                ("172.18.0.0/16".parse().unwrap(), "172.18.0.5".parse().unwrap()),
            ],
            default_v4: Some("172.18.0.5".parse().unwrap()),
            default_v6: None,
        }
    }

    fn local(bind: &str, advertise: Option<(&str, u16)>) -> Local {
        let advertise = advertise.map(|(host, port)| Advertise { host: host.into(), port });
        let listener = Listener {
            name: "udp".into(),
            transport: Transport::Udp,
            bind: bind.parse().unwrap(),
            advertise,
            local: vec![],
        };
        Local::new(&[listener], &interfaces())
    }

    /// Telemetry tells peers and addresses as they are written and used.
    fn told_alike(local: &Local, peers: &[&str]) {
        for peer in peers.iter().map(|peer| peer.parse().unwrap()) {
            let told = local.directory().remove(0);
            assert_eq!(told.known_as(peer).to_string(), local.sent_by(ListenerId::new(0), peer));
            let own = if peer.is_loopback() { "127.0.0.1" } else { "172.18.0.5" };
            assert_eq!((told.address_towards(peer), told.port), (own, 5060));
        }
    }

    fn is_us(local: &Local, uri: &str) -> bool {
        local.is_us(&Uri::parse(uri.as_bytes()).unwrap())
    }

    #[test]
    fn an_unspecified_bind_writes_the_address_the_kernel_sends_from() {
        let local = local("0.0.0.0:5060", None);
        let sent_by = |remote: &str| local.sent_by(ListenerId::new(0), remote.parse().unwrap()).to_owned();
        assert_eq!(sent_by("127.0.0.9"), "127.0.0.1:5060");
        assert_eq!(sent_by("172.18.3.3"), "172.18.0.5:5060");
        assert_eq!(sent_by("203.0.113.1"), "172.18.0.5:5060");
        assert!(is_us(&local, "sip:172.18.0.5"));
        told_alike(&local, &["127.0.0.9", "172.18.3.3", "203.0.113.1"]);
        assert!(!is_us(&local, "sip:172.18.0.6"));
        assert!(!is_us(&local, "sip:172.18.0.5:5061"));
    }

    #[test]
    fn an_advertised_name_is_written_towards_the_outside_only() {
        let local = local("0.0.0.0:5060", Some(("sip.example.net", 5070)));
        let sent_by = |remote: &str| local.sent_by(ListenerId::new(0), remote.parse().unwrap()).to_owned();
        assert_eq!(sent_by("172.18.3.3"), "172.18.0.5:5060");
        assert_eq!(sent_by("203.0.113.1"), "sip.example.net:5070");
        told_alike(&local, &["172.18.3.3", "203.0.113.1"]);
        assert!(is_us(&local, "sip:SIP.example.net:5070;lr"));
        assert!(is_us(&local, "sip:172.18.0.5:5060;lr"));
    }
}
