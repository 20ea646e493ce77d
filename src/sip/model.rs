//! x
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
    /// The User-Agent.
    pub user_agent: &'a str,
}
/// A probe request, printed once and patched for each probe.
#[derive(Debug, Clone)]
pub struct ProbeTemplate {}
impl ProbeTemplate {
    /// Prints the template.
    pub fn new(parts: &ProbeParts<'_>) -> Result<Self, UriError> {
        let _ = parts;
        todo!()
    }
    /// Appends one probe to `out`; `via` is the whole Via value, its branch included.
    pub fn write(&self, via: &[u8], call_id: &[u8], cseq: u32, from_tag: &[u8], out: &mut Vec<u8>) {
        let _ = (via, call_id, cseq, from_tag, out);
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
#[non_exhaustive]
pub enum UriError {
    /// No `sip:` or `sips:` in front.
    #[error("a destination begins with sip: or sips:")]
    Scheme,
}
/// Reads the URI of a destination.
pub fn parse_destination(uri: &str) -> Result<DestinationUri, UriError> {
    let _ = uri;
    todo!()
}
