//! The first line (RFC 3261 §7.1, §7.2).

use super::{Fault, limits};
use crate::facts::event::ParseReason;
use crate::sip::scan::{Class, Span, is_all, is_name, number};
use crate::sip::uri::UriSpans;
use memchr::{memchr, memrchr};

/// What the first line says; spans are of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StartLine {
    Request { method: Span, uri: Span, parts: Option<UriSpans>, fault: Option<Fault> },
    Response { status: u16, phrase: Span },
}

/// Reads the first line; `None` if it is not one of SIP, so that nothing can be said about the rest.
pub(super) fn read(line: &[u8]) -> Option<StartLine> {
    if line.get(..4).is_some_and(|start| is_name(start, b"SIP/")) {
        return read_response(line);
    }
    let method_end = memchr(b' ', line)?;
    let method = Span::new(0, method_end);
    let trimmed = line.trim_ascii_end();
    let uri_end = memrchr(b' ', trimmed)?;
    let version = trimmed.get(uri_end + 1..)?;
    if !is_all(Class::Token, method.get(line)) || !is_version(version) {
        return None;
    }
    if uri_end <= method_end || trimmed.len() != line.len() {
        let uri = Span::new(method_end, method_end);
        let fault = Some((ParseReason::StartLine, 400));
        return Some(StartLine::Request { method, uri, parts: None, fault });
    }
    let uri = Span::new(method_end + 1, uri_end);
    let (parts, fault) = if is_name(version, b"SIP/2.0") {
        read_uri(uri.get(line)).map_or_else(|fault| (None, Some(fault)), |parts| (Some(parts), None))
    } else {
        // RFC 3261 §21.5.6.
        (None, Some((ParseReason::StartLine, 505)))
    };
    Some(StartLine::Request { method, uri, parts, fault })
}

fn is_version(text: &[u8]) -> bool {
    let numbers = text.get(..4).filter(|name| is_name(name, b"SIP/")).and_then(|_| text.get(4..));
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    numbers.is_some_and(|text| {
        memchr(b'.', text).is_some_and(|dot| {
            text.get(..dot).is_some_and(is_number) && text.get(dot + 1..).is_some_and(is_number)
        })
    })
}

/// Checks a Request-URI. A scheme that is not ours is no fault here: 416 is for the core to say.
fn read_uri(uri: &[u8]) -> Result<UriSpans, Fault> {
    if uri.len() > limits::URI {
        return Err((ParseReason::TooLarge, 414));
    }
    if uri.is_empty() || memchr::memchr2(b' ', b'\t', uri).is_some() {
        return Err((ParseReason::StartLine, 400));
    }
    let parts = if is_all(Class::Uri, uri) { UriSpans::parse(uri) } else { None };
    parts.filter(|parts| !parts.has_headers()).ok_or((ParseReason::Uri, 400))
}

/// A response that is not well-formed is dropped, so nothing of it is kept.
fn read_response(line: &[u8]) -> Option<StartLine> {
    let rest = line.get(7..).filter(|_| line.get(..7).is_some_and(|start| is_name(start, b"SIP/2.0")))?;
    let digits = rest.strip_prefix(b" ")?.get(..3)?;
    let status = u16::try_from(number(digits, 699)?).ok().filter(|status| *status >= 100)?;
    match line.get(11) {
        None => Some(StartLine::Response { status, phrase: Span::new(11, 11) }),
        Some(b' ') => Some(StartLine::Response { status, phrase: Span::new(12, line.len()) }),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: &[u8]) -> Option<Fault> {
        match read(line) {
            Some(StartLine::Request { fault, .. }) => fault,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_requests_of_any_method_and_scheme() {
        assert_eq!(fault(b"INVITE sip:a@h SIP/2.0"), None);
        assert_eq!(fault(b"!odd%41-m'th~d soap.beep://x sip/2.0"), None);
    }

    #[test]
    fn answers_400_to_blanks_and_brackets_in_the_request_line() {
        let start_line = Some((ParseReason::StartLine, 400));
        assert_eq!(fault(b"INVITE  sip:a@h SIP/2.0"), start_line);
        assert_eq!(fault(b"INVITE sip:a@h  SIP/2.0"), start_line);
        assert_eq!(fault(b"INVITE sip:a@h; lr SIP/2.0"), start_line);
        assert_eq!(fault(b"INVITE sip:a@h SIP/2.0 "), start_line);
        assert_eq!(fault(b"INVITE SIP/2.0"), start_line);
        assert_eq!(fault(b"INVITE <sip:a@h> SIP/2.0"), Some((ParseReason::Uri, 400)));
        assert_eq!(fault(b"INVITE sip:a@h?Route=x SIP/2.0"), Some((ParseReason::Uri, 400)));
        assert_eq!(fault(b"INVITE sip:a@h:0 SIP/2.0"), Some((ParseReason::Uri, 400)));
        assert_eq!(fault(b"INVITE pbx SIP/2.0"), Some((ParseReason::Uri, 400)));
    }

    #[test]
    fn answers_505_to_another_version_and_414_to_a_long_uri() {
        assert_eq!(fault(b"OPTIONS sip:h SIP/7.0"), Some((ParseReason::StartLine, 505)));
        let line = [b"INVITE sip:".as_slice(), &[b'a'; 2_000], b"@h SIP/2.0"].concat();
        assert_eq!(fault(&line), Some((ParseReason::TooLarge, 414)));
    }

    #[test]
    fn says_nothing_about_other_protocols() {
        for line in [
            &b""[..],
            b" ",
            b"GET / HTTP/1.1",
            b"INVITE",
            b"INVITE sip:a@h",
            b"IN<ITE sip:a@h SIP/2.0",
            b"\x16\x03\x01\x02",
            b"INVITE sip:a@h SIP/",
            b"INVITE sip:a@h SIP/2.",
        ] {
            assert_eq!(read(line), None, "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn reads_status_lines_with_any_phrase() {
        let status = |line: &'static [u8]| match read(line) {
            Some(StartLine::Response { status, phrase }) => Some((status, phrase.get(line))),
            _ => None,
        };
        assert_eq!(status(b"SIP/2.0 200 Alles gut"), Some((200, &b"Alles gut"[..])));
        assert_eq!(status(b"SIP/2.0 100 "), Some((100, &b""[..])));
        assert_eq!(status(b"SIP/2.0 100"), Some((100, &b""[..])));
        for line in [
            &b"SIP/2.0 099 x"[..],
            b"SIP/2.0 700 x",
            b"SIP/2.0 4294967301 x",
            b"SIP/2.0 20 x",
            b"SIP/3.0 200 OK",
            b"SIP/2.0  200 OK",
            b"SIP/2.0",
        ] {
            assert_eq!(status(line), None);
        }
    }
}
