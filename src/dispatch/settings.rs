//! What a set of destinations can be told: the `sets` section of the configuration.

use crate::facts::lookup::Lookup;
use crate::facts::{Admin, Algorithm, ListenerId, Transport, WhenAllDown};
use crate::words;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// One set, checked: it has at least one destination and its ids are unique.
#[derive(Debug, Clone, PartialEq)]
pub struct SetSettings {
    /// The set's name.
    pub name: Arc<str>,
    /// How it chooses among the usable members of its best tier.
    pub algorithm: Algorithm,
    /// What `hash` is computed over; at least one part.
    pub hash_key: Vec<HashPart>,
    /// Whose way of hashing `hash` repeats; `None` for weighted rendezvous hashing. Default none.
    pub hash_compat: Option<HashCompat>,
    /// What registrations are spread by, whatever the algorithm. Default the URI of To.
    pub register_key: HashPart,
    /// Call-setup objective as a ratio, exported for the burn-rate alerts; default 0.999.
    pub objective: f64,
    /// Value of Retry-After in our own 503s; default 5 s, whole seconds on the wire.
    pub reject_retry_after: Duration,
    /// Further networks whose requests count as coming from this set.
    pub sources: Vec<ipnet::IpNet>,
    /// Its destinations, in file order.
    pub destinations: Vec<DestinationSettings>,
    /// How it gives up on one destination for the next.
    pub failover: FailoverSettings,
    /// What failing requests do to a destination.
    pub passive: PassiveSettings,
    /// What Retry-After of a destination does.
    pub retry_after: RetryAfterSettings,
    /// The set that follows when none of its own destinations can be chosen. Default none.
    pub fallback: Option<Arc<str>>,
    /// What becomes of a request when neither it nor its fallbacks have a usable destination. Default
    /// reject.
    pub when_all_down: WhenAllDown,
    /// Time over which a destination that has come back gets more and more of its share; zero for all
    /// of it at once. Default zero.
    pub slow_start: Duration,
}

/// One destination of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationSettings {
    /// Its id, unique in the set.
    pub id: Arc<str>,
    /// The configured id that it belongs to, with which it shares the administrator's wish: its own,
    /// unless a name stands for several addresses, each of which is a destination `ID@ADDRESS:PORT`.
    pub owner: Arc<str>,
    /// Its URI without user part, as shown in metrics and the API.
    pub uri: Arc<str>,
    /// Host and port to send to.
    pub endpoint: Endpoint,
    /// The name that its address is found by; `None` for a literal address.
    pub lookup: Option<Lookup>,
    /// How to send.
    pub transport: Transport,
    /// Relative share for weighted algorithms, 0 to 65,535; 0 gets no new requests, and counts as draining in its set. Default 1.
    pub weight: u32,
    /// Tier; lower is tried first (as SRV; Kamailio is the other way round). Default 0.
    pub priority: u32,
    /// Its place inside the tier, from SRV priorities; 0 is tried first. Default 0.
    pub rank: u32,
    /// The administrator's wish as configured. Default enabled.
    pub admin: Admin,
    /// The listener to send from; `None`: the first of that transport and address family.
    pub listener: Option<ListenerId>,
    /// Largest request sent over UDP, in bytes; above, TCP is tried first. `None`: the transport is
    /// fixed. Default 1,300 (RFC 3261 §18.1.1).
    pub mtu: Option<usize>,
    /// How many probe results in a row change its state; `None` if it is not probed, which fixes
    /// it at up.
    pub thresholds: Option<Thresholds>,
    /// Calls on it at a time, at most; `None` for no limit. Default none.
    pub max_calls: Option<u32>,
    /// New calls a second, at most; `None` for no limit. Default none.
    pub max_cps: Option<u32>,
}

/// How many probe results in a row change the state of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Failures in a row that make it down. Default 3, at least 1 (Kamailio `ds_probing_threshold`).
    pub down_after: u32,
    /// Successes in a row that make it up again. Default 1, at least 1 (`ds_inactive_threshold`).
    pub up_after: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { down_after: 3, up_after: 1 }
    }
}

/// Where a destination is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Its host.
    pub host: Host,
    /// Its port; of a name without one 5060, which SRV records may replace.
    pub port: u16,
}

/// An address, or a name that the resolver looks up off the call path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A literal address.
    Address(IpAddr),
    /// A host name, in lower case.
    Name(Arc<str>),
}

impl Host {
    /// Whether it has to be looked up.
    pub const fn is_name(&self) -> bool {
        matches!(self, Self::Name(_))
    }
}

/// What decides how a request is spread over a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The set's algorithm.
    Algorithm,
    /// A rendezvous hash of its `register_key`, whatever the algorithm and its `compat`: for what registrars and
    /// presence servers remember by user.
    Registration,
}

/// One part of the key that `hash` is computed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashPart {
    /// The Call-ID.
    CallId,
    /// The URI of From.
    From,
    /// The URI of To.
    To,
    /// The Request-URI.
    Ruri,
    /// The user part of the Request-URI, or the number of a `tel:` one.
    RuriUser,
    /// The user of the digest credentials, up to an `@` (Kamailio's algorithm 5).
    AuthUser,
    /// The source address, without port.
    SourceIp,
    /// The first value of a header field, by name.
    Header(Arc<str>),
}

impl HashPart {
    /// The word used in the configuration and in spans.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::CallId => "call_id",
            Self::From => "from",
            Self::To => "to",
            Self::Ruri => "ruri",
            Self::RuriUser => "ruri_user",
            Self::AuthUser => "auth_user",
            Self::SourceIp => "source_ip",
            Self::Header(_) => "header",
        }
    }
}

/// When requests that fail set a destination aside, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassiveSettings {
    /// Whether they do. Default true.
    pub enabled: bool,
    /// Failures in a row that eject. Default 5, at least 1.
    pub consecutive_failures: u32,
    /// The first ejection lasts so long, each further one twice as long. Default 30 s.
    pub base_ejection: Duration,
    /// No ejection lasts longer. Default 300 s, at least `base_ejection`.
    pub max_ejection: Duration,
    /// Share of the enabled members of the set that may be ejected at a time, rounded down, 0 to 100.
    /// Default 50.
    pub max_ejected_percent: u32,
}

impl Default for PassiveSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            consecutive_failures: 5,
            base_ejection: Duration::from_secs(30),
            max_ejection: Duration::from_secs(300),
            max_ejected_percent: 50,
        }
    }
}

/// What a Retry-After in a destination's 503 to an initial request does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryAfterSettings {
    /// Whether the destination gets no new requests for so long. Default true.
    pub honour: bool,
    /// For this long at most, whatever it says. Default 60 s.
    pub max: Duration,
}

impl Default for RetryAfterSettings {
    fn default() -> Self {
        Self { honour: true, max: Duration::from_secs(60) }
    }
}

words! {
    /// Another product whose hash places each request where it did.
    HashCompat {
        /// Kamailio's dispatcher: its function, its slots, and its rule that a neighbour takes over.
        Kamailio => "kamailio",
    }
}

/// When to give up on a destination and try the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailoverSettings {
    /// Give up on no response. Default true (`no_response`).
    pub on_no_response: bool,
    /// Give up on a transport error. Default true (`transport`).
    pub on_transport: bool,
    /// Final codes that make us give up, sorted. Default 408, 500, 502, 503, 504.
    pub on_codes: Vec<u16>,
    /// Time from the first transmission to any response, for INVITE. Default 2 s, below 64·T1.
    pub no_response_after: Duration,
    /// The same for REGISTER, SUBSCRIBE, OPTIONS and PUBLISH. Default 6 s, below 64·T1.
    pub no_response_after_non_invite: Duration,
    /// Time from 100 to 101–199 or a final response; `None` for no limit. Default none.
    pub no_progress_after: Option<Duration>,
    /// Destinations tried for one request at most, the first included. Default 3, at least 1.
    pub max_attempts: u32,
    /// No new attempt starts later than this after the request came. Default 20 s.
    pub total: Duration,
    /// Whether to give up on a destination that has sent a 101–199. Default true.
    pub after_18x: bool,
    /// The final code that goes up when every attempt failed, 400 to 699; `None` for the best of the
    /// responses (RFC 3261 §16.7). Default none.
    pub final_code: Option<u16>,
}

impl Default for FailoverSettings {
    fn default() -> Self {
        Self {
            on_no_response: true,
            on_transport: true,
            on_codes: vec![408, 500, 502, 503, 504],
            no_response_after: Duration::from_secs(2),
            no_response_after_non_invite: Duration::from_secs(6),
            no_progress_after: None,
            max_attempts: 3,
            total: Duration::from_secs(20),
            after_18x: true,
            final_code: None,
        }
    }
}
