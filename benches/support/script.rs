//! What the caller and the callee of a call say: INVITE/100/180/200/ACK/BYE/200, with buffers that
//! are used again.

use std::io::Write;

/// A body as telephones send it: two audio codecs and telephone events.
const SDP: &[u8] =
    b"v=0\r\no=caller 53655765 2353687637 IN IP4 10.9.0.1\r\ns=-\r\nc=IN IP4 10.9.0.1\r\nt=0 0\r\n\
m=audio 49170 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=sendrecv\r\na=ptime:20\r\n";

/// One caller and one callee.
#[derive(Debug)]
pub struct Script {
    proxy: String,
    caller: String,
    callee: String,
    body: Vec<u8>,
    /// What is said next.
    pub said: Vec<u8>,
    /// The last message that the proxy sent to the callee.
    pub down: Vec<u8>,
    /// The last message that the proxy sent to the caller.
    pub up: Vec<u8>,
}

impl Script {
    /// Parties at these addresses; `padding` bytes are added to each body.
    pub fn new(proxy: &str, caller: &str, callee: &str, padding: usize) -> Self {
        let mut body = SDP.to_vec();
        body.extend(std::iter::repeat_n(b'x', padding));
        let [proxy, caller, callee] = [proxy, caller, callee].map(str::to_owned);
        let buffer = || Vec::with_capacity(16_384);
        Self { proxy, caller, callee, body, said: buffer(), down: buffer(), up: buffer() }
    }

    /// The INVITE of a call.
    pub fn invite(&mut self, call: u64) {
        let Self { proxy, caller, body, said, .. } = self;
        said.clear();
        write!(
            said,
            "INVITE sip:+4930123456@{proxy} SIP/2.0\r\nVia: SIP/2.0/UDP {caller};rport;branch=z9hG4bKi{call}\r\n\
             Max-Forwards: 70\r\nFrom: \"Caller\" <sip:caller@{caller}>;tag=f{call}\r\n\
             To: <sip:+4930123456@{proxy}>\r\nCall-ID: {call:016x}@{caller}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:caller@{caller}>\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK\r\n\
             Supported: timer, 100rel\r\nUser-Agent: rig\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        )
        .expect("writing to a Vec cannot fail");
        said.extend_from_slice(body);
    }

    /// A request of the caller inside the dialog: by its Route set, to the callee's Contact.
    pub fn follow(&mut self, call: u64, method: &str, cseq: u32) {
        let Self { caller, callee, said, up, .. } = self;
        said.clear();
        let route = value(up, b"Record-Route").unwrap_or_default();
        let to = value(up, b"To").unwrap_or_default();
        write!(
            said,
            "{method} sip:callee@{callee} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {caller};rport;branch=z9hG4bK{cseq}{method}{call}\r\nMax-Forwards: 70\r\nRoute: "
        )
        .expect("writing to a Vec cannot fail");
        said.extend_from_slice(route);
        write!(said, "\r\nFrom: \"Caller\" <sip:caller@{caller}>;tag=f{call}\r\nTo: ")
            .expect("writing to a Vec cannot fail");
        said.extend_from_slice(to);
        write!(
            said,
            "\r\nCall-ID: {call:016x}@{caller}\r\nCSeq: {cseq} {method}\r\nUser-Agent: rig\r\nContent-Length: 0\r\n\r\n"
        )
        .expect("writing to a Vec cannot fail");
    }

    /// The callee's answer to the last request that reached it.
    pub fn answer(&mut self, code: u16) {
        let Self { callee, body, said, down, .. } = self;
        let is_invite = down.starts_with(b"INVITE ");
        said.clear();
        write!(said, "SIP/2.0 {code} Fine\r\n").expect("writing to a Vec cannot fail");
        for line in lines(down) {
            let copied: [&[u8]; 5] = [b"Via:", b"Record-Route:", b"From:", b"Call-ID:", b"CSeq:"];
            let is_to = line.starts_with(b"To:");
            if !is_to && !copied.iter().any(|name| line.starts_with(name)) {
                continue;
            }
            said.extend_from_slice(line);
            if is_to && is_invite {
                said.extend_from_slice(b";tag=callee");
            }
            said.extend_from_slice(b"\r\n");
        }
        let has_body = is_invite && code == 200;
        if is_invite {
            write!(said, "Contact: <sip:callee@{callee}>\r\n").expect("writing to a Vec cannot fail");
        }
        let length = if has_body { body.len() } else { 0 };
        write!(said, "Content-Length: {length}\r\n\r\n").expect("writing to a Vec cannot fail");
        if has_body {
            said.extend_from_slice(body);
        }
    }
}

fn lines(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = message.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.take_while(|line| !line.is_empty())
}

fn value<'a>(message: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    lines(message).find_map(|line| line.strip_prefix(name)?.strip_prefix(b": "))
}
