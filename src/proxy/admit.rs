//! Request validation (RFC 3261 §16.3): whether a proxy may pass a request on at all.
//!
//! Syntax has been checked by the wire layer; what is left needs the request as a whole.

use super::reject::Rejection;
use crate::facts::Method;
use crate::facts::event::Refusal;
use crate::facts::secret::Fingerprints;
use crate::sip::{Message, Uri, Via};
use crate::transaction::Branch;

/// The value of Max-Forwards added where there is none (RFC 3261 §16.6 step 3).
pub const MAX_FORWARDS: u8 = 70;

/// What later steps need of an admitted request.
#[derive(Debug, Clone, Copy)]
pub struct Admitted<'a> {
    /// The Request-URI.
    pub uri: Uri<'a>,
    /// Max-Forwards for the copy that goes on.
    pub max_forwards: u8,
    /// The hash that a loop would bring back, and a spiral would not.
    pub loop_hash: u64,
}

/// Checks a request other than ACK and CANCEL.
pub fn check<'a>(request: Message<'a>, loops: &Fingerprints) -> Result<Admitted<'a>, Rejection> {
    let admitted = read(request, loops)?;
    if request.max_forwards() == Some(0) {
        return Err(Rejection::new(483, Refusal::BadRequest, "Max-Forwards is 0"));
    }
    let has_hash = |via: Via<'_>| {
        via.branch.and_then(Branch::read).is_some_and(|branch| branch.loop_hash == admitted.loop_hash)
    };
    // Most requests have one Via only, which was read before.
    let is_loop =
        has_hash(request.top_via()) || request.via_count() > 1 && request.vias().skip(1).any(has_hash);
    if is_loop {
        return Err(Rejection::new(482, Refusal::Loop, "the request has been here unchanged"));
    }
    if request.headers("Proxy-Require").any(|tags| !tags.is_empty()) {
        let rejection =
            Rejection::new(420, Refusal::BadRequest, "no extension of Proxy-Require is supported");
        return Err(rejection.echoing("Unsupported", "Proxy-Require"));
    }
    Ok(admitted)
}

/// Reads what routing needs; the only check for ACK, which is never answered.
pub fn read<'a>(request: Message<'a>, loops: &Fingerprints) -> Result<Admitted<'a>, Rejection> {
    let Some(uri) = request.uri() else {
        return Err(Rejection::new(400, Refusal::BadRequest, "the Request-URI cannot be read"));
    };
    let is_dialable = uri.is_sip() && !uri.is_secure() || uri.scheme.eq_ignore_ascii_case(b"tel");
    if !is_dialable && request.method() != Method::Ack {
        return Err(Rejection::new(416, Refusal::BadRequest, "only sip: and tel: are supported"));
    }
    let max_forwards = request.max_forwards().map_or(MAX_FORWARDS, |hops| hops.saturating_sub(1));
    Ok(Admitted { uri, max_forwards, loop_hash: loop_hash(request, loops) })
}

/// The hash over what routing depends on (RFC 3261 §16.6 step 8, RFC 5393 §4.2): everything but
/// Via, which every round trip changes.
fn loop_hash(request: Message<'_>, loops: &Fingerprints) -> u64 {
    let cseq = request.cseq().to_be_bytes();
    let mut parts: smallvec::SmallVec<[&[u8]; 12]> = smallvec::smallvec![
        request.request_uri(),
        request.call_id(),
        request.from_tag().unwrap_or_default(),
        request.to_tag().unwrap_or_default(),
        request.method_token(),
        request.header("Proxy-Authorization").unwrap_or_default(),
        cseq.as_slice(),
    ];
    parts.extend(request.routes());
    loops.of(&parts)
}
