//! x
use super::Message;
use std::net::IpAddr;
/// What a receiver adds to the topmost Via (RFC 3261 §18.2.1, RFC 3581 §4). A `received` of the
/// sender is always removed, a value of `rport` always overwritten or removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The source address; `None` adds no `received`.
    pub received: Option<IpAddr>,
    /// The source port, put in if the sender asked for it with `rport`.
    pub rport: Option<u16>,
}
/// What a proxy changes in a request.
#[derive(Debug, Clone, Copy)]
pub struct RequestEdit<'a> {
    /// A new Request-URI.
    pub request_uri: Option<&'a [u8]>,
    /// The value of the Via line put on top.
    pub via: &'a [u8],
    /// What is added to the Via below it.
    pub stamp: Stamp,
    /// The new Max-Forwards.
    pub max_forwards: u8,
    /// Values of the Record-Route lines put on top, the first topmost.
    pub record_routes: &'a [&'a [u8]],
    /// How many Route values to remove from the front.
    pub pop_routes: usize,
    /// A URI put as the last Route value.
    pub append_route: Option<&'a [u8]>,
    /// Whether the last Route value of the message is removed.
    pub drop_last_route: bool,
}
/// Appends the request with its edits to `out`; everything else stays byte for byte.
pub fn forward_request(message: Message<'_>, edit: &RequestEdit<'_>, out: &mut Vec<u8>) {
    let _ = (message, edit, out);
}
/// Appends the response without its topmost Via value to `out`.
pub fn forward_response(message: Message<'_>, out: &mut Vec<u8>) {
    let _ = (message, out);
}
