//! Reading and writing messages as text, as far as the simulated parties and the checks need.

use std::net::SocketAddr;

/// Where the proxy listens, over UDP and TCP.
pub const PROXY: &str = "10.0.0.1:5060";

/// The values of the header fields with a name.
pub fn headers<'a>(message: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let lines = message.split("\r\n").take_while(|line| !line.is_empty());
    lines.filter_map(move |line| line.strip_prefix(name)?.strip_prefix(": "))
}

pub fn header<'a>(message: &'a str, name: &str) -> &'a str {
    headers(message, name).next().unwrap_or_default()
}

/// The status code of a response; `None` for a request.
pub fn status(message: &str) -> Option<u16> {
    message.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
}

/// Number and method of CSeq.
pub fn cseq(message: &str) -> (u32, &str) {
    let (number, method) = header(message, "CSeq").split_once(' ').unwrap_or(("0", ""));
    (number.parse().unwrap_or(0), method)
}

pub fn call_id(message: &str) -> &str {
    header(message, "Call-ID")
}

/// The branch of the topmost Via.
pub fn branch(message: &str) -> &str {
    let via = header(message, "Via");
    via.split(";branch=").nth(1).map_or("", |rest| rest.split(';').next().unwrap_or_default())
}

/// What the CANCEL of an INVITE, and the ACK to its failure, have in common with it (RFC 3261 §9.1,
/// §17.1.1.3).
pub fn way(message: &str) -> (Option<&str>, &str, Vec<&str>, [&str; 2], u32) {
    let routes = headers(message, "Route").collect();
    let names = ["From", "Call-ID"].map(|name| header(message, name));
    (message.split(' ').nth(1), header(message, "Via"), routes, names, cseq(message).0)
}

/// The tag of From or To.
pub fn tag<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    header(message, name).split(";tag=").nth(1)
}

/// The address in a URI that has a port.
pub fn address_of(uri: &str) -> Option<SocketAddr> {
    let rest = uri.trim_start_matches('<').strip_prefix("sip:")?;
    let rest = rest.split([';', '>']).next()?;
    rest.rsplit('@').next()?.parse().ok()
}

/// The answer of a user agent to a request; `contact` empty adds none.
pub fn reply(request: &str, code: u16, tag: &str, contact: &str) -> String {
    let mut text = format!("SIP/2.0 {code} Whatever\r\n");
    for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
        for value in headers(request, name) {
            let needs_tag = name == "To" && code > 100 && !value.contains(";tag=");
            text.push_str(name);
            text.push_str(": ");
            text.push_str(value);
            if needs_tag {
                text.push_str(";tag=");
                text.push_str(tag);
            }
            text.push_str("\r\n");
        }
    }
    if !contact.is_empty() {
        text.push_str(&format!("Contact: <{contact}>\r\n"));
    }
    text.push_str("Content-Length: 0\r\n\r\n");
    text
}
