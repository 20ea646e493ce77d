//! x
use crate::facts::Transport;
use std::net::IpAddr;
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
impl<'a> Uri<'a> {
    /// Reads a URI; `None` if it has no scheme, or is a SIP URI with a broken host or port.
    pub fn parse(uri: &'a [u8]) -> Option<Self> {
        let _ = uri;
        todo!()
    }
    /// The value of a parameter, empty for a flag; names are compared without case.
    pub fn param(&self, name: &str) -> Option<&'a [u8]> {
        let _ = (name, self.params);
        todo!()
    }
    /// The host as an address, if it is one.
    pub fn host_ip(&self) -> Option<IpAddr> {
        todo!()
    }
    /// Whether the scheme is `sip` or `sips`.
    pub fn is_sip(&self) -> bool {
        todo!()
    }
    /// Whether the scheme is `sips`.
    pub fn is_secure(&self) -> bool {
        todo!()
    }
    /// The transport parameter: `None` if absent, `Some(None)` if it is one we do not speak.
    pub fn transport(&self) -> Option<Option<Transport>> {
        todo!()
    }
}
