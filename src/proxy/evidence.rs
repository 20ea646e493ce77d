//! What an attempt shows of its destination, for the one owner of states.
//!
//! Told once for each attempt, by what comes first: an answer proves that it serves, a failure that
//! it does not; what comes later of the same attempt proves nothing more. Only initial requests
//! count, which are those that were dispatched. Nothing is decided here.

use super::context::{Attempt, Context, Weighed};
use super::engine::Engine;
use crate::dispatch::Verdicts;
use crate::facts::Target;
use crate::facts::event::{AttemptOutcome, ProbeOutcome};
use crate::facts::evidence::{Evidence, Seen};
use crate::facts::trace::SpanRef;
use crate::sip::Message;
use std::time::Duration;

impl Engine {
    /// Weighs a response to an attempt.
    pub fn weigh_response(&mut self, context: &mut Context, index: usize, response: Message<'_>) {
        let code = response.status();
        if code == 503 {
            self.weigh_pause(context, index, response);
        }
        if let Some(evidence) = of_response(code, || span_of(context, index)) {
            self.weigh(context, index, evidence);
        }
    }

    /// Weighs that an attempt was silent for too long.
    pub fn weigh_silence(&mut self, context: &mut Context, index: usize) {
        let seen = Seen { outcome: ProbeOutcome::Timeout, span: span_of(context, index) };
        self.weigh(context, index, Evidence::Fails(seen));
    }

    /// Weighs the end of an attempt without a final response.
    pub fn weigh_end(&mut self, context: &mut Context, index: usize, ended: AttemptOutcome) {
        match ended {
            AttemptOutcome::TimedOut(_) => self.weigh_silence(context, index),
            AttemptOutcome::Transport(reason) => {
                let seen = Seen { outcome: ProbeOutcome::Transport(reason), span: span_of(context, index) };
                self.weigh(context, index, Evidence::Fails(seen));
            }
            AttemptOutcome::Pending | AttemptOutcome::Answered | AttemptOutcome::GivenUp => {}
        }
    }

    /// Whether an attempt's failure counts against its destination.
    pub fn counts_against(context: &Context, index: usize) -> bool {
        context.attempts.get(index).is_some_and(|attempt| attempt.weighed == Weighed::Against)
    }

    fn weigh(&mut self, context: &mut Context, index: usize, evidence: Evidence) {
        if context.selection.is_none() {
            return;
        }
        let Some(attempt) = context.attempts.get_mut(index) else { return };
        let (Weighed::No, Some(target)) = (attempt.weighed, attempt.target) else { return };
        // What was sent before the destination moved says nothing of the machine that it is now.
        if !stands_for(&self.verdicts, target, attempt) {
            attempt.weighed = Weighed::InFavour;
            return;
        }
        let is_wanted = match evidence {
            // What answers as ever is not worth a message for each call.
            Evidence::Answers => self.verdicts.of(target).is_some_and(|verdict| verdict.is_suspect),
            Evidence::Fails(_) | Evidence::Pause { .. } => {
                let destination = self.plan.table().destination(target);
                let set = destination.and_then(|destination| self.plan.table().set(destination.set));
                set.is_some_and(|set| set.passive().enabled)
            }
        };
        let is_failure = matches!(evidence, Evidence::Fails(_));
        attempt.weighed = if is_failure && is_wanted { Weighed::Against } else { Weighed::InFavour };
        if is_wanted {
            self.outbox.evidence(target, evidence);
        }
    }

    /// Retry-After of a 503 (RFC 3261 §20.33) is told whatever was weighed before.
    fn weigh_pause(&mut self, context: &Context, index: usize, response: Message<'_>) {
        let Some(wanted) = response.header("Retry-After").and_then(seconds) else { return };
        let Some(attempt) = context.attempts.get(index) else { return };
        let target = attempt.target.filter(|_| context.selection.is_some() && !wanted.is_zero());
        let Some(target) = target.filter(|target| stands_for(&self.verdicts, *target, attempt)) else {
            return;
        };
        let destination = self.plan.table().destination(target);
        let set = destination.and_then(|destination| self.plan.table().set(destination.set));
        if set.is_some_and(|set| set.retry_after().honour) {
            self.outbox.evidence(target, Evidence::Pause { wanted, span: span_of(context, index) });
        }
    }
}

/// Whether a destination still is what an attempt was sent to.
fn stands_for(verdicts: &Verdicts, target: Target, attempt: &Attempt) -> bool {
    verdicts.of(target).is_some_and(|verdict| verdict.address == Some(attempt.hop.remote))
}

/// The span of an attempt, for as long as its request has not been told of.
fn span_of(context: &Context, index: usize) -> Option<SpanRef> {
    let record = context.record.as_ref()?;
    Some(record.span.attempt(record.attempts.get(index)?.number))
}

/// What a response says; a 100 says nothing of what is behind it.
fn of_response(code: u16, span: impl FnOnce() -> Option<SpanRef>) -> Option<Evidence> {
    match code {
        ..=100 => None,
        500 | 502 | 503 | 504 => {
            Some(Evidence::Fails(Seen { outcome: ProbeOutcome::Rejected(code), span: span() }))
        }
        _ => Some(Evidence::Answers),
    }
}

/// The number at the beginning of a Retry-After, without its comment and parameters.
fn seconds(value: &[u8]) -> Option<Duration> {
    let value = value.trim_ascii_start();
    let end = value.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(value.len());
    let (digits, rest) = value.split_at(end);
    let is_whole = rest.first().is_none_or(|byte| b" \t;(".contains(byte));
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.is_empty() && is_whole)?;
    // RFC 3261 §25.1 sets no bound to the digits.
    Some(Duration::from_secs(digits.parse::<u32>().unwrap_or(u32::MAX).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_service_count_against_and_any_other_answer_in_favour() {
        let span = Some(SpanRef::root(7));
        let of_response = |code| of_response(code, || span);
        assert_eq!(of_response(100), None);
        for code in [180, 183, 199, 200, 302, 401, 404, 408, 486, 501, 505, 513, 600] {
            assert_eq!(of_response(code), Some(Evidence::Answers), "{code}");
        }
        for code in [500, 502, 503, 504] {
            assert_eq!(
                of_response(code),
                Some(Evidence::Fails(Seen { outcome: ProbeOutcome::Rejected(code), span }))
            );
        }
    }

    #[test]
    fn the_number_of_retry_after_is_read_and_nothing_else() {
        let read = |text: &str| seconds(text.as_bytes()).map(|wanted| wanted.as_secs());
        assert_eq!(read("120"), Some(120));
        assert_eq!(read(" 18000;duration=3600"), Some(18_000));
        assert_eq!(read("120 (I'm in a meeting)"), Some(120));
        assert_eq!(read("99999999999999999999"), Some(u64::from(u32::MAX)));
        for broken in ["", "soon", "-1", "12x", "1.5", ";duration=5"] {
            assert_eq!(read(broken), None, "{broken}");
        }
    }
}
