//! The messages of both sides. A call's number and the run's mark are in its Call-ID, its tag and its
//! branches, always with the same number of digits, so that all messages of a kind have one length.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Result, bail};

use super::Mode;
use super::wire::{self, Header, headers};

const SDP: &str = "v=0\r\no=- 7001 1 IN IP4 127.0.0.2\r\ns=call\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\n";
const MEDIA: &str = "m=audio 18000 RTP/AVP 8 0 101\r\n";
const CODECS: &str =
    "a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";
/// What a telephone says beside what it must; left out of INVITEs that are to be small.
const EXTRAS: &str = "User-Agent: compare\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO, REFER\r\nSupported: timer, replaces\r\n";
const TEXT: &str = "the quick brown fox jumps over the lazy dog\r\n";

/// Who talks to whom, and the parts of messages that never change.
pub struct Messages {
    target: String,
    caller: String,
    host: String,
    mark: String,
    method: &'static str,
    extras: &'static str,
    body: String,
}

impl Messages {
    /// Messages for one run; an INVITE becomes `size` bytes long.
    pub fn new(
        target: SocketAddrV4,
        caller: SocketAddrV4,
        mode: Mode,
        mark: &str,
        size: usize,
    ) -> Result<Self> {
        let (method, body) = match mode {
            Mode::Invite => ("INVITE", format!("{SDP}{MEDIA}{CODECS}")),
            Mode::Message => ("MESSAGE", TEXT.to_owned()),
            Mode::Options | Mode::None => ("OPTIONS", String::new()),
        };
        let mut messages = Messages {
            target: target.to_string(),
            caller: caller.to_string(),
            host: caller.ip().to_string(),
            mark: mark.to_owned(),
            method,
            extras: EXTRAS,
            body,
        };
        if mode == Mode::Invite {
            messages.fit(size)?;
        }
        Ok(messages)
    }

    /// Pads the body with attribute lines, or leaves out what is not needed.
    fn fit(&mut self, size: usize) -> Result<()> {
        for (extras, body) in [(EXTRAS, self.body.clone()), ("", format!("{SDP}{MEDIA}"))] {
            (self.extras, self.body) = (extras, body);
            let bare = self.body.len();
            while self.length() < size {
                // "a=x:" and a line end are the least that a line can be; the last line takes what is left.
                let missing = size - self.length();
                let line = if missing > 160 { 120 } else { missing };
                self.body.push_str(&format!("a=x:{}\r\n", "0".repeat(line.saturating_sub(6))));
                if self.length() > size {
                    // Content-Length has grown by a digit, or the gap was smaller than a line.
                    let excess = self.length() - size;
                    let end = self.body.len() - 2;
                    if self.body.len() - bare > excess + 6 {
                        self.body.replace_range(end - excess..end, "");
                    }
                    break;
                }
            }
            if self.length() == size {
                return Ok(());
            }
        }
        bail!("an INVITE cannot be made {size} bytes long; the least is about {}", self.length())
    }

    fn length(&self) -> usize {
        let mut out = Vec::new();
        self.request(0, &mut out);
        out.len()
    }

    /// The request that begins call `number`.
    pub fn request(&self, number: u32, out: &mut Vec<u8>) {
        let (target, caller, mark, method) = (&self.target, &self.caller, &self.mark, self.method);
        // Without a user it is the proxy itself that is asked.
        let user = if method == "OPTIONS" { "" } else { "4711@" };
        out.clear();
        write_to(
            out,
            format_args!(
                "{method} sip:{user}{target} SIP/2.0\r\nVia: SIP/2.0/UDP {caller};rport;branch=z9hG4bK-1-{number:08x}-{mark}\r\n\
                 Max-Forwards: 70\r\nFrom: \"Caller\" <sip:caller@{caller}>;tag=c{number:08x}\r\nTo: <sip:{user}{target}>\r\n\
                 Call-ID: {number:08x}-{mark}@{}\r\nCSeq: 1 {method}\r\n",
                self.host
            ),
        );
        if self.method != "MESSAGE" {
            write_to(out, format_args!("Contact: <sip:caller@{caller}>\r\n"));
        }
        match self.method {
            "INVITE" => write_to(out, format_args!("{}Content-Type: application/sdp\r\n", self.extras)),
            "MESSAGE" => write_to(out, format_args!("Content-Type: text/plain\r\n")),
            _ => {}
        }
        write_to(out, format_args!("Content-Length: {}\r\n\r\n{}", self.body.len(), self.body));
    }

    /// ACK and BYE for a 2xx: to its Contact, along its Record-Route backwards.
    pub fn in_dialog(&self, number: u32, ok: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let (mut to, mut contact, mut routes): (&[u8], &[u8], Vec<&[u8]>) = (b"", b"", Vec::new());
        for line in headers(ok) {
            match line.header {
                Header::To => to = line.value,
                Header::Contact => contact = wire::uri(line.value),
                Header::RecordRoute => routes.push(line.value),
                _ => {}
            }
        }
        let request = |method: &str, sequence: u32| {
            let (caller, mark) = (&self.caller, &self.mark);
            let mut out = Vec::with_capacity(640);
            write_to(&mut out, format_args!("{method} "));
            out.extend_from_slice(contact);
            write_to(
                &mut out,
                format_args!(
                    " SIP/2.0\r\nVia: SIP/2.0/UDP {caller};rport;branch=z9hG4bK-{method}-{number:08x}-{mark}\r\n\
                     Max-Forwards: 70\r\n"
                ),
            );
            for route in routes.iter().rev() {
                out.extend_from_slice(b"Route: ");
                out.extend_from_slice(route);
                out.extend_from_slice(b"\r\n");
            }
            self.finish(&mut out, number, to, method, sequence);
            out
        };
        (request("ACK", 1), request("BYE", 2))
    }

    /// The ACK for a final response that is not a 2xx.
    pub fn ack_of_failure(&self, number: u32, to: &[u8]) -> Vec<u8> {
        let (target, caller, mark) = (&self.target, &self.caller, &self.mark);
        let mut out = Vec::with_capacity(400);
        write_to(
            &mut out,
            format_args!(
                "ACK sip:4711@{target} SIP/2.0\r\nVia: SIP/2.0/UDP {caller};rport;branch=z9hG4bK-1-{number:08x}-{mark}\r\n\
                 Max-Forwards: 70\r\n"
            ),
        );
        self.finish(&mut out, number, to, "ACK", 1);
        out
    }

    fn finish(&self, out: &mut Vec<u8>, number: u32, to: &[u8], method: &str, sequence: u32) {
        let (caller, mark) = (&self.caller, &self.mark);
        write_to(out, format_args!("From: \"Caller\" <sip:caller@{caller}>;tag=c{number:08x}\r\nTo: "));
        out.extend_from_slice(to);
        write_to(
            out,
            format_args!(
                "\r\nCall-ID: {number:08x}-{mark}@{}\r\nCSeq: {sequence} {method}\r\nContent-Length: 0\r\n\r\n",
                self.host
            ),
        );
    }

    /// The number of the call that a Call-ID of this run names.
    pub fn number(&self, call_id: &[u8]) -> Option<u32> {
        let rest = call_id.get(8..)?.strip_prefix(b"-")?;
        rest.starts_with(self.mark.as_bytes()).then_some(())?;
        u32::from_str_radix(std::str::from_utf8(&call_id[..8]).ok()?, 16).ok()
    }
}

/// A response of the callee at `local`: what must be copied is copied, in order.
pub fn response(request: &[u8], code: u16, local: (Ipv4Addr, u16), out: &mut Vec<u8>) {
    let (reason, sdp) = match code {
        180 => ("Ringing", false),
        200 => ("OK", true),
        503 => ("Service Unavailable", false),
        _ => ("Refused", false),
    };
    let invite = request.starts_with(b"INVITE ");
    out.clear();
    write_to(out, format_args!("SIP/2.0 {code} {reason}\r\n"));
    for line in headers(request) {
        let copied = match line.header {
            Header::RecordRoute => invite && code < 300,
            Header::Via | Header::From | Header::To | Header::CallId | Header::CSeq => true,
            Header::Contact | Header::Other => false,
        };
        if copied {
            out.extend_from_slice(line.whole);
            if line.header == Header::To && memchr::memmem::find(line.value, b";tag=").is_none() {
                write_to(out, format_args!(";tag=d{:08x}", local.0.to_bits()));
            }
            out.extend_from_slice(b"\r\n");
        }
    }
    if invite && code < 300 {
        write_to(out, format_args!("Contact: <sip:{}:{}>\r\n", local.0, local.1));
    }
    if invite && sdp {
        let length = SDP.len() + MEDIA.len() + CODECS.len();
        write_to(
            out,
            format_args!(
                "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\nServer: compare\r\nContent-Type: application/sdp\r\n\
                 Content-Length: {length}\r\n\r\n{SDP}{MEDIA}{CODECS}"
            ),
        );
    } else {
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    }
}

fn write_to(out: &mut Vec<u8>, text: std::fmt::Arguments) {
    out.write_fmt(text).expect("a Vec takes what it is given");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(size: usize) -> Result<Messages> {
        let address = |text: &str| text.parse().unwrap();
        Messages::new(address("127.0.0.1:5060"), address("127.0.0.2:6000"), Mode::Invite, "0badcafe", size)
    }

    #[test]
    fn an_invite_has_the_size_asked_for_and_a_true_content_length() {
        for size in (500..1500).chain([2000, 4096, 8192]) {
            let mut invite = Vec::new();
            messages(size).unwrap_or_else(|error| panic!("{size}: {error}")).request(0xabcdef, &mut invite);
            assert_eq!(invite.len(), size);
            let text = String::from_utf8(invite).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{size}");
            assert!(body.ends_with("\r\n"), "{size}");
        }
        assert!(messages(300).is_err());
    }

    #[test]
    fn requests_in_the_dialog_follow_the_route_set_backwards() {
        let ok = b"SIP/2.0 200 OK\r\nRecord-Route: <sip:a;lr>\r\nRecord-Route: <sip:b;lr>\r\nTo: <sip:x>;tag=t\r\nContact: <sip:d@h>\r\n\r\n";
        let messages = messages(756).unwrap();
        let (ack, bye) = messages.in_dialog(7, ok);
        let ack = String::from_utf8(ack).unwrap();
        assert!(ack.starts_with("ACK sip:d@h SIP/2.0\r\n") && ack.contains("To: <sip:x>;tag=t\r\n"), "{ack}");
        assert!(ack.find("Route: <sip:b;lr>").unwrap() < ack.find("Route: <sip:a;lr>").unwrap(), "{ack}");
        assert!(String::from_utf8(bye).unwrap().contains("CSeq: 2 BYE\r\n"));
    }

    #[test]
    fn a_response_copies_the_vias_tags_the_callee_and_bears_its_call() {
        let messages = messages(756).unwrap();
        let mut invite = Vec::new();
        messages.request(42, &mut invite);
        let mut ok = Vec::new();
        response(&invite, 200, (Ipv4Addr::new(127, 0, 1, 1), 7000), &mut ok);
        let find = |header| headers(&ok).find(|line| line.header == header).unwrap().value.to_vec();
        assert!(find(Header::Via).ends_with(b"-0000002a-0badcafe"));
        assert!(find(Header::To).ends_with(b";tag=d7f000101"));
        assert_eq!(messages.number(&find(Header::CallId)), Some(42));
        assert_eq!(messages.number(b"0000002a-other@h"), None);
    }
}
