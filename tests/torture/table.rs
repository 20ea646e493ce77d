//! The project's own messages, as text.
//!
//! A file holds cases. Each begins with `=== NAME | ABOUT | UDP VERDICT | TCP VERDICT`, then come
//! lines of the message. A verdict is what `Rig::run` returns: `forward`, status
//! codes of our own, `close`, or `drop` for none of it; `/` separates what is equally right,
//! `-` is for what cannot be sent that way.
//!
//! In a message every line ends with CRLF, unless its last character is `~`. `\r \n \0 \t \\` and
//! `\xNN` are bytes, `\"` is a quoted quote. `{proxy}` `{dest}` `{caller}` are host:port; `{proxy_host}` `{caller_host}` hosts;
//! `{T}` the transport the message comes over; `{n}` a number of its own; `{len}` the length of the
//! body; `{N*text}` is text N times. `{sdp}` is a small body.

use std::net::SocketAddr;

/// The files of the table.
pub const FILES: [(&str, &str); 6] = [
    ("valid.sip", include_str!("valid.sip")),
    ("invalid.sip", include_str!("invalid.sip")),
    ("proxy.sip", include_str!("proxy.sip")),
    ("smuggling.sip", include_str!("smuggling.sip")),
    ("fields.sip", include_str!("fields.sip")),
    ("ipv6.sip", include_str!("ipv6.sip")),
];

const SDP: &str = "v=0\\r\\no=a 1 1 IN IP4 192.0.2.1\\r\\ns=-\\r\\nc=IN IP4 192.0.2.1\\r\\nt=0 0\\r\\nm=audio 4000 RTP/AVP 0\\r\\n";

/// What a message comes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// In a datagram.
    Udp,
    /// At the beginning of a connection.
    Tcp,
}

impl Way {
    /// Its name in Via.
    pub fn token(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }
}

/// Who is where.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    /// Where the product listens.
    pub proxy: SocketAddr,
    /// Where the only destination is.
    pub destination: SocketAddr,
    /// Where the caller sends from.
    pub caller: SocketAddr,
}

/// One message and its verdicts.
#[derive(Debug)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// The sections it is about.
    pub about: String,
    udp: String,
    tcp: String,
    lines: Vec<String>,
    number: usize,
}

/// Reads a file of cases.
pub fn read(file: &str, text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("=== ") {
            let fields: Vec<&str> = head.split(" | ").map(str::trim).collect();
            let [name, about, udp, tcp] = fields[..] else {
                panic!("{file}: {line}: four fields are needed")
            };
            let number = cases.len();
            let (name, about, udp, tcp) = (name.into(), about.into(), udp.into(), tcp.into());
            cases.push(Case { name, about, udp, tcp, lines: Vec::new(), number });
        } else if let Some(case) = cases.last_mut() {
            case.lines.push(line.to_owned());
        } else {
            assert!(line.is_empty() || line.starts_with('#'), "{file}: {line}: outside of a case");
        }
    }
    cases
}

impl Case {
    /// What must become of it.
    pub fn expected(&self, way: Way) -> &str {
        match way {
            Way::Udp => &self.udp,
            Way::Tcp => &self.tcp,
        }
    }

    /// Its bytes.
    pub fn message(&self, places: Places, way: Way) -> Vec<u8> {
        let Places { proxy, destination, caller } = places;
        let mut text = String::new();
        for line in &self.lines {
            match line.strip_suffix('~') {
                Some(line) => text.push_str(line),
                None => {
                    text.push_str(line);
                    text.push_str("\\r\\n");
                }
            }
        }
        let values = [
            ("{sdp}", SDP.to_owned()),
            ("{proxy}", proxy.to_string()),
            ("{proxy_host}", proxy.ip().to_string()),
            ("{proxy_port}", proxy.port().to_string()),
            ("{dest}", destination.to_string()),
            ("{caller}", caller.to_string()),
            ("{caller_host}", caller.ip().to_string()),
            ("{T}", way.token().to_owned()),
            ("{n}", format!("{}", self.number)),
        ];
        for (name, value) in values {
            text = text.replace(name, &value);
        }
        let mut bytes = unescape(&repeat(&text));
        if let Some(at) = find(&bytes, b"{len}") {
            let body = find(&bytes, b"\r\n\r\n").map_or(0, |end| bytes.len() - end - 4);
            bytes.splice(at..at + 5, body.to_string().into_bytes());
        }
        bytes
    }
}

/// Where a piece begins.
pub fn find(bytes: &[u8], piece: &[u8]) -> Option<usize> {
    bytes.windows(piece.len()).position(|window| window == piece)
}

/// Writes `{N*text}` out, innermost last; text may not hold `}`.
fn repeat(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let parsed = after.split_once('}').and_then(|(inner, tail)| {
            let (count, piece) = inner.split_once('*')?;
            Some((count.parse::<usize>().ok()?, piece, tail))
        });
        match parsed {
            Some((count, piece, tail)) => {
                for number in 0..count {
                    out.push_str(&piece.replace('#', &number.to_string()));
                }
                rest = tail;
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out + rest
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let escaped = match bytes.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(b'x') => {
                let digits = [bytes.next(), bytes.next()].map(|digit| char::from(digit.unwrap_or(b'?')));
                let digits = String::from_iter(digits);
                u8::from_str_radix(&digits, 16).unwrap_or_else(|_| panic!("not a byte: \\x{digits}"))
            }
            Some(b'\\') => b'\\',
            Some(b'"') => {
                out.push(b'\\');
                b'"'
            }
            other => panic!("no such escape: {other:?}"),
        };
        out.push(escaped);
    }
    out
}
