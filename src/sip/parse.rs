//! Bytes into an index, or the reason why not: the reasonable-syntax check of RFC 3261 §16.3.
//!
//! Looks at what a proxy acts on and at nothing else. The first thing wrong decides the answer;
//! reading goes on behind it, so that the answer can be built. A message whose lines all end in a
//! bare LF is accepted (and leaves with CRLF); one that mixes both, or holds a stray CR, LF or NUL,
//! could be read in two ways and is refused.

mod index;
mod start_line;

pub use index::Index;
pub(super) use index::{Line, Name, compact};

use super::scan::{
    Span, address, at, elements, is_token_text, line_end, number, params, skip_space, trimmed,
};
use super::via::ViaSpans;
use super::{Message, element_uri};
use crate::facts::Method;
use crate::facts::event::{MessageKind, ParseReason};
use index::Party;
use memchr::memchr;
use start_line::StartLine;

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
    index.clear();
    let mut reader = Reader { bytes, index, first: None };
    if !reader.read(framing) {
        return Err(ParseError { reason: ParseReason::StartLine, reply: None });
    }
    let Some((reason, code)) = reader.first else { return Ok(partial(bytes, index)) };
    let reply = reader.is_answerable().then_some(code);
    Err(ParseError { reason, reply })
}

/// The view of a message that [`parse`] refused, for building the reply.
pub fn partial<'a>(bytes: &'a [u8], index: &'a Index) -> Message<'a> {
    Message { bytes, index }
}

/// A check that failed, and the code that says so.
type Fault = (ParseReason, u16);

struct Reader<'b, 'i> {
    bytes: &'b [u8],
    index: &'i mut Index,
    first: Option<Fault>,
}

impl Reader<'_, '_> {
    fn note(&mut self, fault: Fault) {
        self.first.get_or_insert(fault);
    }

    fn check(&mut self, result: Result<(), Fault>) {
        if let Err(fault) = result {
            self.note(fault);
        }
    }

    /// Reads everything; `false` if the start line is not one of SIP.
    fn read(&mut self, framing: Framing) -> bool {
        let mut start = 0;
        while self.bytes.get(start..start + 2) == Some(b"\r\n") {
            start += 2;
        }
        let mut dirty = false;
        self.index.whole = Span::new(start, self.bytes.len());
        self.index.body = Span::new(self.bytes.len(), self.bytes.len());
        let Some(line) = line_end(self.bytes, start, None, &mut dirty) else { return false };
        let text = self.bytes.get(start..line.at).unwrap_or_default();
        let Some(read) = start_line::read(text) else { return false };
        if dirty {
            self.note((ParseReason::Encoding, 400));
        }
        self.index.bare = line.bare;
        self.index.start_end = Span::new(line.at, line.next);
        self.keep_start_line(start, read);
        match self.read_headers(line.next) {
            Ok(head_end) => {
                let body = line_end(self.bytes, head_end, None, &mut dirty).map_or(head_end, |end| end.next);
                self.index.head_end = head_end;
                self.frame(body, framing);
            }
            Err(fault) => self.note(fault),
        }
        self.check_required();
        true
    }

    fn keep_start_line(&mut self, start: usize, read: StartLine) {
        match read {
            StartLine::Request { method, uri, fault } => {
                self.index.kind = Some(MessageKind::Request);
                self.index.method_token = method.shifted(start);
                self.index.uri = uri.shifted(start);
                self.check(fault.map_or(Ok(()), Err));
            }
            StartLine::Response { status, phrase } => {
                self.index.kind = Some(MessageKind::Response);
                self.index.status = status;
                self.index.phrase = phrase.shifted(start);
            }
        }
    }

    /// Reads header lines from `from` on; gives where the empty line begins.
    fn read_headers(&mut self, from: usize) -> Result<usize, Fault> {
        let mut start = from;
        loop {
            let mut dirty = false;
            let mut end = self.line_end(start, &mut dirty)?;
            if end.at == start && !dirty {
                return Ok(start);
            }
            while matches!(at(self.bytes, end.next), b' ' | b'\t') {
                end = self.line_end(end.next, &mut dirty)?;
            }
            if self.index.lines.len() == limits::HEADERS {
                return Err((ParseReason::TooLarge, 513));
            }
            self.keep_header(start, end, dirty);
            start = end.next;
        }
    }

    fn line_end(&self, start: usize, dirty: &mut bool) -> Result<super::scan::LineEnd, Fault> {
        let end = line_end(self.bytes, start, Some(self.index.bare), dirty);
        let end = end.ok_or((ParseReason::Header, 400))?;
        if end.next - self.index.whole.start as usize > limits::HEAD {
            return Err((ParseReason::TooLarge, 513));
        }
        Ok(end)
    }

    fn keep_header(&mut self, start: usize, end: super::scan::LineEnd, dirty: bool) {
        let text = self.bytes.get(start..end.at).unwrap_or_default();
        let colon = memchr(b':', text).unwrap_or(text.len());
        let raw_name = text.get(..colon).unwrap_or_default();
        // No fold before the colon (RFC 3261 §25.1, HCOLON): some would see a line without one.
        let blanks = raw_name.iter().rev().take_while(|byte| matches!(**byte, b' ' | b'\t')).count();
        let name = raw_name.get(..colon - blanks).unwrap_or_default();
        let value = trimmed(self.bytes, (start + colon + 1).min(end.at), end.at);
        let mut line = Line {
            name: Name::of(name),
            start: Span::new(start, 0).start,
            name_end: Span::new(0, start + name.len()).end,
            value,
            end: Span::new(0, end.next).end,
        };
        if dirty {
            // Kept out of the slots, so that no answer repeats it.
            line.name = Name::Other;
            self.note((ParseReason::Encoding, 400));
        } else if colon == text.len() || (line.name == Name::Other && !is_token_text(name)) {
            self.note((ParseReason::Header, 400));
        }
        let is_first = self.index.claim(line);
        let checked = self.read_value(line, is_first);
        self.check(checked);
    }

    fn read_value(&mut self, line: Line, is_first: bool) -> Result<(), Fault> {
        let text = line.value.get(self.bytes);
        let once = |reason| if is_first { Ok(()) } else { Err((reason, 400)) };
        match line.name {
            Name::Other | Name::RecordRoute | Name::Contact => Ok(()),
            Name::Via => self.read_via(line.value, is_first),
            Name::Route => self.read_route(text),
            Name::From => {
                once(ParseReason::FromTo)?;
                self.index.from = read_party(line.value, text).ok_or((ParseReason::FromTo, 400))?;
                Ok(())
            }
            Name::To => {
                once(ParseReason::FromTo)?;
                self.index.to = read_party(line.value, text).ok_or((ParseReason::FromTo, 400))?;
                Ok(())
            }
            Name::CallId => {
                once(ParseReason::CallId)?;
                let plain = |byte: &u8| *byte > b' ' && *byte != 0x7f;
                let valid = !text.is_empty() && text.iter().all(plain);
                if valid { Ok(()) } else { Err((ParseReason::CallId, 400)) }
            }
            Name::Cseq => {
                once(ParseReason::Cseq)?;
                self.read_cseq(line.value).ok_or((ParseReason::Cseq, 400))
            }
            Name::MaxForwards => {
                once(ParseReason::Header)?;
                let value = number(text, 255).and_then(|value| u8::try_from(value).ok());
                self.index.max_forwards = value;
                value.map(|_| ()).ok_or((ParseReason::Header, 400))
            }
            Name::ContentLength => {
                let value = number(text, u32::MAX);
                let same = is_first || value == self.index.content_length;
                self.index.content_length = value;
                if same && value.is_some() { Ok(()) } else { Err((ParseReason::ContentLength, 400)) }
            }
        }
    }

    fn read_via(&mut self, value: Span, is_first: bool) -> Result<(), Fault> {
        let text = value.get(self.bytes);
        let broken = (ParseReason::Via, 400);
        let mut count = 0;
        for element in elements(text).filter(|element| element.start < element.end) {
            count += 1;
            if !is_first {
                continue;
            }
            // Popping the first value of the line brings the others up, so all of it is read.
            let spans = ViaSpans::parse(element.get(text)).ok_or(broken)?;
            if count == 1 {
                self.index.top_via = Some((element.shifted(value.start as usize), spans));
            }
        }
        self.index.vias += count;
        if self.index.vias > limits::VIAS {
            return Err((ParseReason::TooLarge, 513));
        }
        if count == 0 && is_first { Err(broken) } else { Ok(()) }
    }

    fn read_route(&mut self, text: &[u8]) -> Result<(), Fault> {
        for element in elements(text).filter(|element| element.start < element.end) {
            self.index.routes += 1;
            element_uri(element.get(text)).ok_or((ParseReason::Uri, 400))?;
        }
        if self.index.routes > limits::ROUTES { Err((ParseReason::TooLarge, 513)) } else { Ok(()) }
    }

    fn read_cseq(&mut self, value: Span) -> Option<()> {
        let text = value.get(self.bytes);
        let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let method = skip_space(text, digits);
        let number = number(text.get(..digits)?, i32::MAX.unsigned_abs())?;
        let token = text.get(method..).filter(|token| method > digits && is_token_text(token))?;
        self.index.cseq = number;
        if self.index.kind == Some(MessageKind::Response) {
            self.index.method_token = Span::new(method, text.len()).shifted(value.start as usize);
        } else if token != self.index.method_token.get(self.bytes) {
            return None;
        }
        Some(())
    }

    /// Finds the end of the body, which begins at `start`.
    fn frame(&mut self, start: usize, framing: Framing) {
        let rest = self.bytes.len().saturating_sub(start);
        let broken = (ParseReason::ContentLength, 400);
        let is_broken = self.index.has(Name::ContentLength) && self.index.content_length.is_none();
        let length = match (self.index.content_length, framing) {
            _ if is_broken => 0,
            (Some(length), _) => length as usize,
            (None, Framing::Datagram) => rest,
            (None, Framing::Stream) => {
                self.note(broken);
                0
            }
        };
        if length > rest {
            self.note(broken);
        }
        let end = start + length.min(rest);
        self.index.body = Span::new(start, end);
        self.index.whole.end = self.index.body.end;
    }

    fn check_required(&mut self) {
        let required = [
            (Name::Via, ParseReason::Via),
            (Name::Cseq, ParseReason::Cseq),
            (Name::CallId, ParseReason::CallId),
            (Name::From, ParseReason::FromTo),
            (Name::To, ParseReason::FromTo),
        ];
        for (name, reason) in required {
            if !self.index.has(name) {
                self.note((reason, 400));
            }
        }
        self.index.method = Method::from_token(self.index.method_token.get(self.bytes));
    }

    /// Whether a response can be built and may be sent: RFC 3261 §8.2.6 needs these headers, and an
    /// ACK is never answered.
    fn is_answerable(&self) -> bool {
        self.index.kind == Some(MessageKind::Request)
            && self.index.method != Method::Ack
            && self.index.top_via.is_some()
            && [Name::From, Name::To, Name::CallId, Name::Cseq].iter().all(|name| self.index.has(*name))
    }
}

/// Reads a From or To. Two tags, an empty one, or anything else behind the URI is refused: two
/// readers could find two different dialogs.
fn read_party(value: Span, text: &[u8]) -> Option<Party> {
    let address = address(text)?;
    let mut tag = None;
    let mut params = params(text, address.params);
    for param in params.by_ref() {
        if param.name.get(text).eq_ignore_ascii_case(b"tag") {
            let found = param.value.filter(|value| value.start < value.end)?;
            if tag.replace(found).is_some() {
                return None;
            }
        }
    }
    let start = value.start as usize;
    let tag = tag.map(|tag: Span| tag.shifted(start));
    (!params.broken).then_some(Party { uri: address.uri.shifted(start), tag })
}

#[cfg(test)]
#[path = "parse/tests.rs"]
mod tests;
