//! The closed lists of label values, as tables of words.
//!
//! A label's value is a position in one of these lists, taken from an enum of the vocabulary or
//! from a status code; text from the wire can never become one.

pub use super::table::FOLDABLE;
use crate::facts::event::{
    Cause, ChangeReason, ConnectResult, ConnectionRole, Direction, DnsResult, DropReason, FatalTimer,
    HandoverResult, LingerKind, MessageKind, Origin, ParseReason, ProbeResult, Queue, Refusal, ReloadResult,
    ReloadTrigger, Role, SelectionFailure, SelectionReason, SocketOperation, TransportReason,
};
use crate::facts::{Algorithm, Method, State, StatusClass, Transport};
use crate::words;

macro_rules! word_lists {
    ($($name:ident = $list:ty),+ $(,)?) => {$(
        #[doc = concat!("The words of [`", stringify!($list), "`], in its order.")]
        #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
        pub const $name: &[&str] = &{
            let mut words = [""; <$list>::ALL.len()];
            let mut index = 0;
            while index < words.len() {
                words[index] = <$list>::ALL[index].as_str();
                index += 1;
            }
            words
        };
    )+};
}

word_lists! {
    STATES = State,
    CHANGE_REASONS = ChangeReason,
    PROBE_RESULTS = ProbeResult,
    ALGORITHMS = Algorithm,
    SELECTION_REASONS = SelectionReason,
    SELECTION_FAILURES = SelectionFailure,
    CAUSES = Cause,
    METHODS = Method,
    ORIGINS = Origin,
    ROLES = Role,
    CLASSES = StatusClass,
    TIMERS = FatalTimer,
    KINDS = MessageKind,
    TRANSPORTS = Transport,
    DIRECTIONS = Direction,
    PARSE_REASONS = ParseReason,
    DROP_REASONS = DropReason,
    CONNECTION_ROLES = ConnectionRole,
    CONNECT_RESULTS = ConnectResult,
    OPERATIONS = SocketOperation,
    TRANSPORT_REASONS = TransportReason,
    DNS_RESULTS = DnsResult,
    RELOAD_TRIGGERS = ReloadTrigger,
    RELOAD_RESULTS = ReloadResult,
    REFUSALS = Refusal,
    FIRST_METHODS = FirstMethod,
    OTHER_METHODS = OtherMethod,
    SETUP_RESULTS = SetupResult,
    LEVELS = Level,
    EXPORT_RESULTS = ExportResult,
    LOSSES = Loss,
    HANDOVERS = HandoverResult,
    LINGER_KINDS = LingerKind,
    DECISIONS = Decision,
    QUEUES = Queue,
    DIALOG_STATES = DialogState,
}

words! {
    /// How far a dialog is.
    DialogState {
        /// It rings.
        Early => "early",
        /// A 2xx confirmed it.
        Confirmed => "confirmed",
    }
}

words! {
    /// The methods that the time to a first response is told apart by.
    FirstMethod {
        /// INVITE.
        Invite => "INVITE",
        /// REGISTER.
        Register => "REGISTER",
        /// Every other one.
        Other => "OTHER",
    }
}
words! {
    /// The methods that the duration of a non-INVITE transaction is told apart by.
    OtherMethod {
        /// REGISTER.
        Register => "REGISTER",
        /// Every other one but INVITE.
        Other => "OTHER",
    }
}
words! {
    /// How the set-up of a call ended, as far as its delay is concerned.
    SetupResult {
        /// A 18x or 2xx came.
        Success => "success",
        /// A failure came.
        Failure => "failure",
    }
}
words! {
    /// The levels of log lines that are counted.
    Level {
        /// Worth an alert on its rate.
        Warn => "warn",
        /// Broken.
        Error => "error",
    }
}
words! {
    /// How an export of spans ended.
    ExportResult {
        /// Accepted.
        Ok => "ok",
        /// Refused, or not delivered.
        Error => "error",
        /// Not answered in time.
        Timeout => "timeout",
    }
}
words! {
    /// Why spans were lost.
    Loss {
        /// More of them than the bounded queue holds.
        QueueFull => "queue_full",
        /// The collector refused them or was not reachable.
        ExportFailed => "export_failed",
        /// The collector did not answer in time.
        Timeout => "timeout",
        /// They were finished while shutting down.
        Shutdown => "shutdown",
    }
}
words! {
    /// Whether a finished trace is written, and why.
    Decision {
        /// Something failed.
        KeptError => "kept_error",
        /// A destination was given up for another one.
        KeptFailover => "kept_failover",
        /// The call took long to set up.
        KeptSlow => "kept_slow",
        /// A destination changed its state.
        KeptStateChange => "kept_state_change",
        /// A trusted peer records its part of the trace.
        KeptParent => "kept_parent",
        /// Chance, as a function of the trace id.
        KeptRatio => "kept_ratio",
        /// Not written: something failed or was slow, as in too many others of that second, and chance
        /// did not keep it.
        OverLimit => "over_limit",
        /// Not written.
        Discarded => "discarded",
    }
}

impl Decision {
    /// Whether the spans of the trace are written.
    pub const fn is_kept(self) -> bool {
        !matches!(self, Self::OverLimit | Self::Discarded)
    }
}

macro_rules! registered_codes {
    ($($code:literal)+) => {
        const CODES: &[u16] = &[$($code),+];
        /// The label of each registered status code, then of each class.
        pub const CODE_LABELS: &[&str] =
            &[$(stringify!($code)),+, "1xx", "2xx", "3xx", "4xx", "5xx", "6xx"];
    };
}
// The IANA registry of SIP response codes.
registered_codes! {
    100 180 181 182 183 199 200 202 204 300 301 302 305 380 400 401 402 403 404 405 406 407 408 410
    412 413 414 415 416 417 420 421 422 423 424 425 428 429 430 433 436 437 438 439 440 469 470 480
    481 482 483 484 485 486 487 488 489 491 493 494 500 501 502 503 504 505 513 555 580 600 603 604
    606 607 608
}

/// The position of a status code in [`CODE_LABELS`]: its own if it is registered, else its class's.
pub fn code_index(code: u16) -> usize {
    CODES.binary_search(&code).unwrap_or_else(|_| CODES.len() + StatusClass::of(code) as usize)
}

/// Codes whose series exist from the first scrape.
const USUAL: &[u16] =
    &[200, 202, 302, 400, 401, 403, 404, 407, 408, 480, 481, 486, 487, 488, 500, 502, 503, 504, 600, 603];
/// Final codes of calls whose series exist from the first scrape: success and failures of service.
const CALL_FINALS: &[u16] = &[200, 408, 500, 502, 503, 504];

/// Whether the code at this position is one that nearly every destination answers.
pub fn is_usual(index: usize) -> bool {
    CODES.get(index).is_some_and(|code| USUAL.contains(code))
}

/// Whether the code at this position is success or a failure of service.
pub fn is_call_final(index: usize) -> bool {
    CODES.get(index).is_some_and(|code| CALL_FINALS.contains(code))
}

/// The reduced method of the time to a first response.
pub const fn first_method(method: Method) -> FirstMethod {
    match method {
        Method::Invite => FirstMethod::Invite,
        Method::Register => FirstMethod::Register,
        Method::Ack
        | Method::Bye
        | Method::Cancel
        | Method::Options
        | Method::Prack
        | Method::Update
        | Method::Info
        | Method::Message
        | Method::Refer
        | Method::Notify
        | Method::Subscribe
        | Method::Publish
        | Method::Other => FirstMethod::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registered_codes_are_exact_and_others_fall_to_their_class() {
        assert!(CODES.is_sorted());
        let label = |code| CODE_LABELS[code_index(code)];
        assert_eq!(label(503), "503");
        assert_eq!(label(499), "4xx");
        assert_eq!(label(299), "2xx");
        assert_eq!(label(699), "6xx");
        assert_eq!(label(65_535), "6xx");
        assert_eq!(CODES.iter().filter(|code| USUAL.contains(code)).count(), USUAL.len());
        assert_eq!(CODES.iter().filter(|code| CALL_FINALS.contains(code)).count(), CALL_FINALS.len());
    }

    #[test]
    fn words_stand_at_the_position_of_their_variant() {
        assert_eq!(STATES[State::Up as usize], "up");
        assert_eq!(METHODS[Method::Other as usize], "OTHER");
        assert_eq!(CAUSES[Cause::TransportError as usize], "transport_error");
    }
}
