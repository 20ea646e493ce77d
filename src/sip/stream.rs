//! Cuts a byte stream into messages by Content-Length (RFC 3261 §18.3).
//!
//! Pure: bytes in, frames out, however the stream was split. A stream that two readers could cut
//! in two ways is an error and is closed; nothing behind the error is read.

use super::parse::{Name, limits};
use super::scan::{at, line_end, number, trimmed};
use crate::facts::event::ParseReason;
use memchr::memchr;

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
    /// What there is of the message: given to [`super::parse`] it is refused too, with an answer if
    /// it allows one.
    pub head: &'a [u8],
}

/// Cuts a byte stream into messages.
#[derive(Debug)]
pub struct Framer {
    buffer: Vec<u8>,
    /// Bytes of the buffer that were given as frames.
    taken: usize,
    /// The start of the line to be read next, behind `taken`.
    line: usize,
    /// How the lines of the message under way end.
    bare: Option<bool>,
    /// Content-Length of the message under way, its value as last read.
    length: Option<usize>,
    /// End of the message under way, once its head is complete.
    end: Option<usize>,
    max_message: usize,
    failed: Option<ParseReason>,
}

impl Framer {
    /// A framer for messages of at most `max_message` bytes.
    pub fn new(max_message: usize) -> Self {
        Self {
            buffer: Vec::new(),
            taken: 0,
            line: 0,
            bare: None,
            length: None,
            end: None,
            max_message,
            failed: None,
        }
    }

    /// The buffer that received bytes are appended to; frames given before are gone from it.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        if self.taken > 0 {
            self.buffer.drain(..self.taken);
            self.line -= self.taken;
            self.end = self.end.map(|end| end - self.taken);
            self.taken = 0;
        }
        &mut self.buffer
    }

    /// Appends received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer().extend_from_slice(bytes);
    }

    /// Whether a message has begun but not ended.
    pub fn is_partial(&self) -> bool {
        self.buffer.len() > self.taken
    }

    /// The next frame, or `None` if more bytes are needed. After an error every call gives it again.
    #[expect(clippy::should_implement_trait, reason = "a frame borrows from the framer")]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, FrameError<'_>> {
        match self.advance() {
            Ok(Advance::More) => Ok(None),
            Ok(Advance::Ping) => Ok(Some(Frame::Ping)),
            Ok(Advance::Message { start, end }) => {
                Ok(Some(Frame::Message(self.buffer.get(start..end).unwrap_or_default())))
            }
            Err(reason) => {
                self.failed = Some(reason);
                let head = self.buffer.get(self.taken..).unwrap_or_default();
                Err(FrameError { reason, head: head.get(..limits::HEAD).unwrap_or(head) })
            }
        }
    }

    fn advance(&mut self) -> Result<Advance, ParseReason> {
        if let Some(reason) = self.failed {
            return Err(reason);
        }
        if self.line == self.taken
            && self.end.is_none()
            && let Some(advance) = self.skip_line_ends()
        {
            return Ok(advance);
        }
        if self.end.is_none() && !self.read_head()? {
            return Ok(Advance::More);
        }
        match self.end {
            Some(end) if end <= self.buffer.len() => {
                let start = self.taken;
                (self.taken, self.line) = (end, end);
                (self.bare, self.length, self.end) = (None, None, None);
                Ok(Advance::Message { start, end })
            }
            Some(_) | None => Ok(Advance::More),
        }
    }

    /// Between messages: a lone line end is skipped (RFC 3261 §7.5), two are a ping.
    fn skip_line_ends(&mut self) -> Option<Advance> {
        loop {
            let rest = self.buffer.get(self.taken..).unwrap_or_default();
            let skipped = match rest {
                [b'\r', b'\n', b'\r', b'\n', ..] => 4,
                [] | [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => return Some(Advance::More),
                [b'\r', b'\n', ..] => 2,
                _ => return None,
            };
            self.taken += skipped;
            self.line = self.taken;
            if skipped == 4 {
                return Some(Advance::Ping);
            }
        }
    }

    /// Reads lines up to the empty one; `false` if more bytes are needed.
    fn read_head(&mut self) -> Result<bool, ParseReason> {
        loop {
            let mut dirty = false;
            let found = line_end(&self.buffer, self.line, self.bare, &mut dirty);
            if dirty {
                return Err(ParseReason::Encoding);
            }
            let head = found.map_or(self.buffer.len(), |end| end.next) - self.taken;
            if head > limits::HEAD.min(self.max_message) {
                return Err(ParseReason::TooLarge);
            }
            let Some(end) = found else { return self.check_open_line() };
            if end.at == self.line {
                let length = self.length.ok_or(ParseReason::ContentLength)?;
                let whole = length.saturating_add(head);
                if whole > self.max_message {
                    return Err(ParseReason::TooLarge);
                }
                self.end = Some(self.taken + whole);
                return Ok(true);
            }
            // A fold belongs to its line, so the line cannot be read before the next byte is there.
            if self.bare.is_some() {
                match self.unfolded_end(end.next) {
                    None => return Ok(false),
                    Some(Err(reason)) => return Err(reason),
                    Some(Ok(next)) => {
                        self.read_header(self.line, next)?;
                        self.line = next;
                    }
                }
            } else {
                self.check_start_line(self.line, end.at)?;
                self.bare = Some(end.bare);
                self.line = end.next;
            }
        }
    }

    /// The end of the line and its folds; the line goes on at `next` if that is white space.
    fn unfolded_end(&self, next: usize) -> Option<Result<usize, ParseReason>> {
        let mut next = next;
        loop {
            if !matches!(self.buffer.get(next)?, b' ' | b'\t') {
                return Some(Ok(next));
            }
            let mut dirty = false;
            let end = line_end(&self.buffer, next, self.bare, &mut dirty);
            if dirty {
                return Some(Err(ParseReason::Encoding));
            }
            next = end?.next;
        }
    }

    /// Tells early that this is not SIP, instead of buffering it to the limit.
    fn check_start_line(&self, start: usize, end: usize) -> Result<(), ParseReason> {
        let line = self.buffer.get(start..end).unwrap_or_default();
        let is_sip = line.windows(4).any(|word| word.eq_ignore_ascii_case(b"SIP/"));
        if is_sip { Ok(()) } else { Err(ParseReason::StartLine) }
    }

    /// A first byte that begins no start line ends the wait.
    fn check_open_line(&self) -> Result<bool, ParseReason> {
        let is_first = self.bare.is_none();
        let first = at(&self.buffer, self.taken);
        if is_first && !super::scan::is_token(first) { Err(ParseReason::StartLine) } else { Ok(false) }
    }

    fn read_header(&mut self, start: usize, end: usize) -> Result<(), ParseReason> {
        let line = self.buffer.get(start..end).unwrap_or_default();
        let colon = memchr(b':', line).ok_or(ParseReason::Header)?;
        if Name::of(line.get(..colon).unwrap_or_default().trim_ascii_end()) != Name::ContentLength {
            return Ok(());
        }
        let value = number(trimmed(line, colon + 1, line.len()).get(line), u32::MAX);
        let value = value.map(|value| value as usize).ok_or(ParseReason::ContentLength)?;
        match self.length.replace(value) {
            Some(earlier) if earlier != value => Err(ParseReason::ContentLength),
            Some(_) | None => Ok(()),
        }
    }
}

enum Advance {
    More,
    Ping,
    Message { start: usize, end: usize },
}

#[cfg(test)]
#[path = "stream/tests.rs"]
mod tests;
