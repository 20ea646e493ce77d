//! Server transactions: INVITE (RFC 3261 §17.2.1 with RFC 6026) and non-INVITE (§17.2.2).

use super::key::Key;
use super::store::Stored;
use super::timer::Alarm;
use super::{Owner, Settings};
use crate::facts::{Hop, Method};
use std::time::{Duration, Instant};

/// Where a server transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerState {
    /// No final response yet (Trying or Proceeding).
    Proceeding,
    /// INVITE: a 2xx went up; the ACK is end to end (RFC 6026 §7.1).
    Accepted,
    /// A final response went up and is repeated on demand.
    Completed,
    /// INVITE: the ACK for a non-2xx came; further ones are absorbed.
    Confirmed,
}

/// What a server transaction wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerAction {
    /// Nothing.
    Wait,
    /// Send the stored response again.
    Repeat,
    /// It is over.
    End,
}

/// One server transaction.
#[derive(Debug)]
pub struct Server {
    pub(super) key: Key,
    pub(super) method: Method,
    pub(super) state: ServerState,
    pub(super) hop: Hop,
    pub(super) owner: Owner,
    /// The last response, kept for repetition; empty where none will be repeated.
    pub(super) last: Stored,
    pub(super) alarm: Alarm,
    repeat_at: Option<Instant>,
    repeat_interval: Duration,
    end_at: Option<Instant>,
}

impl Server {
    /// A transaction whose request has just come.
    pub(super) fn new(key: Key, method: Method, hop: Hop, owner: Owner) -> Self {
        Self {
            key,
            method,
            state: ServerState::Proceeding,
            hop,
            owner,
            last: Stored::EMPTY,
            alarm: Alarm::default(),
            repeat_at: None,
            repeat_interval: Duration::ZERO,
            end_at: None,
        }
    }

    /// Takes note of a response that goes up now. Returns whether it may: only one final response
    /// ever does, but for further 2xx to an INVITE.
    pub(super) fn on_response(&mut self, code: u16, now: Instant, settings: &Settings) -> bool {
        let is_invite = self.method == Method::Invite;
        let repeats_2xx = is_invite && self.state == ServerState::Accepted && (200..300).contains(&code);
        if self.state != ServerState::Proceeding && !repeats_2xx {
            return false;
        }
        match code {
            0..=199 => {}
            // The first one started Timer L.
            200..=299 if repeats_2xx => {}
            200..=299 if is_invite => {
                self.state = ServerState::Accepted;
                // Timer L, RFC 6026 §7.1.
                self.end_at = Some(now + settings.timeout());
            }
            _ if is_invite => {
                self.state = ServerState::Completed;
                // Timers G and H, RFC 3261 §17.2.1.
                if !self.hop.transport.is_reliable() {
                    self.repeat_interval = settings.t1;
                    self.repeat_at = Some(now + settings.t1);
                }
                self.end_at = Some(now + settings.timeout());
            }
            _ => self.complete(now, settings),
        }
        true
    }

    /// Takes note that a request other than INVITE will get no final response: its repetitions are
    /// absorbed in silence.
    pub(super) fn abandon(&mut self, now: Instant, settings: &Settings) {
        self.complete(now, settings);
    }

    fn complete(&mut self, now: Instant, settings: &Settings) {
        self.state = ServerState::Completed;
        // Timer J, RFC 3261 §17.2.2: 64·T1 over UDP, 0 over reliable transports.
        let linger = if self.hop.transport.is_reliable() { Duration::ZERO } else { settings.timeout() };
        self.end_at = Some(now + linger);
    }

    /// Whether nothing waits for its end, and that is some time ahead: Timers I and J end at once over
    /// reliable transports, Timer L nowhere.
    pub(super) fn may_end_late(&self) -> bool {
        let is_finished = self.state != ServerState::Proceeding && self.repeat_at.is_none();
        self.state == ServerState::Accepted || is_finished && !self.hop.transport.is_reliable()
    }

    /// Takes note of a retransmission of the request.
    pub(super) fn on_retransmission(&self) -> ServerAction {
        match self.state {
            ServerState::Proceeding | ServerState::Completed if !self.last.is_empty() => ServerAction::Repeat,
            ServerState::Proceeding
            | ServerState::Completed
            | ServerState::Accepted
            | ServerState::Confirmed => ServerAction::Wait,
        }
    }

    /// Takes note of an ACK. Returns whether it belongs to this hop; if not, it is end to end.
    pub(super) fn on_ack(&mut self, now: Instant, settings: &Settings) -> bool {
        match self.state {
            ServerState::Completed => {
                self.state = ServerState::Confirmed;
                self.repeat_at = None;
                // Timer I, RFC 3261 §17.2.1.
                let linger = if self.hop.transport.is_reliable() { Duration::ZERO } else { settings.t4 };
                self.end_at = Some(now + linger);
                true
            }
            ServerState::Confirmed => true,
            ServerState::Proceeding | ServerState::Accepted => false,
        }
    }

    /// What is to be done now that its alarm rang.
    pub(super) fn on_alarm(&mut self, now: Instant, settings: &Settings) -> ServerAction {
        if self.end_at.is_some_and(|at| at <= now) {
            return ServerAction::End;
        }
        if self.repeat_at.is_some_and(|at| at <= now) {
            // Timer G doubles up to T2.
            self.repeat_interval = (self.repeat_interval * 2).min(settings.t2);
            self.repeat_at = Some(now + self.repeat_interval);
            return ServerAction::Repeat;
        }
        ServerAction::Wait
    }

    /// When its alarm is to ring next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.repeat_at.into_iter().chain(self.end_at).min()
    }
}
