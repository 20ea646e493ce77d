//! URIs, read as far as a proxy needs: where to send, and parameters of its own.
//!
//! Nothing is unescaped: `%` sequences stay what they are (RFC 3261 §19.1.2).

use super::scan::{Class, Span, at, is_name, long_run, port};
use crate::facts::Transport;
use memchr::{memchr, memchr2};
use std::net::{IpAddr, Ipv6Addr};

/// A URI, read as far as a proxy needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uri<'a> {
    /// The scheme, as written.
    pub scheme: &'a [u8],
    /// The user part without password; `None` if there is none (or the scheme is not SIP).
    pub user: Option<&'a [u8]>,
    /// The host without brackets; empty if the scheme is not SIP.
    pub host: &'a [u8],
    /// The port.
    pub port: Option<u16>,
    params: &'a [u8],
}

/// Where the parts of a URI lie in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct UriSpans {
    scheme: Span,
    user: Option<Span>,
    host: Span,
    port: Option<u16>,
    params: Span,
    headers: Span,
}

/// Cuts `bytes` in two at `position`; the byte there belongs to neither half.
fn cut(bytes: &[u8], position: usize) -> (&[u8], &[u8]) {
    (bytes.get(..position).unwrap_or_default(), bytes.get(position + 1..).unwrap_or_default())
}

/// The user part of a URI without password, or the number of a `tel:` one (RFC 3966); empty if
/// there is none.
pub fn uri_user(uri: &[u8]) -> &[u8] {
    let Some(parsed) = Uri::parse(uri) else { return b"" };
    match parsed.user {
        None if is_name(parsed.scheme, b"tel") => {
            let (_, rest) = cut(uri, parsed.scheme.len());
            cut(rest, memchr(b';', rest).unwrap_or(rest.len())).0
        }
        user => user.unwrap_or_default(),
    }
}

/// Host and port of a SIP URI as written; empty for other schemes.
pub fn uri_authority(uri: &[u8]) -> &[u8] {
    let Some(parsed) = Uri::parse(uri).filter(Uri::is_sip) else { return b"" };
    let (_, rest) = cut(uri, parsed.scheme.len());
    let rest = if parsed.user.is_some() { cut(rest, memchr(b'@', rest).unwrap_or(0)).1 } else { rest };
    cut(rest, memchr2(b';', b'?', rest).unwrap_or(rest.len())).0
}

/// A SIP URI without its maddr and transport parameters and without a port other than 5060 (RFC
/// 3261 §16.4).
pub fn without_maddr(uri: &[u8]) -> Vec<u8> {
    let host = memchr(b'@', uri).or_else(|| memchr(b':', uri)).map_or(0, |position| position + 1);
    let (before, rest) = uri.split_at(host);
    let mut pieces = rest.split(|byte| *byte == b';');
    let host = pieces.next().unwrap_or_default();
    let host = match host_port(host) {
        Some((name, Some(port))) if port != 5060 => {
            let brackets = if host.first() == Some(&b'[') { 2 } else { 0 };
            host.get(..name.len() + brackets).unwrap_or(host)
        }
        Some(_) | None => host,
    };
    let mut out = [before, host].concat();
    for piece in pieces {
        let (name, _) = cut(piece, memchr(b'=', piece).unwrap_or(piece.len()));
        if !is_name(name, b"maddr") && !is_name(name, b"transport") {
            out.push(b';');
            out.extend_from_slice(piece);
        }
    }
    out
}

/// Whether `text` is an address that belongs in brackets.
fn is_ipv6(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

/// Reads `host`, `host:port`, `[v6]` or `[v6]:port`; the host comes without brackets.
pub(super) fn host_port(text: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let (host, rest) = if text.first() == Some(&b'[') {
        let close = memchr(b']', text)?;
        let host = text.get(1..close).filter(|host| is_ipv6(host))?;
        (host, text.get(close + 1..)?)
    } else {
        match text.split_at_checked(long_run(Class::Host, text, 0))? {
            (b"", _) => return None,
            parts => parts,
        }
    };
    match rest.split_first() {
        None => Some((host, None)),
        Some((b':', digits)) => Some((host, Some(port(digits)?))),
        Some(_) => None,
    }
}

fn is_sip_scheme(scheme: &[u8]) -> bool {
    is_name(scheme, b"sip") || is_name(scheme, b"sips")
}

impl UriSpans {
    /// See [`Uri::parse`].
    pub fn parse(uri: &[u8]) -> Option<Self> {
        let colon = if uri.starts_with(b"sip:") { 3 } else { memchr(b':', uri)? };
        let scheme = uri.get(..colon)?;
        let valid = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        if !at(scheme, 0).is_ascii_alphabetic() || !scheme.iter().all(valid) {
            return None;
        }
        let mut spans = Self { scheme: Span::new(0, colon), ..Self::default() };
        if !is_sip_scheme(scheme) {
            return Some(spans);
        }
        let host = match memchr(b'@', uri.get(colon + 1..)?) {
            Some(length) => spans.read_user(uri, colon + 1, length)?,
            None => colon + 1,
        };
        let rest = uri.get(host..)?;
        let end = memchr2(b';', b'?', rest).unwrap_or(rest.len());
        let text = rest.get(..end)?;
        let (name, port) = host_port(text)?;
        let bracket = usize::from(text.first() == Some(&b'['));
        spans.host = Span::new(bracket, bracket + name.len()).shifted(host);
        spans.port = port;
        let end = host + end;
        let question = memchr(b'?', uri.get(end..)?).map_or(uri.len(), |ahead| end + ahead);
        spans.params = Span::new((end + 1).min(question), question);
        spans.headers = Span::new((question + 1).min(uri.len()), uri.len());
        Some(spans)
    }

    /// Reads a user of so many bytes; gives where the host begins.
    fn read_user(&mut self, uri: &[u8], start: usize, length: usize) -> Option<usize> {
        let host = start + length + 1;
        let userinfo = uri.get(start..start + length)?;
        let user = memchr(b':', userinfo).unwrap_or(length);
        if user == 0 || memchr(b'@', uri.get(host..)?).is_some() {
            return None;
        }
        self.user = Some(Span::new(start, start + user));
        Some(host)
    }

    /// Whether headers (`?name=value`) are attached, which a Request-URI must not have (RFC 3261
    /// §19.1.1).
    pub fn has_headers(&self) -> bool {
        self.headers.start < self.headers.end
    }

    /// The parts as slices of the URI that was read.
    pub fn view<'a>(&self, uri: &'a [u8]) -> Uri<'a> {
        Uri {
            scheme: self.scheme.get(uri),
            user: self.user.map(|user| user.get(uri)),
            host: self.host.get(uri),
            port: self.port,
            params: self.params.get(uri),
        }
    }
}

impl<'a> Uri<'a> {
    /// Reads a URI; `None` if it has no scheme, or is a SIP URI with a broken host or port.
    pub fn parse(uri: &'a [u8]) -> Option<Self> {
        Some(UriSpans::parse(uri)?.view(uri))
    }

    /// The parameters in their order: name, and value, empty for a flag.
    pub fn params(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let each = self.params.split(|byte| *byte == b';').filter(|param| !param.is_empty());
        each.map(|param| cut(param, memchr(b'=', param).unwrap_or(param.len())))
    }

    /// The value of a parameter, empty for a flag; names are compared without case.
    pub fn param(&self, name: &str) -> Option<&'a [u8]> {
        let mut params = self.params();
        params.find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// The host as an address, if it is one.
    pub fn host_ip(&self) -> Option<IpAddr> {
        memchr2(b'.', b':', self.host)?;
        std::str::from_utf8(self.host).ok()?.parse().ok()
    }

    /// The maddr parameter as an address, if it is one.
    pub fn maddr_ip(&self) -> Option<IpAddr> {
        let text = std::str::from_utf8(self.param("maddr")?).ok()?;
        text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text).parse().ok()
    }

    /// Whether the scheme is `sip` or `sips`.
    pub fn is_sip(&self) -> bool {
        is_sip_scheme(self.scheme)
    }

    /// Whether the scheme is `sips`.
    pub fn is_secure(&self) -> bool {
        is_name(self.scheme, b"sips")
    }

    /// The transport parameter: `None` if absent, `Some(None)` if it is one we do not speak.
    pub fn transport(&self) -> Option<Option<Transport>> {
        let value = self.param("transport")?;
        let known = |transport: &&Transport| value.eq_ignore_ascii_case(transport.as_str().as_bytes());
        Some(Transport::ALL.iter().find(known).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_parts_of_a_sip_uri() {
        let uri = Uri::parse(b"sips:first.last;x=1?y:secret@Host.example:5061;lr;transport=TCP;maddr=[::1]")
            .unwrap();
        assert_eq!(uri.user, Some(&b"first.last;x=1?y"[..]));
        assert_eq!((uri.host, uri.port), (&b"Host.example"[..], Some(5061)));
        assert_eq!(uri.param("LR"), Some(&b""[..]));
        assert_eq!(uri.param("maddr"), Some(&b"[::1]"[..]));
        assert_eq!(uri.param("ttl"), None);
        assert_eq!(uri.transport(), Some(Some(Transport::Tcp)));
        assert!(uri.is_sip() && uri.is_secure());
    }

    #[test]
    fn reads_addresses_as_hosts() {
        let v6 = Uri::parse(b"SIP:b@[2001:db8::5]:5060").unwrap();
        assert_eq!((v6.host, v6.port), (&b"2001:db8::5"[..], Some(5060)));
        assert_eq!(v6.host_ip(), "2001:db8::5".parse().ok());
        assert_eq!(Uri::parse(b"sip:10.0.0.1").unwrap().host_ip(), "10.0.0.1".parse().ok());
        assert_eq!(Uri::parse(b"sip:pbx").unwrap().host_ip(), None);
    }

    #[test]
    fn leaves_other_schemes_unread() {
        let uri = Uri::parse(b"soap.beep://192.0.2.103:3002").unwrap();
        assert_eq!((uri.scheme, uri.is_sip(), uri.host), (&b"soap.beep"[..], false, &b""[..]));
        assert!(!Uri::parse(b"tel:+15551234;phone-context=x").unwrap().is_sip());
    }

    #[test]
    fn refuses_broken_sip_uris() {
        for uri in [
            &b"sip:"[..],
            b"sip:@h",
            b"sip:a@b@c",
            b"sip:a@",
            b"sip:h:",
            b"sip:h:0",
            b"sip:h:65536",
            b"sip:h:5x",
            b"sip:[::1",
            b"sip:[::1]x",
            b"sip:[1.2.3.4]",
            b"sip:2001:db8::1",
            b"sip:a b",
            b"pbx",
            b":h",
            b"1sip:h",
        ] {
            assert_eq!(Uri::parse(uri), None, "{}", String::from_utf8_lossy(uri));
        }
    }

    #[test]
    fn gives_user_and_authority_as_written() {
        for (uri, user, authority) in [
            ("sip:alice:pw@Host.example:5060;lr?a=b", "alice", "Host.example:5060"),
            ("sips:a;x=1?y@[::1]:5061", "a;x=1?y", "[::1]:5061"),
            ("sip:h?Route=%40", "", "h"),
            ("tel:+1555;phone-context=x", "+1555", ""),
            ("urn:service:sos", "", ""),
            ("sip:a@", "", ""),
            ("", "", ""),
        ] {
            assert_eq!(uri_user(uri.as_bytes()), user.as_bytes(), "{uri}");
            assert_eq!(uri_authority(uri.as_bytes()), authority.as_bytes(), "{uri}");
        }
    }

    #[test]
    fn takes_off_maddr_transport_and_port() {
        for (uri, expected) in [
            ("sip:a;maddr=x@h:5070;maddr=10.0.0.1;Transport=udp;lr", "sip:a;maddr=x@h;lr"),
            ("sip:h:5060;user=phone;MADDR=[::1]", "sip:h:5060;user=phone"),
            ("sip:a@[::1]:5070;maddr=::1", "sip:a@[::1]"),
            ("sip:a@h", "sip:a@h"),
        ] {
            assert_eq!(without_maddr(uri.as_bytes()), expected.as_bytes());
        }
        assert_eq!(Uri::parse(b"sip:h;maddr=[::1]").unwrap().maddr_ip(), "::1".parse().ok());
        assert_eq!(Uri::parse(b"sip:h;maddr=name").unwrap().maddr_ip(), None);
    }

    #[test]
    fn sees_attached_headers_and_unknown_transports() {
        let text = b"sip:a@h;transport=sctp?Route=%3Csip:x%3E";
        let has_headers = |uri: &[u8]| UriSpans::parse(uri).unwrap().has_headers();
        assert!(has_headers(text) && !has_headers(b"sips:a;x=1?y@h:5061;lr"));
        assert_eq!(Uri::parse(text).unwrap().transport(), Some(None));
    }
}
