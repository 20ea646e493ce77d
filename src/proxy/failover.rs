//! When a destination is given up for the next: the whole policy, one pure function.
//!
//! Whether another attempt is possible (not cancelled, not answered, a destination left, time
//! left) is not asked here.

use crate::dispatch::FailoverSettings;
use crate::facts::Method;
use crate::facts::event::Cause;

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A final response.
    Final(u16),
    /// No response at all, or none in time (`no_response_after`, timers B and F).
    Silence,
    /// A 100, but nothing more in time (`no_progress_after`).
    NoProgress,
    /// The transport could not deliver; `sent_before` if an earlier copy may have arrived.
    Undelivered {
        /// Whether the request had been retransmitted.
        sent_before: bool,
    },
}

/// Says why an attempt is worth giving up for the next destination; `None`: its outcome stands.
/// `early` tells whether the destination has sent a 101–199.
pub fn judge(outcome: Outcome, method: Method, early: bool, policy: &FailoverSettings) -> Option<Cause> {
    if early && !policy.after_18x {
        return None;
    }
    match outcome {
        // Never after a 2xx, whatever is configured.
        Outcome::Final(200..=299) => None,
        Outcome::Final(code) => policy.on_codes.contains(&code).then(|| Cause::of_code(code)),
        Outcome::Silence | Outcome::NoProgress => {
            (policy.on_no_response && may_repeat_after_silence(method)).then_some(Cause::Timeout)
        }
        Outcome::Undelivered { sent_before } => {
            let may_repeat = !sent_before || may_repeat_after_silence(method);
            (policy.on_transport && may_repeat).then_some(Cause::TransportError)
        }
    }
}

/// Whether a request may go to a second destination when the first may have acted on it. MESSAGE,
/// INFO, REFER, NOTIFY and unknown methods would have their effect twice.
pub fn may_repeat_after_silence(method: Method) -> bool {
    match method {
        Method::Invite | Method::Register | Method::Subscribe | Method::Options | Method::Publish => true,
        Method::Ack
        | Method::Bye
        | Method::Cancel
        | Method::Prack
        | Method::Update
        | Method::Info
        | Method::Message
        | Method::Refer
        | Method::Notify
        | Method::Other => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNDELIVERED: Outcome = Outcome::Undelivered { sent_before: false };
    const LOST: Outcome = Outcome::Undelivered { sent_before: true };

    #[test]
    fn the_default_policy() {
        let policy = FailoverSettings::default();
        let (timeout, transport) = (Some(Cause::Timeout), Some(Cause::TransportError));
        let table = [
            (Outcome::Final(200), Method::Invite, None),
            (Outcome::Final(302), Method::Invite, None),
            (Outcome::Final(404), Method::Invite, None),
            (Outcome::Final(408), Method::Invite, Some(Cause::Code408)),
            (Outcome::Final(486), Method::Invite, None),
            (Outcome::Final(500), Method::Invite, Some(Cause::Code500)),
            (Outcome::Final(501), Method::Invite, None),
            (Outcome::Final(502), Method::Message, Some(Cause::Code502)),
            (Outcome::Final(503), Method::Register, Some(Cause::Code503)),
            (Outcome::Final(504), Method::Invite, Some(Cause::Code504)),
            (Outcome::Final(603), Method::Invite, None),
            (Outcome::Silence, Method::Invite, timeout),
            (Outcome::Silence, Method::Register, timeout),
            (Outcome::Silence, Method::Message, None),
            (Outcome::Silence, Method::Other, None),
            (Outcome::NoProgress, Method::Invite, timeout),
            (UNDELIVERED, Method::Invite, transport),
            (UNDELIVERED, Method::Message, transport),
            (LOST, Method::Invite, transport),
            (LOST, Method::Message, None),
        ];
        for (outcome, method, expected) in table {
            assert_eq!(judge(outcome, method, false, &policy), expected, "{outcome:?} {method}");
        }
    }

    #[test]
    fn what_is_not_configured_is_no_reason() {
        let policy = FailoverSettings {
            on_no_response: false,
            on_transport: false,
            on_codes: vec![],
            after_18x: false,
            ..FailoverSettings::default()
        };
        for outcome in [Outcome::Silence, UNDELIVERED, Outcome::Final(503)] {
            assert_eq!(judge(outcome, Method::Invite, false, &policy), None);
        }
        let after_18x = FailoverSettings { after_18x: false, ..FailoverSettings::default() };
        assert_eq!(judge(Outcome::Final(503), Method::Invite, true, &after_18x), None);
        assert_eq!(judge(Outcome::Final(503), Method::Invite, false, &after_18x), Some(Cause::Code503));
    }

    #[test]
    fn a_2xx_is_never_given_up_even_if_listed() {
        let policy = FailoverSettings { on_codes: vec![200], ..FailoverSettings::default() };
        assert_eq!(judge(Outcome::Final(200), Method::Invite, false, &policy), None);
    }
}
