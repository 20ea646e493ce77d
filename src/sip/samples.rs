//! Messages for the tests of this layer.

use super::{Framing, Index, Message, ParseError, parse};

/// A complete INVITE as an ordinary phone sends it.
pub const INVITE: &[u8] = b"INVITE sip:bob@example.com SIP/2.0\r\n\
Via: SIP/2.0/UDP 192.0.2.10:5062;rport;branch=z9hG4bKphone1\r\n\
Max-Forwards: 70\r\n\
From: \"Alice; <a>\" <sip:alice@example.com>;tag=from1\r\n\
To: <sip:bob@example.com>\r\n\
Call-ID: call-1@192.0.2.10\r\n\
CSeq: 314 INVITE\r\n\
Contact: <sip:alice@192.0.2.10:5062>\r\n\
X-Odd:  kept \t as it is \r\n\
Content-Type: application/sdp\r\n\
Content-Length: 5\r\n\
\r\n\
v=0\r\n";

/// The 200 to [`INVITE`] as it reaches a proxy.
pub const OK: &[u8] = b"SIP/2.0 200 Alles gut\r\n\
Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKours\r\n\
Via: SIP/2.0/UDP 192.0.2.10:5062;rport=5062;received=192.0.2.10;branch=z9hG4bKphone1\r\n\
Record-Route: <sip:10.0.0.1;lr>, <sip:10.0.0.2;lr>\r\n\
From: \"Alice; <a>\" <sip:alice@example.com>;tag=from1\r\n\
To: <sip:bob@example.com>;tag=to1\r\n\
Call-ID: call-1@192.0.2.10\r\n\
CSeq: 314 INVITE\r\n\
Contact: <sip:bob@10.0.0.9>\r\n\
Content-Length: 0\r\n\
\r\n";

/// A sample with one text replaced by another.
pub fn with(sample: &[u8], from: &str, to: &str) -> Vec<u8> {
    let sample = std::str::from_utf8(sample).unwrap();
    assert!(sample.contains(from), "{from}");
    sample.replacen(from, to, 1).into_bytes()
}

/// Reads a datagram that must be well-formed.
pub fn read<'a>(bytes: &'a [u8], index: &'a mut Index) -> Message<'a> {
    parse(bytes, Framing::Datagram, index).unwrap_or_else(|error| panic!("{error}: {}", show(bytes)))
}

/// Why a datagram is refused.
pub fn refused(bytes: &[u8]) -> ParseError {
    let mut index = Index::default();
    parse(bytes, Framing::Datagram, &mut index).map(|_| ()).expect_err(&show(bytes))
}

/// Bytes for a failure message.
pub fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
