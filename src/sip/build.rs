//! x
use super::{Message, Stamp};
/// A response of our own.
#[derive(Debug, Clone, Copy)]
pub struct Reply<'a> {
    /// The status code.
    pub code: u16,
    /// The reason phrase; `None` for the standard one.
    pub reason: Option<&'a str>,
    /// The tag added to To if it has none.
    pub to_tag: Option<&'a [u8]>,
    /// Further header lines.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// What is added to the topmost Via.
    pub stamp: Stamp,
}
/// Appends a response to a request, which may be a [`super::partial`] view, to `out`.
pub fn reply(request: Message<'_>, reply: &Reply<'_>, out: &mut Vec<u8>) {
    let _ = (request, reply, out);
}
/// Appends the CANCEL of an INVITE as we sent it (RFC 3261 §9.1) to `out`; `reason` is the value of
/// the Reason header passed on (RFC 3326), an empty `user_agent` adds none.
pub fn cancel(sent: Message<'_>, reason: Option<&[u8]>, user_agent: &str, out: &mut Vec<u8>) {
    let _ = (sent, reason, user_agent, out);
}
/// Appends the ACK for a final response other than 2xx to an INVITE as we sent it (RFC 3261
/// §17.1.1.3) to `out`.
pub fn ack(sent: Message<'_>, response: Message<'_>, out: &mut Vec<u8>) {
    let _ = (sent, response, out);
}
/// The standard phrase of a status code.
pub fn reason_phrase(code: u16) -> &'static str {
    let _ = code;
    ""
}
