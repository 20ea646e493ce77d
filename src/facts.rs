//! The words of the domain: ids and small closed types that every layer shares.
//!
//! Owns no behaviour beyond naming and parsing itself; never imports another layer.

pub mod clock;
pub mod directory;
pub mod event;
pub mod evidence;
pub mod hex;
pub mod lookup;
pub mod names;
pub mod outbox;
pub mod record;
pub mod remembered;
pub mod secret;
pub mod snapshot;
pub mod trace;

use std::net::SocketAddr;

/// Identifies a set of destinations for as long as anything may be held of it; an index into
/// [`names::Names`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetId(u16);

/// Identifies a destination, that is a pair (set, id), across reloads and for as long as anything may be
/// held of it; an index into [`names::Names`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target(u32);

/// Identifies a configured listener by its position in `listen`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(u8);

/// Identifies a stream connection for the life of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// Identifies a data-plane worker by its position, 0 being the one that owns probes and states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub u8);

macro_rules! index_id {
    ($name:ident, $inner:ty) => {
        impl $name {
            /// Makes the id of the given position.
            pub const fn new(index: $inner) -> Self {
                Self(index)
            }
            /// Returns the position that this id stands for.
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}
index_id!(SetId, u16);
index_id!(Target, u32);
index_id!(ListenerId, u8);

/// Declares a closed enum whose variants have one fixed word each, as used in YAML, labels and JSON.
#[macro_export]
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident => $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vmeta])* $variant),+ }
        impl $name {
            /// Every variant, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The fixed word of the variant.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
            /// Finds the variant with this word.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.as_str())
            }
        }
    };
}

words! {
    /// How a message travels. TLS and WebSocket are not supported in this version.
    Transport {
        /// RFC 3261 §18, datagrams.
        Udp => "udp",
        /// RFC 3261 §18.3, framed by Content-Length.
        Tcp => "tcp",
    }
}

impl Transport {
    /// Returns whether the transport retransmits by itself, so that timers A, E and G are off
    /// (RFC 3261 §17.1.1.2).
    pub const fn is_reliable(self) -> bool {
        match self {
            Self::Udp => false,
            Self::Tcp => true,
        }
    }
    /// The token of the Via header field (RFC 3261 §20.42).
    pub const fn via_token(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }
}

words! {
    /// A SIP method, closed to the IANA list; every other token is [`Method::Other`].
    Method {
        /// RFC 3261 §13.
        Invite => "INVITE",
        /// RFC 3261 §13.
        Ack => "ACK",
        /// RFC 3261 §15.
        Bye => "BYE",
        /// RFC 3261 §9.
        Cancel => "CANCEL",
        /// RFC 3261 §11.
        Options => "OPTIONS",
        /// RFC 3261 §10.
        Register => "REGISTER",
        /// RFC 3262.
        Prack => "PRACK",
        /// RFC 3311.
        Update => "UPDATE",
        /// RFC 6086.
        Info => "INFO",
        /// RFC 3428.
        Message => "MESSAGE",
        /// RFC 3515.
        Refer => "REFER",
        /// RFC 6665.
        Notify => "NOTIFY",
        /// RFC 6665.
        Subscribe => "SUBSCRIBE",
        /// RFC 3903.
        Publish => "PUBLISH",
        /// A token outside the IANA list; forwarded as it stands, never a label of its own.
        Other => "OTHER",
    }
}

impl Method {
    /// Reads a method token; methods are case-sensitive (RFC 3261 §7.1).
    pub fn from_token(token: &[u8]) -> Self {
        match token {
            b"INVITE" => Self::Invite,
            b"ACK" => Self::Ack,
            b"BYE" => Self::Bye,
            b"CANCEL" => Self::Cancel,
            b"OPTIONS" => Self::Options,
            b"REGISTER" => Self::Register,
            b"PRACK" => Self::Prack,
            b"UPDATE" => Self::Update,
            b"INFO" => Self::Info,
            b"MESSAGE" => Self::Message,
            b"REFER" => Self::Refer,
            b"NOTIFY" => Self::Notify,
            b"SUBSCRIBE" => Self::Subscribe,
            b"PUBLISH" => Self::Publish,
            _ => Self::Other,
        }
    }
    /// Returns whether a 2xx to this method opens a dialog (RFC 3261 §12, RFC 6665, RFC 3515).
    pub const fn forms_dialog(self) -> bool {
        matches!(self, Self::Invite | Self::Subscribe | Self::Refer)
    }
}

/// Where a message came from or goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hop {
    /// How it travels.
    pub transport: Transport,
    /// The listener whose socket receives or sends it.
    pub listener: ListenerId,
    /// The peer's address.
    pub remote: SocketAddr,
    /// The connection; for a message to send, `None` opens or reuses one to `remote`.
    pub connection: Option<ConnectionChoice>,
}

/// The stream connection that a message came on, or is to leave on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionChoice {
    /// This one; if it is gone, one to the same address (RFC 3261 §18.2.2).
    Preferred(ConnectionId),
    /// This one or none: a flow (RFC 5626 §5.3).
    Only(ConnectionId),
}

impl ConnectionChoice {
    /// The connection chosen.
    pub const fn id(self) -> ConnectionId {
        match self {
            Self::Preferred(id) | Self::Only(id) => id,
        }
    }
}

words! {
    /// The class of a status code.
    StatusClass {
        /// 100–199.
        Provisional => "1xx",
        /// 200–299.
        Success => "2xx",
        /// 300–399.
        Redirection => "3xx",
        /// 400–499.
        ClientError => "4xx",
        /// 500–599.
        ServerError => "5xx",
        /// 600–699.
        GlobalFailure => "6xx",
    }
}

impl StatusClass {
    /// The class of a code; codes below 200 count as provisional, those above 599 as 6xx.
    pub const fn of(code: u16) -> Self {
        match code {
            0..=199 => Self::Provisional,
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400..=499 => Self::ClientError,
            500..=599 => Self::ServerError,
            _ => Self::GlobalFailure,
        }
    }
}

words! {
    /// How a set chooses among the usable members of a tier.
    Algorithm {
        /// In turn.
        RoundRobin => "round_robin",
        /// In turn by weight, smoothly interleaved.
        WeightedRoundRobin => "weighted_round_robin",
        /// Weighted rendezvous hash of a key of the request.
        Hash => "hash",
        /// At random, by weight.
        Random => "random",
        /// The less loaded of two at random.
        TwoChoices => "two_choices",
        /// In file order: the first usable one.
        Priority => "priority",
        /// The one with the fewest calls for its weight.
        LeastCalls => "least_calls",
        /// At random by weight, less to those that are slow to respond.
        Latency => "latency",
    }
}

words! {
    /// What becomes of a new request when no destination of a set, nor of its fallbacks, is usable.
    WhenAllDown {
        /// It is refused with 503.
        Reject => "reject",
        /// It is tried at enabled destinations although they seem to be down.
        TryAnyway => "try_anyway",
    }
}

words! {
    /// The derived state of a destination: the first word that applies.
    State {
        /// Taken out of service by an administrator.
        Disabled => "disabled",
        /// Keeps its dialogs, gets no new ones.
        Draining => "draining",
        /// Its probes fail.
        Down => "down",
        /// Set aside on evidence of real traffic.
        Ejected => "ejected",
        /// Asked for a pause with Retry-After.
        Throttled => "throttled",
        /// Some probes failed, fewer than the threshold.
        Failing => "failing",
        /// Its last probe succeeded.
        Up => "up",
        /// Not probed yet.
        Unknown => "unknown",
    }
}

impl State {
    /// The two letters that Kamailio's `dispatcher.list` would show.
    pub const fn kamailio(self, probed: bool) -> &'static str {
        match (self, probed) {
            (Self::Up, true) => "AP",
            (Self::Up | Self::Unknown, _) => "AX",
            (Self::Failing, true) => "TP",
            (Self::Failing, false) => "TX",
            (Self::Down | Self::Ejected | Self::Throttled, true) => "IP",
            (Self::Down | Self::Ejected | Self::Throttled, false) => "IX",
            (Self::Draining | Self::Disabled, true) => "DP",
            (Self::Draining | Self::Disabled, false) => "DX",
        }
    }
}

words! {
    /// What the administrator wants of a destination.
    Admin {
        /// In service.
        Enabled => "enabled",
        /// No new dialogs; running ones are served.
        Draining => "draining",
        /// Out of service; still probed.
        Disabled => "disabled",
    }
}
