//! Client transactions: INVITE (RFC 3261 §17.1.1 with RFC 6026) and non-INVITE (§17.1.2).

use super::slab::Id;
use super::store::Stored;
use super::timer::Alarm;
use super::{Owner, Settings};
use crate::facts::event::FatalTimer;
use crate::facts::{Hop, Method, Target};
use std::time::{Duration, Instant};

/// Where a client transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientState {
    /// No response yet (RFC 3261: Calling for INVITE, Trying for others).
    Calling,
    /// A provisional response came.
    Proceeding,
    /// INVITE: a 2xx came; further ones are passed up (RFC 6026 §7.2).
    Accepted,
    /// Another final response came; repetitions are absorbed.
    Completed,
}

/// What a response means to its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAction {
    /// Pass it to the owner.
    Deliver,
    /// Pass it to the owner and acknowledge it.
    DeliverAndAck,
    /// A repetition: acknowledge it again.
    AckAgain,
    /// A repetition or a late provisional: nothing.
    Absorb,
}

/// What a client transaction wants done when its alarm rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAlarm {
    /// Nothing.
    Wait,
    /// Send the request again.
    Retransmit,
    /// Its owner must be told that no final response came.
    TimedOut(FatalTimer),
    /// It is over.
    End,
}

/// One client transaction.
#[derive(Debug)]
pub struct Client {
    pub(super) nonce: u64,
    pub(super) method: Method,
    pub(super) state: ClientState,
    pub(super) hop: Hop,
    pub(super) target: Option<Target>,
    pub(super) owner: Owner,
    /// The request as sent while it may be needed again; after a non-2xx to an INVITE, the ACK.
    pub(super) sent: Stored,
    pub(super) alarm: Alarm,
    /// The CANCEL that was sent for it; it shares the branch.
    pub(super) cancel: Option<Id<Client>>,
    pub(super) retransmissions: u32,
    retransmit_at: Option<Instant>,
    interval: Duration,
    end_at: Option<Instant>,
}

impl Client {
    /// A transaction whose request is being sent now.
    pub(super) fn new(
        nonce: u64,
        method: Method,
        hop: Hop,
        target: Option<Target>,
        owner: Owner,
        now: Instant,
        settings: &Settings,
    ) -> Self {
        // Timers A and E are off over reliable transports (RFC 3261 §17.1.1.2, §17.1.2.2).
        let retransmit_at = (!hop.transport.is_reliable()).then(|| now + settings.t1);
        Self {
            nonce,
            method,
            state: ClientState::Calling,
            hop,
            target,
            owner,
            sent: Stored::EMPTY,
            alarm: Alarm::default(),
            cancel: None,
            retransmissions: 0,
            retransmit_at,
            interval: settings.t1,
            // Timers B and F.
            end_at: Some(now + settings.timeout()),
        }
    }

    /// Whether a final response is still awaited.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, ClientState::Calling | ClientState::Proceeding)
    }

    /// Whether nothing waits for its end, and that is some time ahead: Timers D and K end at once over
    /// reliable transports, Timer M nowhere.
    pub(super) fn may_end_late(&self) -> bool {
        self.state == ClientState::Accepted || !self.is_open() && !self.hop.transport.is_reliable()
    }

    /// Whether what it sent may have to be sent again.
    pub(super) fn may_repeat(&self) -> bool {
        self.is_open() || self.method == Method::Invite && self.state == ClientState::Completed
    }

    /// Takes note of a response.
    pub(super) fn on_response(&mut self, code: u16, now: Instant, settings: &Settings) -> ClientAction {
        let is_invite = self.method == Method::Invite;
        match (self.state, code) {
            (ClientState::Calling | ClientState::Proceeding, 0..=199) => {
                self.state = ClientState::Proceeding;
                if is_invite {
                    // Timer C, at the proxy, takes over (RFC 3261 §17.1.1.2, §16.6 step 11).
                    self.retransmit_at = None;
                    self.end_at = None;
                } else {
                    // Timer E goes on at T2 (§17.1.2.2).
                    self.interval = settings.t2;
                }
                ClientAction::Deliver
            }
            (ClientState::Calling | ClientState::Proceeding, 200..=299) if is_invite => {
                // Timer M, RFC 6026 §7.2.
                self.finish(ClientState::Accepted, settings.timeout(), now);
                ClientAction::Deliver
            }
            (ClientState::Calling | ClientState::Proceeding, _) if is_invite => {
                // Timer D: at least 32 s over UDP, 0 over reliable transports.
                let linger =
                    if self.hop.transport.is_reliable() { Duration::ZERO } else { settings.timeout() };
                self.finish(ClientState::Completed, linger, now);
                ClientAction::DeliverAndAck
            }
            (ClientState::Calling | ClientState::Proceeding, _) => {
                // Timer K.
                let linger = if self.hop.transport.is_reliable() { Duration::ZERO } else { settings.t4 };
                self.finish(ClientState::Completed, linger, now);
                ClientAction::Deliver
            }
            (ClientState::Accepted, 200..=299) => ClientAction::Deliver,
            (ClientState::Completed, 300..) if is_invite => ClientAction::AckAgain,
            (ClientState::Accepted | ClientState::Completed, _) => ClientAction::Absorb,
        }
    }

    /// What is to be done now that its alarm rang.
    pub(super) fn on_alarm(&mut self, now: Instant, settings: &Settings) -> ClientAlarm {
        if self.end_at.is_some_and(|at| at <= now) {
            return match (self.is_open(), self.method) {
                (true, Method::Invite) => ClientAlarm::TimedOut(FatalTimer::B),
                (true, _) => ClientAlarm::TimedOut(FatalTimer::F),
                (false, _) => ClientAlarm::End,
            };
        }
        if self.retransmit_at.is_some_and(|at| at <= now) {
            self.interval = match (self.method, self.state) {
                // Timer A doubles without limit; Timer E up to T2, and is T2 once a 1xx came.
                (Method::Invite, _) => self.interval * 2,
                (_, ClientState::Calling) => (self.interval * 2).min(settings.t2),
                (_, ClientState::Proceeding | ClientState::Accepted | ClientState::Completed) => settings.t2,
            };
            self.retransmit_at = Some(now + self.interval);
            self.retransmissions += 1;
            return ClientAlarm::Retransmit;
        }
        ClientAlarm::Wait
    }

    /// When its alarm is to ring next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.retransmit_at.into_iter().chain(self.end_at).min()
    }

    fn finish(&mut self, state: ClientState, linger: Duration, now: Instant) {
        self.state = state;
        self.retransmit_at = None;
        self.end_at = Some(now + linger);
    }
}
