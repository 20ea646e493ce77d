//! Spans as other spans, messages and log lines refer to them.
//!
//! Ids are functions of what the core draws once for a transaction, so nobody has to keep a span to
//! refer to it. The header is that of W3C Trace Context.

use super::hex::{read_hex, read_wide_hex, write_hex};
use std::num::NonZeroU64;

/// A span, and the trace that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanRef {
    // Two halves: a u128 would make every place that holds one a third larger.
    trace: [u64; 2],
    span: NonZeroU64,
}

impl SpanRef {
    /// The first span of a trace of its own, from an unguessable number.
    pub fn root(nonce: u128) -> Self {
        Self::within(nonce, nonce)
    }

    /// A span of this trace, from an unguessable number.
    pub fn within(trace: u128, nonce: u128) -> Self {
        Self::new(trace, half(nonce >> 64) ^ half(nonce))
    }

    /// A span by its ids. Neither is ever the invalid 0.
    pub fn new(trace: u128, span: u64) -> Self {
        let [high, low] = [half(trace >> 64), half(trace)];
        let low = if high | low == 0 { 1 } else { low };
        Self { trace: [high, low], span: NonZeroU64::new(span).unwrap_or(NonZeroU64::MIN) }
    }

    /// The id of the trace.
    pub fn trace(self) -> u128 {
        let [high, low] = self.trace;
        u128::from(high) << 64 | u128::from(low)
    }

    /// The id of the span.
    pub fn span(self) -> u64 {
        self.span.get()
    }

    /// The span of the attempt of this number, counted from 1.
    pub fn attempt(self, number: u32) -> Self {
        let seed = self.span().wrapping_add(u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self { span: NonZeroU64::new(mix(seed)).unwrap_or(NonZeroU64::MIN), ..self }
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014): no two numbers give the same.
pub const fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The low half.
fn half(number: u128) -> u64 {
    u64::try_from(number & u128::from(u64::MAX)).unwrap_or(u64::MAX)
}

/// Whether a share of all traces has this one, as OpenTelemetry's own ratio sampler decides: everybody
/// who asks with the same share gets the same answer.
#[expect(clippy::cast_precision_loss, reason = "of the 63 bits, 53 decide well enough")]
pub fn is_in_share(trace: u128, share: f64) -> bool {
    let low = half(trace) & (u64::MAX >> 1);
    share >= 1.0 || (low as f64) < share * 9.223_372_036_854_776e18
}

/// What a `traceparent` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The span that is the parent.
    pub span: SpanRef,
    /// Whether that one is recorded.
    pub is_sampled: bool,
}

/// Bytes of a `traceparent`.
pub const TRACEPARENT_SIZE: usize = 55;

impl TraceParent {
    /// Reads one of version 00, or what a later version has in common with it.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (known, more) = value.split_at_checked(TRACEPARENT_SIZE)?;
        let [version, trace, span, flags] = fields(known)?;
        let is_known = version == b"00" && more.is_empty();
        let is_later = version != b"00" && version != b"ff" && matches!(more, [] | [b'-', ..]);
        read_hex(version).filter(|_| is_known || is_later)?;
        let trace = read_wide_hex(trace)?;
        let (span, flags) = (read_hex(span)?, read_hex(flags)?);
        let is_valid = trace != 0 && span != 0;
        is_valid.then(|| Self { span: SpanRef::new(trace, span), is_sampled: flags & 1 == 1 })
    }

    /// Appends it, as version 00.
    pub fn write(self, out: &mut Vec<u8>) {
        let Self { span: SpanRef { trace: [high, low], span }, is_sampled } = self;
        out.extend_from_slice(b"00-");
        write_hex(high, 16, out);
        write_hex(low, 16, out);
        out.push(b'-');
        write_hex(span.get(), 16, out);
        out.extend_from_slice(if is_sampled { b"-01" } else { b"-00" });
    }
}

/// The four fields of a `traceparent`, by their places.
fn fields(value: &[u8]) -> Option<[&[u8]; 4]> {
    let mut parts = value.split(|byte| *byte == b'-');
    let fields = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    let is_whole = parts.next().is_none() && fields.map(<[u8]>::len) == [2, 32, 16, 2];
    is_whole.then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_as_it_is_written() {
        let read = TraceParent::parse(VALUE.as_bytes()).unwrap();
        assert_eq!(read.span.trace(), 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!((read.span.span(), read.is_sampled), (0xb7ad_6b71_6920_3331, true));
        let mut out = Vec::new();
        read.write(&mut out);
        TraceParent { is_sampled: false, ..read }.write(&mut out);
        assert_eq!(out, format!("{VALUE}{}", VALUE.replace("-01", "-00")).into_bytes());
        let later = format!("{}-more", VALUE.replacen("00", "01", 1));
        assert_eq!(TraceParent::parse(later.as_bytes()), Some(read));
        assert_eq!(TraceParent::parse(VALUE.replace("-01", "-03").as_bytes()), Some(read));
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        for wrong in [
            "",
            "00",
            &VALUE.to_uppercase(),
            &format!("{VALUE}-more"),
            &VALUE.replacen("00", "ff", 1),
            &VALUE.replacen("00", "0x", 1),
            &VALUE.replace("b7ad6b7169203331", "0000000000000000"),
            &VALUE.replace("0af7651916cd43dd8448eb211c80319c", "00000000000000000000000000000000"),
            &VALUE.replace('-', "_"),
            &VALUE.replace("0af7", "0a-7"),
            &format!("{}01more", VALUE.replacen("00", "01", 1)),
        ] {
            assert_eq!(TraceParent::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn spans_of_one_transaction_differ_and_none_is_invalid() {
        let root = SpanRef::root(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        let spans: std::collections::BTreeSet<u64> =
            (1..1_000).map(|number| root.attempt(number).span()).chain([root.span()]).collect();
        assert_eq!(spans.len(), 1_000);
        assert_eq!(root.attempt(1).trace(), root.trace());
        assert_eq!((SpanRef::root(0).trace(), SpanRef::root(0).span()), (1, 1));
        assert_eq!(std::mem::size_of::<Option<SpanRef>>(), 24);
    }

    #[test]
    fn a_share_is_a_function_of_the_trace_id() {
        let traces = (0..10_000_u128).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        let share = traces.filter(|trace| is_in_share(*trace, 0.25)).count();
        assert!((2_300..2_700).contains(&share), "{share}");
        assert!(is_in_share(u128::MAX, 1.0) && !is_in_share(0, 0.0));
    }
}
