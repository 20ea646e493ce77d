//! Answers of our own: what a refusal says on the wire.

use crate::facts::SetId;
use crate::facts::event::Refusal;
use crate::facts::secret::Secret;
use crate::sip::{Message, Reply, Stamp, reply};
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Duration;

/// A refusal: its status code, the reason counted, and the words of the Warning.
#[derive(Debug, Clone, Copy)]
pub struct Rejection {
    /// The status code.
    pub code: u16,
    /// The reason, as counted.
    pub reason: Refusal,
    /// The set it is about, if any.
    pub set: Option<SetId>,
    /// What the Warning says; never text from the wire, never a quote or a backslash.
    pub text: &'static str,
    /// One further header field, and that of the request whose values it repeats.
    pub echo: Option<(&'static str, &'static str)>,
    /// The value of Retry-After, for 503.
    pub retry_after: Option<Duration>,
}

impl Rejection {
    /// A refusal that concerns no set.
    pub const fn new(code: u16, reason: Refusal, text: &'static str) -> Self {
        Self { code, reason, set: None, text, echo: None, retry_after: None }
    }

    /// Adds a header field with the values of one of the request.
    pub const fn echoing(self, name: &'static str, of: &'static str) -> Self {
        Self { echo: Some((name, of)), ..self }
    }

    /// Names the set that it is about.
    pub const fn of_set(self, set: SetId) -> Self {
        Self { set: Some(set), ..self }
    }

    /// Asks the sender to come back later.
    pub const fn retry_after(self, delay: Duration) -> Self {
        Self { retry_after: Some(delay), ..self }
    }
}

/// Writes answers of our own.
#[derive(Debug)]
pub struct Replies {
    tags: Secret,
    server: Arc<str>,
}

impl Replies {
    /// Answers whose To tags depend on the secret and the request alone, so that a repeated answer
    /// is the same.
    pub fn new(secret: &Secret, server: &Arc<str>) -> Self {
        Self { tags: secret.derive("tags"), server: Arc::clone(server) }
    }

    /// Appends a response to a request.
    pub fn write(
        &self,
        request: Message<'_>,
        code: u16,
        stamp: Stamp,
        headers: &[(&str, &[u8])],
        out: &mut Vec<u8>,
    ) {
        if code == 100 {
            // A 100 opens no dialog and gets no tag (RFC 3261 §8.2.6.2).
            return reply(request, &Reply { code, reason: None, to_tag: None, headers, stamp }, out);
        }
        let branch = request.top_via().branch.unwrap_or_default();
        let tag = self.tags.mac(&[request.call_id(), request.from_tag().unwrap_or_default(), branch]);
        let tag = format!("sw-{:016x}", tag >> 64);
        let mut all: SmallVec<[(&str, &[u8]); 5]> = SmallVec::new();
        all.push(("Server", self.server.as_bytes()));
        all.extend_from_slice(headers);
        reply(
            request,
            &Reply { code, reason: None, to_tag: Some(tag.as_bytes()), headers: &all, stamp },
            out,
        );
    }

    /// Appends a refusal.
    pub fn write_rejection(
        &self,
        request: Message<'_>,
        rejection: &Rejection,
        stamp: Stamp,
        out: &mut Vec<u8>,
    ) {
        let warning = warning(rejection.text);
        let delay = rejection.retry_after.map(delta_seconds);
        let mut headers: SmallVec<[(&str, &[u8]); 4]> = SmallVec::new();
        headers.push(("Warning", warning.as_bytes()));
        headers.extend(delay.as_deref().map(|delay| ("Retry-After", delay.as_bytes())));
        if let Some((name, of)) = rejection.echo {
            let values = request.headers(of).filter(|value| !value.is_empty());
            headers.extend(values.map(|value| (name, value)));
        }
        self.write(request, rejection.code, stamp, &headers, out);
    }
}

/// The value of Warning for a text (RFC 3261 §20.43, code 399: miscellaneous).
pub fn warning(text: &str) -> String {
    format!("399 sipwarden \"{text}\"")
}

/// A delay in whole seconds, rounded up, at least 1.
fn delta_seconds(delay: Duration) -> String {
    delay.as_millis().div_ceil(1000).max(1).to_string()
}
