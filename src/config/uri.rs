//! Reading of destination URIs until `sip::model` does it; same shape, so that only a `use` changes.

/// A destination's URI, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DestinationUri {
    /// A name or an address; an IPv6 address without brackets.
    pub(super) host: String,
    /// The port.
    pub(super) port: Option<u16>,
    /// The transport parameter, in lower case.
    pub(super) transport: Option<String>,
    /// The user part.
    pub(super) user: Option<String>,
    /// Whether the scheme is `sips`.
    pub(super) secure: bool,
    /// The other parameters, in their order; `None` for a flag.
    pub(super) params: Vec<(String, Option<String>)>,
}

/// What is wrong with a configured URI, in words for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum UriError {
    #[error("a destination begins with sip: or sips:")]
    Scheme,
    #[error("the host is neither a name nor an address")]
    Host,
    #[error("the port is not a number from 1 to 65535")]
    Port,
    #[error("an IPv6 address stands in brackets, as in sip:[2001:db8::1]:5060")]
    Brackets,
    #[error("header fields (`?…`) have no place in a destination")]
    Headers,
}

/// Reads the URI of a destination.
pub(super) fn parse_destination(uri: &str) -> Result<DestinationUri, UriError> {
    let (scheme, rest) = uri.split_once(':').ok_or(UriError::Scheme)?;
    let secure = match scheme.to_ascii_lowercase().as_str() {
        "sip" => false,
        "sips" => true,
        _ => return Err(UriError::Scheme),
    };
    if rest.contains('?') {
        return Err(UriError::Headers);
    }
    let (user, rest) = match rest.rsplit_once('@') {
        Some((user, rest)) => (Some(user.to_owned()), rest),
        None => (None, rest),
    };
    let mut parts = rest.split(';');
    let (host, port) = split_port(parts.next().unwrap_or_default())?;
    let mut transport = None;
    let mut params = vec![];
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (part, None),
        };
        match value {
            Some(value) if name.eq_ignore_ascii_case("transport") => {
                transport = Some(value.to_ascii_lowercase());
            }
            _ => params.push((name.to_owned(), value.map(str::to_owned))),
        }
    }
    Ok(DestinationUri { host, port, transport, user, secure, params })
}

fn split_port(text: &str) -> Result<(String, Option<u16>), UriError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(inner) => {
            let (host, tail) = inner.split_once(']').ok_or(UriError::Brackets)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| UriError::Host)?;
            (host, if tail.is_empty() { None } else { Some(tail.strip_prefix(':').ok_or(UriError::Port)?) })
        }
        None if text.matches(':').count() > 1 => return Err(UriError::Brackets),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        Some(port) => Some(port.parse().ok().filter(|port| *port > 0).ok_or(UriError::Port)?),
        None => None,
    };
    if !text.starts_with('[') && !is_host(host) {
        return Err(UriError::Host);
    }
    Ok((host.to_owned(), port))
}

/// Whether a text can be a host name or an IPv4 address.
pub(super) fn is_host(text: &str) -> bool {
    let numeric = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if numeric {
        text.parse::<std::net::Ipv4Addr>().is_ok()
    } else {
        text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
    }
}
