//! x
use super::Message;
use crate::facts::event::ParseReason;
/// Limits on what is accepted; what exceeds them is answered or dropped, never truncated.
pub mod limits {
    /// Header lines.
    pub const HEADERS: usize = 256;
    /// Via values.
    pub const VIAS: usize = 128;
    /// Route values.
    pub const ROUTES: usize = 70;
    /// Bytes from the start line to the empty line.
    pub const HEAD: usize = 65_536;
    /// Bytes of a Request-URI.
    pub const URI: usize = 1_024;
}
/// Where everything of one message lies; reused from message to message.
#[derive(Debug, Default)]
pub struct Index {}
/// Why a message cannot be accepted, and what to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed message: {reason}")]
pub struct ParseError {
    /// Why.
    pub reason: ParseReason,
    /// The code to answer a request with; `None` if nothing may or can be answered.
    pub reply: Option<u16>,
}
/// What marks the end of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// A datagram: the body ends at Content-Length, or without one with the datagram (RFC 3261 §18.3).
    Datagram,
    /// A frame of a stream: Content-Length is required.
    Stream,
}
/// Indexes a message. After an error the index holds what could be read, for [`partial`].
pub fn parse<'a>(bytes: &'a [u8], framing: Framing, index: &'a mut Index) -> Result<Message<'a>, ParseError> {
    let _ = framing;
    Ok(partial(bytes, index))
}
/// The view of a message that [`parse`] refused, for building the reply.
pub fn partial<'a>(bytes: &'a [u8], index: &'a Index) -> Message<'a> {
    Message { bytes, index }
}
