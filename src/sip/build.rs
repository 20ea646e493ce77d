//! Messages of our own that answer or follow a message of somebody else.
//!
//! Header lines that must be equal to those of the other message are copied as they stand, or as they
//! left.

use super::edit::{Splice, stamp_top_via, write_line, write_max_forwards, write_number, write_routes};
use super::parse::{Line, Name};
use super::{Message, RequestEdit, Stamp};

/// A response of our own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reply<'a> {
    /// The status code.
    pub code: u16,
    /// The reason phrase; `None` for the standard one.
    pub reason: Option<&'a str>,
    /// The tag added to To if it has none.
    pub to_tag: Option<&'a [u8]>,
    /// Further header lines.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// What is added to the topmost Via.
    pub stamp: Stamp,
}

/// Appends a response to a request, which may be a [`super::partial`] view, to `out` (RFC 3261
/// §8.2.6).
pub fn reply(request: Message<'_>, reply: &Reply<'_>, out: &mut Vec<u8>) {
    out.reserve(request.bytes().len().min(2_048) + 256);
    out.extend_from_slice(b"SIP/2.0 ");
    write_number(u32::from(reply.code), out);
    out.push(b' ');
    write_value(reply.reason.unwrap_or_else(|| reason_phrase(reply.code)).as_bytes(), out);
    out.extend_from_slice(b"\r\n");
    let mut is_top = true;
    for line in request.index.all(Name::Via) {
        let mut splice = Splice::at(request, line.start as usize, out);
        if is_top {
            stamp_top_via(&mut splice, reply.stamp);
        }
        splice.copy_until(line.end as usize);
        is_top = false;
    }
    copy_line(request, Name::From, out);
    if let Some(line) = request.index.first(Name::To) {
        request.copy_head(line.start as usize, line.value.end as usize, out);
        if let (None, Some(tag)) = (request.to_tag(), reply.to_tag) {
            out.extend_from_slice(b";tag=");
            out.extend_from_slice(tag);
        }
        out.extend_from_slice(b"\r\n");
    }
    copy_line(request, Name::CallId, out);
    copy_line(request, Name::Cseq, out);
    if reply.code == 100
        && let Some(value) = request.header("Timestamp")
    {
        write_header(b"Timestamp", value, out);
    }
    for (name, value) in reply.headers {
        write_header(name.as_bytes(), value, out);
    }
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
}

/// Appends the CANCEL of an INVITE that was sent with these edits (RFC 3261 §9.1) to `out`; `reason` is
/// the value of the Reason header passed on (RFC 3326).
pub fn cancel(invite: Message<'_>, edit: &RequestEdit<'_>, reason: Option<&[u8]>, out: &mut Vec<u8>) {
    start_like(invite, edit, b"CANCEL", out);
    copy_line(invite, Name::From, out);
    copy_line(invite, Name::To, out);
    finish_like(invite, b"CANCEL", out);
    if let Some(reason) = reason {
        write_header(b"Reason", reason, out);
    }
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
}

/// Appends the ACK for a final response other than 2xx to an INVITE that was sent with these edits (RFC
/// 3261 §17.1.1.3) to `out`.
pub fn ack(invite: Message<'_>, edit: &RequestEdit<'_>, response: Message<'_>, out: &mut Vec<u8>) {
    start_like(invite, edit, b"ACK", out);
    copy_line(invite, Name::From, out);
    copy_line(response, Name::To, out);
    finish_like(invite, b"ACK", out);
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
}

/// Adds the header lines of these names in `from` to `message`, which is a whole one written here.
pub fn add_headers(from: Message<'_>, names: &[&str], message: &mut Vec<u8>) {
    let Some(end) = message.windows(4).position(|window| window == b"\r\n\r\n") else { return };
    let rest = message.split_off(end + 2);
    for name in names {
        for value in from.headers(name) {
            write_header(name.as_bytes(), value, message);
        }
    }
    message.extend_from_slice(&rest);
}

/// Writes what makes a request take the way of another one, and match it there.
fn start_like(request: Message<'_>, edit: &RequestEdit<'_>, method: &[u8], out: &mut Vec<u8>) {
    let uri = edit.request_uri.unwrap_or(request.request_uri());
    out.reserve(uri.len() + 1_024);
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(uri);
    out.extend_from_slice(b" SIP/2.0\r\n");
    write_line(b"Via", edit.via, out);
    write_routes(request, edit, out);
}

fn finish_like(request: Message<'_>, method: &[u8], out: &mut Vec<u8>) {
    copy_line(request, Name::CallId, out);
    out.extend_from_slice(b"CSeq: ");
    write_number(request.cseq(), out);
    out.push(b' ');
    out.extend_from_slice(method);
    out.extend_from_slice(b"\r\n");
    write_max_forwards(70, out);
}

fn copy(message: Message<'_>, line: &Line, out: &mut Vec<u8>) {
    message.copy_head(line.start as usize, line.end as usize, out);
}

fn copy_line(message: Message<'_>, name: Name, out: &mut Vec<u8>) {
    if let Some(line) = message.index.first(name) {
        copy(message, line, out);
    }
}

fn write_header(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    write_value(value, out);
    out.extend_from_slice(b"\r\n");
}

/// Writes a value that may hold folds, or come from anywhere, as one line.
fn write_value(value: &[u8], out: &mut Vec<u8>) {
    out.extend(value.iter().map(|byte| if matches!(byte, b'\r' | b'\n' | 0) { b' ' } else { *byte }));
}

/// The standard phrase of a status code (IANA registry of SIP response codes).
pub fn reason_phrase(code: u16) -> &'static str {
    match code {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        199 => "Early Dialog Terminated",
        200 => "OK",
        202 => "Accepted",
        204 => "No Notification",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        305 => "Use Proxy",
        380 => "Alternative Service",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        412 => "Conditional Request Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        430 => "Flow Failed",
        433 => "Anonymity Disallowed",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        485 => "Ambiguous",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        493 => "Undecipherable",
        494 => "Security Agreement Required",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        580 => "Precondition Failure",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        607 => "Unwanted",
        608 => "Rejected",
        _ => match code / 100 {
            1 => "Progress",
            2 => "Success",
            3 => "Redirection",
            4 => "Request Failure",
            5 => "Server Failure",
            _ => "Global Failure",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::samples::{INVITE, OK, read, show, with};
    use crate::sip::{Framing, Index, TraceEdit, forward_request, parse, partial};

    const OURS: RequestEdit<'_> = RequestEdit {
        request_uri: None,
        via: b"SIP/2.0/TCP ours:5060;branch=z9hG4bKx",
        stamp: Stamp { received: None, rport: None },
        max_forwards: 69,
        record_routes: &[],
        path: None,
        pop_routes: 0,
        append_route: None,
        drop_last_route: false,
        trace: TraceEdit::Keep,
    };

    fn built(build: impl FnOnce(&mut Vec<u8>)) -> String {
        let (mut index, mut out) = (Index::default(), Vec::new());
        build(&mut out);
        read(&out, &mut index);
        show(&out)
    }

    #[test]
    fn answers_with_what_the_request_says() {
        let bytes = with(INVITE, "Max-Forwards", "v: SIP/2.0/TCP b,\r\n SIP/2.0/UDP c\r\nMax-Forwards");
        let mut index = Index::default();
        let request = read(&bytes, &mut index);
        let stamp = Stamp { received: "192.0.2.99".parse().ok(), rport: Some(7) };
        let headers: [(&str, &[u8]); 1] = [("Retry-After", b"5")];
        let answer = Reply { code: 503, to_tag: Some(b"ours"), headers: &headers, stamp, ..Reply::default() };
        assert_eq!(
            built(|out| reply(request, &answer, out)),
            "SIP/2.0 503 Service Unavailable\r\n\
             Via: SIP/2.0/UDP 192.0.2.10:5062;rport=7;branch=z9hG4bKphone1;received=192.0.2.99\r\n\
             v: SIP/2.0/TCP b,\r\n SIP/2.0/UDP c\r\n\
             From: \"Alice; <a>\" <sip:alice@example.com>;tag=from1\r\n\
             To: <sip:bob@example.com>;tag=ours\r\n\
             Call-ID: call-1@192.0.2.10\r\n\
             CSeq: 314 INVITE\r\n\
             Retry-After: 5\r\n\
             Content-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn keeps_a_to_tag_and_gives_a_100_none() {
        let tagged = with(INVITE, "To: <sip:bob@example.com>", "To: <sip:bob@example.com>;tag=theirs");
        let mut index = Index::default();
        let request = read(&tagged, &mut index);
        let out =
            built(|out| reply(request, &Reply { code: 404, to_tag: Some(b"x"), ..Reply::default() }, out));
        assert!(out.contains("To: <sip:bob@example.com>;tag=theirs\r\n"));
        let stamped = with(INVITE, "X-Odd", "Timestamp: 54.21\r\nX-Odd");
        let request = read(&stamped, &mut index);
        let out = built(|out| reply(request, &Reply { code: 100, ..Reply::default() }, out));
        assert!(out.starts_with("SIP/2.0 100 Trying\r\n") && out.contains("\r\nTimestamp: 54.21\r\n"));
        assert!(out.contains("To: <sip:bob@example.com>\r\n"));
    }

    #[test]
    fn answers_what_could_not_be_parsed() {
        for (from, to) in [
            ("<sip:bob@example.com>\r\n", "\"Bob <sip:bob@example.com>\r\n"),
            ("CSeq: 314 INVITE", "CSeq: 99999999999 OPTIONS"),
            ("Content-Length: 5", "Content-Length: 99"),
            ("kept", "ke\rpt"),
        ] {
            let (bytes, mut index, mut out) = (with(INVITE, from, to), Index::default(), Vec::new());
            match parse(&bytes, Framing::Datagram, &mut index) {
                Ok(_) => panic!("{to} must be refused"),
                Err(error) => {
                    let code = error.reply.unwrap();
                    let answer = Reply { code, to_tag: Some(b"x"), ..Reply::default() };
                    reply(partial(&bytes, &index), &answer, &mut out);
                }
            }
            let out = show(&out);
            assert!(out.starts_with("SIP/2.0 400 Bad Request\r\nVia: "), "{out}");
            for name in ["From: ", "To: ", "Call-ID: ", "CSeq: "] {
                assert_eq!(out.matches(&format!("\r\n{name}")).count(), 1, "{out}");
            }
        }
    }

    #[test]
    fn writes_no_value_over_two_lines() {
        let mut index = Index::default();
        let request = read(INVITE, &mut index);
        let headers: [(&str, &[u8]); 1] = [("Warning", b"a\r\nX-Injected: 1")];
        let answer = Reply { code: 400, reason: Some("Bad\r\nY: 1"), headers: &headers, ..Reply::default() };
        let out = built(|out| reply(request, &answer, out));
        assert!(
            out.contains("Warning: a  X-Injected: 1\r\n") && out.starts_with("SIP/2.0 400 Bad  Y: 1\r\n"),
            "{out}"
        );
    }

    #[test]
    fn cancels_the_request_as_it_was_sent() {
        let invite =
            with(INVITE, "X-Odd", "Route: <sip:a;lr>,\r\n <sip:b>\r\nRecord-Route: <sip:c>\r\nX-Odd");
        let mut index = Index::default();
        let invite = read(&invite, &mut index);
        assert_eq!(
            built(|out| cancel(invite, &OURS, Some(b"SIP;cause=200,\r\n Q.850;cause=26"), out)),
            "CANCEL sip:bob@example.com SIP/2.0\r\n\
             Via: SIP/2.0/TCP ours:5060;branch=z9hG4bKx\r\n\
             Route: <sip:a;lr>,\r\n <sip:b>\r\n\
             From: \"Alice; <a>\" <sip:alice@example.com>;tag=from1\r\n\
             To: <sip:bob@example.com>\r\n\
             Call-ID: call-1@192.0.2.10\r\n\
             CSeq: 314 CANCEL\r\n\
             Max-Forwards: 70\r\n\
             Reason: SIP;cause=200,   Q.850;cause=26\r\n\
             Content-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn acknowledges_with_the_to_of_the_response() {
        let (mut index, mut other) = (Index::default(), Index::default());
        let (invite, response) = (read(INVITE, &mut index), read(OK, &mut other));
        assert_eq!(
            built(|out| ack(invite, &OURS, response, out)),
            "ACK sip:bob@example.com SIP/2.0\r\n\
             Via: SIP/2.0/TCP ours:5060;branch=z9hG4bKx\r\n\
             From: \"Alice; <a>\" <sip:alice@example.com>;tag=from1\r\n\
             To: <sip:bob@example.com>;tag=to1\r\n\
             Call-ID: call-1@192.0.2.10\r\n\
             CSeq: 314 ACK\r\n\
             Max-Forwards: 70\r\n\
             Content-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn what_follows_a_request_takes_its_way() {
        let routed = with(INVITE, "X-Odd", "Route: <sip:a;lr>,\r\n <sip:b;lr>\r\nroute : <sip:c>\r\nX-Odd");
        let bare = [show(&routed).trim_end().replace('\r', ""), "\r\n".to_owned()].concat().into_bytes();
        let edits = [
            OURS,
            RequestEdit { pop_routes: 1, ..OURS },
            RequestEdit { pop_routes: 3, ..OURS },
            RequestEdit { drop_last_route: true, ..OURS },
            RequestEdit { request_uri: Some(b"sip:x"), append_route: Some(b"sip:y"), ..OURS },
            RequestEdit { pop_routes: 2, drop_last_route: true, append_route: Some(b"sip:y"), ..OURS },
        ];
        for (request, edit) in
            [INVITE, &routed, &bare].into_iter().flat_map(|one| edits.map(|edit| (one, edit)))
        {
            let (mut index, mut other) = (Index::default(), Index::default());
            let invite = read(request, &mut index);
            let sent = built(|out| forward_request(invite, &edit, out)).into_bytes();
            let sent = read(&sent, &mut other);
            let same = RequestEdit { via: sent.top_via().raw(), ..RequestEdit::default() };
            assert_eq!(
                built(|out| cancel(invite, &edit, None, out)),
                built(|out| cancel(sent, &same, None, out)),
                "{edit:?}"
            );
        }
    }

    #[test]
    fn adds_header_lines_behind_the_others() {
        let with_two = with(OK, "Contact: ", "X-Two: a,\r\n b\r\nx-two: c\r\nContact: ");
        let mut index = Index::default();
        let from = read(&with_two, &mut index);
        let mut message = INVITE.to_vec();
        add_headers(from, &["X-None", "X-Two"], &mut message);
        let expected = show(INVITE).replacen("\r\n\r\n", "\r\nX-Two: a,   b\r\nX-Two: c\r\n\r\n", 1);
        assert_eq!(show(&message), expected);
    }

    #[test]
    fn every_code_has_a_phrase() {
        assert!((100..700).all(|code| !reason_phrase(code).is_empty()));
        assert_eq!(reason_phrase(487), "Request Terminated");
        assert_eq!(reason_phrase(499), "Request Failure");
    }
}
