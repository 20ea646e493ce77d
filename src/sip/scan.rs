//! Scanners over raw bytes: line ends, comma lists, parameters, addresses.
//!
//! They find where things lie and never copy. White space includes line ends, because a value may
//! be folded (RFC 3261 §7.3.1) and stray ones were refused before.

use memchr::{memchr, memchr2, memchr3};

/// A piece of a message. Offsets are 32 bits wide; no message is longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    #[expect(clippy::cast_possible_truncation, reason = "no message is as long; a wrong span gives nothing")]
    pub fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }
    pub fn get(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
    pub fn shifted(self, by: usize) -> Self {
        Self::new(self.start as usize + by, self.end as usize + by)
    }
}

/// What a byte may be part of, looked up in one table because every byte of a head is asked about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Class {
    Space = 1,
    /// RFC 3261 §25.1, token.
    Token = 2,
    /// A host name or an IPv4 address; `_` is none by the RFC but common in container networks.
    Host = 4,
    /// A parameter's value without quotes.
    Value = 8,
    /// Neither white space nor control.
    Visible = 16,
    /// A URI (RFC 3986), as far as it can be told from one byte.
    Uri = 32,
}

static CLASSES: [u8; 256] = classes();

#[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "evaluated by the compiler")]
const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut position = 0;
    while position < classes.len() {
        let byte = position as u8;
        let alphanumeric = byte.is_ascii_alphanumeric();
        let space = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let visible = byte > b' ' && byte != 0x7f;
        let token = matches!(byte, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~')
            || alphanumeric;
        let host = matches!(byte, b'-' | b'.' | b'_') || alphanumeric;
        let value = !space && !matches!(byte, b';' | b'"' | b'<' | b'>');
        let uri = visible && !matches!(byte, b'"' | b'<' | b'>');
        classes[position] = (space as u8 * Class::Space as u8)
            | (token as u8 * Class::Token as u8)
            | (host as u8 * Class::Host as u8)
            | (value as u8 * Class::Value as u8)
            | (visible as u8 * Class::Visible as u8)
            | (uri as u8 * Class::Uri as u8);
        position += 1;
    }
    classes
}

pub(super) fn is(class: Class, byte: u8) -> bool {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(0) & class as u8 != 0
}

/// Compares a name without case; most are written as the RFC writes them.
pub(super) fn is_name(found: &[u8], name: &[u8]) -> bool {
    found == name || found.eq_ignore_ascii_case(name)
}

/// How many bytes from `from` on are of a class.
pub(super) fn run(class: Class, bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    rest.iter().position(|byte| !is(class, *byte)).unwrap_or(rest.len())
}

/// The same for what is mostly long, eight bytes at a time.
pub(super) fn long_run(class: Class, bytes: &[u8], from: usize) -> usize {
    let (eights, _) = bytes.get(from..).unwrap_or_default().as_chunks::<8>();
    let whole = 8 * eights.iter().take_while(|eight| are(class, *eight)).count();
    whole + run(class, bytes, from + whole)
}

/// Whether there are bytes, all of a class.
pub(super) fn is_all(class: Class, bytes: &[u8]) -> bool {
    let (eights, rest) = bytes.as_chunks::<8>();
    !bytes.is_empty() && eights.iter().all(|eight| are(class, eight)) && are(class, rest)
}

/// Whether all bytes of a few are of a class, without a branch for each.
fn are(class: Class, bytes: &[u8]) -> bool {
    let of = |byte: &u8| CLASSES.get(usize::from(*byte)).copied().unwrap_or(0);
    bytes.iter().fold(class as u8, |left, byte| left & of(byte)) != 0
}

pub(super) fn at(bytes: &[u8], position: usize) -> u8 {
    bytes.get(position).copied().unwrap_or(0)
}

pub(super) fn skip_space(bytes: &[u8], from: usize) -> usize {
    from + run(Class::Space, bytes, from)
}

/// The span from `start` to `end` without white space around it.
pub(super) fn trimmed(bytes: &[u8], start: usize, end: usize) -> Span {
    let mut end = end.min(bytes.len());
    while end > start && is(Class::Space, at(bytes, end - 1)) {
        end -= 1;
    }
    let mut start = start;
    while start < end && is(Class::Space, at(bytes, start)) {
        start += 1;
    }
    Span::new(start, end.max(start))
}

/// A decimal number of digits only, at most `max`.
pub(super) fn number(digits: &[u8], max: u32) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0_u32, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })?;
    (value <= max).then_some(value)
}

/// A port, 1 to 65535.
pub(super) fn port(digits: &[u8]) -> Option<u16> {
    u16::try_from(number(digits, 65_535)?).ok().filter(|port| *port != 0)
}

/// Where a line ends. Positions are 32 bits wide, as in a [`Span`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LineEnd {
    at: u32,
    next: u32,
}

impl LineEnd {
    #[expect(clippy::cast_possible_truncation, reason = "what is received is far below 4 GiB")]
    fn new(at: usize, next: usize) -> Self {
        Self { at: at as u32, next: next as u32 }
    }

    /// End of its content.
    pub fn at(self) -> usize {
        self.at as usize
    }

    /// Start of the next line.
    pub fn next(self) -> usize {
        self.next as usize
    }

    /// Whether it ends with LF alone.
    pub fn is_bare(self) -> bool {
        self.next - self.at == 1
    }
}

/// Finds the end of the line that begins at `from`. `bare` is how the lines of this message end,
/// unknown for the first. Sets `dirty` for a CR, LF or NUL that two readers could read in two ways;
/// a NUL is accepted only as a quoted pair.
#[inline]
pub(super) fn line_end(bytes: &[u8], from: usize, bare: Option<bool>, dirty: &mut bool) -> Option<LineEnd> {
    let found = control(bytes, from)?;
    if bare != Some(true) && bytes.get(found..).is_some_and(|rest| rest.starts_with(b"\r\n")) {
        return Some(LineEnd::new(found, found + 2));
    }
    unusual_line_end(bytes, from, found, bare, dirty)
}

/// The same where the first control character, at `found`, is not the usual end of a line.
#[cold]
fn unusual_line_end(
    bytes: &[u8],
    from: usize,
    mut found: usize,
    bare: Option<bool>,
    dirty: &mut bool,
) -> Option<LineEnd> {
    loop {
        match at(bytes, found) {
            b'\n' if bare == Some(false) => *dirty = true,
            b'\n' => return Some(LineEnd::new(found, found + 1)),
            b'\r' => match bytes.get(found + 1)? {
                b'\n' => {
                    *dirty |= bare == Some(true);
                    return Some(LineEnd::new(found, found + 2));
                }
                _ => *dirty = true,
            },
            0 => *dirty |= found == from || at(bytes, found - 1) != b'\\',
            _ => {}
        }
        found = control(bytes, found + 1)?;
    }
}

/// A one in each byte of a word.
const ONES: u64 = u64::MAX / 255;

/// The first byte from `from` on that is a CR or lower in ASCII: CR, LF, NUL, and others that a head
/// hardly holds.
fn control(bytes: &[u8], from: usize) -> Option<usize> {
    const LIMIT: u8 = b'\r' + 1;
    // A borrow can only wrong the bytes behind the first that is below the limit.
    first(bytes, from, |word| word.wrapping_sub(ONES * u64::from(LIMIT)) & !word, |byte| byte < LIMIT)
}

/// The first colon from `from` on.
pub(super) fn colon(bytes: &[u8], from: usize) -> Option<usize> {
    let is_zero = |word: u64| word.wrapping_sub(ONES) & !word;
    first(bytes, from, |word| is_zero(word ^ (ONES * u64::from(b':'))), |byte| byte == b':')
}

/// The first byte from `from` on that `marks` sets the top bit of, and `is_found` tells alone. Eight bytes at
/// a time: what is looked through is too short for a call to pay.
#[inline]
fn first(
    bytes: &[u8],
    from: usize,
    marks: impl Fn(u64) -> u64,
    is_found: impl Fn(u8) -> bool,
) -> Option<usize> {
    let (eights, rest) = bytes.get(from..)?.as_chunks::<8>();
    for (count, eight) in eights.iter().enumerate() {
        let marked = marks(u64::from_le_bytes(*eight)) & (ONES << 7);
        if marked != 0 {
            return Some(from + 8 * count + marked.trailing_zeros() as usize / 8);
        }
    }
    rest.iter().position(|byte| is_found(*byte)).map(|ahead| from + 8 * eights.len() + ahead)
}

/// The position behind the quoted string that begins at `open`.
fn skip_quoted(bytes: &[u8], open: usize) -> Option<usize> {
    let mut position = open + 1;
    loop {
        let found = position + memchr2(b'"', b'\\', bytes.get(position..)?)?;
        if at(bytes, found) == b'"' {
            return Some(found + 1);
        }
        position = found + 2;
    }
}

/// The elements of a comma list as spans of `value`, trimmed, empty ones included. Quotes and `<>`
/// are respected; where one is not closed the rest is one element.
#[derive(Debug, Clone)]
pub(super) struct Elements<'a> {
    value: &'a [u8],
    position: Option<usize>,
}

pub(super) const fn elements(value: &[u8]) -> Elements<'_> {
    Elements { value, position: Some(0) }
}

impl Elements<'_> {
    fn comma(&self, from: usize) -> Option<usize> {
        let rest = self.value.get(from..)?;
        let comma = memchr(b',', rest)?;
        if memchr2(b'"', b'<', rest.get(..comma)?).is_none() {
            return Some(from + comma);
        }
        let mut position = from;
        loop {
            let found = position + memchr3(b',', b'"', b'<', self.value.get(position..)?)?;
            position = match at(self.value, found) {
                b',' => return Some(found),
                b'"' => skip_quoted(self.value, found)?,
                _ => found + memchr(b'>', self.value.get(found..)?)? + 1,
            };
        }
    }
}

impl Iterator for Elements<'_> {
    type Item = Span;
    fn next(&mut self) -> Option<Span> {
        let start = self.position?;
        let comma = self.comma(start);
        self.position = comma.map(|comma| comma + 1);
        Some(trimmed(self.value, start, comma.unwrap_or(self.value.len())))
    }
}

/// Whether a datagram is a keep-alive of line ends or NULs, as phones send them, and no message.
pub fn is_keep_alive(datagram: &[u8]) -> bool {
    datagram.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

/// The elements of a comma list, trimmed, without empty ones; quotes and `<>` are respected.
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    elements(value).map(|span| span.get(value)).filter(|element| !element.is_empty())
}

/// One header parameter; spans are of the slice scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Param {
    pub name: Span,
    pub value: Option<Span>,
    /// From the semicolon to the end of the value.
    pub whole: Span,
}

/// The parameters of `bytes` from `position` on, which is at a semicolon, at white space before one
/// or at the end. `broken` is set if what follows is not a parameter.
#[derive(Debug, Clone)]
pub(super) struct Params<'a> {
    bytes: &'a [u8],
    position: usize,
    pub broken: bool,
}

pub(super) const fn params(bytes: &[u8], position: usize) -> Params<'_> {
    Params { bytes, position, broken: false }
}

impl Params<'_> {
    fn read(&mut self, semicolon: usize) -> Option<Param> {
        let bytes = self.bytes;
        let start = skip_space(bytes, semicolon + 1);
        let end = start + run(Class::Token, bytes, start);
        if start == end {
            return None;
        }
        let name = Span::new(start, end);
        let equals = skip_space(bytes, end);
        if at(bytes, equals) != b'=' {
            self.position = equals;
            return Some(Param { name, value: None, whole: Span::new(semicolon, end) });
        }
        let start = skip_space(bytes, equals + 1);
        let end = if at(bytes, start) == b'"' {
            skip_quoted(bytes, start)?
        } else {
            start + long_run(Class::Value, bytes, start)
        };
        self.position = end;
        Some(Param { name, value: Some(Span::new(start, end)), whole: Span::new(semicolon, end) })
    }
}

impl Iterator for Params<'_> {
    type Item = Param;
    fn next(&mut self) -> Option<Param> {
        let semicolon = skip_space(self.bytes, self.position);
        if self.broken || semicolon >= self.bytes.len() {
            return None;
        }
        let param = if at(self.bytes, semicolon) == b';' { self.read(semicolon) } else { None };
        self.broken = param.is_none();
        param
    }
}

/// A `name-addr` or `addr-spec` (RFC 3261 §20.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address {
    /// The URI without `<>`.
    pub uri: Span,
    /// Where the header's parameters begin.
    pub params: usize,
    /// Whether the URI stands in `<>`.
    pub bracketed: bool,
}

/// Finds the URI of an address; `None` if a quote or bracket is not closed or the URI is empty.
pub(super) fn address(value: &[u8]) -> Option<Address> {
    let mut position = 0;
    while let Some(found) = memchr2(b'"', b'<', value.get(position..)?) {
        let found = position + found;
        if at(value, found) == b'"' {
            position = skip_quoted(value, found)?;
            continue;
        }
        let close = found + memchr(b'>', value.get(found..)?)?;
        let uri = trimmed(value, found + 1, close);
        return (uri.start < uri.end).then_some(Address { uri, params: close + 1, bracketed: true });
    }
    if position > 0 {
        return None;
    }
    let params = memchr(b';', value).unwrap_or(value.len());
    let uri = trimmed(value, 0, params);
    (uri.start < uri.end).then_some(Address { uri, params, bracketed: false })
}

/// The URI of one element of Route, Record-Route, Path or Contact. One without `<>` is taken whole:
/// the grammar has none, and whoever writes `sip:a;lr` means a parameter of the URI.
pub fn element_uri(element: &[u8]) -> Option<&[u8]> {
    let address = address(element)?;
    if address.bracketed {
        return Some(address.uri.get(element));
    }
    Some(trimmed(element, 0, element.len()).get(element))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(value: &[u8]) -> Vec<&str> {
        list(value).map(|element| std::str::from_utf8(element).unwrap()).collect()
    }

    #[test]
    fn splits_lists_outside_quotes_and_brackets_only() {
        assert_eq!(texts(b"a, b ,c"), ["a", "b", "c"]);
        assert_eq!(
            texts(b"\"a,\\\"b\" <sip:a,b@h>;x=\"1,2\" , <sip:c>"),
            ["\"a,\\\"b\" <sip:a,b@h>;x=\"1,2\"", "<sip:c>"]
        );
        assert_eq!(texts(b" ,,a, ,\r\n b,"), ["a", "b"]);
        assert_eq!(texts(b"a, \"b, c"), ["a", "\"b, c"]);
        assert_eq!(texts(b"a, <b, c"), ["a", "<b, c"]);
        assert!(texts(b"").is_empty());
    }

    fn all(bytes: &[u8]) -> (Vec<(String, Option<String>, String)>, bool) {
        let text = |span: Span| String::from_utf8_lossy(span.get(bytes)).into_owned();
        let mut params = params(bytes, 0);
        let mut found = vec![];
        for param in params.by_ref() {
            found.push((text(param.name), param.value.map(text), text(param.whole)));
        }
        (found, params.broken)
    }

    #[test]
    fn reads_parameters_with_white_space_and_quotes() {
        let (found, broken) = all(b" ; a = 1;b\r\n ;c=\"x;y\" ");
        assert!(!broken);
        assert_eq!(
            found,
            [
                ("a".into(), Some("1".into()), "; a = 1".into()),
                ("b".into(), None, ";b".into()),
                ("c".into(), Some("\"x;y\"".into()), ";c=\"x;y\"".into()),
            ]
        );
    }

    #[test]
    fn calls_parameters_broken_that_are_none() {
        for bytes in
            [&b";;a"[..], b";", b"x", b";a=1 2", b";a=\"b", b";a=\"b\"c", b";a=b\"c\"", b";=1", b";a,"]
        {
            assert!(all(bytes).1, "{}", String::from_utf8_lossy(bytes));
        }
        assert!(!all(b"").1);
        assert!(!all(b"  ").1);
    }

    #[test]
    fn finds_the_uri_of_an_address() {
        let uri = |value: &'static [u8]| address(value).map(|found| found.uri.get(value));
        assert_eq!(uri(b"<sip:a@h>;tag=1"), Some(&b"sip:a@h"[..]));
        assert_eq!(uri(b"\"<sip:x>\" <sip:a@h>"), Some(&b"sip:a@h"[..]));
        assert_eq!(uri(b"Bell, Alexander < sip:a@h >"), Some(&b"sip:a@h"[..]));
        assert_eq!(uri(b"sip:a@h ;tag=1"), Some(&b"sip:a@h"[..]));
        assert_eq!(uri(b"\"open <sip:a@h>"), None);
        assert_eq!(uri(b"<sip:a@h"), None);
        assert_eq!(uri(b"<>"), None);
        assert_eq!(uri(b";tag=1"), None);
        assert_eq!(element_uri(b" sip:a@h;lr "), Some(&b"sip:a@h;lr"[..]));
    }

    #[test]
    fn reads_numbers_without_wrapping() {
        assert_eq!(number(b"255", 255), Some(255));
        assert_eq!(number(b"256", 255), None);
        assert_eq!(number(b"0009", 255), Some(9));
        assert_eq!(number(b"4294967301", u32::MAX), None);
        assert_eq!(number(b"-1", 255), None);
        assert_eq!(number(b"", 255), None);
        assert_eq!(port(b"0"), None);
    }

    #[test]
    fn eight_bytes_at_a_time_finds_what_one_at_a_time_does() {
        let found: fn(&[u8], usize) -> [Option<usize>; 2] =
            |text, from| [control(text, from), colon(text, from)];
        for fill in [b'a', 0x0e, b';', 0x7f, 0x8d, 0xff] {
            for (mark, position) in
                [b'\r', b'\n', 0, b':'].into_iter().flat_map(|mark| (0..20).map(move |at| (mark, at)))
            {
                let mut text = [fill; 21];
                text[position] = mark;
                text[20] = b':';
                for from in 0..=text.len() {
                    let first =
                        |is: fn(&u8) -> bool| text[from..].iter().position(is).map(|ahead| from + ahead);
                    assert_eq!(
                        found(&text, from),
                        [first(|byte| *byte <= b'\r'), first(|byte| *byte == b':')]
                    );
                }
            }
        }
    }

    #[test]
    fn finds_line_ends_and_flags_ambiguous_ones() {
        let find = |bytes: &[u8], bare| {
            let mut dirty = false;
            (line_end(bytes, 0, bare, &mut dirty).map(|end| (end.at(), end.next())), dirty)
        };
        assert_eq!(find(b"ab\r\nc", None), (Some((2, 4)), false));
        assert_eq!(find(b"ab\nc", None), (Some((2, 3)), false));
        assert_eq!(find(b"ab\ncd\r\n", Some(false)), (Some((5, 7)), true));
        assert_eq!(find(b"ab\r\n", Some(true)), (Some((2, 4)), true));
        assert_eq!(find(b"a\rb\r\n", None), (Some((3, 5)), true));
        assert_eq!(find(b"a\0b\r\n", None), (Some((3, 5)), true));
        assert_eq!(find(b"\"\\\0\"\r\n", None), (Some((4, 6)), false));
        assert_eq!(find(b"ab\r", None), (None, false));
    }
}
