//! What the core can be told: listeners as the wire sees them, routes, sets, limits.

use super::traces::Tracing;
use crate::dispatch::SetSettings;
use crate::facts::directory::Advertise;
use crate::facts::{ListenerId, Method, Transport};
use crate::{probe, transaction};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Everything the core needs from the configuration, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The listeners, by [`ListenerId`].
    pub listeners: Vec<Listener>,
    /// The sets.
    pub sets: Vec<Set>,
    /// The routes, first match wins; empty with exactly one set means that set for everything.
    pub routes: Vec<Route>,
    /// Transaction timers.
    pub timers: transaction::Settings,
    /// Timer C (RFC 3261 §16.6 step 11). Default 185 s, above 180 s.
    pub timer_c: Duration,
    /// Largest request sent over UDP to a hop that is no destination; above, TCP is tried first (RFC
    /// 3261 §18.1.1). Default 1,300.
    pub mtu: usize,
    /// Whether Record-Route is added to requests that may open a dialog. Default true.
    pub record_route: bool,
    /// Whether REGISTERs of phones get a Path that leads back the way they came. Default false.
    pub path: bool,
    /// When an OPTIONS to ourselves is answered 503. Default auto.
    pub options_reply: OptionsReply,
    /// Value of User-Agent and Server in messages of our own. Default `sipwarden`.
    pub user_agent: Arc<str>,
    /// Transactions not finished, at most; above, new requests get 503. Default 100,000.
    pub max_transactions: u32,
    /// Age at which a dialog without BYE is forgotten. Default 12 h.
    pub max_call_age: Duration,
    /// Whether a name that stands for several addresses is a destination for each of them. Default
    /// true.
    pub expand: bool,
    /// How traces are joined, and what of a caller they tell.
    pub tracing: Tracing,
    /// First 48 bits of the SHA-256 of the effective configuration.
    pub hash: u64,
}

crate::words! {
    /// When an OPTIONS to ourselves is answered 503 and not 200.
    OptionsReply {
        /// While shutting down, and while no destination of any set is usable.
        Auto => "auto",
        /// While shutting down.
        DrainOnly => "drain_only",
        /// Never.
        Always200 => "always_200",
    }
}

/// One set, and how each of its destinations is probed.
#[derive(Debug, Clone, PartialEq)]
pub struct Set {
    /// Selection, state and failover.
    pub dispatch: SetSettings,
    /// Probing, by position in `dispatch.destinations`; same length.
    pub probes: Vec<probe::Settings>,
}

impl Set {
    /// The worst-case time from the death of any one destination to its state `down`; `None` if
    /// none is probed.
    pub fn detection(&self) -> Option<Duration> {
        let pairs = self.dispatch.destinations.iter().zip(&self.probes);
        pairs.filter_map(|(d, probe)| Some(probe.detection(d.thresholds?.down_after))).max()
    }
}

/// One listener as the wire sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its name, for labels: configured, else the bind URI.
    pub name: Arc<str>,
    /// How messages travel.
    pub transport: Transport,
    /// The bound address; the runtime puts in the port actually bound.
    pub bind: SocketAddr,
    /// The host and port written into messages towards addresses outside `local`; `None` writes
    /// the local address everywhere.
    pub advertise: Option<Advertise>,
    /// Networks that are addressed from the local address even with `advertise`; empty means the
    /// directly connected ones.
    pub local: Vec<ipnet::IpNet>,
}

/// The addresses of this host: who the kernel would send as. Read once at start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// Each directly connected network with our address in it, most specific first.
    pub networks: Vec<(ipnet::IpNet, IpAddr)>,
    /// The source address towards everything else, for IPv4.
    pub default_v4: Option<IpAddr>,
    /// The same for IPv6.
    pub default_v6: Option<IpAddr>,
}

/// One route. A condition that is `None` or empty matches everything.
#[derive(Debug, Clone)]
pub struct Route {
    /// Methods, by token.
    pub methods: Vec<MethodName>,
    /// User part of the Request-URI.
    pub ruri_user: Option<regex::bytes::Regex>,
    /// Host part of the Request-URI, compared without case.
    pub ruri_host: Option<Arc<str>>,
    /// Source networks.
    pub source: Vec<ipnet::IpNet>,
    /// The set that the request comes from. A route without it never returns a request to the set
    /// it comes from.
    pub from_set: Option<Arc<str>>,
    /// The listener it came in on.
    pub listener: Option<ListenerId>,
    /// The set to dispatch to.
    pub set: Arc<str>,
}

/// A method named in a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodName {
    /// The method, [`Method::Other`] for a token outside the IANA list.
    pub method: Method,
    /// Its token.
    pub token: Arc<str>,
}
