//! Just enough SIP for the two ends of the demo: messages that they and sipwarden write.
//!
//! Reads headers by their full names, one a line. The dispatcher itself never uses this.

use std::net::SocketAddr;

/// A message taken apart.
#[derive(Debug)]
pub struct Text<'a> {
    start: &'a str,
    headers: Vec<(&'a str, &'a str)>,
}

impl<'a> Text<'a> {
    /// Takes a datagram apart; `None` if it is no message.
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(datagram).ok()?;
        let head = text.split_once("\r\n\r\n").map_or(text, |(head, _)| head);
        let mut lines = head.split("\r\n");
        let start = lines.next().filter(|start| start.contains("SIP/2.0"))?;
        let header = |line: &'a str| line.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
        Some(Self { start, headers: lines.filter_map(header).collect() })
    }

    /// The method of a request.
    pub fn method(&self) -> Option<&'a str> {
        self.start.split_once(' ').map(|(word, _)| word).filter(|word| *word != "SIP/2.0")
    }

    /// The status code of a response.
    pub fn code(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// Every value of a header, in order.
    pub fn all<'b>(&'b self, name: &'b str) -> impl DoubleEndedIterator<Item = &'a str> + 'b {
        let named = move |(given, _): &&(&str, &str)| given.eq_ignore_ascii_case(name);
        self.headers.iter().filter(named).map(|(_, value)| *value)
    }

    /// The first value of a header.
    pub fn first(&self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// The method that a response answers.
    pub fn cseq_method(&self) -> Option<&'a str> {
        self.first("CSeq")?.split_whitespace().nth(1)
    }
}

/// The URI inside `<…>`, or the whole without parameters of the header.
pub fn uri(value: &str) -> &str {
    match value.split_once('<') {
        Some((_, rest)) => rest.split_once('>').map_or(rest, |(uri, _)| uri),
        None => value.split(';').next().unwrap_or(value),
    }
}

/// The address that a `sip:` URI with a literal address names.
pub fn address(uri: &str) -> Option<SocketAddr> {
    let rest = uri.strip_prefix("sip:")?;
    let host = rest.split([';', '?']).next()?;
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    host.parse().ok().or_else(|| host.parse().ok().map(|ip| SocketAddr::new(ip, 5060)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_response_apart() {
        let bytes = b"SIP/2.0 200 OK\r\nVia: a\r\nvia: b\r\nCSeq: 1 INVITE\r\nContact: <sip:x@127.0.0.1:9;ob>;q=1\r\n\r\nx: y";
        let text = Text::parse(bytes).unwrap();
        assert_eq!((text.code(), text.method(), text.cseq_method()), (Some(200), None, Some("INVITE")));
        assert_eq!(text.all("Via").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(address(uri(text.first("contact").unwrap())), Some(([127, 0, 0, 1], 9).into()));
        assert_eq!(text.first("x"), None);
    }

    #[test]
    fn what_is_no_message_is_none() {
        for bytes in [&b""[..], b"\r\n\r\n", b"\xff\xfe", b"HTTP/1.1 200 OK\r\n\r\n"] {
            assert!(Text::parse(bytes).is_none());
        }
        assert_eq!(address("sip:pbx.example.org"), None);
        assert_eq!(address("sip:127.0.0.1;lr"), Some(([127, 0, 0, 1], 5060).into()));
    }
}
