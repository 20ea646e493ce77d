//! The facts known of one destination, and the one word and the one verdict that follow from them.
//!
//! Pure: who learned a fact, and when, is kept elsewhere.

use crate::dispatch::Thresholds;
use crate::facts::event::SkipReason;
use crate::facts::{Admin, State};
use std::time::Instant;

/// Everything that decides whether a destination gets new requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The administrator's wish.
    pub admin: Admin,
    /// What probes say; fixed at [`Probe::Up`] for a destination that is not probed.
    pub probe: Probe,
    /// Whether it has an address.
    pub resolution: Resolution,
    /// Set aside until then on evidence of real traffic.
    pub ejected_until: Option<Instant>,
    /// Asked for a pause until then with Retry-After.
    pub retry_after_until: Option<Instant>,
}

/// What probes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// No probe has ended yet.
    Unknown,
    /// It was down before a restart, and no probe has ended since.
    Restored,
    /// The last one succeeded.
    Up,
    /// Was up; this many in a row have failed, fewer than the threshold.
    Failing(u32),
    /// Failed often enough, or at first.
    Down,
    /// Was down; this many in a row have succeeded, fewer than the threshold.
    Recovering(u32),
}

/// Whether a destination has an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// Its name is being looked up for the first time.
    Pending,
    /// Its name has never had an address.
    Failed,
    /// It has one, though maybe an old one.
    Known,
}

impl Probe {
    /// The fact after one more probe. The first verdict decides alone.
    pub fn after(self, is_success: bool, thresholds: Thresholds) -> Self {
        match (self, is_success) {
            (Self::Unknown | Self::Restored | Self::Up | Self::Failing(_), true) => Self::Up,
            (Self::Unknown | Self::Restored | Self::Down | Self::Recovering(_), false) => Self::Down,
            (Self::Up, false) => Self::failing(1, thresholds),
            (Self::Failing(count), false) => Self::failing(count.saturating_add(1), thresholds),
            (Self::Down, true) => Self::recovering(1, thresholds),
            (Self::Recovering(count), true) => Self::recovering(count.saturating_add(1), thresholds),
        }
    }

    fn failing(count: u32, thresholds: Thresholds) -> Self {
        if count >= thresholds.down_after { Self::Down } else { Self::Failing(count) }
    }

    fn recovering(count: u32, thresholds: Thresholds) -> Self {
        if count >= thresholds.up_after { Self::Up } else { Self::Recovering(count) }
    }
}

impl Facts {
    /// Whether the last verdict was good; a failing destination still counts as good.
    pub fn is_known_up(&self) -> bool {
        self.resolution == Resolution::Known && matches!(self.probe, Probe::Up | Probe::Failing(_))
    }

    /// Whether it is ejected or was asked to be left alone.
    pub fn is_withheld(&self) -> bool {
        self.ejected_until.is_some() || self.retry_after_until.is_some()
    }

    /// Whether there has been a verdict at all.
    pub fn is_judged(&self) -> bool {
        match self.resolution {
            Resolution::Pending => false,
            Resolution::Failed => true,
            Resolution::Known => !matches!(self.probe, Probe::Unknown | Probe::Restored),
        }
    }

    /// Why the destination may not get new requests; `None` if it may. `others_up` tells whether a
    /// member of its set is known up, which one that is unknown yields to.
    pub fn skip(&self, others_up: bool) -> Option<SkipReason> {
        let is_unresolved = self.resolution != Resolution::Known;
        match derive(self) {
            State::Disabled | State::Draining => Some(SkipReason::Admin),
            State::Down | State::Unknown | State::Ejected | State::Throttled if is_unresolved => {
                Some(SkipReason::Unresolved)
            }
            State::Down => Some(SkipReason::Down),
            State::Ejected => Some(SkipReason::Ejected),
            State::Throttled => Some(SkipReason::Throttled),
            State::Unknown => others_up.then_some(SkipReason::Unknown),
            State::Failing | State::Up => None,
        }
    }
}

/// The word for a destination: of all that apply the first in the order of [`State`].
pub fn derive(facts: &Facts) -> State {
    match facts.admin {
        Admin::Disabled => return State::Disabled,
        Admin::Draining => return State::Draining,
        Admin::Enabled => {}
    }
    let is_down = matches!(facts.probe, Probe::Down | Probe::Recovering(_) | Probe::Restored);
    if is_down || facts.resolution == Resolution::Failed {
        return State::Down;
    }
    if facts.ejected_until.is_some() {
        return State::Ejected;
    }
    if facts.retry_after_until.is_some() {
        return State::Throttled;
    }
    match (facts.resolution, facts.probe) {
        (Resolution::Pending, _) | (_, Probe::Unknown) => State::Unknown,
        (_, Probe::Failing(_)) => State::Failing,
        (_, Probe::Up | Probe::Down | Probe::Recovering(_) | Probe::Restored) => State::Up,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts = Facts {
        admin: Admin::Enabled,
        probe: Probe::Up,
        resolution: Resolution::Known,
        ejected_until: None,
        retry_after_until: None,
    };

    #[test]
    fn each_probe_moves_the_fact_as_the_thresholds_say() {
        let thresholds = Thresholds { down_after: 3, up_after: 2 };
        let table = [
            (Probe::Unknown, true, Probe::Up),
            (Probe::Unknown, false, Probe::Down),
            (Probe::Up, true, Probe::Up),
            (Probe::Up, false, Probe::Failing(1)),
            (Probe::Failing(1), false, Probe::Failing(2)),
            (Probe::Failing(2), false, Probe::Down),
            (Probe::Failing(2), true, Probe::Up),
            (Probe::Down, false, Probe::Down),
            (Probe::Down, true, Probe::Recovering(1)),
            (Probe::Recovering(1), true, Probe::Up),
            (Probe::Recovering(1), false, Probe::Down),
            (Probe::Restored, true, Probe::Up),
            (Probe::Restored, false, Probe::Down),
        ];
        for (before, is_success, after) in table {
            assert_eq!(before.after(is_success, thresholds), after, "{before:?} {is_success}");
        }
        let one = Thresholds { down_after: 1, up_after: 1 };
        assert_eq!(Probe::Up.after(false, one), Probe::Down);
        assert_eq!(Probe::Down.after(true, one), Probe::Up);
    }

    #[test]
    fn the_first_word_that_applies_is_the_state() {
        let until = Some(Instant::now());
        let mut facts = Facts {
            admin: Admin::Disabled,
            probe: Probe::Down,
            resolution: Resolution::Known,
            ejected_until: until,
            retry_after_until: until,
        };
        assert_eq!(derive(&facts), State::Disabled);
        facts.admin = Admin::Draining;
        assert_eq!(derive(&facts), State::Draining);
        facts.admin = Admin::Enabled;
        assert_eq!(derive(&facts), State::Down);
        facts.probe = Probe::Recovering(1);
        assert_eq!(derive(&facts), State::Down);
        facts.probe = Probe::Failing(1);
        assert_eq!(derive(&facts), State::Ejected);
        facts.ejected_until = None;
        assert_eq!(derive(&facts), State::Throttled);
        facts.retry_after_until = None;
        assert_eq!(derive(&facts), State::Failing);
        facts.probe = Probe::Up;
        assert_eq!(derive(&facts), State::Up);
        facts.probe = Probe::Unknown;
        assert_eq!(derive(&facts), State::Unknown);
    }

    #[test]
    fn a_name_without_an_address_is_unknown_at_first_and_then_down() {
        let pending = Facts { resolution: Resolution::Pending, ..FACTS };
        assert_eq!((derive(&pending), pending.is_judged()), (State::Unknown, false));
        let failed = Facts { resolution: Resolution::Failed, ..FACTS };
        assert_eq!((derive(&failed), failed.is_judged()), (State::Down, true));
        for facts in [pending, failed] {
            assert_eq!(facts.skip(false), Some(SkipReason::Unresolved));
        }
    }

    #[test]
    fn one_that_was_down_before_a_restart_is_down_but_not_judged() {
        let facts = Facts { probe: Probe::Restored, ..FACTS };
        assert_eq!((derive(&facts), facts.is_judged()), (State::Down, false));
        assert_eq!(facts.skip(false), Some(SkipReason::Down));
    }

    #[test]
    fn an_unknown_destination_yields_to_one_that_is_known_up() {
        let facts = Facts { probe: Probe::Unknown, ..FACTS };
        assert_eq!(facts.skip(false), None);
        assert_eq!(facts.skip(true), Some(SkipReason::Unknown));
    }

    #[test]
    fn every_fact_has_its_own_reason_to_skip() {
        let until = Some(Instant::now());
        let table = [
            (FACTS, None),
            (Facts { probe: Probe::Failing(2), ..FACTS }, None),
            (Facts { admin: Admin::Draining, ..FACTS }, Some(SkipReason::Admin)),
            (Facts { probe: Probe::Down, ..FACTS }, Some(SkipReason::Down)),
            (Facts { ejected_until: until, ..FACTS }, Some(SkipReason::Ejected)),
            (Facts { retry_after_until: until, ..FACTS }, Some(SkipReason::Throttled)),
        ];
        for (facts, skip) in table {
            assert_eq!(facts.skip(true), skip, "{facts:?}");
        }
    }
}
