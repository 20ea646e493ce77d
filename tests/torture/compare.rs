//! What may differ between a request that came and the copy that goes on: Via, Max-Forwards,
//! Record-Route, a Route that named us, a Content-Length added, bare line ends. Nothing else.
//!
//! Reads messages on its own, without the product's parser.

use std::net::SocketAddr;

/// A message in its lines, folds kept with the line they belong to.
struct Parts {
    start: Vec<u8>,
    headers: Vec<Vec<u8>>,
    body: Vec<u8>,
}

fn parts(bytes: &[u8]) -> Parts {
    let bytes: &[u8] = {
        let mut rest = bytes;
        while let Some(after) = rest.strip_prefix(b"\r\n") {
            rest = after;
        }
        rest
    };
    let first = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let is_bare = first == 0 || bytes.get(first - 1) != Some(&b'\r');
    let end: &[u8] = if is_bare { b"\n" } else { b"\r\n" };
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let mut rest = bytes;
    loop {
        let at = rest.windows(end.len()).position(|window| window == end).unwrap_or(rest.len());
        let line = &rest[..at];
        rest = rest.get(at + end.len()..).unwrap_or_default();
        if line.is_empty() {
            break;
        }
        match lines.last_mut().filter(|_| matches!(line[0], b' ' | b'\t')) {
            Some(last) => {
                last.extend_from_slice(b"\r\n");
                last.extend_from_slice(line);
            }
            None => lines.push(line.to_vec()),
        }
    }
    Parts { start: lines.remove(0), headers: lines, body: rest.to_vec() }
}

fn name(line: &[u8]) -> String {
    let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
    let name = String::from_utf8_lossy(&line[..colon]).trim().to_ascii_lowercase();
    match name.as_str() {
        "v" => "via".into(),
        "l" => "content-length".into(),
        "t" => "to".into(),
        "f" => "from".into(),
        "i" => "call-id".into(),
        _ => name,
    }
}

fn value(line: &[u8]) -> &[u8] {
    let colon = line.iter().position(|byte| *byte == b':').map_or(line.len(), |colon| colon + 1);
    line[colon..].trim_ascii()
}

/// The values of a header field.
pub fn values(message: &[u8], wanted: &str) -> Vec<Vec<u8>> {
    let headers = parts(message).headers;
    headers.iter().filter(|line| name(line) == wanted).map(|line| value(line).to_vec()).collect()
}

/// The lines of a header field.
pub fn lines(message: &[u8], wanted: &str) -> Vec<Vec<u8>> {
    parts(message).headers.into_iter().filter(|line| name(line) == wanted).collect()
}

/// The method of a request.
pub fn method(message: &[u8]) -> Vec<u8> {
    let start = parts(message).start;
    start.split(|byte| *byte == b' ').next().unwrap_or_default().to_vec()
}

/// A Via line without the parameters that a receiver sets.
fn without_stamp(line: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    let trimmed = |piece: &[u8]| piece.trim_ascii_end().len();
    for (number, piece) in line.split(|byte| *byte == b';').enumerate() {
        let text = String::from_utf8_lossy(piece).trim_start().to_ascii_lowercase();
        let is_stamp = number > 0 && (text.starts_with("received=") || text.starts_with("rport"));
        if is_stamp {
            // What follows a comma belongs to the next value.
            if let Some(comma) = piece.iter().position(|byte| *byte == b',') {
                let blanks = comma - trimmed(&piece[..comma]);
                out.extend_from_slice(&piece[comma - blanks..]);
            }
        } else {
            if number > 0 {
                out.push(b';');
            }
            out.extend_from_slice(piece);
        }
    }
    out
}

/// How many bytes of a datagram or stream the message itself is.
fn own_body(parts: &Parts) -> Vec<u8> {
    let length = parts.headers.iter().find(|line| name(line) == "content-length");
    let length = length.and_then(|line| String::from_utf8_lossy(value(line)).parse::<usize>().ok());
    parts.body[..length.unwrap_or(parts.body.len()).min(parts.body.len())].to_vec()
}

fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Compares a request with the copy that went on; says what is not as it must be.
pub fn check(came: &[u8], went: &[u8], proxy: SocketAddr, caller: SocketAddr) -> Result<(), String> {
    let (came, went) = (parts(came), parts(went));
    if came.start != went.start {
        return Err(format!("start line {} became {}", show(&came.start), show(&went.start)));
    }
    let mut copy = went.headers.iter().peekable();
    let via = copy.next().ok_or("no header")?;
    let ours = format!("Via: SIP/2.0/UDP {proxy};rport;branch=z9hG4bKs");
    if !via.starts_with(ours.as_bytes()) {
        return Err(format!("the top line is {}", show(via)));
    }
    let record_route = format!("Record-Route: <sip:{proxy}");
    while copy.peek().is_some_and(|line| line.starts_with(record_route.as_bytes())) {
        copy.next();
    }
    if !came.headers.iter().any(|line| name(line) == "max-forwards") {
        let added = copy.next();
        if added.map(Vec::as_slice) != Some(b"Max-Forwards: 70") {
            return Err(format!("Max-Forwards is not added: {added:?}"));
        }
    }
    let mut is_top_via = true;
    for line in &came.headers {
        let is_route = name(line) == "route";
        let is_empty = value(line).iter().all(|byte| matches!(byte, b',' | b' '));
        let is_our_route =
            is_route && (is_empty || String::from_utf8_lossy(line).contains(&proxy.to_string()));
        if is_our_route {
            continue;
        }
        let found = copy.next().ok_or_else(|| format!("{} is lost", show(line)))?;
        let same = match name(line).as_str() {
            "via" if is_top_via => {
                is_top_via = false;
                let text = String::from_utf8_lossy(found).into_owned();
                let host = caller.ip().to_string();
                let is_stamped = text.contains(&format!(";received={host}"))
                    || String::from_utf8_lossy(line).contains(&host);
                is_stamped && without_stamp(line).trim_ascii_end() == without_stamp(found).trim_ascii_end()
            }
            "max-forwards" => {
                let number = |line: &[u8]| String::from_utf8_lossy(value(line)).parse::<u8>().ok();
                number(line).and_then(|hops| hops.checked_sub(1)) == number(found)
            }
            _ => line == found,
        };
        if !same {
            return Err(format!("{} became {}", show(line), show(found)));
        }
    }
    let body = own_body(&came);
    if !came.headers.iter().any(|line| name(line) == "content-length") {
        let added = format!("Content-Length: {}", body.len());
        if copy.next().map(Vec::as_slice) != Some(added.as_bytes()) {
            return Err("Content-Length is not added".into());
        }
    }
    if let Some(more) = copy.next() {
        return Err(format!("{} is added", show(more)));
    }
    if body != went.body { Err(format!("the body became {}", show(&went.body))) } else { Ok(()) }
}

/// The final response that a destination gives to a request as it got it.
pub fn answer(request: &[u8], code: u16) -> Vec<u8> {
    let mut out = format!("SIP/2.0 {code} Answered\r\n").into_bytes();
    for wanted in ["via", "from", "to", "call-id", "cseq"] {
        for line in lines(request, wanted) {
            out.extend_from_slice(&line);
            if wanted == "to" && !String::from_utf8_lossy(&line).replace(' ', "").contains(";tag=") {
                out.extend_from_slice(b";tag=dest");
            }
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    out
}

#[test]
fn a_copy_that_is_not_the_same_is_noticed() {
    let (proxy, caller) =
        (SocketAddr::from(([127, 9, 9, 1], 5060)), SocketAddr::from(([127, 9, 9, 2], 5060)));
    let came = "MESSAGE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=x\r\nMax-Forwards: 7\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nhi";
    let ours = "Via: SIP/2.0/UDP 127.9.9.1:5060;rport;branch=z9hG4bKsw1\r\nVia: SIP/2.0/UDP h;branch=x;received=127.9.9.2";
    let went = came.replace("Via: SIP/2.0/UDP h;branch=x", ours).replace("Forwards: 7", "Forwards: 6");
    let same = |went: &str| check(came.as_bytes(), went.as_bytes(), proxy, caller);
    assert_eq!(same(&went), Ok(()));
    for (from, to) in [
        ("sip:a", "sip:b"),
        ("sw1\r\n", "sw1\r\nX-Injected: 1\r\n"),
        (";received=127.9.9.2", ""),
        ("branch=x", "branch=y"),
        ("Forwards: 6", "Forwards: 7"),
        ("X: a\r\n b", "X: a b"),
        ("X: a\r\n b\r\n", ""),
        ("Length: 2\r\n", "Length: 2\r\nX-Injected: 1\r\n"),
        ("hi", "ho"),
        ("127.9.9.1", "127.9.9.3"),
    ] {
        assert!(same(&went.replacen(from, to, 1)).is_err(), "{from:?} changed to {to:?}");
    }
}
