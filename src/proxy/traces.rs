//! Trace contexts: which trace a request belongs to, and what its copies say of it.
//!
//! A trusted peer may make us part of its trace, by a header or by the Session-ID of a call; what
//! anybody else says is not believed: who chooses ids chooses which traces are kept, and puts spans into
//! those of others. Writes nothing of its own: the copy is edited like everything else (`copy`).

use super::engine::Engine;
use super::plan::Plan;
use super::request::Arrival;
use crate::facts::record::{SessionId, Uris, WireText};
use crate::facts::secret::Secret;
use crate::facts::trace::{SpanRef, TraceParent, is_in_share};
use crate::sip::{Message, Uri, uri_authority, uri_user};
use ipnet::IpNet;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::net::IpAddr;

/// How traces are joined, and what of a caller they tell.
#[derive(Debug, Clone)]
pub struct Tracing {
    /// Where trace ids come from. Default random.
    pub ids: TraceIds,
    /// What is done with `Traceparent`. Default off.
    pub propagation: Propagation,
    /// Whose `Traceparent` and `Session-ID` are believed.
    pub trusted_peers: Vec<IpNet>,
    /// What spans tell of From, To and Request-URI. Default off.
    pub capture_uris: CaptureUris,
    /// The share of traces that a `Traceparent` of ours calls sampled.
    pub ratio: f64,
}

/// Where trace ids come from.
#[derive(Debug, Clone)]
pub enum TraceIds {
    /// Chance.
    Random,
    /// The Session-ID (RFC 7989) of a trusted peer: the UUID of the sender; else chance.
    SessionId,
    /// The first 16 bytes of SHA-256 over a key and the Call-ID.
    CallId(TraceKey),
}

/// A hash that has taken in the key.
#[derive(Clone)]
pub struct TraceKey(Sha256);

impl TraceKey {
    /// Takes in the bytes of the key.
    pub fn new(key: &[u8]) -> Self {
        Self(Sha256::new_with_prefix(key))
    }

    /// The trace of a Call-ID.
    pub fn trace_of(&self, call_id: &[u8]) -> u128 {
        let hash = self.0.clone().chain_update(call_id).finalize();
        hash.first_chunk().map_or(1, |first| u128::from_be_bytes(*first))
    }
}

impl std::fmt::Debug for TraceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TraceKey(…)")
    }
}

crate::words! {
    /// Where trace ids come from, in words.
    TraceIdFrom {
        /// Chance.
        Random => "random",
        /// The Session-ID.
        SessionId => "session_id",
        /// A key and the Call-ID.
        CallId => "call_id",
    }
}

crate::words! {
    /// What is done with the header `Traceparent` of W3C Trace Context.
    Propagation {
        /// Nothing: it goes on as it came.
        Off => "off",
        /// Copies carry ours.
        Inject => "inject",
        /// That of a trusted peer is believed.
        Accept => "accept",
        /// Both.
        Both => "both",
    }
}

crate::words! {
    /// What spans tell of the URIs of From, To and the request line.
    CaptureUris {
        /// Nothing.
        Off => "off",
        /// A keyed hash, so that calls of one party can be found and the party cannot.
        Hashed => "hashed",
        /// The URI, without password, parameters and headers.
        Plain => "plain",
    }
}

impl Propagation {
    const fn accepts(self) -> bool {
        matches!(self, Self::Accept | Self::Both)
    }

    const fn injects(self) -> bool {
        matches!(self, Self::Inject | Self::Both)
    }
}

/// What the copies of a request say of its trace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Carried {
    /// What it said when it came.
    #[default]
    AsItCame,
    /// Nothing.
    Nothing,
    /// That the attempt that made them is the parent.
    Ours {
        /// The server span.
        server: SpanRef,
        /// Whether it is called sampled.
        is_sampled: bool,
        /// Whether `Tracestate` goes on.
        keeps_state: bool,
    },
}

/// Where a request stands among traces.
#[derive(Debug, Clone, Copy)]
pub struct Traced {
    /// Its server span.
    pub span: SpanRef,
    /// The parent of that, of a trusted peer.
    pub parent: Option<TraceParent>,
}

impl Tracing {
    fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted_peers.iter().any(|network| network.contains(&peer))
    }

    /// The parent that a request names, if it is to be believed.
    fn parent(&self, request: Message<'_>, from: IpAddr) -> Option<TraceParent> {
        if !self.propagation.accepts() || !self.trusts(from) {
            return None;
        }
        let mut values = request.headers("Traceparent");
        // Two of them are none (W3C Trace Context §3.2).
        let value = values.next().filter(|_| values.next().is_none())?;
        TraceParent::parse(value.trim_ascii())
    }

    /// What the copies of a request say, by its server span and the parent of that.
    pub fn carried(&self, traced: Traced, from: IpAddr) -> Carried {
        if self.propagation == Propagation::Off {
            return Carried::AsItCame;
        }
        let is_believed = self.propagation.accepts() && self.trusts(from);
        if self.propagation.injects() {
            let Traced { span: server, parent } = traced;
            let is_sampled =
                parent.is_some_and(|parent| parent.is_sampled) || is_in_share(server.trace(), self.ratio);
            Carried::Ours { server, is_sampled, keeps_state: is_believed && parent.is_some() }
        } else {
            self.carried_without_span(from)
        }
    }

    /// What goes on of a request that has no span, such as an ACK.
    pub fn carried_without_span(&self, from: IpAddr) -> Carried {
        let goes_on = match self.propagation {
            Propagation::Off => true,
            Propagation::Inject => false,
            Propagation::Accept | Propagation::Both => self.trusts(from),
        };
        if goes_on { Carried::AsItCame } else { Carried::Nothing }
    }
}

impl Engine {
    /// Where a request that has just come stands among traces.
    pub fn trace(&mut self, arrival: Arrival<'_>) -> Traced {
        let Arrival { request, from, .. } = arrival;
        let nonce = self.nonces.next_u128();
        let tracing = &self.plan.settings().tracing;
        let parent = tracing.parent(request, from.remote.ip());
        let span = match (parent, &tracing.ids) {
            (Some(parent), _) => SpanRef::within(parent.span.trace(), nonce),
            (None, TraceIds::Random) => SpanRef::root(nonce),
            (None, TraceIds::SessionId) => match self.trace_of_session(request, from.remote.ip()) {
                Some(trace) => SpanRef::within(trace, nonce),
                None => SpanRef::root(nonce),
            },
            (None, TraceIds::CallId(key)) => SpanRef::within(key.trace_of(request.call_id()), nonce),
        };
        Traced { span, parent }
    }

    /// The trace that a request belongs to by its Session-ID: that of its dialog, whose two UUIDs change
    /// places with the direction (RFC 7989 §5), else the sender's own.
    fn trace_of_session(&self, request: Message<'_>, from: IpAddr) -> Option<u128> {
        let mut values = request.headers("Session-ID");
        let value = values.next().filter(|_| values.next().is_none())?;
        let [local, remote] = SessionId::numbers(value.trim_ascii())?;
        let known = self.dialogs.key_of(request).and_then(|(_, invite)| Some(invite?.trace()));
        let known = known.filter(|trace| [local, remote].contains(trace));
        // All zeros stand for a party that has none.
        known.or_else(|| (local != 0 && self.plan.settings().tracing.trusts(from)).then_some(local))
    }
}

/// What is recorded of the URIs of a request.
pub fn captured_uris(plan: &Plan, secret: &Secret, request: Message<'_>) -> Option<Box<Uris>> {
    let capture = match plan.settings().tracing.capture_uris {
        CaptureUris::Off => return None,
        CaptureUris::Hashed => |uri: &[u8], secret: &Secret| hashed(&plain(uri), secret),
        CaptureUris::Plain => |uri: &[u8], _: &Secret| WireText::new(&plain(uri)),
    };
    Some(Box::new(Uris {
        request: capture(request.request_uri(), secret),
        from: capture(request.from_uri(), secret),
        to: capture(request.to_uri(), secret),
    }))
}

/// `scheme:user@host:port` of a URI.
fn plain(uri: &[u8]) -> Vec<u8> {
    let scheme = Uri::parse(uri).map_or(&b""[..], |parsed| parsed.scheme);
    let (user, authority) = (uri_user(uri), uri_authority(uri));
    let at: &[u8] = if user.is_empty() || authority.is_empty() { b"" } else { b"@" };
    [scheme, if scheme.is_empty() { b"" } else { b":" }, user, at, authority].concat()
}

fn hashed(uri: &[u8], secret: &Secret) -> WireText {
    let mut text = String::with_capacity(32);
    // Writing to a string never fails.
    let _ = write!(text, "{:032x}", secret.mac(&[uri]));
    WireText::new(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_of_a_call_id_is_what_sha256sum_says() {
        // printf 'a key of 16 bytescall-1@example' | sha256sum | head -c 32
        let key = TraceKey::new(b"a key of 16 bytes");
        let expected: [u8; 32] = Sha256::digest(b"a key of 16 bytescall-1@example").into();
        assert_eq!(key.trace_of(b"call-1@example").to_be_bytes(), expected[..16]);
        assert_ne!(key.trace_of(b"call-2@example"), key.trace_of(b"call-1@example"));
        assert_eq!(format!("{key:?}"), "TraceKey(…)");
    }

    #[test]
    fn of_a_uri_password_parameters_and_headers_are_never_told() {
        let plain = |uri: &str| String::from_utf8(plain(uri.as_bytes())).unwrap();
        assert_eq!(plain("sip:alice:secret@example.net:5070;x=1?Subject=y"), "sip:alice@example.net:5070");
        assert_eq!(plain("sip:example.net"), "sip:example.net");
        assert_eq!(plain("tel:+49301234;phone-context=x"), "tel:+49301234");
        assert_eq!(plain("not a uri"), "");
        let secret = Secret::new([7; 16]);
        assert_eq!(hashed(b"sip:a@b", &secret), hashed(b"sip:a@b", &secret));
        assert_ne!(hashed(b"sip:a@b", &secret), hashed(b"sip:a@b", &Secret::new([8; 16])));
    }
}
