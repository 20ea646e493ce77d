//! The tail decision: whether the spans of a finished trace are written, and why.
//!
//! A pure function of the record and the trace id, so all transactions of a trace agree by chance
//! alone and a replay decides the same.

use crate::facts::event::{Origin, ProbeRecord};
use crate::facts::record::TransactionRecord;
use crate::facts::trace::is_in_share;
use crate::facts::{Method, Target};
use crate::telemetry::values::Decision;
use std::collections::HashMap;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// Decides on a server transaction.
pub fn of_transaction(record: &TransactionRecord, slow: Duration, ratio: f64) -> Decision {
    if is_error(record.code, record.origin) {
        Decision::KeptError
    } else if !record.failovers.is_empty() {
        Decision::KeptFailover
    } else if is_slow(record, slow) {
        Decision::KeptSlow
    } else if record.parent.is_some_and(|parent| parent.is_sampled) {
        Decision::KeptParent
    } else {
        by_ratio(record.span.trace(), ratio)
    }
}

/// Transactions that one recorder keeps in a second for what happened in them. When a destination is
/// lost under load, the first hundreds tell what the ten thousands behind them would, and neither
/// the calls nor the collector have to pay for those.
const PER_SECOND: u32 = 200;

/// Of these, however many there are, the first at each destination: what ejects it is among them even
/// while another one fails by the thousand.
const PER_DESTINATION: u8 = 12;

/// How many more transactions may be kept in this second for what happened in them.
#[derive(Debug, Default)]
pub struct Budget {
    second: Option<Instant>,
    used: u32,
    /// Of those that were tried at each destination.
    used_at: HashMap<Target, u8>,
}

impl Budget {
    /// The decision within the budget: above it, chance decides as it does for all others.
    pub fn limit(&mut self, decision: Decision, record: &TransactionRecord, ratio: f64) -> Decision {
        match decision {
            Decision::KeptError | Decision::KeptFailover | Decision::KeptSlow => {}
            Decision::KeptStateChange
            | Decision::KeptParent
            | Decision::KeptRatio
            | Decision::OverLimit
            | Decision::Discarded => return decision,
        }
        let now = record.ended;
        if self.second.is_none_or(|since| now.saturating_duration_since(since) >= SECOND) {
            (self.second, self.used) = (Some(now), 0);
            self.used_at.clear();
        }
        self.used = self.used.saturating_add(1);
        let is_first = self.is_among_the_first(record);
        if is_first || self.used <= PER_SECOND || by_ratio(record.span.trace(), ratio).is_kept() {
            decision
        } else {
            Decision::OverLimit
        }
    }

    /// Whether few of this second have been tried where this one was.
    fn is_among_the_first(&mut self, record: &TransactionRecord) -> bool {
        let mut is_first = false;
        for target in record.attempts.iter().filter_map(|attempt| attempt.target) {
            let used = self.used_at.entry(target).or_default();
            is_first |= *used < PER_DESTINATION;
            *used = used.saturating_add(1);
        }
        is_first
    }
}

/// Decides on a probe. A change of state is the better reason, though most come with a failure.
pub fn of_probe(record: &ProbeRecord, ratio: f64) -> Decision {
    if record.change.is_some() {
        Decision::KeptStateChange
    } else if !record.outcome.is_success() {
        Decision::KeptError
    } else {
        by_ratio(record.span.trace(), ratio)
    }
}

/// Whether a final response sent upstream is a failure of the service: the peer's 4xx and 6xx are
/// answers, as in the rule for HTTP servers.
pub fn is_error(code: u16, origin: Origin) -> bool {
    match origin {
        // 0: nobody answered.
        Origin::Local => matches!(code, 0 | 408 | 500..),
        Origin::Upstream => (500..600).contains(&code),
    }
}

/// Whether a call took longer than `slow` to its first 18x or its final response.
fn is_slow(record: &TransactionRecord, slow: Duration) -> bool {
    if record.method != Method::Invite || record.in_dialog {
        return false;
    }
    let ringing = record.provisionals.iter().find(|(_, code)| (180..190).contains(code));
    let indicated = ringing.map_or(record.ended, |(at, _)| *at);
    indicated.saturating_duration_since(record.started) > slow
}

fn by_ratio(trace: u128, ratio: f64) -> Decision {
    if is_in_share(trace, ratio) { Decision::KeptRatio } else { Decision::Discarded }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::trace::{SpanRef, TraceParent};
    use crate::telemetry::samples;
    use std::time::Instant;

    #[test]
    fn of_a_flood_of_failures_only_the_first_of_each_second_and_those_by_chance_are_kept() {
        let (base, mut budget) = (Instant::now(), Budget::default());
        let mut kept_in = |second: u64, ratio: f64| {
            let kept = (0..1_000_u64).filter(|n| {
                let trace = u128::from(*n) << 54;
                let mut record = samples::answered_call(base, trace);
                record.ended = base + Duration::from_secs(second) + Duration::from_micros(*n);
                budget.limit(Decision::KeptFailover, &record, ratio).is_kept()
            });
            kept.count()
        };
        assert_eq!(kept_in(0, 0.0), PER_SECOND as usize);
        assert_eq!(kept_in(2, 0.0), PER_SECOND as usize);
        assert_eq!(kept_in(4, 1.0), 1_000);
        let by_chance = kept_in(6, 0.5);
        assert!((PER_SECOND as usize + 1..1_000).contains(&by_chance), "{by_chance}");
        let record = samples::answered_call(base, 1);
        assert_eq!(budget.limit(Decision::Discarded, &record, 0.0), Decision::Discarded);
    }

    #[test]
    fn the_first_failures_of_a_destination_are_kept_while_others_flood() {
        let (base, mut budget) = (Instant::now(), Budget::default());
        let mut kept = |target: u32, count: u64| {
            let kept = (0..count).filter(|_| {
                let mut record = samples::answered_call(base, u128::MAX);
                record.attempts[0].target = Some(Target::new(target));
                budget.limit(Decision::KeptError, &record, 0.0).is_kept()
            });
            kept.count()
        };
        assert_eq!(kept(0, 1_000), PER_SECOND as usize);
        assert_eq!(kept(1, 50), usize::from(PER_DESTINATION));
        assert_eq!(kept(1, 1_000), 0);
    }

    #[test]
    fn a_failed_call_is_kept_whatever_the_ratio() {
        let mut record = samples::answered_call(Instant::now(), u128::MAX);
        assert_eq!(of_transaction(&record, Duration::from_secs(2), 0.0), Decision::Discarded);
        for (code, origin, kept) in [
            (503, Origin::Local, true),
            (408, Origin::Local, true),
            (600, Origin::Local, true),
            (500, Origin::Upstream, true),
            (408, Origin::Upstream, false),
            (603, Origin::Upstream, false),
            (486, Origin::Upstream, false),
            (404, Origin::Local, false),
        ] {
            (record.code, record.origin) = (code, origin);
            let decision = of_transaction(&record, Duration::from_secs(2), 0.0);
            assert_eq!(decision == Decision::KeptError, kept, "{code} {origin}");
        }
    }

    #[test]
    fn a_call_slow_to_ring_is_kept() {
        let record = samples::answered_call(Instant::now(), u128::MAX);
        assert_eq!(of_transaction(&record, Duration::from_millis(29), 0.0), Decision::KeptSlow);
        assert_eq!(of_transaction(&record, Duration::from_millis(31), 0.0), Decision::Discarded);
    }

    #[test]
    fn a_call_that_failed_over_is_kept() {
        let record = samples::failed_over_call(Instant::now(), u128::MAX);
        assert_eq!(of_transaction(&record, Duration::from_secs(60), 0.0), Decision::KeptFailover);
    }

    #[test]
    fn what_a_trusted_peer_records_is_kept_and_what_it_does_not_is_left_to_chance() {
        let mut record = samples::answered_call(Instant::now(), u128::MAX);
        for (is_sampled, decision) in [(true, Decision::KeptParent), (false, Decision::Discarded)] {
            record.parent = Some(TraceParent { span: SpanRef::root(9), is_sampled });
            assert_eq!(of_transaction(&record, Duration::from_secs(2), 0.0), decision);
        }
    }

    #[test]
    fn a_probe_that_changes_the_state_or_fails_is_kept() {
        let mut record = samples::failed_probe(Instant::now());
        assert_eq!(of_probe(&record, 0.0), Decision::KeptStateChange);
        record.change = None;
        assert_eq!(of_probe(&record, 0.0), Decision::KeptError);
    }
}
