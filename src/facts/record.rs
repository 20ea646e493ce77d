//! The record of one server transaction: what its spans and its log line are written from.
//!
//! The core fills it while the transaction lives and hands it out once, when the first final
//! response goes upstream. Times are the core's own; text from the wire is cut on entry.

use super::event::{AttemptOutcome, Cause, Origin, Refusal, SelectionReason, SkipReason, TransportReason};
use super::hex::read_wide_hex;
use super::trace::{SpanRef, TraceParent};
use super::{Algorithm, ListenerId, Method, SetId, Target, Transport};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How many provisional responses, skipped candidates and failovers a record keeps.
pub const MAX_NOTES: usize = 16;
/// How many bytes of a text from the wire a record keeps.
pub const MAX_TEXT: usize = 128;

/// Text from the wire, cut to [`MAX_TEXT`] bytes; bytes that are not UTF-8 are replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WireText(String);

impl WireText {
    /// Cuts and keeps a text from the wire.
    pub fn new(bytes: &[u8]) -> Self {
        let mut text = Self::default();
        text.set(bytes);
        text
    }
    /// The same in place of what was kept, in its memory.
    pub fn set(&mut self, bytes: &[u8]) {
        let cut = bytes.get(..MAX_TEXT).unwrap_or(bytes);
        self.0.clear();
        self.0.push_str(&String::from_utf8_lossy(cut));
    }
    /// The kept text, for readers that escape it before it reaches a terminal or a log.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The same for readers that do not: controls and what turns the direction of writing (Bidi_Control
    /// of Unicode) are replaced by U+FFFD.
    pub fn printable(&self) -> Cow<'_, str> {
        if self.0.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Cow::Borrowed(&self.0);
        }
        let replaced = |letter: char| match letter {
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                char::REPLACEMENT_CHARACTER
            }
            letter if letter.is_control() => char::REPLACEMENT_CHARACTER,
            letter => letter,
        };
        self.0.chars().map(replaced).collect::<String>().into()
    }
}

/// The Session-ID of a request (RFC 7989): two UUIDs of 32 lower-case hex digits each, as its sender
/// sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionId {
    /// The sender's.
    pub local: WireText,
    /// The other side's, all zeros or absent before it is known.
    pub remote: Option<WireText>,
}

impl SessionId {
    /// Parses the value of a Session-ID header; `None` if it is not one of RFC 7989.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (local, remote) = Self::uuids(value)?;
        Some(Self { local: WireText::new(local), remote: remote.map(WireText::new) })
    }

    /// The same two as numbers, 0 for what is unknown.
    pub fn numbers(value: &[u8]) -> Option<[u128; 2]> {
        let (local, remote) = Self::uuids(value)?;
        Some([read_wide_hex(local)?, remote.and_then(read_wide_hex).unwrap_or(0)])
    }

    fn uuids(value: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
        let is_uuid = |text: &&[u8]| read_wide_hex(text).is_some();
        let mut parts = value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let local = parts.next().filter(is_uuid)?;
        let remote = parts.find_map(|part| part.strip_prefix(b"remote="));
        Some((local, remote.filter(is_uuid)))
    }
}

/// Who calls whom, as far as it may be recorded: the URIs themselves without passwords, parameters
/// and headers, or hashes of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uris {
    /// Of the request line.
    pub request: WireText,
    /// Of From.
    pub from: WireText,
    /// Of To.
    pub to: WireText,
}

/// One server transaction from its request to the first final response sent upstream.
#[derive(Debug, Clone)]
pub struct TransactionRecord {
    /// Its server span, in the trace that all its spans belong to.
    pub span: SpanRef,
    /// The span of a trusted peer that it is the child of, if the request names one.
    pub parent: Option<TraceParent>,
    /// The request's method.
    pub method: Method,
    /// The Call-ID.
    pub call_id: WireText,
    /// The Session-ID (RFC 7989), if the request has one.
    pub session: Option<SessionId>,
    /// Who calls whom, if that is to be recorded.
    pub uris: Option<Box<Uris>>,
    /// The CSeq number.
    pub cseq: u32,
    /// Where the request came in.
    pub listener: ListenerId,
    /// How the request came in.
    pub transport: Transport,
    /// The peer that sent the request.
    pub client: SocketAddr,
    /// The set it was dispatched to, or that its dialog belongs to.
    pub set: Option<SetId>,
    /// Whether it travelled inside a dialog, by its route set.
    pub in_dialog: bool,
    /// The server span of the INVITE that opened the dialog it belongs to, if that is known.
    pub dialog: Option<SpanRef>,
    /// When the request was received.
    pub started: Instant,
    /// When the first final response was sent upstream.
    pub ended: Instant,
    /// The final status code sent upstream; 0 if none may be (RFC 4320).
    pub code: u16,
    /// Who made that response.
    pub origin: Origin,
    /// Why we refused the request ourselves, if we did.
    pub refusal: Option<Refusal>,
    /// When a CANCEL for it came.
    pub cancelled_at: Option<Instant>,
    /// Retransmissions of the request absorbed.
    pub retransmissions_absorbed: u32,
    /// Provisional responses sent upstream, our own 100 included.
    pub provisionals: SmallVec<[(Instant, u16); 2]>,
    /// Every selection made for it.
    pub selections: SmallVec<[SelectionRecord; 1]>,
    /// Every attempt, in order.
    pub attempts: SmallVec<[AttemptRecord; 1]>,
    /// Every failover, in order.
    pub failovers: SmallVec<[FailoverRecord; 0]>,
}

/// One selection of a destination.
#[derive(Debug, Clone)]
pub struct SelectionRecord {
    /// When it was made.
    pub at: Instant,
    /// How long it took.
    pub took: Duration,
    /// The set chosen from.
    pub set: SetId,
    /// The set's algorithm.
    pub algorithm: Algorithm,
    /// Why a selection was made.
    pub reason: SelectionReason,
    /// What the hash was computed over, as configured; `None` for other algorithms.
    pub hash_key: Option<&'static str>,
    /// The destination chosen, if any.
    pub destination: Option<Target>,
    /// Members of the set.
    pub candidates: u32,
    /// Members usable at that instant.
    pub available: u32,
    /// Members passed over, and why; at most [`MAX_NOTES`].
    pub skipped: SmallVec<[(Target, SkipReason); 0]>,
}

/// One attempt: a client transaction towards a destination or, in a dialog, the next hop.
#[derive(Debug, Clone)]
pub struct AttemptRecord {
    /// 1 for the first.
    pub number: u32,
    /// The destination, `None` for a next hop that is none of ours.
    pub target: Option<Target>,
    /// Where it was sent.
    pub remote: SocketAddr,
    /// Where from.
    pub listener: ListenerId,
    /// How it was sent.
    pub transport: Transport,
    /// When it was first sent.
    pub started: Instant,
    /// When it ended; `None` while it is open, written as abandoned.
    pub ended: Option<Instant>,
    /// The final status code received, 0 if none.
    pub code: u16,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// When its first response of any class came.
    pub first_response: Option<Instant>,
    /// Provisional responses received.
    pub provisionals: SmallVec<[(Instant, u16); 2]>,
    /// Retransmissions we sent.
    pub retransmissions: u32,
    /// When we sent them; at most [`MAX_NOTES`].
    pub retransmitted: SmallVec<[Instant; 0]>,
    /// When, and why, it went on over UDP although it was too large for that.
    pub fell_back: Option<(Instant, TransportReason)>,
}

impl AttemptRecord {
    /// Takes note of a retransmission.
    pub fn note_retransmission(&mut self, at: Instant) {
        self.retransmissions += 1;
        if self.retransmitted.len() < MAX_NOTES {
            self.retransmitted.push(at);
        }
    }
}

/// One failover decision.
#[derive(Debug, Clone)]
pub struct FailoverRecord {
    /// When it was decided.
    pub at: Instant,
    /// The destination given up.
    pub from: Target,
    /// The destination tried next; `None` if nothing remained.
    pub to: Option<Target>,
    /// What made us give up.
    pub cause: Cause,
    /// Attempts still allowed afterwards.
    pub remaining: u32,
    /// Whether what made us give up counts against the destination (`passive`).
    pub passive_mark: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: &str = "ab30317f1a784dc48ff824d0d3715d86";
    const REMOTE: &str = "47755a9de7794ba387653f2099600ef2";

    #[test]
    fn controls_and_what_turns_the_direction_of_writing_are_replaced() {
        let text = WireText::new(b"a\xc2\x9b31m\xe2\x80\xaeb\xff\x07\xc3\xa4");
        assert_eq!(text.printable(), "a\u{fffd}31m\u{fffd}b\u{fffd}\u{fffd}\u{e4}");
        assert_eq!(WireText::new(b"call-1@h").printable(), "call-1@h");
    }

    #[test]
    fn a_session_id_has_one_or_two_uuids() {
        let parse = |text: String| SessionId::parse(text.as_bytes());
        let uuid = |text: &str| WireText::new(text.as_bytes());
        let both = SessionId { local: uuid(LOCAL), remote: Some(uuid(REMOTE)) };
        assert_eq!(parse(format!("{LOCAL};remote={REMOTE}")), Some(both.clone()));
        assert_eq!(parse(format!("{LOCAL} ; logme ; remote={REMOTE}")), Some(both));
        let alone = SessionId { local: uuid(LOCAL), remote: None };
        assert_eq!(parse(LOCAL.to_owned()), Some(alone.clone()));
        assert_eq!(parse(format!("{LOCAL};remote=nobody")), Some(alone));
        let number = |text: &str| u128::from_str_radix(text, 16).unwrap();
        let numbers = |text: String| SessionId::numbers(text.as_bytes());
        assert_eq!(numbers(format!("{LOCAL};remote={REMOTE}")), Some([number(LOCAL), number(REMOTE)]));
        assert_eq!(numbers(LOCAL.to_owned()), Some([number(LOCAL), 0]));
        for wrong in ["", "x", &LOCAL.to_uppercase(), &format!("{LOCAL}0"), &format!(";remote={REMOTE}")] {
            assert_eq!(parse(wrong.to_owned()), None, "{wrong}");
            assert_eq!(numbers(wrong.to_owned()), None, "{wrong}");
        }
    }
}
