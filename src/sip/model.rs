//! SIP as types: configured URIs and the probes built from them, through rsip.
//!
//! The only importer of rsip. What rsip 0.4 reads or prints wrongly is worked around here: IPv6
//! hosts go in as bracketed names, users (it loses those with a dot) and parameter values (it cuts
//! them at a colon) come from our own view.

use super::Uri;
use super::edit::write_number;
use rsip::common::uri::{Auth, Host, HostWithPort, Param, Port, Scheme};
use rsip::headers::{self, UntypedHeader};

/// What the probes of one destination have in common.
#[derive(Debug, Clone, Copy)]
pub struct ProbeParts<'a> {
    /// The method, `OPTIONS` by default.
    pub method: &'a str,
    /// The Request-URI and To: the destination's URI.
    pub target: &'a str,
    /// The From URI.
    pub from: &'a str,
    /// The Contact URI: ourselves.
    pub contact: &'a str,
    /// The value of Max-Forwards.
    pub max_forwards: u8,
    /// The User-Agent.
    pub user_agent: &'a str,
}

/// What differs from probe to probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Via,
    FromTag,
    CallId,
    Cseq,
    End,
}

/// A probe request, printed once and patched for each probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeTemplate {
    /// Text, and what follows it.
    pieces: Vec<(Box<[u8]>, Slot)>,
    method: Box<[u8]>,
}

impl ProbeTemplate {
    /// Prints the template. Control characters in the parts become blanks.
    pub fn new(parts: &ProbeParts<'_>) -> Self {
        let printed = request(parts).to_string();
        let method = printable(parts.method);
        // rsip knows the IANA methods only; any token may be probed with.
        let rest = printed.strip_prefix("OPTIONS").expect("the request was built as OPTIONS");
        let mut text = method.clone();
        let mut pieces = Vec::new();
        let mut cut = |text: &mut String, slot| {
            pieces.push((std::mem::take(text).into_bytes().into_boxed_slice(), slot));
        };
        for line in rest.split_inclusive("\r\n") {
            let name = line.split(": ").next().unwrap_or_default();
            let slot = match name {
                "Via" => Slot::Via,
                "Call-ID" => Slot::CallId,
                "CSeq" => Slot::Cseq,
                "From" => {
                    text.push_str(line.trim_end().strip_suffix(TAG).unwrap_or(line.trim_end()));
                    cut(&mut text, Slot::FromTag);
                    text.push_str("\r\n");
                    continue;
                }
                _ => {
                    text.push_str(line);
                    continue;
                }
            };
            text.push_str(name);
            text.push_str(": ");
            cut(&mut text, slot);
            text.push_str("\r\n");
        }
        cut(&mut text, Slot::End);
        Self { pieces, method: method.into_bytes().into_boxed_slice() }
    }

    /// Appends one probe to `out`; `via` is the whole Via value, its branch included.
    pub fn write(&self, via: &[u8], call_id: &[u8], cseq: u32, from_tag: &[u8], out: &mut Vec<u8>) {
        for (text, slot) in &self.pieces {
            out.extend_from_slice(text);
            match slot {
                Slot::Via => out.extend_from_slice(via),
                Slot::FromTag => out.extend_from_slice(from_tag),
                Slot::CallId => out.extend_from_slice(call_id),
                Slot::Cseq => {
                    write_number(cseq, out);
                    out.push(b' ');
                    out.extend_from_slice(&self.method);
                }
                Slot::End => {}
            }
        }
    }
}

/// Stands for the From tag in the template.
const TAG: &str = "0";

fn request(parts: &ProbeParts<'_>) -> rsip::Request {
    let (target, from) = (rsip_uri(&printable(parts.target)), rsip_uri(&printable(parts.from)));
    let via = headers::Via::new("SIP/2.0/UDP probe.invalid;branch=z9hG4bK0");
    let from = headers::typed::From { display_name: None, uri: from, params: vec![Param::Tag(TAG.into())] };
    let to = headers::typed::To { display_name: None, uri: target.clone(), params: vec![] };
    let contact = headers::typed::Contact {
        display_name: None,
        uri: rsip_uri(&printable(parts.contact)),
        params: vec![],
    };
    let cseq = headers::typed::CSeq { seq: 1, method: rsip::Method::Options };
    let headers: Vec<rsip::Header> = vec![
        via.into(),
        headers::MaxForwards::from(u32::from(parts.max_forwards)).into(),
        from.into(),
        to.into(),
        headers::CallId::new("0").into(),
        cseq.into(),
        contact.into(),
        headers::Accept::new("application/sdp").into(),
        headers::UserAgent::new(printable(parts.user_agent)).into(),
        headers::ContentLength::from(0).into(),
    ];
    let method = rsip::Method::Options;
    rsip::Request { method, uri: target, version: rsip::Version::V2, headers: headers.into(), body: vec![] }
}

fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A URI as rsip's type, so that it prints as it was written. What our own view cannot read goes in
/// as a host name, which rsip prints unchecked.
fn rsip_uri(uri: &str) -> rsip::Uri {
    let Some(view) = Uri::parse(uri.as_bytes()).filter(Uri::is_sip) else {
        let host: Host = Host::Domain(uri.into());
        return rsip::Uri {
            scheme: None,
            host_with_port: HostWithPort { host, port: None },
            ..rsip::Uri::default()
        };
    };
    let host = if view.host.contains(&b':') { format!("[{}]", text(view.host)) } else { text(view.host) };
    let param = |(name, value): (&[u8], &[u8])| {
        let value = (!value.is_empty()).then(|| text(value).into());
        Param::Other(text(name).into(), value)
    };
    rsip::Uri {
        scheme: Some(if view.is_secure() { Scheme::Sips } else { Scheme::Sip }),
        auth: view.user.map(|user| Auth { user: text(user), password: None }),
        host_with_port: HostWithPort { host: Host::Domain(host.into()), port: view.port.map(Port::from) },
        params: view.params().map(param).collect(),
        headers: vec![],
    }
}

/// A destination's URI, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationUri {
    /// A name or an address; an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: Option<u16>,
    /// The transport parameter, in lower case.
    pub transport: Option<String>,
    /// The user part.
    pub user: Option<String>,
    /// Whether the scheme is `sips`.
    pub secure: bool,
    /// The other parameters, in their order; `None` for a flag.
    pub params: Vec<(String, Option<String>)>,
}

/// What is wrong with a configured URI, in words for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// No `sip:` or `sips:` in front.
    #[error("`{0}` is not a SIP URI: it must begin with sip: or sips:, as in sip:10.0.0.1:5060")]
    Scheme(String),
    /// Written with `<>` or quotes.
    #[error("write the URI alone, without < > and quotes")]
    Brackets,
    /// A blank or control character.
    #[error("a URI cannot contain blanks")]
    Blank,
    /// An IPv6 address without brackets.
    #[error("put the IPv6 address in brackets, as in sip:[{0}]:5060")]
    Ipv6(String),
    /// Neither a name nor an address.
    #[error("`{0}` is neither a host name nor an address")]
    Host(String),
    /// Not a port.
    #[error("`{0}` is not a port: it must be a number from 1 to 65535")]
    Port(String),
    /// A password.
    #[error("a destination takes no password")]
    Password,
    /// An empty user, or several @.
    #[error("what stands before the @ is not a user name")]
    User,
    /// Attached headers.
    #[error("a destination takes no headers (`?name=value`)")]
    Headers,
    /// A parameter without a name.
    #[error("`{0}` is not a parameter: it must be ;name or ;name=value")]
    Param(String),
}

/// Reads the URI of a destination.
pub fn parse_destination(uri: &str) -> Result<DestinationUri, UriError> {
    if uri.contains(['<', '>', '"']) {
        return Err(UriError::Brackets);
    }
    if uri.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
        return Err(UriError::Blank);
    }
    let scheme = || UriError::Scheme(uri.to_owned());
    let (name, rest) = uri.split_once(':').ok_or_else(scheme)?;
    if !["sip", "sips"].iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return Err(scheme());
    }
    let (rest, headers) = rest.split_once('?').map_or((rest, None), |(rest, headers)| (rest, Some(headers)));
    if headers.is_some() {
        return Err(UriError::Headers);
    }
    let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
    match user {
        Some(user) if user.is_empty() || user.contains('@') => return Err(UriError::User),
        Some(user) if user.contains(':') => return Err(UriError::Password),
        Some(_) | None => {}
    }
    let (host_port, params) =
        rest.split_once(';').map_or((rest, None), |(host, params)| (host, Some(params)));
    let (host, port) = read_host_port(host_port)?;
    let mut destination = DestinationUri {
        host,
        port,
        transport: None,
        user: user.map(str::to_owned),
        secure: name.eq_ignore_ascii_case("sips"),
        params: vec![],
    };
    for param in params.into_iter().flat_map(|params| params.split(';')) {
        read_param(param, &mut destination)?;
    }
    Ok(destination)
}

fn read_host_port(text: &str) -> Result<(String, Option<u16>), UriError> {
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return Err(UriError::Ipv6(text.to_owned()));
    }
    let end = text.find(']').map_or_else(|| text.find(':').unwrap_or(text.len()), |close| close + 1);
    let (host, rest) = text.split_at(end);
    let (name, _) = super::uri::host_port(host.as_bytes()).ok_or_else(|| UriError::Host(host.to_owned()))?;
    let name = String::from_utf8_lossy(name).into_owned();
    if rest.is_empty() {
        return Ok((name, None));
    }
    let digits = rest.strip_prefix(':').ok_or_else(|| UriError::Host(text.to_owned()))?;
    let port = super::scan::port(digits.as_bytes()).ok_or_else(|| UriError::Port(digits.to_owned()))?;
    Ok((name, Some(port)))
}

/// Reads one parameter through rsip, which types the transports it knows; others, and values with a
/// colon, stay as written.
fn read_param(param: &str, destination: &mut DestinationUri) -> Result<(), UriError> {
    let (name, value) = param.split_once('=').map_or((param, None), |(name, value)| (name, Some(value)));
    if !super::scan::is_all(super::scan::Class::Token, name.as_bytes()) || value == Some("") {
        return Err(UriError::Param(param.to_owned()));
    }
    if !name.eq_ignore_ascii_case("transport") {
        destination.params.push((name.to_owned(), value.map(str::to_owned)));
        return Ok(());
    }
    let value = value.ok_or_else(|| UriError::Param(param.to_owned()))?;
    let typed = value.parse::<rsip::Transport>().map(|transport| transport.to_string());
    destination.transport = Some(typed.unwrap_or_else(|_| value.to_owned()).to_ascii_lowercase());
    Ok(())
}

#[cfg(test)]
mod oracle;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Index;
    use crate::sip::samples::{read, show};

    fn probe(parts: &ProbeParts<'_>) -> String {
        let mut out = Vec::new();
        let via = b"SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bKp1";
        ProbeTemplate::new(parts).write(via, b"id@host", 7, b"tag1", &mut out);
        show(&out)
    }

    const PARTS: ProbeParts<'_> = ProbeParts {
        method: "OPTIONS",
        target: "sip:10.0.0.9:5070;transport=tcp",
        from: "sip:sipwarden@10.0.0.1",
        contact: "sip:10.0.0.1:5060",
        max_forwards: 70,
        user_agent: "sipwarden",
    };

    #[test]
    fn a_probe_is_a_complete_options() {
        assert_eq!(
            probe(&PARTS),
            "OPTIONS sip:10.0.0.9:5070;transport=tcp SIP/2.0\r\n\
             Via: SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bKp1\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:sipwarden@10.0.0.1>;tag=tag1\r\n\
             To: <sip:10.0.0.9:5070;transport=tcp>\r\n\
             Call-ID: id@host\r\n\
             CSeq: 7 OPTIONS\r\n\
             Contact: <sip:10.0.0.1:5060>\r\n\
             Accept: application/sdp\r\n\
             User-Agent: sipwarden\r\n\
             Content-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn a_probe_takes_ipv6_dotted_users_and_any_method() {
        let target = "sips:first.last@[2001:db8::5]:5061;maddr=[::1];lr";
        let out = probe(&ProbeParts { method: "KDMQ", target, user_agent: "a\r\nX: 1", ..PARTS });
        let mut index = Index::default();
        let message = read(out.as_bytes(), &mut index);
        assert_eq!((message.method_token(), show(message.request_uri())), (&b"KDMQ"[..], target.to_owned()));
        assert_eq!((message.header("X"), message.header("User-Agent")), (None, Some(&b"a  X: 1"[..])));
        let odd = probe(&ProbeParts { from: "tel:+1555", ..PARTS });
        assert!(odd.contains("From: <tel:+1555>;tag=tag1\r\n"), "{odd}");
    }

    #[test]
    fn reads_destinations() {
        let full = parse_destination("SIPS:first.last@[2001:db8::5]:5061;Transport=TCP;lr;x=1:2").unwrap();
        assert_eq!((full.host.as_str(), full.port, full.secure), ("2001:db8::5", Some(5061), true));
        assert_eq!((full.user.as_deref(), full.transport.as_deref()), (Some("first.last"), Some("tcp")));
        assert_eq!(full.params, [("lr".into(), None), ("x".into(), Some("1:2".into()))]);
        let plain = parse_destination("sip:pbx_1.internal").unwrap();
        assert_eq!((plain.host.as_str(), plain.port, plain.transport), ("pbx_1.internal", None, None));
        assert_eq!(parse_destination("sip:h;transport=sctp").unwrap().transport.as_deref(), Some("sctp"));
        assert_eq!(parse_destination("sip:h;transport=dccp").unwrap().transport.as_deref(), Some("dccp"));
    }

    #[test]
    fn says_what_is_wrong_with_a_destination() {
        let wrong = |uri: &str| parse_destination(uri).unwrap_err();
        assert_eq!(wrong("10.0.0.1:5060"), UriError::Scheme("10.0.0.1:5060".into()));
        assert_eq!(wrong("tel:+1555"), UriError::Scheme("tel:+1555".into()));
        assert_eq!(wrong("<sip:h>"), UriError::Brackets);
        assert_eq!(wrong("sip:h; lr"), UriError::Blank);
        assert_eq!(wrong("sip:2001:db8::1"), UriError::Ipv6("2001:db8::1".into()));
        assert_eq!(wrong("sip:"), UriError::Host(String::new()));
        assert_eq!(wrong("sip:[::1"), UriError::Host("[".into()));
        assert_eq!(wrong("sip:h:0"), UriError::Port("0".into()));
        assert_eq!(wrong("sip:h:70000"), UriError::Port("70000".into()));
        assert_eq!(wrong("sip:u:p@h"), UriError::Password);
        assert_eq!(wrong("sip:@h"), UriError::User);
        assert_eq!(wrong("sip:h?a=b"), UriError::Headers);
        assert_eq!(wrong("sip:h;=x"), UriError::Param("=x".into()));
        assert_eq!(wrong("sip:h;transport"), UriError::Param("transport".into()));
        assert!(wrong("10.0.0.1").to_string().contains("must begin with sip: or sips:"));
    }
}
