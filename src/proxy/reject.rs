//! Answers of our own: what a refusal says on the wire.

use crate::facts::SetId;
use crate::facts::event::{Cause, Refusal};
use crate::facts::secret::Secret;
use crate::sip::{Message, Reply, Stamp, reply};
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Duration;

/// An answer of our own that says why it comes.
#[derive(Debug, Clone, Copy)]
pub struct Explained {
    /// The status code.
    pub code: u16,
    /// What the Warning says; never text from the wire, never a quote or a backslash.
    pub text: &'static str,
    /// One further header field, and that of the request whose values it repeats.
    pub echo: Option<(&'static str, &'static str)>,
    /// The value of Retry-After, for 500 and 503.
    pub retry_after: Option<Duration>,
}

impl Explained {
    /// What goes up when every attempt at the destinations of a set failed, the last for this cause.
    pub fn all_failed(code: u16, cause: Cause, retry_after: Duration) -> Self {
        let text = match cause {
            Cause::Code408 => "every attempt failed, the last with 408",
            Cause::Code500 => "every attempt failed, the last with 500",
            Cause::Code502 => "every attempt failed, the last with 502",
            Cause::Code503 => "every attempt failed, the last with 503",
            Cause::Code504 => "every attempt failed, the last with 504",
            Cause::OtherCode => "every attempt failed, the last with another code",
            Cause::Timeout => "every attempt failed, the last without a response",
            Cause::TransportError => "every attempt failed, the last with a transport error",
        };
        // RFC 3261 §21.5.1 and §21.5.4.
        let retry_after = matches!(code, 500 | 503).then_some(retry_after);
        Self { code, text, echo: None, retry_after }
    }
}

/// A refusal: what goes up, and the reason counted.
#[derive(Debug, Clone, Copy)]
pub struct Rejection {
    /// What goes up.
    pub answer: Explained,
    /// The reason, as counted.
    pub reason: Refusal,
    /// The set it is about, if any.
    pub set: Option<SetId>,
}

impl Rejection {
    /// A refusal that concerns no set.
    pub const fn new(code: u16, reason: Refusal, text: &'static str) -> Self {
        let answer = Explained { code, text, echo: None, retry_after: None };
        Self { answer, reason, set: None }
    }

    /// Adds a header field with the values of one of the request.
    pub const fn echoing(self, name: &'static str, of: &'static str) -> Self {
        Self { answer: Explained { echo: Some((name, of)), ..self.answer }, ..self }
    }

    /// Names the set that it is about.
    pub const fn of_set(self, set: SetId) -> Self {
        Self { set: Some(set), ..self }
    }

    /// Asks the sender to come back later.
    pub const fn retry_after(self, delay: Duration) -> Self {
        Self { answer: Explained { retry_after: Some(delay), ..self.answer }, ..self }
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

    /// Appends a response that says why it comes.
    pub fn write_explained(&self, request: Message<'_>, answer: &Explained, stamp: Stamp, out: &mut Vec<u8>) {
        let warning = warning(answer.text);
        let delay = answer.retry_after.map(delta_seconds);
        let mut headers: SmallVec<[(&str, &[u8]); 4]> = SmallVec::new();
        headers.push(("Warning", warning.as_bytes()));
        headers.extend(delay.as_deref().map(|delay| ("Retry-After", delay.as_bytes())));
        if let Some((name, of)) = answer.echo {
            let values = request.headers(of).filter(|value| !value.is_empty());
            headers.extend(values.map(|value| (name, value)));
        }
        self.write(request, answer.code, stamp, &headers, out);
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
