//! What a proxy changes in a message, as splices: everything else goes on byte for byte.
//!
//! One pass of copying into the caller's buffer, no allocation. Lines that end in a bare LF leave
//! with CRLF, and Content-Length is added where it is missing (RFC 3261 §16.6 step 9), so that what
//! we send can be framed in one way only.

use super::Message;
use super::parse::{Line, Name};
use super::scan::Span;
use std::io::Write;
use std::net::IpAddr;

/// What a receiver adds to the topmost Via (RFC 3261 §18.2.1, RFC 3581 §4). A `received` of the
/// sender is always removed, a value of `rport` always overwritten or removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The source address; `None` adds no `received`.
    pub received: Option<IpAddr>,
    /// The source port, put in if the sender asked for it with `rport`.
    pub rport: Option<u16>,
}

/// What a proxy changes in a request.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestEdit<'a> {
    /// A new Request-URI.
    pub request_uri: Option<&'a [u8]>,
    /// The value of the Via line put on top.
    pub via: &'a [u8],
    /// What is added to the Via below it.
    pub stamp: Stamp,
    /// The new Max-Forwards.
    pub max_forwards: u8,
    /// Values of the Record-Route lines put on top, the first topmost.
    pub record_routes: &'a [&'a [u8]],
    /// How many Route values to remove from the front.
    pub pop_routes: usize,
    /// A URI put as the last Route value.
    pub append_route: Option<&'a [u8]>,
    /// Whether the last Route value of the message is removed.
    pub drop_last_route: bool,
}

/// Appends the request with its edits to `out`.
pub fn forward_request(message: Message<'_>, edit: &RequestEdit<'_>, out: &mut Vec<u8>) {
    out.reserve(message.bytes().len() + edit.via.len() + 512);
    let mut splice = Splice::new(message, out);
    if let Some(uri) = edit.request_uri {
        splice.replace(message.index.uri, uri);
    }
    splice.copy_until(message.index.start_end.end as usize);
    write_line(b"Via", edit.via, splice.out);
    for value in edit.record_routes {
        write_line(b"Record-Route", value, splice.out);
    }
    if !message.index.has(Name::MaxForwards) {
        write_max_forwards(edit.max_forwards, splice.out);
    }
    let mut routes = Routes::new(message, edit);
    if routes.lines == 0 {
        routes.append(splice.out);
    }
    let mut is_top = true;
    for line in &message.index.lines {
        match line.name {
            Name::Via if is_top => {
                is_top = false;
                stamp_top_via(&mut splice, edit.stamp);
            }
            Name::MaxForwards => {
                splice.replace(line.value, b"");
                write_number(u32::from(edit.max_forwards), splice.out);
            }
            Name::Route => routes.edit(line, &mut splice),
            Name::Via
            | Name::From
            | Name::To
            | Name::CallId
            | Name::Cseq
            | Name::RecordRoute
            | Name::Contact
            | Name::ContentLength
            | Name::Other => {}
        }
    }
    splice.finish();
}

/// Appends the response without its topmost Via value to `out`.
pub fn forward_response(message: Message<'_>, out: &mut Vec<u8>) {
    out.reserve(message.bytes().len() + 32);
    let mut splice = Splice::new(message, out);
    if let Some(line) = message.index.first(Name::Via) {
        match message.spans(line).nth(1) {
            Some(next) => splice.replace(Span { start: line.value.start, end: next.start }, b""),
            None => splice.remove_line(line),
        }
    }
    splice.finish();
}

/// Copies a message in order, with pieces left out or replaced.
pub(super) struct Splice<'a, 'o> {
    message: Message<'a>,
    position: usize,
    pub out: &'o mut Vec<u8>,
}

impl<'a, 'o> Splice<'a, 'o> {
    fn new(message: Message<'a>, out: &'o mut Vec<u8>) -> Self {
        Self::at(message, message.index.whole.start as usize, out)
    }

    pub fn at(message: Message<'a>, position: usize, out: &'o mut Vec<u8>) -> Self {
        Self { message, position, out }
    }

    pub fn copy_until(&mut self, end: usize) {
        self.message.copy_head(self.position, end, self.out);
        self.position = end.max(self.position);
    }

    fn replace(&mut self, span: Span, by: &[u8]) {
        self.copy_until(span.start as usize);
        self.out.extend_from_slice(by);
        self.position = span.end as usize;
    }

    fn remove_line(&mut self, line: &Line) {
        self.replace(Span { start: line.start, end: line.end }, b"");
    }

    /// Copies what is left; the body is never touched.
    fn finish(mut self) {
        let index = self.message.index;
        self.copy_until(index.head_end);
        if !index.has(Name::ContentLength) {
            self.out.extend_from_slice(b"Content-Length: ");
            write_number(index.body.end - index.body.start, self.out);
            self.out.extend_from_slice(b"\r\n");
        }
        self.copy_until(index.body.start as usize);
        self.out.extend_from_slice(self.message.body());
    }
}

/// Copies up to the end of the topmost Via value, stamped.
pub(super) fn stamp_top_via(splice: &mut Splice<'_, '_>, stamp: Stamp) {
    let Some((raw, spans)) = splice.message.index.top_via else { return };
    let start = raw.start as usize;
    let rport = |splice: &mut Splice<'_, '_>| {
        let Some(param) = spans.rport else { return };
        match stamp.rport {
            Some(port) => {
                splice.replace(param.whole.shifted(start), b";rport=");
                write_number(u32::from(port), splice.out);
            }
            None if param.value.is_some() => splice.replace(param.whole.shifted(start), b";rport"),
            None => {}
        }
    };
    match spans.received {
        Some(received) if spans.rport.is_some_and(|rport| rport.whole.start < received.whole.start) => {
            rport(splice);
            splice.replace(received.whole.shifted(start), b"");
        }
        Some(received) => {
            splice.replace(received.whole.shifted(start), b"");
            rport(splice);
        }
        None => rport(splice),
    }
    splice.copy_until(raw.end as usize);
    if let Some(address) = stamp.received {
        write_display(format_args!(";received={}", address.to_canonical()), splice.out);
    }
}

/// The edits of the Route values, which may be spread over lines.
struct Routes<'a> {
    /// First value kept.
    from: usize,
    /// Behind the last value kept.
    until: usize,
    seen: usize,
    /// Route lines still to come.
    lines: usize,
    message: Message<'a>,
    append: Option<&'a [u8]>,
}

impl<'a> Routes<'a> {
    fn new(message: Message<'a>, edit: &RequestEdit<'a>) -> Self {
        let until = message.index.routes.saturating_sub(usize::from(edit.drop_last_route));
        let lines = message.index.all(Name::Route).count();
        Self { from: edit.pop_routes, until, seen: 0, lines, message, append: edit.append_route }
    }

    fn edit(&mut self, line: &Line, splice: &mut Splice<'_, '_>) {
        let first = self.seen;
        let mut kept: Option<Span> = None;
        for value in self.message.spans(line) {
            if (self.from..self.until).contains(&self.seen) {
                kept = Some(Span { start: kept.map_or(value.start, |kept| kept.start), end: value.end });
            }
            self.seen += 1;
        }
        match kept {
            None => splice.remove_line(line),
            Some(_) if self.from <= first && self.seen <= self.until => {}
            Some(kept) => {
                splice.replace(Span { start: line.value.start, end: kept.start }, b"");
                splice.replace(Span { start: kept.end, end: line.value.end }, b"");
            }
        }
        self.lines -= 1;
        if self.lines == 0 && self.append.is_some() {
            splice.copy_until(line.end as usize);
            self.append(splice.out);
        }
    }

    fn append(&self, out: &mut Vec<u8>) {
        if let Some(uri) = self.append {
            out.extend_from_slice(b"Route: <");
            out.extend_from_slice(uri);
            out.extend_from_slice(b">\r\n");
        }
    }
}

pub(super) fn write_line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

pub(super) fn write_max_forwards(value: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Max-Forwards: ");
    write_number(u32::from(value), out);
    out.extend_from_slice(b"\r\n");
}

pub(super) fn write_number(value: u32, out: &mut Vec<u8>) {
    write_display(format_args!("{value}"), out);
}

fn write_display(text: std::fmt::Arguments<'_>, out: &mut Vec<u8>) {
    out.write_fmt(text).expect("writing to a vector never fails");
}

#[cfg(test)]
#[path = "edit/tests.rs"]
mod tests;
