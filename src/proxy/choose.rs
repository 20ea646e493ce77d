//! Choosing a destination: what a request brings to a selection, and what is told of one.
//!
//! Which destination it is, is for `dispatch` to say; whether another attempt may start, for `attempt`.

use super::challenges::Challenger;
use super::context::Context;
use super::engine::Engine;
use super::key::hash_key_of;
use super::loan::Loan;
use super::plan::Plan;
use super::request::Arrival;
use crate::dispatch::{Ask, Basis, Call, HashPart, Selection, Verdicts, skipped};
use crate::facts::event::{Event, SelectionFailure, SelectionReason, SkipReason};
use crate::facts::record::{MAX_NOTES, SelectionRecord};
use crate::facts::{Hop, ListenerId, Method, SetId, Target};
use crate::sip::Message;
use smallvec::SmallVec;
use std::time::{Duration, Instant};

/// The destination chosen for a new request.
#[derive(Debug)]
pub struct Selected {
    /// How to go on from it.
    pub selection: Selection,
    /// The destination.
    pub target: Target,
    /// Where it is.
    pub hop: Hop,
    /// Why it.
    pub reason: SelectionReason,
}

/// How a selection was made.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// How long it took.
    pub took: Duration,
    /// When.
    pub now: Instant,
    /// Whether it was for a call, for which a full destination is passed over.
    pub is_call: bool,
    /// What it was made on.
    pub basis: Basis,
}

impl Found {
    /// The same for a set that was looked at on the way, in the time of another.
    pub const fn at_once(self) -> Self {
        Self { took: Duration::ZERO, ..self }
    }
}

/// Whether a request begins a call, which is counted and limited.
pub fn is_call(request: Message<'_>) -> bool {
    request.method() == Method::Invite && request.to_tag().is_none()
}

/// What a new request is spread by.
pub const fn basis_of(method: Method) -> Basis {
    match method {
        Method::Register | Method::Publish | Method::Subscribe => Basis::Registration,
        _ => Basis::Algorithm,
    }
}

impl Engine {
    /// Chooses a destination for a new request: the one that challenged an earlier version of it,
    /// else by the set's algorithm.
    pub fn select(&mut self, arrival: Arrival<'_>, set: SetId) -> Result<Selected, SelectionFailure> {
        let Arrival { request, from, now, .. } = arrival;
        let Self { plan, selector, verdicts, challenges, nonces, .. } = self;
        let source = from.remote.ip();
        let basis = basis_of(request.method());
        let key_for = |set| hash_key_of(plan.table().set(set)?, basis, request, source);
        let ask = Ask { basis, key_for: &key_for, nonce: nonces.next_u64(), now, is_call: is_call(request) };
        let challenger = challenges.find(request, set, now);
        if let Some(Challenger { target, is_first }) = challenger
            && verdicts.is_usable(target)
            && let Some(hop) = hop_of(plan, verdicts, target, from.listener)
            && let Some(selection) = selector.resume(set, target, is_first, ask)
        {
            return Ok(Selected { selection, target, hop, reason: SelectionReason::Affinity });
        }
        let (mut selection, mut target) = selector.select(set, ask, verdicts)?;
        loop {
            if let Some(hop) = hop_of(plan, verdicts, target, from.listener) {
                let reason = selection.reason(SelectionReason::Primary);
                return Ok(Selected { selection, target, hop, reason });
            }
            target = selector.next(&mut selection, ask, verdicts).ok_or(SelectionFailure::NoneUsable)?;
        }
    }

    /// The next destination of the selection that can be reached.
    pub fn next_destination(&mut self, context: &mut Context, now: Instant) -> Option<(Target, Hop)> {
        let selection = context.selection.as_mut()?;
        // Only another set than that of the last one looks at the request again.
        let has_fallback = !self.plan.table().set(selection.set())?.fallbacks().is_empty();
        let may_fall_back = has_fallback || selection.within() != selection.set();
        let mut loan = may_fall_back.then(|| self.lend(&context.request));
        let request = loan.as_mut().and_then(Loan::message);
        let Self { plan, selector, verdicts, nonces, .. } = self;
        let source = context.from.remote.ip();
        let basis = basis_of(context.method);
        let key_for = |set| hash_key_of(plan.table().set(set)?, basis, request?, source);
        let is_call = context.method == Method::Invite;
        let ask = Ask { basis, key_for: &key_for, nonce: nonces.next_u64(), now, is_call };
        let next = loop {
            let Some(target) = selector.next(selection, ask, verdicts) else { break None };
            if let Some(hop) = hop_of(plan, verdicts, target, context.from.listener) {
                break Some((target, hop));
            }
        };
        if let Some(loan) = loan {
            self.take_back(loan);
        }
        next
    }

    /// The call that an attempt at a destination counts as, if it is one.
    pub fn call_of(
        &self,
        context: &mut Context,
        request: Message<'_>,
        target: Option<Target>,
    ) -> Option<Call> {
        let target = target.filter(|_| is_call(request))?;
        let selected = context.selection.as_mut().and_then(Selection::take_call);
        // What is relayed has not been selected, and is never refused for a limit.
        Some(selected.unwrap_or_else(|| self.selector.loads().begin(target)))
    }

    /// Tells of a selection: an event, and a line in the record for each set that it looked at.
    pub fn note_selection(
        &mut self,
        context: &mut Context,
        destination: Option<Target>,
        reason: SelectionReason,
        found: Found,
    ) {
        let Some(selection) = &context.selection else { return };
        let (set, within) = (selection.set(), selection.within());
        let reason = selection.reason(reason);
        let tried: SmallVec<[Target; 4]> =
            selection.given().iter().copied().filter(|target| Some(*target) != destination).collect();
        let table = self.plan.table();
        if let (Some(target), Some(settings)) = (destination, table.set(within)) {
            let (algorithm, took) = (settings.algorithm_on(found.basis), found.took);
            self.outbox.event(Event::DestinationSelected { target, algorithm, reason, took });
        }
        let Some(record) = &mut context.record else { return };
        if within != set && record.selections.is_empty() {
            // Nobody of the set itself, nor of those before the one that had somebody.
            let passed = table.set(set).map_or(&[][..], |set| set.fallbacks());
            let passed = passed.iter().copied().take_while(|other| *other != within);
            for (passed, reason) in std::iter::once((set, SelectionReason::Primary))
                .chain(passed.map(|set| (set, SelectionReason::FallbackSet)))
            {
                let line = self.selection_record(passed, None, reason, &tried, found.at_once());
                record.selections.extend(line);
            }
        }
        let is_keyed = selection.is_keyed();
        let line = self.selection_record(within, destination, reason, &tried, found);
        let line = line.map(|line| SelectionRecord { hash_key: line.hash_key.filter(|_| is_keyed), ..line });
        record.selections.extend(line);
    }

    /// The line that a record keeps of a selection.
    pub fn selection_record(
        &self,
        set: SetId,
        destination: Option<Target>,
        reason: SelectionReason,
        tried: &[Target],
        found: Found,
    ) -> Option<SelectionRecord> {
        let settings = self.plan.table().set(set)?;
        let algorithm = settings.algorithm_on(found.basis);
        let available = self.verdicts.available(set);
        let candidates = u32::try_from(settings.members().len()).unwrap_or(u32::MAX);
        // Only a selection that passed somebody over has anything to tell.
        let mut skipped: SmallVec<[_; 0]> = if available == candidates && tried.is_empty() {
            SmallVec::new()
        } else {
            skipped(self.plan.table(), set, &self.verdicts, tried).take(MAX_NOTES).collect()
        };
        if settings.is_limited() && found.is_call {
            let is_full = |(position, target): &(u32, &Target)| {
                let (loads, limits) = (self.selector.loads(), settings.limits(*position));
                Some(**target) != destination
                    && !tried.contains(target)
                    && self.verdicts.is_usable(**target)
                    && loads.is_full(**target, limits, found.now)
            };
            let full = (0_u32..).zip(settings.members()).filter(is_full);
            let room = MAX_NOTES.saturating_sub(skipped.len());
            skipped.extend(full.map(|(_, target)| (*target, SkipReason::Full)).take(room));
        }
        Some(SelectionRecord {
            at: found.now,
            took: found.took,
            set,
            algorithm,
            reason,
            hash_key: settings.key_on(found.basis).first().map(HashPart::as_str),
            destination,
            candidates,
            available,
            skipped,
        })
    }
}

/// Where a destination is reached from here.
fn hop_of(plan: &Plan, verdicts: &Verdicts, target: Target, preferred: ListenerId) -> Option<Hop> {
    let settings = &plan.table().destination(target)?.settings;
    let remote = verdicts.of(target)?.address?;
    plan.local().hop_to(settings.transport, remote, settings.listener.unwrap_or(preferred))
}
