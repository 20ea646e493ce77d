//! Messages of our own that answer or follow a message of somebody else.
//!
//! Header lines that must be equal to those of the other message are copied as they stand.

use super::edit::{Splice, stamp_top_via, write_line, write_max_forwards, write_number};
use super::parse::{Line, Name};
use super::{Message, Stamp};

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

/// Appends the CANCEL of an INVITE as we sent it (RFC 3261 §9.1) to `out`; `reason` is the value of
/// the Reason header passed on (RFC 3326), an empty `user_agent` adds none.
pub fn cancel(sent: Message<'_>, reason: Option<&[u8]>, user_agent: &str, out: &mut Vec<u8>) {
    start_like(sent, b"CANCEL", out);
    copy_line(sent, Name::From, out);
    copy_line(sent, Name::To, out);
    finish_like(sent, b"CANCEL", out);
    if let Some(reason) = reason {
        write_header(b"Reason", reason, out);
    }
    if !user_agent.is_empty() {
        write_header(b"User-Agent", user_agent.as_bytes(), out);
    }
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
}

/// Appends the ACK for a final response other than 2xx to an INVITE as we sent it (RFC 3261
/// §17.1.1.3) to `out`.
pub fn ack(sent: Message<'_>, response: Message<'_>, out: &mut Vec<u8>) {
    start_like(sent, b"ACK", out);
    copy_line(sent, Name::From, out);
    copy_line(response, Name::To, out);
    finish_like(sent, b"ACK", out);
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
}

fn start_like(sent: Message<'_>, method: &[u8], out: &mut Vec<u8>) {
    out.reserve(sent.request_uri().len() + 1_024);
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(sent.request_uri());
    out.extend_from_slice(b" SIP/2.0\r\n");
    write_line(b"Via", sent.top_via().raw(), out);
    for line in sent.index.all(Name::Route) {
        copy(sent, line, out);
    }
}

fn finish_like(sent: Message<'_>, method: &[u8], out: &mut Vec<u8>) {
    copy_line(sent, Name::CallId, out);
    out.extend_from_slice(b"CSeq: ");
    write_number(sent.cseq(), out);
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
#[path = "build/tests.rs"]
mod tests;
