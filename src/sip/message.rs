//! The view of an indexed message.

use super::parse::{Index, Line, Name, compact};
use super::scan::{Span, elements};
use super::{Uri, Via, element_uri, list};
use crate::facts::Method;
use crate::facts::event::MessageKind;

/// The view of an indexed message. Values come as they are on the wire, folds included.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) index: &'a Index,
}

impl<'a> Message<'a> {
    /// The message proper: leading line ends and what follows the body are cut off.
    pub fn bytes(&self) -> &'a [u8] {
        self.text(self.index.whole)
    }

    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        self.kind() == MessageKind::Request
    }

    /// Request or response.
    pub fn kind(&self) -> MessageKind {
        self.index.kind.unwrap_or(MessageKind::Request)
    }

    /// The method: of the request line, or of the CSeq of a response.
    pub fn method(&self) -> Method {
        self.index.method
    }

    /// The method's token.
    pub fn method_token(&self) -> &'a [u8] {
        self.text(self.index.method_token)
    }

    /// The Request-URI; empty for a response.
    pub fn request_uri(&self) -> &'a [u8] {
        self.text(self.index.uri)
    }

    /// The parts of the Request-URI; `None` if it cannot be read, and for a response.
    pub fn uri(&self) -> Option<Uri<'a>> {
        Some(self.index.uri_parts?.view(self.request_uri()))
    }

    /// The status code; 0 for a request.
    pub fn status(&self) -> u16 {
        self.index.status
    }

    /// The reason phrase.
    pub fn reason_phrase(&self) -> &'a [u8] {
        self.text(self.index.phrase)
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &'a [u8] {
        self.index.first(Name::CallId).map_or(b"", |line| self.text(line.value))
    }

    /// The number of CSeq.
    pub fn cseq(&self) -> u32 {
        self.index.cseq
    }

    /// The tag of From.
    pub fn from_tag(&self) -> Option<&'a [u8]> {
        self.index.from.tag.map(|tag| self.text(tag))
    }

    /// The tag of To.
    pub fn to_tag(&self) -> Option<&'a [u8]> {
        self.index.to.tag.map(|tag| self.text(tag))
    }

    /// The URI of From.
    pub fn from_uri(&self) -> &'a [u8] {
        self.text(self.index.from.uri)
    }

    /// The URI of To.
    pub fn to_uri(&self) -> &'a [u8] {
        self.text(self.index.to.uri)
    }

    /// The topmost Via value; all empty in a [`super::partial`] view that has none.
    pub fn top_via(&self) -> Via<'a> {
        self.index.top_via.map_or_else(Via::default, |(raw, spans)| spans.view(self.text(raw)))
    }

    /// The Via value below the topmost one.
    pub fn second_via(&self) -> Option<Via<'a>> {
        self.vias().nth(1)
    }

    /// How many header lines there are.
    pub fn line_count(&self) -> usize {
        self.index.lines.len()
    }

    /// How many Via values there are.
    pub fn via_count(&self) -> usize {
        self.index.vias
    }

    /// The Via values from the top; one that cannot be read ends them.
    pub fn vias(&self) -> impl Iterator<Item = Via<'a>> + use<'a> {
        self.values(Name::Via).map_while(Via::parse)
    }

    /// The value of Max-Forwards.
    pub fn max_forwards(&self) -> Option<u8> {
        self.index.max_forwards
    }

    /// The URI of every Route value from the top.
    pub fn routes(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.values(Name::Route).filter_map(element_uri)
    }

    /// The URI of every Record-Route value from the top.
    pub fn record_routes(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.values(Name::RecordRoute).filter_map(element_uri)
    }

    /// The URI of the first Contact value, without the header's parameters.
    pub fn contact(&self) -> Option<&'a [u8]> {
        let first = self.values(Name::Contact).next()?;
        super::scan::address(first).map(|address| address.uri.get(first))
    }

    /// The value of the first header line of this name, its compact form included.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers(name).next()
    }

    /// The values of all header lines of this name, its compact form included; see [`super::list`]
    /// for those that are comma lists.
    pub fn headers<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let message = *self;
        let wanted = Name::of(name.as_bytes());
        let is_named = move |line: &&Line| {
            if wanted != Name::Other {
                return true;
            }
            let found = message.text(Span { start: line.start, end: line.name_end });
            let is_compact =
                || matches!(found, [letter] if compact(name) == Some(letter.to_ascii_lowercase()));
            found.eq_ignore_ascii_case(name.as_bytes()) || is_compact()
        };
        self.index.all(wanted).filter(is_named).map(move |line| message.text(line.value))
    }

    /// Whether an option tag is listed in Supported (RFC 3261 §20.37).
    pub fn supports(&self, tag: &str) -> bool {
        self.headers("Supported").flat_map(list).any(|listed| listed.eq_ignore_ascii_case(tag.as_bytes()))
    }

    /// The body.
    pub fn body(&self) -> &'a [u8] {
        self.text(self.index.body)
    }

    pub(super) fn text(&self, span: Span) -> &'a [u8] {
        span.get(self.bytes)
    }

    /// The elements of all comma lists of a name, without empty ones.
    fn values(&self, name: Name) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let message = *self;
        self.index.all(name).flat_map(move |line| list(message.text(line.value)))
    }

    /// The spans of the elements of one line's comma list, without empty ones.
    pub(super) fn spans(&self, line: &Line) -> impl Iterator<Item = Span> + Clone + use<'a> {
        let start = line.value.start as usize;
        let elements = elements(self.text(line.value)).filter(|element| element.start < element.end);
        elements.map(move |element| element.shifted(start))
    }

    /// Appends a part of the head to `out`, with its line ends made CRLF.
    pub(super) fn copy_head(&self, start: usize, end: usize, out: &mut Vec<u8>) {
        let text = self.bytes.get(start..end).unwrap_or_default();
        if !self.index.bare {
            out.extend_from_slice(text);
            return;
        }
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            match line.strip_suffix(b"\n") {
                Some(content) => {
                    out.extend_from_slice(content);
                    out.extend_from_slice(b"\r\n");
                }
                None => out.extend_from_slice(line),
            }
        }
    }
}
