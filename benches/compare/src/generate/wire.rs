//! As much of SIP's grammar as a peer needs: where the header lines are and which ones they are.

use memchr::memchr;

/// Header fields that a peer looks at or copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    Via,
    RecordRoute,
    From,
    To,
    CallId,
    CSeq,
    Contact,
    Other,
}

/// One header line: which, whole, and what stands behind the colon.
pub struct Line<'a> {
    /// Which header field.
    pub header: Header,
    /// The line without its end.
    pub whole: &'a [u8],
    /// The value.
    pub value: &'a [u8],
}

/// The header lines of a message, without its start line.
pub fn headers(message: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let mut rest = memchr(b'\n', message).map_or(&message[..0], |end| &message[end + 1..]);
    std::iter::from_fn(move || {
        let end = memchr(b'\n', rest)?;
        let whole = rest[..end].trim_ascii_end();
        rest = &rest[end + 1..];
        let colon = memchr(b':', whole)?;
        let header = header(whole[..colon].trim_ascii_end());
        Some(Line { header, whole, value: whole[colon + 1..].trim_ascii_start() })
    })
}

fn header(name: &[u8]) -> Header {
    const NAMES: [(&[u8], Header); 12] = [
        (b"Via", Header::Via),
        (b"v", Header::Via),
        (b"From", Header::From),
        (b"f", Header::From),
        (b"To", Header::To),
        (b"t", Header::To),
        (b"CSeq", Header::CSeq),
        (b"Call-ID", Header::CallId),
        (b"i", Header::CallId),
        (b"Contact", Header::Contact),
        (b"m", Header::Contact),
        (b"Record-Route", Header::RecordRoute),
    ];
    NAMES
        .iter()
        .find(|(known, _)| name.eq_ignore_ascii_case(known))
        .map_or(Header::Other, |(_, header)| *header)
}

/// The status code of a response; none for a request.
pub fn status(message: &[u8]) -> Option<u16> {
    let digits = message.strip_prefix(b"SIP/2.0 ")?.get(..3)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The method in a CSeq value, or the first word of a request.
pub fn last_word(value: &[u8]) -> &[u8] {
    value.rsplit(|&byte| byte == b' ').next().unwrap_or_default()
}

/// The first word of a start line.
pub fn first_word(message: &[u8]) -> &[u8] {
    memchr(b' ', message).map_or(&message[..0], |end| &message[..end])
}

/// The URI of a Contact.
pub fn uri(value: &[u8]) -> &[u8] {
    match (memchr(b'<', value), memchr(b'>', value)) {
        (Some(open), Some(close)) if open < close => &value[open + 1..close],
        _ => value.split(|&byte| byte == b';').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_lines_are_found_up_to_the_empty_line() {
        let text = b"SIP/2.0 180 Ringing\r\nv: SIP/2.0/UDP h\r\nCALL-ID:x\r\nX: y\r\nCSeq: 1 INVITE\r\n\r\nTo: body\r\n";
        let found: Vec<_> = headers(text).map(|line| (line.header, line.value.to_vec())).collect();
        let expected: [(Header, &[u8]); 4] = [
            (Header::Via, b"SIP/2.0/UDP h"),
            (Header::CallId, b"x"),
            (Header::Other, b"y"),
            (Header::CSeq, b"1 INVITE"),
        ];
        assert_eq!(found, expected.map(|(header, value)| (header, value.to_vec())));
        assert_eq!(status(text), Some(180));
        assert_eq!(last_word(&found[3].1), b"INVITE");
    }

    #[test]
    fn a_contact_gives_its_uri_with_or_without_brackets() {
        assert_eq!(uri(b"\"A\" <sip:a@h:1;x=y>;q=1"), b"sip:a@h:1;x=y");
        assert_eq!(uri(b"sip:a@h;q=1"), b"sip:a@h");
    }
}
