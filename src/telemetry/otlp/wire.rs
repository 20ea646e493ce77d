//! Finished spans in the protobuf of OTLP, written straight into a buffer.
//!
//! A span becomes one entry of `ScopeSpans.spans`, so entries behind each other are a batch. Field
//! numbers are those of opentelemetry-proto 1.x (`trace.proto`, `common.proto`). Fields stand in the
//! order in which they are told, as protobuf allows; a repeated field keeps its order.

use opentelemetry::trace::{SpanId, SpanKind, TraceId};

/// `ScopeSpans.spans`.
const SPAN: u8 = 0x12;
/// `Span.attributes`, `Event.attributes`.
const SPAN_ATTRIBUTE: u8 = 0x4a;
const EVENT_ATTRIBUTE: u8 = 0x1a;
/// `Status { code: STATUS_CODE_ERROR }` in `Span.status`, and the default.
const FAILED: [u8; 4] = [0x7a, 2, 0x18, 2];
const UNSET: [u8; 2] = [0x7a, 0];
/// Sampled, and known not to have a remote parent (`SpanFlags`): nearly all of our own spans are both.
const FLAGS: [u8; 4] = 0x101_u32.to_le_bytes();
/// Sampled, with a remote parent.
const REMOTE: [u8; 4] = 0x301_u32.to_le_bytes();

/// The value of an attribute.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// A text, in UTF-8.
    Text(&'a [u8]),
    /// A whole number.
    Int(i64),
    /// Yes or no.
    Bool(bool),
    /// A number.
    Float(f64),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.as_bytes())
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Value<'_> {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl From<f64> for Value<'_> {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl Value<'_> {
    /// The size of its `AnyValue`. A value is told even if it is the default: it is one of several.
    #[inline]
    fn size(self) -> usize {
        match self {
            Self::Text(text) => 1 + varint_size(text.len() as u64) + text.len(),
            Self::Int(number) => 1 + varint_size(number.cast_unsigned()),
            Self::Bool(_) => 2,
            Self::Float(_) => 9,
        }
    }

    #[inline]
    fn write(self, bytes: &mut Vec<u8>) {
        match self {
            Self::Text(text) => field(bytes, 0x0a, text),
            Self::Bool(flag) => bytes.extend_from_slice(&[0x10, u8::from(flag)]),
            Self::Int(number) => {
                bytes.push(0x18);
                varint(bytes, number.cast_unsigned());
            }
            Self::Float(number) => fixed64(bytes, 0x21, number.to_bits()),
        }
    }
}

/// What every span begins with.
#[derive(Debug, Clone)]
pub struct Head<'a> {
    /// Its trace.
    pub trace: TraceId,
    /// Its id.
    pub id: SpanId,
    /// Its parent, invalid for a root.
    pub parent: SpanId,
    /// Whether the parent is somebody else's.
    pub is_remote: bool,
    /// Its name, in two pieces.
    pub name: [&'a str; 2],
    /// Its kind.
    pub kind: SpanKind,
    /// When it began, in nanoseconds since 1970.
    pub start: u64,
    /// When it ended; not before it began.
    pub end: u64,
}

/// A span being written.
#[derive(Debug)]
pub struct Span<'b> {
    bytes: &'b mut Vec<u8>,
    /// Where its length goes, once that is known.
    length: usize,
    failed: bool,
}

impl<'b> Span<'b> {
    /// Begins one behind what is in the buffer.
    pub fn begin(bytes: &'b mut Vec<u8>, head: &Head<'_>) -> Self {
        // Nearly every length takes two bytes.
        let length = bytes.len() + 1;
        bytes.extend_from_slice(&[SPAN, 0, 0, 0x0a, 16]);
        bytes.extend_from_slice(&head.trace.to_bytes());
        bytes.extend_from_slice(&[0x12, 8]);
        bytes.extend_from_slice(&head.id.to_bytes());
        if head.parent != SpanId::INVALID {
            bytes.extend_from_slice(&[0x22, 8]);
            bytes.extend_from_slice(&head.parent.to_bytes());
        }
        let [first, last] = head.name;
        bytes.push(0x2a);
        varint(bytes, (first.len() + last.len()) as u64);
        bytes.extend_from_slice(first.as_bytes());
        bytes.extend_from_slice(last.as_bytes());
        bytes.extend_from_slice(&[0x30, kind(&head.kind)]);
        fixed64(bytes, 0x39, head.start);
        fixed64(bytes, 0x41, head.end.max(head.start));
        // Field 16, the only one whose tag takes two bytes.
        bytes.extend_from_slice(&[0x85, 0x01]);
        bytes.extend_from_slice(if head.is_remote { &REMOTE } else { &FLAGS });
        Self { bytes, length, failed: false }
    }

    /// Adds an attribute.
    #[inline(always)]
    pub fn set<'v>(&mut self, key: &str, value: impl Into<Value<'v>>) {
        attribute(self.bytes, SPAN_ATTRIBUTE, key, value.into());
    }

    /// Adds an event at this many nanoseconds since 1970.
    pub fn event(&mut self, name: &str, at: u64, attributes: &[(&str, Value<'_>)]) {
        let entries = attributes.iter().map(|(key, value)| size_of_field(size_of_pair(key, *value)));
        let size = 9 + size_of_field(name.len()) + entries.sum::<usize>();
        self.bytes.push(0x5a);
        varint(self.bytes, size as u64);
        fixed64(self.bytes, 0x09, at);
        field(self.bytes, 0x12, name.as_bytes());
        for (key, value) in attributes {
            attribute(self.bytes, EVENT_ATTRIBUTE, key, *value);
        }
    }

    /// Links to another span of ours.
    pub fn link(&mut self, trace: TraceId, span: SpanId) {
        self.bytes.extend_from_slice(&[0x6a, 18 + 10 + 5]);
        field(self.bytes, 0x0a, &trace.to_bytes());
        field(self.bytes, 0x12, &span.to_bytes());
        self.bytes.push(0x35);
        self.bytes.extend_from_slice(&FLAGS);
    }

    /// Makes its status Error.
    pub fn fail(&mut self) {
        self.failed = true;
    }

    /// Ends it.
    pub fn end(self) {
        self.bytes.extend_from_slice(if self.failed { &FAILED } else { &UNSET });
        let size = self.bytes.len() - self.length - 2;
        let (low, high) = (size % 0x80, size / 0x80);
        match (u8::try_from(low), u8::try_from(high), self.bytes.get_mut(self.length..self.length + 2)) {
            (Ok(low), Ok(high @ 1..0x80), Some(place)) => place.copy_from_slice(&[low | 0x80, high]),
            _ => {
                let mut length = Vec::with_capacity(5);
                varint(&mut length, size as u64);
                self.bytes.splice(self.length..self.length + 2, length);
            }
        }
    }
}

/// Writes an attribute as an entry of the list with this tag. Inlined, because most keys are
/// constants: their lengths and copies then are, too.
#[inline(always)]
pub fn attribute(bytes: &mut Vec<u8>, tag: u8, key: &str, value: Value<'_>) {
    let size = value.size();
    let pair = size_of_pair(key, value);
    if pair >= 0x80 {
        return long_attribute(bytes, tag, key, value);
    }
    // Each length within takes one byte, then.
    bytes.extend_from_slice(&[tag, low(pair), 0x0a, low(key.len())]);
    bytes.extend_from_slice(key.as_bytes());
    match value {
        Value::Text(text) => {
            bytes.extend_from_slice(&[0x12, low(size), 0x0a, low(text.len())]);
            bytes.extend_from_slice(text);
        }
        Value::Int(_) | Value::Bool(_) | Value::Float(_) => {
            bytes.extend_from_slice(&[0x12, low(size)]);
            value.write(bytes);
        }
    }
}

#[inline(never)]
fn long_attribute(bytes: &mut Vec<u8>, tag: u8, key: &str, value: Value<'_>) {
    bytes.push(tag);
    varint(bytes, size_of_pair(key, value) as u64);
    field(bytes, 0x0a, key.as_bytes());
    bytes.push(0x12);
    varint(bytes, value.size() as u64);
    value.write(bytes);
}

#[inline]
const fn low(length: usize) -> u8 {
    let [low, ..] = length.to_le_bytes();
    low
}

/// Writes a field of this tag that has a length.
#[inline]
pub fn field(bytes: &mut Vec<u8>, tag: u8, content: &[u8]) {
    bytes.push(tag);
    varint(bytes, content.len() as u64);
    bytes.extend_from_slice(content);
}

/// Writes a number of seven bits a byte.
#[inline]
pub fn varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        let [low, ..] = number.to_le_bytes();
        bytes.push(low | 0x80);
        number >>= 7;
    }
    let [low, ..] = number.to_le_bytes();
    bytes.push(low);
}

/// The bytes that [`varint`] takes.
#[inline]
pub const fn varint_size(number: u64) -> usize {
    // A seventh of the bits, rounded up.
    (63 - (number | 1).leading_zeros() as usize) / 7 + 1
}

/// The bytes that [`field`] takes for a content of this size.
#[inline]
pub const fn size_of_field(content: usize) -> usize {
    1 + varint_size(content as u64) + content
}

#[inline]
fn size_of_pair(key: &str, value: Value<'_>) -> usize {
    size_of_field(key.len()) + size_of_field(value.size())
}

#[inline]
fn fixed64(bytes: &mut Vec<u8>, tag: u8, number: u64) {
    bytes.push(tag);
    bytes.extend_from_slice(&number.to_le_bytes());
}

const fn kind(kind: &SpanKind) -> u8 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::any_value::Value as Decoded;
    use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span as DecodedSpan};
    use prost::Message;

    const HEAD: Head<'_> = Head {
        is_remote: false,
        trace: TraceId::from_bytes([1; 16]),
        id: SpanId::from_bytes([2; 8]),
        parent: SpanId::INVALID,
        name: ["", "x"],
        kind: SpanKind::Internal,
        start: 5,
        end: 4,
    };

    fn decoded(bytes: &[u8]) -> Vec<DecodedSpan> {
        ScopeSpans::decode(bytes).unwrap().spans
    }

    #[test]
    fn a_span_of_any_length_can_be_read_and_so_can_its_successor() {
        for length in [0, 1, 100, 127, 128, 300, 16_200, 16_383, 16_384, 70_000, 2_100_000] {
            let (mut bytes, text) = (Vec::new(), "t".repeat(length));
            for _ in 0..2 {
                let mut span = Span::begin(&mut bytes, &HEAD);
                if length > 0 {
                    span.set("key", text.as_str());
                }
                span.end();
            }
            let spans = decoded(&bytes);
            assert_eq!(spans.len(), 2, "{length}");
            for span in spans {
                assert_eq!(
                    (span.name.as_str(), span.start_time_unix_nano, span.end_time_unix_nano),
                    ("x", 5, 5)
                );
                assert!(span.encoded_len() + 3 >= length);
                let value = span.attributes.first().and_then(|pair| pair.value.clone());
                let value = value.and_then(|value| value.value);
                let expected = (length > 0).then(|| Decoded::StringValue(text.clone()));
                assert!(value == expected, "{length}");
            }
        }
    }

    #[test]
    fn every_value_can_be_read() {
        let mut bytes = Vec::new();
        let mut span = Span::begin(&mut bytes, &HEAD);
        let numbers = [0, 1, 127, 128, 16_384, i64::MAX, -1, i64::MIN];
        for number in numbers {
            span.set("int", number);
        }
        span.set("float", -0.5);
        span.set("bool", false);
        span.set("text", "");
        let pairs = [("a", Value::Int(-7)), ("b", Value::from("ü"))];
        span.event("happened", 9, &pairs);
        span.fail();
        span.end();
        let span = decoded(&bytes).remove(0);
        let values = |pairs: &[opentelemetry_proto::tonic::common::v1::KeyValue]| -> Vec<Decoded> {
            pairs.iter().map(|pair| pair.value.clone().unwrap().value.unwrap()).collect()
        };
        let mut expected: Vec<Decoded> = numbers.map(Decoded::IntValue).into();
        expected.push(Decoded::DoubleValue(-0.5));
        expected.push(Decoded::BoolValue(false));
        expected.push(Decoded::StringValue(String::new()));
        assert_eq!(values(&span.attributes), expected);
        let [event] = span.events.as_slice() else { panic!("{span:?}") };
        assert_eq!((event.name.as_str(), event.time_unix_nano), ("happened", 9));
        assert_eq!(values(&event.attributes), [Decoded::IntValue(-7), Decoded::StringValue("ü".into())]);
        assert_eq!(span.status.unwrap().code, 2);
    }
}
