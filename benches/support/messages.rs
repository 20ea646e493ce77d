//! Messages of a wanted size for the benches of the wire and of transactions.

/// An INVITE of exactly `size` bytes, with a branch and Call-ID of its own for each call.
pub fn invite(size: usize, call: usize) -> Vec<u8> {
    let head = format!(
        "INVITE sip:+4930123456@10.0.0.1 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 10.9.0.1:6000;rport;branch=z9hG4bK{call:08x}\r\nMax-Forwards: 70\r\n\
         From: \"Caller\" <sip:caller@10.9.0.1>;tag=a1b2c3\r\nTo: <sip:+4930123456@10.0.0.1>\r\n\
         Call-ID: {call:016x}@10.9.0.1\r\nCSeq: 1 INVITE\r\nContact: <sip:caller@10.9.0.1:6000>\r\n\
         User-Agent: bench\r\nContent-Type: application/sdp\r\n"
    );
    with_body(head, size)
}

/// The 200 to an INVITE as it comes to a proxy whose branch is `branch`.
pub fn ok(size: usize, branch: &str) -> Vec<u8> {
    let head = format!(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.1;branch={branch}\r\n\
         Via: SIP/2.0/UDP 10.9.0.1:6000;rport=6000;received=10.9.0.1;branch=z9hG4bK00000001\r\n\
         Record-Route: <sip:10.0.0.1;lr>\r\nFrom: \"Caller\" <sip:caller@10.9.0.1>;tag=a1b2c3\r\n\
         To: <sip:+4930123456@10.0.0.1>;tag=d4e5f6\r\nCall-ID: 0000000000000001@10.9.0.1\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:callee@10.1.1.1:5060>\r\nContent-Type: application/sdp\r\n"
    );
    with_body(head, size)
}

/// Ends a head with a Content-Length of four digits, and fills up.
fn with_body(head: String, size: usize) -> Vec<u8> {
    let length = size.checked_sub(head.len() + "Content-Length: 0000\r\n\r\n".len());
    let length = length.unwrap_or_else(|| panic!("a head of {} bytes leaves no room", head.len()));
    let mut message = format!("{head}Content-Length: {length:04}\r\n\r\n").into_bytes();
    let line = b"a=candidate:1 1 udp 2122260223 10.9.0.1 49170 typ host\r\n";
    message.extend(line.iter().cycle().take(length));
    message
}
