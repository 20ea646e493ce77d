//! Cuts a byte stream into messages by Content-Length (RFC 3261 §18.3).
//!
//! Pure: bytes in, frames out, however the stream was split. A stream that two readers could cut
//! in two ways is an error and is closed; nothing behind the error is read.

use super::parse::{Name, limits};
use super::scan::{Class, LineEnd, at, colon, is, line_end, number, trimmed};
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
    /// The start of the header line under way, its folds included.
    line: usize,
    /// Where reading goes on: the start of the last line of it, so that a head that comes byte by
    /// byte is not read again for each of them.
    cursor: usize,
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
            cursor: 0,
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
            self.cursor -= self.taken;
            self.end = self.end.map(|end| end - self.taken);
            self.taken = 0;
        }
        &mut self.buffer
    }

    /// Appends received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer().extend_from_slice(bytes);
    }

    /// Whether a message has begun but not ended; line ends alone begin none.
    pub fn is_partial(&self) -> bool {
        let rest = self.buffer.get(self.taken..).unwrap_or_default();
        rest.iter().any(|byte| !matches!(byte, b'\r' | b'\n'))
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
                (self.taken, self.line, self.cursor) = (end, end, end);
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
            (self.line, self.cursor) = (self.taken, self.taken);
            if skipped == 4 {
                return Some(Advance::Ping);
            }
        }
    }

    /// Reads lines up to the empty one; `false` if more bytes are needed.
    fn read_head(&mut self) -> Result<bool, ParseReason> {
        loop {
            if self.cursor > self.line {
                // Only the next byte tells whether the line goes on with a fold.
                match self.buffer.get(self.cursor) {
                    None => return Ok(false),
                    Some(b' ' | b'\t') => {}
                    Some(_) => {
                        self.read_header(self.line, self.cursor)?;
                        self.line = self.cursor;
                    }
                }
            }
            let mut dirty = false;
            let found = line_end(&self.buffer, self.cursor, self.bare, &mut dirty);
            if dirty {
                return Err(ParseReason::Encoding);
            }
            let head = found.map_or(self.buffer.len(), LineEnd::next) - self.taken;
            if head > limits::HEAD.min(self.max_message) {
                return Err(ParseReason::TooLarge);
            }
            let Some(end) = found else { return self.check_open_line() };
            if end.at() == self.line {
                self.end = Some(self.message_end(head)?);
                return Ok(true);
            }
            self.cursor = end.next();
            if self.bare.is_none() {
                self.check_start_line(self.line, end.at())?;
                self.bare = Some(end.is_bare());
                self.line = end.next();
            }
        }
    }

    fn message_end(&self, head: usize) -> Result<usize, ParseReason> {
        let length = self.length.ok_or(ParseReason::ContentLength)?;
        let whole = length.saturating_add(head);
        if whole > self.max_message { Err(ParseReason::TooLarge) } else { Ok(self.taken + whole) }
    }

    /// Tells early that this is not SIP, instead of buffering it to the limit.
    fn check_start_line(&self, start: usize, end: usize) -> Result<(), ParseReason> {
        let line = self.buffer.get(start..end).unwrap_or_default();
        let is_sip = line.windows(4).any(|word| word.eq_ignore_ascii_case(b"SIP/"));
        if is_sip && is(Class::Token, at(line, 0)) { Ok(()) } else { Err(ParseReason::StartLine) }
    }

    /// A first byte that begins no start line ends the wait.
    fn check_open_line(&self) -> Result<bool, ParseReason> {
        let is_first = self.bare.is_none();
        let first = at(&self.buffer, self.taken);
        if is_first && !is(Class::Token, first) { Err(ParseReason::StartLine) } else { Ok(false) }
    }

    fn read_header(&mut self, start: usize, end: usize) -> Result<(), ParseReason> {
        let line = self.buffer.get(start..end).unwrap_or_default();
        let colon = colon(line, 0).ok_or(ParseReason::Header)?;
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
mod tests {
    use super::*;
    use crate::sip::samples::{INVITE, OK, with};
    use crate::sip::{Framing, Index, parse};

    #[derive(Debug, PartialEq, Eq)]
    enum Seen {
        Message(Vec<u8>),
        Ping,
        Failed(ParseReason),
    }

    fn frames(bytes: &[u8], step: usize) -> Vec<Seen> {
        let mut framer = Framer::new(65_535);
        let mut seen = vec![];
        for piece in bytes.chunks(step) {
            framer.push(piece);
            loop {
                match framer.next() {
                    Ok(Some(Frame::Message(message))) => seen.push(Seen::Message(message.to_vec())),
                    Ok(Some(Frame::Ping)) => seen.push(Seen::Ping),
                    Ok(None) => break,
                    Err(error) => {
                        seen.push(Seen::Failed(error.reason));
                        return seen;
                    }
                }
            }
        }
        seen
    }

    #[test]
    fn cuts_pipelined_messages_however_they_are_split() {
        let folded = with(INVITE, "Content-Length: 5", "l :\r\n 5");
        let bytes = [b"\r\n".as_slice(), INVITE, OK, b"\r\n\r\n", &folded, b"\r\n", OK].concat();
        let expected = [
            Seen::Message(INVITE.to_vec()),
            Seen::Message(OK.to_vec()),
            Seen::Ping,
            Seen::Message(folded.clone()),
            Seen::Message(OK.to_vec()),
        ];
        for step in 1..=bytes.len() {
            assert_eq!(frames(&bytes, step), expected, "step {step}");
        }
    }

    #[test]
    fn a_body_is_never_read_as_a_message() {
        let length = format!("Content-Length: {}", 5 + INVITE.len());
        let outer = [with(INVITE, "Content-Length: 5", &length), INVITE.to_vec()].concat();
        assert_eq!(frames(&outer, 11), [Seen::Message(outer.clone())]);
    }

    #[test]
    fn closes_streams_that_cannot_be_framed() {
        let failed = |from: &str, to: &str, reason| {
            for step in [1, 7, 10_000] {
                assert_eq!(
                    frames(&with(INVITE, from, to), step),
                    [Seen::Failed(reason)],
                    "{to} in steps of {step}"
                );
            }
        };
        failed("Content-Length: 5\r\n", "", ParseReason::ContentLength);
        failed("Length: 5", "Length: -5", ParseReason::ContentLength);
        failed("Length: 5\r\n", "Length: 5\r\nl: 6\r\n", ParseReason::ContentLength);
        failed("Length: 5", "Length: 1073741824", ParseReason::TooLarge);
        failed("Max-Forwards: 70\r\n", "Max-Forwards: 70\n", ParseReason::Encoding);
        failed("kept", "ke\rpt", ParseReason::Encoding);
        failed("X-Odd:", "X-Odd", ParseReason::Header);
        failed("SIP/2.0", "HTTP/1.1", ParseReason::StartLine);
        assert_eq!(frames(b"\x16\x03\x01\x02\x00\x01", 1), [Seen::Failed(ParseReason::StartLine)]);
        let endless = [INVITE.get(..40).unwrap(), &[b'x'; 70_000]].concat();
        assert_eq!(frames(&endless, 1_000), [Seen::Failed(ParseReason::TooLarge)]);
    }

    #[test]
    fn equal_content_lengths_are_one() {
        let bytes = with(INVITE, "Length: 5\r\n", "Length: 5\r\nl: 05\r\n");
        assert_eq!(frames(&bytes, 3), [Seen::Message(bytes.clone())]);
    }

    #[test]
    fn an_error_comes_with_the_head_and_stays() {
        let mut framer = Framer::new(65_535);
        framer.push(OK);
        framer.push(&with(INVITE, "Content-Length: 5\r\n", ""));
        assert!(matches!(framer.next(), Ok(Some(Frame::Message(_)))));
        let mut index = Index::default();
        let error = framer.next().unwrap_err();
        let refused = parse(error.head, Framing::Stream, &mut index).map(|_| ()).unwrap_err();
        assert_eq!((refused.reason, refused.reply), (ParseReason::ContentLength, Some(400)));
        framer.push(OK);
        assert_eq!(framer.next().unwrap_err().reason, ParseReason::ContentLength);
    }

    #[test]
    fn tells_whether_a_message_is_under_way() {
        let mut framer = Framer::new(65_535);
        assert!(!framer.is_partial());
        framer.push(INVITE.get(..INVITE.len() - 1).unwrap());
        assert_eq!(framer.next(), Ok(None));
        assert!(framer.is_partial());
        framer.push(b"\n");
        assert_eq!(framer.next(), Ok(Some(Frame::Message(INVITE))));
        assert!(!framer.is_partial());
        framer.push(b"\r\n");
        assert_eq!(framer.next(), Ok(None));
        assert!(!framer.is_partial());
    }
}
