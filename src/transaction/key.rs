//! Matching requests to server transactions: RFC 3261 §17.2.3, with the RFC 2543 fallback.

use super::branch::COOKIE;
use crate::facts::Method;
use crate::facts::secret::Secret;
use crate::sip::Message;

/// Names a server transaction: a keyed hash over what RFC 3261 §17.2.3 compares, so that a peer
/// can neither aim at another's transaction nor flood one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u128);

impl Key {
    /// The key of a request. An ACK has the key of its INVITE; a CANCEL has one of its own.
    pub fn of(request: Message<'_>, secret: &Secret) -> Self {
        Self::with_method(request, request.method(), request.method_token(), secret)
    }

    /// The key of the INVITE that a CANCEL is meant for (RFC 3261 §9.2).
    pub fn of_cancelled(cancel: Message<'_>, secret: &Secret) -> Self {
        Self::with_method(cancel, Method::Invite, b"INVITE", secret)
    }

    /// A key of any parts, for tests of what keeps keys.
    #[cfg(test)]
    pub(super) fn of_bytes(parts: &[&[u8]], secret: &Secret) -> Self {
        Self(secret.mac(parts))
    }

    fn with_method(request: Message<'_>, method: Method, token: &[u8], secret: &Secret) -> Self {
        let token = if method == Method::Ack { b"INVITE" } else { token };
        let via = request.top_via();
        let branch = via.branch.unwrap_or_default();
        // A branch that is only the cookie says nothing: RFC 4475 §3.2.1.
        if branch.len() > COOKIE.len() && branch.starts_with(COOKIE) {
            return Self(secret.mac(&[branch, via.sent_by(), token]));
        }
        // The To tag stays out: that of an ACK is the response's, that of its INVITE is absent.
        Self(secret.mac(&[
            b"RFC 2543",
            request.request_uri(),
            request.from_tag().unwrap_or_default(),
            request.call_id(),
            &request.cseq().to_be_bytes(),
            via.sent_by(),
            branch,
            token,
        ]))
    }
}
