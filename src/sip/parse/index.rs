//! Where everything of one message lies.

use crate::facts::Method;
use crate::facts::event::MessageKind;
use crate::sip::scan::{Span, is_name};
use crate::sip::uri::UriSpans;
use crate::sip::via::ViaSpans;

/// Headers that a proxy acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sip) enum Name {
    Via,
    From,
    To,
    CallId,
    Cseq,
    MaxForwards,
    Route,
    RecordRoute,
    Contact,
    ContentLength,
    ProxyRequire,
    ProxyAuthorization,
    SessionId,
    Timestamp,
    Other,
}

impl Name {
    /// Classifies a header name, its compact form included (RFC 3261 §7.3.3), by length and first
    /// byte; at most one comparison follows.
    pub fn of(name: &[u8]) -> Self {
        let first = name.first().map_or(0, u8::to_ascii_lowercase);
        match (name.len(), first) {
            (1, b'v') => Self::Via,
            (1, b'f') => Self::From,
            (1, b't') => Self::To,
            (1, b'i') => Self::CallId,
            (1, b'm') => Self::Contact,
            (1, b'l') => Self::ContentLength,
            (2, b't') => Self::To.if_written(name, b"To"),
            (3, b'v') => Self::Via.if_written(name, b"Via"),
            (4, b'f') => Self::From.if_written(name, b"From"),
            (4, b'c') => Self::Cseq.if_written(name, b"CSeq"),
            (5, b'r') => Self::Route.if_written(name, b"Route"),
            (7, b'c') if name.get(4) == Some(&b'-') => Self::CallId.if_written(name, b"Call-ID"),
            (7, b'c') => Self::Contact.if_written(name, b"Contact"),
            (9, b't') => Self::Timestamp.if_written(name, b"Timestamp"),
            (10, b's') => Self::SessionId.if_written(name, b"Session-ID"),
            (12, b'm') => Self::MaxForwards.if_written(name, b"Max-Forwards"),
            (12, b'r') => Self::RecordRoute.if_written(name, b"Record-Route"),
            (13, b'p') => Self::ProxyRequire.if_written(name, b"Proxy-Require"),
            (14, b'c') => Self::ContentLength.if_written(name, b"Content-Length"),
            (19, b'p') => Self::ProxyAuthorization.if_written(name, b"Proxy-Authorization"),
            _ => Self::Other,
        }
    }

    /// This one if the name is the full one, whose length the compiler knows.
    #[inline]
    fn if_written<const N: usize>(self, name: &[u8], full: &[u8; N]) -> Self {
        let is_written = <&[u8; N]>::try_from(name).is_ok_and(|name| is_name(name, full));
        if is_written { self } else { Self::Other }
    }
}

/// The compact form of a header name, given in lower case (IANA registry of SIP header fields).
pub(in crate::sip) fn compact(name: &str) -> Option<u8> {
    const FORMS: [(&str, u8); 19] = [
        ("via", b'v'),
        ("from", b'f'),
        ("to", b't'),
        ("call-id", b'i'),
        ("contact", b'm'),
        ("content-length", b'l'),
        ("content-type", b'c'),
        ("content-encoding", b'e'),
        ("supported", b'k'),
        ("subject", b's'),
        ("event", b'o'),
        ("allow-events", b'u'),
        ("refer-to", b'r'),
        ("referred-by", b'b'),
        ("session-expires", b'x'),
        ("accept-contact", b'a'),
        ("reject-contact", b'j'),
        ("request-disposition", b'd'),
        ("identity", b'y'),
    ];
    FORMS.iter().find(|(full, _)| full.eq_ignore_ascii_case(name)).map(|(_, compact)| *compact)
}

/// One header line with its folds.
#[derive(Debug, Clone, Copy)]
pub(in crate::sip) struct Line {
    pub name: Name,
    pub start: u32,
    pub name_end: u32,
    /// Without white space around it.
    pub value: Span,
    /// Behind its line end.
    pub end: u32,
}

/// From or To.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::sip) struct Party {
    pub uri: Span,
    pub tag: Option<Span>,
}

const SLOTS: usize = Name::Other as usize;
const VACANT: u16 = u16::MAX;

/// Where everything of one message lies; reused from message to message, so that reading one
/// allocates nothing once the table of lines has grown.
#[derive(Debug)]
pub struct Index {
    pub(in crate::sip) kind: Option<MessageKind>,
    pub(in crate::sip) method: Method,
    pub(in crate::sip) status: u16,
    pub(in crate::sip) method_token: Span,
    pub(in crate::sip) uri: Span,
    /// The parts of the URI, if it can be read.
    pub(in crate::sip) uri_parts: Option<UriSpans>,
    pub(in crate::sip) phrase: Span,
    /// The line end of the start line.
    pub(in crate::sip) start_end: Span,
    /// The message proper.
    pub(in crate::sip) whole: Span,
    /// Where the empty line begins; 0 if there is none.
    pub(in crate::sip) head_end: usize,
    pub(in crate::sip) body: Span,
    /// Whether lines end with LF alone.
    pub(in crate::sip) bare: bool,
    pub(in crate::sip) lines: Vec<Line>,
    slots: [u16; SLOTS],
    pub(in crate::sip) top_via: Option<(Span, ViaSpans)>,
    pub(in crate::sip) vias: usize,
    pub(in crate::sip) routes: usize,
    pub(in crate::sip) from: Party,
    pub(in crate::sip) to: Party,
    pub(in crate::sip) cseq: u32,
    pub(in crate::sip) max_forwards: Option<u8>,
    pub(in crate::sip) content_length: Option<u32>,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            kind: None,
            method: Method::Other,
            status: 0,
            method_token: Span::default(),
            uri: Span::default(),
            uri_parts: None,
            phrase: Span::default(),
            start_end: Span::default(),
            whole: Span::default(),
            head_end: 0,
            body: Span::default(),
            bare: false,
            lines: Vec::new(),
            slots: [VACANT; SLOTS],
            top_via: None,
            vias: 0,
            routes: 0,
            from: Party::default(),
            to: Party::default(),
            cseq: 0,
            max_forwards: None,
            content_length: None,
        }
    }
}

impl Index {
    /// Forgets the last message but keeps the memory.
    pub(super) fn clear(&mut self) {
        let mut lines = std::mem::take(&mut self.lines);
        lines.clear();
        *self = Self { lines, ..Self::default() };
    }

    /// Adds a line; tells whether it is the first of its name.
    pub(super) fn claim(&mut self, line: Line) -> bool {
        let position = u16::try_from(self.lines.len()).unwrap_or(VACANT);
        self.lines.push(line);
        match self.slots.get_mut(line.name as usize) {
            Some(slot) if *slot == VACANT => {
                *slot = position;
                true
            }
            _ => false,
        }
    }

    pub(in crate::sip) fn has(&self, name: Name) -> bool {
        self.first(name).is_some()
    }

    /// The first line of a name that has a slot.
    pub(in crate::sip) fn first(&self, name: Name) -> Option<&Line> {
        self.lines.get(usize::from(*self.slots.get(name as usize)?))
    }

    /// All lines of a name; of those without a slot all that have none.
    pub(in crate::sip) fn all(&self, name: Name) -> impl Iterator<Item = &Line> + Clone {
        let first = self.slots.get(name as usize).copied().map_or(0, usize::from);
        let lines = self.lines.get(first..).unwrap_or_default();
        lines.iter().filter(move |line| line.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classifies_names_without_case_and_in_compact_form() {
        for (name, expected) in [
            ("Via", Name::Via),
            ("v", Name::Via),
            ("V", Name::Via),
            ("FROM", Name::From),
            ("to", Name::To),
            ("call-id", Name::CallId),
            ("Contact", Name::Contact),
            ("cSEQ", Name::Cseq),
            ("L", Name::ContentLength),
            ("Record-Route", Name::RecordRoute),
            ("Call-Ix", Name::Other),
            ("Vib", Name::Other),
            ("x", Name::Other),
            ("", Name::Other),
        ] {
            assert_eq!(Name::of(name.as_bytes()), expected, "{name}");
        }
    }
}
