//! The delays of RFC 6076: what the end of a request says of the destination that it went to.

use crate::facts::event::{AttemptOutcome, Origin};
use crate::facts::record::TransactionRecord;
use crate::facts::{Method, Target};
use crate::telemetry::table::Family;
use crate::telemetry::values::SetupResult;
use std::time::Duration;

/// A delay: the family it is observed in, whose it is, how it ended where that is told apart.
pub type Delay = (Family, Target, Option<SetupResult>, Duration);

/// The delay that a finished request observes, if it is one of those that are measured.
pub fn of(record: &TransactionRecord) -> Option<Delay> {
    match record.method {
        Method::Invite => {
            let (target, result, delay) = setup(record)?;
            Some((Family::SetupDelay, target, Some(result), delay))
        }
        Method::Bye => disconnect(record),
        Method::Register => registration(record),
        _ => None,
    }
}

/// The session request delay of an initial INVITE (RFC 6076 §4.3) and whose it is: to the first
/// 18x or 2xx, else to the failure. Challenges, redirections and calls given up before either are
/// neither.
pub fn setup(record: &TransactionRecord) -> Option<(Target, SetupResult, Duration)> {
    if record.method != Method::Invite || record.in_dialog {
        return None;
    }
    let answering = record.attempts.iter().rev().find(|attempt| attempt.outcome == AttemptOutcome::Answered);
    let target = answering.or(record.attempts.last())?.target?;
    let ringing = record.provisionals.iter().find(|(_, code)| (180..190).contains(code));
    let (result, at) = match (ringing, record.code) {
        (Some((at, _)), _) => (SetupResult::Success, *at),
        (None, 200..=299) => (SetupResult::Success, record.ended),
        (None, 401 | 402 | 407 | 300..=399) => return None,
        (None, _) if record.cancelled_at.is_some() && record.origin == Origin::Upstream => return None,
        (None, _) => (SetupResult::Failure, record.ended),
    };
    Some((target, result, at.saturating_duration_since(record.started)))
}

/// The session disconnect delay (§4.4), of a BYE that went to a destination.
fn disconnect(record: &TransactionRecord) -> Option<Delay> {
    let target = record.attempts.last()?.target?;
    let result = match record.code {
        200..=299 => SetupResult::Success,
        _ => SetupResult::Failure,
    };
    Some((Family::DisconnectDelay, target, Some(result), elapsed(record)))
}

/// The registration request delay (§4.1) of a REGISTER that was accepted; challenges and refusals have
/// none.
fn registration(record: &TransactionRecord) -> Option<Delay> {
    let answering = record.attempts.iter().rev().find(|attempt| attempt.outcome == AttemptOutcome::Answered);
    let is_accepted = (200..300).contains(&record.code) && record.origin == Origin::Upstream;
    let target = answering.filter(|_| is_accepted)?.target?;
    Some((Family::RegistrationDelay, target, None, elapsed(record)))
}

fn elapsed(record: &TransactionRecord) -> Duration {
    record.ended.saturating_duration_since(record.started)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::samples;
    use std::time::Instant;

    #[test]
    fn the_set_up_delay_ends_at_the_first_indication() {
        let start = Instant::now();
        let mut record = samples::answered_call(start, 0);
        let ringing = Some((Target::new(0), SetupResult::Success, Duration::from_millis(30)));
        assert_eq!(setup(&record), ringing);
        record.provisionals.truncate(1);
        let end = Duration::from_millis(60);
        for (code, expected) in [
            (200, Some(SetupResult::Success)),
            (486, Some(SetupResult::Failure)),
            (503, Some(SetupResult::Failure)),
            (407, None),
            (302, None),
        ] {
            record.code = code;
            assert_eq!(setup(&record), expected.map(|result| (Target::new(0), result, end)), "{code}");
        }
        (record.code, record.cancelled_at) = (487, Some(start));
        assert_eq!(setup(&record), None);
        (record.code, record.in_dialog, record.cancelled_at) = (200, true, None);
        assert_eq!(setup(&record), None);
    }

    #[test]
    fn a_bye_and_a_register_are_measured_to_their_final_response() {
        let mut record = samples::answered_call(Instant::now(), 0);
        let (target, delay) = (Target::new(0), Duration::from_millis(60));
        (record.method, record.in_dialog) = (Method::Bye, true);
        let disconnect = |result| Some((Family::DisconnectDelay, target, Some(result), delay));
        assert_eq!(of(&record), disconnect(SetupResult::Success));
        (record.code, record.origin) = (408, Origin::Local);
        assert_eq!(of(&record), disconnect(SetupResult::Failure));
        record.attempts.iter_mut().for_each(|attempt| attempt.target = None);
        assert_eq!(of(&record), None, "a phone's answer says nothing of a destination");

        let mut record = samples::answered_call(Instant::now(), 0);
        record.method = Method::Register;
        assert_eq!(of(&record), Some((Family::RegistrationDelay, target, None, delay)));
        record.code = 401;
        assert_eq!(of(&record), None);
    }
}
