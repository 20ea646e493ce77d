//! Answers of our own to requests that go nowhere: refusals, OPTIONS for us, CANCEL.

use super::OptionsReply;
use super::choose::Found;
use super::engine::{Engine, reply_hop, stamp};
use super::reject::Rejection;
use super::request::{Arrival, DRAIN_RETRY, shutting_down};
use super::traces::Traced;
use crate::facts::SetId;
use crate::facts::event::{Event, Refusal, SelectionFailure, SelectionReason};
use crate::facts::record::WireText;
use crate::transaction::Owner;

/// The methods that we pass on.
const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, PRACK, UPDATE, INFO, MESSAGE, REFER, NOTIFY, SUBSCRIBE, PUBLISH";

/// What a Warning says where nobody can take a request.
const NONE_USABLE: &str = "no destination is usable";

impl Engine {
    /// Refuses a request for which no destination could be selected.
    pub fn refuse_selection(
        &mut self,
        arrival: Arrival<'_>,
        set: SetId,
        failure: SelectionFailure,
        found: Found,
    ) {
        self.outbox.event(Event::SelectionFailed { set, reason: failure });
        let (reason, text) = match failure {
            SelectionFailure::AllFull => (Refusal::AllFull, "every destination is full"),
            SelectionFailure::Empty | SelectionFailure::NoneUsable | SelectionFailure::AllTried => {
                (Refusal::NoneUsable, NONE_USABLE)
            }
        };
        let rejection = Rejection::new(503, reason, text).of_set(set).retry_after(self.retry_after(set));
        self.reject_after(arrival, rejection, Some(found));
    }

    /// Refuses a request.
    pub fn reject(&mut self, arrival: Arrival<'_>, rejection: Rejection) {
        self.reject_after(arrival, rejection, None);
    }

    /// Answers with a refusal, through a server transaction, and tells of it; `selection` is how
    /// nobody was found in the rejection's set and those that it falls back to.
    fn reject_after(&mut self, arrival: Arrival<'_>, rejection: Rejection, selection: Option<Found>) {
        let Arrival { key, request, from, now } = arrival;
        let via = request.top_via();
        let method = request.method();
        let mut record = self.new_record(arrival);
        record.set = rejection.set;
        record.code = rejection.answer.code;
        record.refusal = Some(rejection.reason);
        if let (Some(set), Some(found)) = (rejection.set, selection) {
            let fallbacks = self.plan.table().set(set).map_or(&[][..], |set| set.fallbacks());
            record.selections.extend(self.selection_record(set, None, SelectionReason::Primary, &[], found));
            record.selections.extend(fallbacks.iter().filter_map(|within| {
                self.selection_record(*within, None, SelectionReason::FallbackSet, &[], found.at_once())
            }));
        }
        self.outbox.event(Event::RequestRefused {
            set: rejection.set,
            reason: rejection.reason,
            code: rejection.answer.code,
            method,
            call_id: record.call_id.clone(),
            source: from.remote,
            span: record.span,
        });
        let server = self.transactions.open_server(key, method, reply_hop(&via, from), Owner::Nobody);
        let Self { transactions, outbox, replies, .. } = self;
        transactions.respond(server, rejection.answer.code, now, outbox, |out| {
            replies.write_explained(request, &rejection.answer, stamp(&via, from), out);
        });
        self.outbox.event(Event::TransactionFinished(record));
    }

    /// OPTIONS for ourselves (RFC 3261 §11): whether new calls are welcome.
    pub fn answer_options(&mut self, arrival: Arrival<'_>) {
        let (minds_drain, minds_sets) = match self.plan.settings().options_reply {
            OptionsReply::Auto => (true, true),
            OptionsReply::DrainOnly => (true, false),
            OptionsReply::Always200 => (false, false),
        };
        if minds_drain && self.is_draining {
            return self.reject(arrival, shutting_down(DRAIN_RETRY));
        }
        let sets = || self.plan.table().sets();
        if minds_sets && sets().all(|set| self.verdicts.available(set.id()) == 0) {
            let retry_after = sets().map(|set| set.reject_retry_after()).min().unwrap_or(DRAIN_RETRY);
            let rejection = Rejection::new(503, Refusal::NoneUsable, NONE_USABLE).retry_after(retry_after);
            return self.reject(arrival, rejection);
        }
        let headers: [(&str, &[u8]); 2] = [("Allow", ALLOW.as_bytes()), ("Accept", b"application/sdp")];
        self.answer_statelessly(arrival, 200, &headers);
    }

    /// Answers a request ourselves without keeping anything (RFC 3261 §8.2.7): a repetition gets the
    /// same answer, its tag included, and counts again.
    fn answer_statelessly(&mut self, arrival: Arrival<'_>, code: u16, headers: &[(&str, &[u8])]) {
        let Arrival { request, from, .. } = arrival;
        let via = request.top_via();
        let mut record = self.new_record(arrival);
        record.code = code;
        let Self { outbox, replies, .. } = self;
        outbox.send_with(reply_hop(&via, from), |out| {
            replies.write(request, code, stamp(&via, from), headers, out);
        });
        outbox.event(Event::TransactionFinished(record));
    }

    /// Answers a request ourselves, without refusing it.
    pub fn answer(&mut self, arrival: Arrival<'_>, code: u16, headers: &[(&str, &[u8])]) {
        let Arrival { key, request, from, now } = arrival;
        let via = request.top_via();
        let mut record = self.new_record(arrival);
        record.code = code;
        let server =
            self.transactions.open_server(key, request.method(), reply_hop(&via, from), Owner::Nobody);
        let Self { transactions, outbox, replies, .. } = self;
        transactions.respond(server, code, now, outbox, |out| {
            replies.write(request, code, stamp(&via, from), headers, out);
        });
        self.outbox.event(Event::TransactionFinished(record));
    }

    /// Refuses a request without keeping anything: a repetition is refused, and counted, again.
    pub fn refuse_statelessly(&mut self, arrival: Arrival<'_>, rejection: Rejection) {
        let Arrival { request, from, .. } = arrival;
        let via = request.top_via();
        let Traced { span, .. } = self.trace(arrival);
        let Self { outbox, replies, .. } = self;
        outbox.send_with(reply_hop(&via, from), |out| {
            replies.write_explained(request, &rejection.answer, stamp(&via, from), out);
        });
        outbox.event(Event::RequestRefused {
            set: rejection.set,
            reason: rejection.reason,
            code: rejection.answer.code,
            method: request.method(),
            call_id: WireText::new(request.call_id()),
            source: from.remote,
            span,
        });
    }
}
