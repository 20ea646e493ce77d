//! Via values (RFC 3261 §20.42): where responses go and which transaction they belong to.
//!
//! A value with two `branch`, `received` or `rport` parameters could be read in two ways and is
//! refused.

use super::scan::{Class, Param, Span, at, is_name, long_run, params, port, run, skip_space};
use super::uri::host_port;

/// One Via value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Via<'a> {
    /// The transport token, as written.
    pub transport: &'a [u8],
    /// The host of sent-by; an IPv6 address without brackets.
    pub host: &'a [u8],
    /// The port of sent-by.
    pub port: Option<u16>,
    /// The branch parameter.
    pub branch: Option<&'a [u8]>,
    /// The rport parameter: `Some(None)` as a flag (RFC 3581 §3).
    pub rport: Option<Option<u16>>,
    /// The received parameter, without brackets.
    pub received: Option<&'a [u8]>,
    /// The maddr parameter, without brackets.
    pub maddr: Option<&'a [u8]>,
    sent_by: &'a [u8],
    raw: &'a [u8],
}

impl<'a> Via<'a> {
    /// Reads one Via value.
    pub fn parse(raw: &'a [u8]) -> Option<Self> {
        Some(ViaSpans::parse(raw)?.view(raw))
    }
    /// The bytes of sent-by, brackets and port included.
    pub fn sent_by(&self) -> &'a [u8] {
        self.sent_by
    }
    /// The bytes of the whole value.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }
}

/// Where the parts of a Via value lie in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ViaSpans {
    transport: Span,
    sent_by: Span,
    host: Span,
    port: Option<u16>,
    branch: Option<Span>,
    maddr: Option<Span>,
    pub received: Option<Param>,
    pub rport: Option<Param>,
}

fn without_brackets(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"[").and_then(|text| text.strip_suffix(b"]")).unwrap_or(text)
}

impl ViaSpans {
    pub fn parse(raw: &[u8]) -> Option<Self> {
        let (transport, position) = sent_protocol(raw)?;
        let mut spans = Self { transport, ..Self::default() };
        let after = spans.read_sent_by(raw, position)?;
        let mut params = params(raw, after);
        for param in params.by_ref() {
            spans.read_param(raw, param)?;
        }
        (!params.broken).then_some(spans)
    }

    fn read_sent_by(&mut self, raw: &[u8], start: usize) -> Option<usize> {
        let length = long_run(Class::Value, raw, start);
        let mut end = start + length;
        let colon = skip_space(raw, end);
        // White space is allowed on both sides of the colon (RFC 3261 §25.1, COLON).
        if at(raw, colon) == b':' || raw.get(..end)?.ends_with(b":") {
            let digits = skip_space(raw, if at(raw, colon) == b':' { colon + 1 } else { end });
            let rest = raw.get(digits..)?;
            end = digits + rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let host = raw.get(start..start + length)?;
            let host = host.strip_suffix(b":").unwrap_or(host);
            self.port = Some(port(raw.get(digits..end)?)?);
            self.sent_by = Span::new(start, end);
            let (name, None) = host_port(host)? else { return None };
            self.set_host(start, host, name);
        } else {
            let text = raw.get(start..end)?;
            let (name, port) = host_port(text)?;
            self.port = port;
            self.sent_by = Span::new(start, end);
            self.set_host(start, text, name);
        }
        Some(end)
    }

    fn set_host(&mut self, start: usize, text: &[u8], name: &[u8]) {
        let start = start + usize::from(text.first() == Some(&b'['));
        self.host = Span::new(start, start + name.len());
    }

    fn read_param(&mut self, raw: &[u8], param: Param) -> Option<()> {
        let name = param.name.get(raw);
        let value = param.value.filter(|value| value.start < value.end);
        let previous = match (name.len(), at(name, 0) | 0x20) {
            (6, b'b') if is_name(name, b"branch") => self.branch.replace(value?).is_some(),
            (5, b'm') if is_name(name, b"maddr") => self.maddr.replace(value?).is_some(),
            (5, b'r') if is_name(name, b"rport") => self.rport.replace(param).is_some(),
            (8, b'r') if is_name(name, b"received") => self.received.replace(param).is_some(),
            _ => false,
        };
        (!previous).then_some(())
    }

    pub fn view<'a>(&self, raw: &'a [u8]) -> Via<'a> {
        let value = |param: Param| param.value.map(|value| value.get(raw));
        Via {
            transport: self.transport.get(raw),
            host: self.host.get(raw),
            port: self.port,
            branch: self.branch.map(|span| span.get(raw)),
            rport: self.rport.map(|param| value(param).and_then(port)),
            received: self.received.and_then(value).map(without_brackets),
            maddr: self.maddr.map(|span| without_brackets(span.get(raw))),
            sent_by: self.sent_by.get(raw),
            raw,
        }
    }
}

/// The transport of `SIP/2.0/transport`, and where sent-by begins. Any version is read, so that a
/// request of another one can be answered 505.
fn sent_protocol(raw: &[u8]) -> Option<(Span, usize)> {
    const USUAL: &[u8] = b"SIP/2.0/";
    let start = if raw.starts_with(USUAL) { skip_space(raw, USUAL.len()) } else { behind_version(raw)? };
    let transport = run(Class::Token, raw, start);
    let end = start + transport;
    let host = skip_space(raw, end);
    (transport > 0 && host > end).then_some((Span::new(start, end), host))
}

fn behind_version(raw: &[u8]) -> Option<usize> {
    let is_version = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    let name = raw.get(..3).filter(|name| is_name(name, b"SIP"))?.len();
    let version = behind_slash(raw, name)?;
    let length = raw.get(version..)?.iter().take_while(|byte| is_version(byte)).count();
    if length == 0 {
        return None;
    }
    behind_slash(raw, version + length)
}

fn behind_slash(raw: &[u8], from: usize) -> Option<usize> {
    let slash = skip_space(raw, from);
    (at(raw, slash) == b'/').then(|| skip_space(raw, slash + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_all_parts() {
        let via = Via::parse(
            b"SIP/2.0/UDP pc33.example.com:5066;rport=7;received=192.0.2.1;branch=z9hG4bKx;MADDR=[ff02::1]",
        )
        .unwrap();
        assert_eq!((via.transport, via.host, via.port), (&b"UDP"[..], &b"pc33.example.com"[..], Some(5066)));
        assert_eq!(via.branch, Some(&b"z9hG4bKx"[..]));
        assert_eq!((via.rport, via.received), (Some(Some(7)), Some(&b"192.0.2.1"[..])));
        assert_eq!(via.maddr, Some(&b"ff02::1"[..]));
        assert_eq!(via.sent_by(), b"pc33.example.com:5066");
    }

    #[test]
    fn reads_ipv6_and_flags() {
        let via =
            Via::parse(b"SIP/2.0/TCP [2001:db8::1]:5060 ;rport;received=[2001:db8::9];branch=a").unwrap();
        assert_eq!((via.host, via.port, via.rport), (&b"2001:db8::1"[..], Some(5060), Some(None)));
        assert_eq!((via.received, via.sent_by()), (Some(&b"2001:db8::9"[..]), &b"[2001:db8::1]:5060"[..]));
        assert_eq!(Via::parse(b"SIP/2.0/TCP [2001:db8::1]").unwrap().port, None);
    }

    #[test]
    fn allows_white_space_and_folds_round_separators() {
        let via = Via::parse(b"SIP  / 2.0\r\n /\tUDP\r\n  192.0.2.2 : 5061 ;\r\n  branch =\r\n z9 ; hidden")
            .unwrap();
        assert_eq!((via.transport, via.host, via.port), (&b"UDP"[..], &b"192.0.2.2"[..], Some(5061)));
        assert_eq!(via.branch, Some(&b"z9"[..]));
        assert_eq!(Via::parse(b"SIP/2.0/UDP h: 5061").unwrap().port, Some(5061));
    }

    #[test]
    fn refuses_what_cannot_be_read_or_reads_in_two_ways() {
        for raw in [
            &b""[..],
            b";",
            b"SIP/2.0/UDP",
            b"SIP/2.0/UDP ",
            b"SIP/2.0 h",
            b"SIP//UDP h",
            b"HTTP/2.0/UDP h",
            b"SIP/2.0/UDP h;;",
            b"SIP/2.0/UDP h:;branch=a",
            b"SIP/2.0/UDP h:0",
            b"SIP/2.0/UDP h:99999",
            b"SIP/2.0/UDP h x",
            b"SIP/2.0/UDP h;branch=a;branch=b",
            b"SIP/2.0/UDP h;branch=",
            b"SIP/2.0/UDP h;branch",
            b"SIP/2.0/UDP h;received=1.1.1.1;received=2.2.2.2",
            b"SIP/2.0/UDP h;rport;rport=5",
            b"SIP/2.0/UDP h:1 :2",
            b"SIP/2.0/UDP ho\"st",
            b"SIP/2.0/UDP 2001:db8::1",
        ] {
            assert_eq!(Via::parse(raw), None, "{}", String::from_utf8_lossy(raw));
        }
    }
}
