//! x
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
    /// The bytes of sent-by, brackets and port included.
    pub fn sent_by(&self) -> &'a [u8] {
        self.sent_by
    }
    /// The bytes of the whole value.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }
}
