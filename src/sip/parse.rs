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
    Class, LineEnd, Span, address, at, colon, elements, is_all, is_name, line_end, number, params,
    skip_space, trimmed,
};
use super::via::ViaSpans;
use super::{Message, element_uri};
use crate::facts::Method;
use crate::facts::event::{MessageKind, ParseReason};
use index::Party;
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

/// The view of a message by the index that [`parse`] made of it; of one that it refused, what could be
/// read, for building the reply.
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
        let text = self.bytes.get(start..line.at()).unwrap_or_default();
        let Some(read) = start_line::read(text) else { return false };
        if dirty {
            self.note((ParseReason::Encoding, 400));
        }
        self.index.bare = line.is_bare();
        self.index.start_end = Span::new(line.at(), line.next());
        self.keep_start_line(start, read);
        match self.read_headers(line.next()) {
            Ok(head_end) => {
                let body = line_end(self.bytes, head_end, None, &mut dirty).map_or(head_end, LineEnd::next);
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
            StartLine::Request { method, uri, parts, fault } => {
                self.index.kind = Some(MessageKind::Request);
                self.index.method_token = method.shifted(start);
                self.index.uri = uri.shifted(start);
                self.index.uri_parts = parts;
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
        let (mut start, mut piece, mut dirty) = (from, from, false);
        loop {
            let end = self.line_end(piece, &mut dirty)?;
            if end.at() == start && !dirty {
                return Ok(start);
            }
            piece = end.next();
            if matches!(at(self.bytes, piece), b' ' | b'\t') {
                continue;
            }
            if self.index.lines.len() == limits::HEADERS {
                return Err((ParseReason::TooLarge, 513));
            }
            self.keep_header(start, end, dirty);
            (start, dirty) = (piece, false);
        }
    }

    fn line_end(&self, start: usize, dirty: &mut bool) -> Result<LineEnd, Fault> {
        let whole = self.index.whole.start as usize;
        match line_end(self.bytes, start, Some(self.index.bare), dirty) {
            Some(end) if end.next() - whole <= limits::HEAD => Ok(end),
            // What a stream gives of a head without an end is cut at the limit.
            None if self.bytes.len() - whole < limits::HEAD => Err((ParseReason::Header, 400)),
            Some(_) | None => Err((ParseReason::TooLarge, 513)),
        }
    }

    fn keep_header(&mut self, start: usize, end: LineEnd, dirty: bool) {
        let text = self.bytes.get(start..end.at()).unwrap_or_default();
        let colon = colon(text, 0).unwrap_or(text.len());
        let before = text.get(..colon).unwrap_or_default();
        // No fold before the colon (RFC 3261 §25.1, HCOLON): some would see a line without one.
        let length = before.iter().rposition(|byte| !matches!(byte, b' ' | b'\t')).map_or(0, |last| last + 1);
        let name = before.get(..length).unwrap_or_default();
        let known = Name::of(name);
        let is_header = colon < text.len() && (known != Name::Other || is_all(Class::Token, name));
        let line = Line {
            // What is no clean header is kept out of the slots, so that no answer repeats it.
            name: if is_header && !dirty { known } else { Name::Other },
            start: Span::new(start, 0).start,
            name_end: Span::new(0, start + name.len()).end,
            value: trimmed(self.bytes, (start + colon + 1).min(end.at()), end.at()),
            end: Span::new(0, end.next()).end,
        };
        if dirty {
            self.note((ParseReason::Encoding, 400));
        } else if !is_header {
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
            Name::RecordRoute
            | Name::Contact
            | Name::ProxyRequire
            | Name::ProxyAuthorization
            | Name::SessionId
            | Name::Timestamp
            | Name::Other => Ok(()),
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
                if is_all(Class::Visible, text) { Ok(()) } else { Err((ParseReason::CallId, 400)) }
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
        let token = text.get(method..).filter(|token| method > digits && is_all(Class::Token, token))?;
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
        if is_name(param.name.get(text), b"tag") {
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
mod tests {
    use super::*;
    use crate::sip::samples::{INVITE, OK, read, refused, with};

    fn reason(bytes: &[u8]) -> (ParseReason, Option<u16>) {
        let error = refused(bytes);
        (error.reason, error.reply)
    }

    fn changed(from: &str, to: &str) -> (ParseReason, Option<u16>) {
        reason(&with(INVITE, from, to))
    }

    #[test]
    fn reads_a_request() {
        let mut index = Index::default();
        let message = read(INVITE, &mut index);
        assert!(message.is_request());
        assert_eq!((message.method(), message.method_token()), (Method::Invite, &b"INVITE"[..]));
        assert_eq!(message.request_uri(), b"sip:bob@example.com");
        assert_eq!((message.call_id(), message.cseq()), (&b"call-1@192.0.2.10"[..], 314));
        assert_eq!((message.from_tag(), message.to_tag()), (Some(&b"from1"[..]), None));
        assert_eq!(message.from_uri(), b"sip:alice@example.com");
        assert_eq!(message.to_uri(), b"sip:bob@example.com");
        assert_eq!(message.top_via().branch, Some(&b"z9hG4bKphone1"[..]));
        assert_eq!(message.second_via(), None);
        assert_eq!(message.max_forwards(), Some(70));
        assert_eq!(message.contact(), Some(&b"sip:alice@192.0.2.10:5062"[..]));
        assert_eq!(message.header("x-ODD"), Some(&b"kept \t as it is"[..]));
        assert_eq!(message.header("Subject"), None);
        assert_eq!((message.body(), message.bytes()), (&b"v=0\r\n"[..], INVITE));
    }

    #[test]
    fn reads_a_response() {
        let mut index = Index::default();
        let message = read(OK, &mut index);
        assert_eq!((message.kind(), message.status()), (MessageKind::Response, 200));
        assert_eq!((message.method(), message.reason_phrase()), (Method::Invite, &b"Alles gut"[..]));
        assert_eq!((message.via_count(), message.to_tag()), (2, Some(&b"to1"[..])));
        assert_eq!(message.second_via().unwrap().received, Some(&b"192.0.2.10"[..]));
        assert_eq!(message.record_routes().collect::<Vec<_>>(), [b"sip:10.0.0.1;lr", b"sip:10.0.0.2;lr"]);
        assert!(message.request_uri().is_empty() && message.body().is_empty());
    }

    #[test]
    fn reads_folds_compact_names_and_white_space() {
        let bytes = b"INVITE sip:bob@example.com SIP/2.0\r\n\
    TO :\r\n sip:bob@example.com ;   tag    = 19\r\n\
    f: \"A \\\\\\\" B\" <sip:a@h>\r\n ;\r\n tag = 98 ; x=\"y;tag=no\"\r\n\
    MaX-fOrWaRdS: 0068\r\n\
    i: c1\r\n\
    cseq: 0009\r\n  INVITE\r\n\
    v:  SIP  / 2.0\r\n /UDP\r\n    192.0.2.2;branch=390\r\n\
    v:  SIP/2.0/TCP  spindle.example.com ;\r\n  branch  =  z9 ,\r\n SIP/2.0/UDP 192.0.2.7\r\n\
    s :\r\n\
    Route: \"a,b\" <sip:services.example.com;lr;x=1,2>;p , <sip:h2>\r\n\
    unknown: ;;,,;;,;\r\n\
    m: Quoted <sip:j@x.y.z>;q=1, <sip:k@h>\r\n\
    l: 0\r\n\r\n";
        let mut index = Index::default();
        let message = read(bytes, &mut index);
        assert_eq!((message.to_tag(), message.from_tag()), (Some(&b"19"[..]), Some(&b"98"[..])));
        assert_eq!((message.cseq(), message.max_forwards(), message.via_count()), (9, Some(68), 3));
        assert_eq!(
            message.vias().map(|via| via.host).collect::<Vec<_>>(),
            [&b"192.0.2.2"[..], b"spindle.example.com", b"192.0.2.7"]
        );
        assert_eq!(
            message.routes().collect::<Vec<_>>(),
            [&b"sip:services.example.com;lr;x=1,2"[..], b"sip:h2"]
        );
        assert_eq!(message.contact(), Some(&b"sip:j@x.y.z"[..]));
        assert_eq!((message.header("Subject"), message.header("Via").is_some()), (Some(&b""[..]), true));
    }

    #[test]
    fn accepts_odd_methods_foreign_schemes_and_bytes_that_are_not_text() {
        let mut index = Index::default();
        let odd = with(INVITE, "INVITE sip:bob@example.com", "!odd%41_*+`.'~ nobody:knows");
        let mut odd = with(&odd, "314 INVITE", "314 !odd%41_*+`.'~");
        odd = with(&odd, "<sip:bob@example.com>", "isbn:2983792873");
        let message = read(&odd, &mut index);
        assert_eq!((message.method(), message.to_uri()), (Method::Other, &b"isbn:2983792873"[..]));
        let position = odd.windows(4).position(|word| word == b"kept").unwrap();
        odd[position] = 0xff;
        read(&odd, &mut index);
        let quoted_nul = with(INVITE, "\"Alice;", "\"\\\0\\\u{7}Alice;");
        read(&quoted_nul, &mut index);
    }

    #[test]
    fn cuts_a_datagram_at_content_length() {
        let mut index = Index::default();
        let bytes = [b"\r\n\r\n".as_slice(), INVITE, INVITE].concat();
        assert_eq!(read(&bytes, &mut index).bytes(), INVITE);
        let without = with(INVITE, "Content-Length: 5\r\n", "");
        assert_eq!(read(&without, &mut index).body(), b"v=0\r\n");
        let equal = with(INVITE, "Content-Length: 5\r\n", "Content-Length: 5\r\nl: 05\r\n");
        assert_eq!(read(&equal, &mut index).body(), b"v=0\r\n");
    }

    #[test]
    fn refuses_content_lengths_that_are_not_clear() {
        for value in ["-1", "99", "5 5", "5,5", "0x5", "", "99999999999"] {
            let found = changed("Length: 5", &format!("Length: {value}"));
            assert_eq!(found, (ParseReason::ContentLength, Some(400)), "{value}");
        }
        assert_eq!(
            changed("Length: 5\r\n", "Length: 5\r\nl: 0\r\n"),
            (ParseReason::ContentLength, Some(400))
        );
        let mut index = Index::default();
        let without = with(INVITE, "Content-Length: 5\r\n", "");
        let error = parse(&without, Framing::Stream, &mut index).map(|_| ()).unwrap_err();
        assert_eq!(error, ParseError { reason: ParseReason::ContentLength, reply: Some(400) });
    }

    #[test]
    fn refuses_missing_doubled_and_broken_headers() {
        assert_eq!(changed("To: <sip:bob@example.com>\r\n", ""), (ParseReason::FromTo, None));
        assert_eq!(changed("Call-ID: ", "Call-Ix: "), (ParseReason::CallId, None));
        assert_eq!(changed("Via: ", "Vie: "), (ParseReason::Via, None));
        assert_eq!(changed("CSeq: 314 INVITE\r\n", ""), (ParseReason::Cseq, None));
        for (again, reason) in [
            ("t: <sip:c@h>", ParseReason::FromTo),
            ("f: <sip:c@h>;tag=2", ParseReason::FromTo),
            ("i: other", ParseReason::CallId),
            ("CSeq: 314 INVITE", ParseReason::Cseq),
            ("max-forwards: 70", ParseReason::Header),
        ] {
            assert_eq!(changed("X-Odd", &format!("{again}\r\nX-Odd")), (reason, Some(400)), "{again}");
        }
        for party in [
            "",
            "\"Bob <sip:bob@h>",
            "<sip:bob@h",
            "<>",
            "<sip:b@h>;tag=",
            "<sip:b@h>;tag=1;tag=2",
            "<sip:b@h> x",
        ] {
            assert_eq!(
                changed("<sip:bob@example.com>\r\n", &format!("{party}\r\n")),
                (ParseReason::FromTo, Some(400))
            );
        }
        assert_eq!(changed("call-1@", "call 1@"), (ParseReason::CallId, Some(400)));
        assert_eq!(changed("X-Odd:", "X-Odd"), (ParseReason::Header, Some(400)));
        assert_eq!(changed("X-Odd:", "X<Odd:"), (ParseReason::Header, Some(400)));
        assert_eq!(changed("X-Odd:", "X-Odd\r\n :"), (ParseReason::Header, Some(400)));
        assert_eq!(changed("X-Odd:", "X-Odd\r\n a:"), (ParseReason::Header, Some(400)));
        assert_eq!(changed("X-Odd:", "X Odd:"), (ParseReason::Header, Some(400)));
        assert_eq!(changed("X-Odd:", ":"), (ParseReason::Header, Some(400)));
        assert_eq!(changed("X-Odd", "Route: <sip:a\r\nX-Odd"), (ParseReason::Uri, Some(400)));
    }

    #[test]
    fn refuses_numbers_out_of_range_and_a_method_that_does_not_match() {
        for value in [
            "2147483648 INVITE",
            "36893488147419103232 INVITE",
            "314 OPTIONS",
            "314 invite",
            "314",
            "INVITE",
            "314INVITE",
        ] {
            assert_eq!(changed("314 INVITE", value), (ParseReason::Cseq, Some(400)), "{value}");
        }
        let mut index = Index::default();
        assert_eq!(read(&with(INVITE, "314 ", "2147483647 "), &mut index).cseq(), 2_147_483_647);
        for value in ["256", "-1", "300", "x", "7 0", ""] {
            assert_eq!(
                changed("Forwards: 70", &format!("Forwards: {value}")),
                (ParseReason::Header, Some(400))
            );
        }
        assert_eq!(read(&with(INVITE, "Max-Forwards: 70\r\n", ""), &mut index).max_forwards(), None);
    }

    #[test]
    fn refuses_vias_that_give_no_way_back() {
        for via in ["SIP/2.0/UDP 192.0.2.15;;,;,,", "SIP/2.0/UDP", "", ",", "SIP/2.0/UDP h;branch=a;branch=b"]
        {
            assert_eq!(
                changed("SIP/2.0/UDP 192.0.2.10:5062;rport;branch=z9hG4bKphone1", via),
                (ParseReason::Via, None)
            );
        }
    }

    #[test]
    fn drops_messages_that_two_readers_would_read_differently() {
        // Where a header needed for the answer is touched, there is no answer.
        assert_eq!(changed("call-1@192.0.2.10", "a\nCSeq: 1 BYE"), (ParseReason::Encoding, None));
        assert_eq!(changed("Max-Forwards: 70\r\n", "Max-Forwards: 70\n"), (ParseReason::Encoding, None));
        assert_eq!(changed("kept", "ke\rpt"), (ParseReason::Encoding, Some(400)));
        assert_eq!(changed("kept", "ke\0pt"), (ParseReason::Encoding, Some(400)));
        assert_eq!(changed("kept", "ke\n\npt"), (ParseReason::Encoding, Some(400)));
        let bare = String::from_utf8(INVITE.to_vec()).unwrap().replace("\r\n", "\n");
        assert_eq!(reason(bare.replacen("kept", "kept\r\nX: y", 1).as_bytes()).0, ParseReason::Encoding);
    }

    #[test]
    fn accepts_a_message_whose_lines_all_end_in_a_bare_line_feed() {
        let bare = String::from_utf8(INVITE.to_vec())
            .unwrap()
            .replace("\r\n", "\n")
            .replace("Length: 5", "Length: 4");
        let mut index = Index::default();
        let message = read(bare.as_bytes(), &mut index);
        assert_eq!((message.call_id(), message.body()), (&b"call-1@192.0.2.10"[..], &b"v=0\n"[..]));
    }

    #[test]
    fn refuses_what_exceeds_a_limit() {
        let many = |line: &str, count: usize| changed("X-Odd", &format!("{}X-Odd", line.repeat(count)));
        assert_eq!(many("X: y\r\n", 256), (ParseReason::TooLarge, Some(513)));
        assert_eq!(many("v: SIP/2.0/UDP h, SIP/2.0/UDP h\r\n", 64), (ParseReason::TooLarge, Some(513)));
        assert_eq!(many("Route: <sip:h;lr>\r\n", 71), (ParseReason::TooLarge, Some(513)));
        assert_eq!(many(&format!("X: {}\r\n", "y".repeat(1_000)), 70), (ParseReason::TooLarge, Some(513)));
        assert_eq!(changed("bob@", &format!("{}@", "b".repeat(1_024))), (ParseReason::TooLarge, Some(414)));
        let mut index = Index::default();
        let long = with(INVITE, "X-Odd", &format!("{}X-Odd", "v: SIP/2.0/UDP h\r\n".repeat(127)));
        assert_eq!(read(&long, &mut index).via_count(), 128);
    }

    #[test]
    fn never_answers_responses_acks_and_other_protocols() {
        assert_eq!(reason(&with(OK, "314 INVITE", "99999999999 INVITE")), (ParseReason::Cseq, None));
        assert_eq!(reason(&with(OK, "200", "4294967301")), (ParseReason::StartLine, None));
        assert_eq!(reason(&with(OK, "200", "700")), (ParseReason::StartLine, None));
        let ack = with(&with(INVITE, "INVITE sip", "ACK sip"), "314 INVITE", "315 INVITE");
        assert_eq!(reason(&ack), (ParseReason::Cseq, None));
        for bytes in [
            &b""[..],
            b"\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            b"\0\0\0\0",
            b"INVITE sip:a@h SIP/2.0",
        ] {
            assert_eq!(reason(bytes), (ParseReason::StartLine, None));
        }
    }

    #[test]
    fn answers_505_and_400_to_broken_request_lines() {
        let other = with(&with(INVITE, "SIP/2.0\r\nVia: SIP/2.0", "SIP/7.0\r\nVia: SIP/7.0"), "70", "7");
        assert_eq!(reason(&other), (ParseReason::StartLine, Some(505)));
        assert_eq!(changed("INVITE sip:bob", "INVITE  sip:bob"), (ParseReason::StartLine, Some(400)));
        assert_eq!(
            changed("sip:bob@example.com SIP", "<sip:bob@example.com> SIP"),
            (ParseReason::Uri, Some(400))
        );
    }

    #[test]
    fn refuses_a_head_without_end() {
        let head = &INVITE[..INVITE.len() - 7];
        assert_eq!(reason(head), (ParseReason::Header, Some(400)));
        assert_eq!(reason(&head[..head.len() - 1]), (ParseReason::Header, Some(400)));
    }

    #[test]
    fn a_reused_index_forgets_the_message_before() {
        let mut index = Index::default();
        read(OK, &mut index);
        let options = b"OPTIONS sip:h SIP/2.0\r\nv: SIP/2.0/TCP h\r\nf: <sip:a>\r\nt: <sip:b>\r\ni: c\r\nCSeq: 1 OPTIONS\r\n\r\n";
        let message = read(options, &mut index);
        assert_eq!((message.status(), message.to_tag(), message.contact()), (0, None, None));
        assert_eq!(
            (message.record_routes().count(), message.via_count(), message.max_forwards()),
            (0, 1, None)
        );
    }
}
