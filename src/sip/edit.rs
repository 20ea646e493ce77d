//! What a proxy changes in a message, as splices: everything else goes on byte for byte.
//!
//! One pass of copying into the caller's buffer, no allocation. Lines that end in a bare LF leave
//! with CRLF, and Content-Length is added where it is missing (RFC 3261 §16.6 step 9), so that what
//! we send can be framed in one way only.

use super::Message;
use super::parse::{Line, Name};
use super::scan::{Span, is_name};
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
    /// The value of a Path line put on top; `path` is then added to Supported where it is missing.
    pub path: Option<&'a [u8]>,
    /// How many Route values to remove from the front.
    pub pop_routes: usize,
    /// A URI put as the last Route value.
    pub append_route: Option<&'a [u8]>,
    /// Whether the last Route value of the message is removed.
    pub drop_last_route: bool,
    /// What becomes of the trace context.
    pub trace: TraceEdit<'a>,
}

/// What becomes of `Traceparent` and `Tracestate` (W3C Trace Context) in a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TraceEdit<'a> {
    /// They stay as they are.
    #[default]
    Keep,
    /// Both go.
    Remove,
    /// Another `Traceparent` takes the place of what is there.
    Replace {
        /// Its value.
        parent: &'a [u8],
        /// Whether `Tracestate` stays.
        keeps_state: bool,
    },
}

const TRACE_PARENT: &[u8] = b"Traceparent";
const TRACE_STATE: &[u8] = b"Tracestate";

impl TraceEdit<'_> {
    /// Bytes that it may add.
    pub fn growth(self) -> usize {
        match self {
            Self::Keep | Self::Remove => 0,
            Self::Replace { parent, .. } => TRACE_PARENT.len() + parent.len() + 4,
        }
    }

    /// Whether a header line of this name goes.
    fn removes(self, name: &[u8]) -> bool {
        let is_parent = is_name(name, TRACE_PARENT);
        match self {
            Self::Keep => false,
            Self::Remove => is_parent || is_name(name, TRACE_STATE),
            Self::Replace { keeps_state, .. } => is_parent || !keeps_state && is_name(name, TRACE_STATE),
        }
    }
}

/// The option tag of Path (RFC 3327 §4).
const PATH_TAG: &str = "path";

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
    if let Some(value) = edit.path {
        write_line(b"Path", value, splice.out);
        if !message.supports(PATH_TAG) {
            write_line(b"Supported", PATH_TAG.as_bytes(), splice.out);
        }
    }
    if let TraceEdit::Replace { parent, .. } = edit.trace {
        write_line(TRACE_PARENT, parent, splice.out);
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
            Name::Other if edit.trace != TraceEdit::Keep => {
                if edit.trace.removes(message.text(Span { start: line.start, end: line.name_end })) {
                    splice.remove_line(line);
                }
            }
            Name::Via
            | Name::From
            | Name::To
            | Name::CallId
            | Name::Cseq
            | Name::RecordRoute
            | Name::Contact
            | Name::ContentLength
            | Name::ProxyRequire
            | Name::ProxyAuthorization
            | Name::SessionId
            | Name::Timestamp
            | Name::Other => {}
        }
    }
    splice.finish();
}

/// Appends the Route lines of a request with their edits to `out`.
pub(super) fn write_routes(message: Message<'_>, edit: &RequestEdit<'_>, out: &mut Vec<u8>) {
    let mut routes = Routes::new(message, edit);
    if routes.lines == 0 {
        routes.append(out);
    }
    for line in message.index.all(Name::Route) {
        let mut splice = Splice::at(message, line.start as usize, out);
        routes.edit(line, &mut splice);
        splice.copy_until(line.end as usize);
    }
}

/// Appends the message with another topmost Via value to `out`.
pub fn replace_top_via(message: Message<'_>, via: &[u8], out: &mut Vec<u8>) {
    let mut splice = Splice::new(message, out);
    if let Some((raw, _)) = message.index.top_via {
        splice.replace(raw, via);
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
        splice.out.extend_from_slice(b";received=");
        write_address(address, splice.out);
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
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn write_address(address: IpAddr, out: &mut Vec<u8>) {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, rest @ ..] = v4.octets();
            write_number(first.into(), out);
            for octet in rest {
                out.push(b'.');
                write_number(octet.into(), out);
            }
        }
        IpAddr::V6(v6) => write!(out, "{v6}").expect("writing to a vector never fails"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Index;
    use crate::sip::samples::{INVITE, OK, read, show, with};

    const OURS: &[u8] = b"SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bKours";

    fn forward(bytes: &[u8], edit: &RequestEdit<'_>) -> String {
        let (mut index, mut out) = (Index::default(), Vec::new());
        forward_request(read(bytes, &mut index), edit, &mut out);
        show(&out)
    }

    fn plain() -> RequestEdit<'static> {
        RequestEdit { via: OURS, max_forwards: 69, ..RequestEdit::default() }
    }

    fn stamp(received: &str, rport: u16) -> Stamp {
        Stamp { received: received.parse().ok(), rport: Some(rport) }
    }

    #[test]
    fn changes_nothing_but_via_and_max_forwards() {
        let expected = show(INVITE)
            .replace("\r\nVia:", &format!("\r\nVia: {}\r\nVia:", show(OURS)))
            .replace("Max-Forwards: 70", "Max-Forwards: 69");
        assert_eq!(forward(INVITE, &plain()), expected);
    }

    #[test]
    fn stamps_the_senders_via() {
        let via = |via: &str, stamp| {
            let bytes = with(INVITE, "SIP/2.0/UDP 192.0.2.10:5062;rport;branch=z9hG4bKphone1", via);
            let out = forward(&bytes, &RequestEdit { stamp, ..plain() });
            out.lines().nth(2).unwrap().strip_prefix("Via: ").unwrap().to_owned()
        };
        let seen = stamp("192.0.2.99", 1234);
        assert_eq!(
            via("SIP/2.0/UDP h;rport;branch=a", seen),
            "SIP/2.0/UDP h;rport=1234;branch=a;received=192.0.2.99"
        );
        assert_eq!(via("SIP/2.0/UDP h;branch=a", seen), "SIP/2.0/UDP h;branch=a;received=192.0.2.99");
        assert_eq!(
            via("SIP/2.0/UDP h;received=6.6.6.6;rport=7;branch=a", seen),
            "SIP/2.0/UDP h;rport=1234;branch=a;received=192.0.2.99"
        );
        assert_eq!(
            via("SIP/2.0/UDP h;rport=7 ; received=6.6.6.6 ;branch=a , SIP/2.0/UDP x", seen),
            "SIP/2.0/UDP h;rport=1234  ;branch=a;received=192.0.2.99 , SIP/2.0/UDP x"
        );
        assert_eq!(via("SIP/2.0/UDP h;received=6.6.6.6;rport=7", Stamp::default()), "SIP/2.0/UDP h;rport");
        assert_eq!(via("SIP/2.0/UDP h ; rport ;x", Stamp::default()), "SIP/2.0/UDP h ; rport ;x");
        assert_eq!(via("SIP/2.0/UDP h", stamp("::ffff:192.0.2.1", 1)), "SIP/2.0/UDP h;received=192.0.2.1");
        assert_eq!(via("SIP/2.0/UDP h", stamp("2001:db8::1", 1)), "SIP/2.0/UDP h;received=2001:db8::1");
    }

    #[test]
    fn replaces_the_request_uri_and_adds_what_is_missing() {
        let bytes = with(INVITE, "Max-Forwards: 70\r\n", "");
        let bytes = with(&bytes, "Content-Length: 5\r\n", "");
        let routes: [&[u8]; 2] = [b"<sip:one;lr>", b"<sip:two;lr>"];
        let edit = RequestEdit { request_uri: Some(b"sip:x@y"), record_routes: &routes, ..plain() };
        let out = forward(&bytes, &edit);
        assert!(out.starts_with("INVITE sip:x@y SIP/2.0\r\nVia: "), "{out}");
        assert!(out.contains(
            "\r\nRecord-Route: <sip:one;lr>\r\nRecord-Route: <sip:two;lr>\r\nMax-Forwards: 69\r\n"
        ));
        assert!(out.ends_with("Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n"), "{out}");
    }

    fn routes(lines: &str, edit: RequestEdit<'_>) -> String {
        let bytes = with(INVITE, "X-Odd", &format!("{lines}X-Odd"));
        let out = forward(&bytes, &edit);
        let keep = |line: &&str| line.starts_with("Route");
        out.split_inclusive("\r\n").filter(keep).collect()
    }

    #[test]
    fn pops_routes_from_lists_and_lines() {
        let lines = "Route: <sip:a;lr> , <sip:b,c;lr>;x=\"1,2\"\r\nRoute: <sip:d>\r\n";
        let pop = |pop_routes| routes(lines, RequestEdit { pop_routes, ..plain() });
        assert_eq!(pop(0), lines);
        assert_eq!(pop(1), "Route: <sip:b,c;lr>;x=\"1,2\"\r\nRoute: <sip:d>\r\n");
        assert_eq!(pop(2), "Route: <sip:d>\r\n");
        assert_eq!(pop(3), "");
        assert_eq!(pop(9), "");
    }

    #[test]
    fn appends_and_drops_the_last_route() {
        let lines = "Route: <sip:a>, <sip:b>\r\nRoute: <sip:c>, <sip:d>\r\n";
        let drop = RequestEdit { drop_last_route: true, ..plain() };
        assert_eq!(routes(lines, drop), "Route: <sip:a>, <sip:b>\r\nRoute: <sip:c>\r\n");
        let swap = RequestEdit { pop_routes: 1, append_route: Some(b"sip:z;x"), ..plain() };
        assert_eq!(routes(lines, swap), "Route: <sip:b>\r\nRoute: <sip:c>, <sip:d>\r\nRoute: <sip:z;x>\r\n");
        let all =
            RequestEdit { pop_routes: 1, drop_last_route: true, append_route: Some(b"sip:z"), ..plain() };
        assert_eq!(routes("Route: <sip:a>, <sip:b>\r\n", all), "Route: <sip:z>\r\n");
        assert_eq!(routes("", all), "Route: <sip:z>\r\n");
        assert_eq!(routes("Route: <sip:a>\r\n", drop), "");
    }

    fn popped(bytes: &[u8]) -> String {
        let (mut index, mut out) = (Index::default(), Vec::new());
        forward_response(read(bytes, &mut index), &mut out);
        show(&out)
    }

    #[test]
    fn pops_the_topmost_via() {
        assert_eq!(popped(OK), show(OK).replacen("Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKours\r\n", "", 1));
        let list = with(OK, "ours\r\nVia: ", "ours , ");
        assert_eq!(popped(&list), popped(OK));
        let empty_elements = with(OK, "ours\r\nVia: ", "ours ,, \r\n ");
        assert_eq!(popped(&empty_elements), popped(OK));
        let trailing = with(OK, "ours\r\n", "ours, \r\n");
        assert_eq!(popped(&trailing), popped(OK));
    }

    #[test]
    fn normalises_line_ends_of_the_head_only() {
        let bare = show(OK).replace("\r\n", "\n").replace("Contact: ", "Contact:\n ");
        let out = popped(format!("{}a\nb", bare.replace("Content-Length: 0\n", "")).as_bytes());
        let expected = popped(&with(OK, "Contact: ", "Contact:\r\n ")).replace("Length: 0", "Length: 3");
        assert_eq!(out, format!("{expected}a\nb"));
    }
}
