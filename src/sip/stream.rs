//! x
use crate::facts::event::ParseReason;
/// What a stream holds next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// One whole message.
    Message(&'a [u8]),
    /// A keep-alive of two line ends (RFC 5626 §4.4.1), to be answered with one.
    Ping,
}
/// The stream cannot be framed any further and must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("broken stream: {reason}")]
pub struct FrameError<'a> {
    /// Why.
    pub reason: ParseReason,
    /// What there is of the message, which the core refuses and may answer; empty if there is no head.
    pub head: &'a [u8],
}
/// Cuts a byte stream into messages (RFC 3261 §18.3).
#[derive(Debug)]
pub struct Framer {
    buffer: Vec<u8>,
}
impl Framer {
    /// A framer for messages of at most `max_message` bytes.
    pub fn new(max_message: usize) -> Self {
        let _ = max_message;
        Self { buffer: Vec::new() }
    }
    /// The buffer that received bytes are appended to; frames already given are gone from it.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }
    /// Appends received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer().extend_from_slice(bytes);
    }
    /// The next frame, or `None` if more bytes are needed.
    #[expect(clippy::should_implement_trait, reason = "a frame borrows from the framer")]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, FrameError<'_>> {
        todo!()
    }
    /// Whether a message has begun but not ended.
    pub fn is_partial(&self) -> bool {
        todo!()
    }
}
