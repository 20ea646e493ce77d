//! Requests too large for UDP (RFC 3261 §18.1.1): over TCP first, and over UDP where the peer takes no
//! TCP connection.
//!
//! That is one attempt at one destination in two client transactions, no failover: nothing of the
//! first was delivered. Who refused is remembered for a while, so that not every large request pays
//! for another connection that fails.

use super::attempt::opening;
use super::context::{Cancelling, Context, Phase};
use super::copy::Towards;
use super::engine::Engine;
use super::local::VIA_SIZE;
use crate::facts::event::{Event, TransportReason};
use crate::facts::{Hop, Target, Transport, WorkerId};
use crate::sip::{Framing, Index, Message, RequestEdit, forward_request, parse, replace_top_via};
use crate::transaction::slab::Id;
use crate::transaction::{Branch, Purpose};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long a peer that took no TCP connection gets large requests over UDP at once.
const MEMORY: Duration = Duration::from_secs(300);
/// How many such peers are remembered at most.
const MAX: usize = 4_096;
/// Bytes that a copy grows by at most, apart from the values put in and our own name: received, rport,
/// Max-Forwards, Content-Length, Supported, the rest of Via, the names of the lines.
const GROWTH: usize = 192 + VIA_SIZE;
/// The slot in the branch of an ACK that went over TCP for its size alone; an ACK has no transaction.
const OVER_TCP: u32 = 1;

/// Where a request goes.
#[derive(Debug, Clone, Copy)]
pub struct NextHop {
    /// The hop.
    pub hop: Hop,
    /// The destination that it is, if it is one.
    pub target: Option<Target>,
    /// Largest request sent over UDP; `None`: the transport is fixed.
    pub mtu: Option<usize>,
}

/// Peers that took no TCP connection.
#[derive(Debug, Default)]
pub struct Refusals {
    until: HashMap<SocketAddr, Instant, foldhash::fast::RandomState>,
}

impl Refusals {
    /// Remembers that a peer took no connection.
    fn note(&mut self, peer: SocketAddr, now: Instant) {
        if self.until.len() >= MAX {
            self.until.retain(|_, until| *until > now);
        }
        if self.until.len() < MAX {
            self.until.insert(peer, now + MEMORY);
        }
    }

    fn holds(&self, peer: SocketAddr, now: Instant) -> bool {
        self.until.get(&peer).is_some_and(|until| *until > now)
    }
}

impl Engine {
    /// A destination as the next hop of a request.
    pub fn next_hop(&self, target: Target, hop: Hop) -> NextHop {
        NextHop { hop, target: Some(target), mtu: self.plan.mtu_of(target) }
    }

    /// The TCP hop of a request that is too large for the UDP hop it would take; `None` if it is not,
    /// or if TCP is of no use. Its copy for the UDP hop is prepared.
    pub fn hop_for_size(
        &self,
        context: &Context,
        request: Message<'_>,
        next: NextHop,
        now: Instant,
    ) -> Option<Hop> {
        let (routes, path, trace) = (self.copier.record_routes(), self.copier.path(), self.copier.trace());
        self.tcp_for(request, &context.edit(&[], &routes, path, trace), next, now)
    }

    /// The same for a request with its edits, but for the Via.
    fn tcp_for(
        &self,
        request: Message<'_>,
        edit: &RequestEdit<'_>,
        next: NextHop,
        now: Instant,
    ) -> Option<Hop> {
        let mtu = next.mtu.filter(|_| next.hop.transport == Transport::Udp)?;
        let local = self.plan.local();
        let moved = [edit.append_route, edit.request_uri, edit.path].into_iter().flatten();
        let put_in: usize = edit.record_routes.iter().copied().chain(moved).map(<[u8]>::len).sum();
        let put_in = put_in + edit.trace.growth();
        // A line end may grow by a byte.
        let grown =
            put_in + request.line_count() + local.sent_by(next.hop.listener, next.hop.remote.ip()).len();
        if request.bytes().len() + grown + GROWTH <= mtu {
            return None;
        }
        let (mut via, mut copy) = (Vec::with_capacity(VIA_SIZE), Vec::new());
        local.write_via(next.hop, &ANY, &mut via);
        forward_request(request, &RequestEdit { via: &via, ..*edit }, &mut copy);
        if copy.len() <= mtu || self.refusals.holds(next.hop.remote, now) {
            return None;
        }
        local.beside(next.hop, Transport::Tcp)
    }

    /// The hop of an ACK to a 2xx by its size, marked in its branch.
    pub fn ack_hop(
        &self,
        ack: Message<'_>,
        edit: &RequestEdit<'_>,
        next: NextHop,
        branch: Branch,
        now: Instant,
    ) -> (Hop, Branch) {
        match self.tcp_for(ack, edit, next, now) {
            Some(tcp) => (tcp, Branch { slot: OVER_TCP, ..branch }),
            None => (next.hop, branch),
        }
    }

    /// Sends an ACK that could not be delivered over TCP again, over UDP, if it had gone over TCP for
    /// its size alone.
    pub fn fall_back_ack(
        &mut self,
        hop: Hop,
        branch: Branch,
        ack: &[u8],
        reason: TransportReason,
        now: Instant,
    ) {
        if branch.purpose != Purpose::Ack || branch.slot != OVER_TCP || hop.transport != Transport::Tcp {
            return;
        }
        self.note_refusal(None, hop, reason, now);
        let Some(udp) = self.plan.local().beside(hop, Transport::Udp) else { return };
        let mut index = Index::default();
        if let Ok(ack) = parse(ack, Framing::Stream, &mut index) {
            let mut via = Vec::with_capacity(VIA_SIZE);
            self.plan.local().write_via(udp, &Branch { slot: 0, ..branch }, &mut via);
            self.outbox.send_with(udp, |out| replace_top_via(ack, &via, out));
        }
    }

    fn note_refusal(&mut self, target: Option<Target>, hop: Hop, reason: TransportReason, now: Instant) {
        if is_refusal(reason) {
            self.refusals.note(hop.remote, now);
            self.outbox.event(Event::FellBackToUdp { target, remote: hop.remote, reason });
        }
    }

    /// Sends an attempt that could not be delivered over TCP again, over UDP; returns whether it was
    /// one that had gone over TCP for its size alone, and is still wanted.
    pub fn fall_back(
        &mut self,
        id: Id<Context>,
        context: &mut Context,
        index: usize,
        reason: TransportReason,
        now: Instant,
    ) -> bool {
        let Some(attempt) = context.attempts.get_mut(index).filter(|attempt| attempt.is_open()) else {
            return false;
        };
        let Some(hop) = attempt.fallback.take() else { return false };
        let target = attempt.target;
        let is_unwanted = attempt.is_abandoned || attempt.cancelling != Cancelling::No || context.is_answered;
        self.note_refusal(target, hop, reason, now);
        if is_unwanted {
            return false;
        }
        let mut loan = self.lend(&context.request);
        if let Some(request) = loan.message() {
            let number = u32::try_from(index).unwrap_or(u32::MAX);
            self.prepare_copy(context, request, Towards { hop, target, number: number.saturating_add(1) });
            let opening = opening(id, context, number, hop, target);
            let client = self.send_copy(context, request, opening, now);
            let (silence, epoch) = (self.silence(context), self.earlier.current());
            if let Some(attempt) = context.attempts.get_mut(index) {
                attempt.client = client;
                attempt.hop = hop;
                attempt.epoch = epoch;
                attempt.phase = Phase::Calling;
                attempt.no_response_at = silence.map(|after| now + after);
            }
        }
        self.take_back(loan);
        if let Some(record) = context.record.as_mut().and_then(|record| record.attempts.get_mut(index)) {
            (record.transport, record.listener) = (hop.transport, hop.listener);
            record.fell_back = Some((now, reason));
        }
        true
    }
}

/// A branch for measuring; all are of one length.
const ANY: Branch = Branch { purpose: Purpose::Call, worker: WorkerId(0), slot: 0, nonce: 0, loop_hash: 0 };

/// Whether a failure says that a peer takes no connections, and not that one of them ended.
const fn is_refusal(reason: TransportReason) -> bool {
    match reason {
        TransportReason::Refused | TransportReason::Icmp | TransportReason::ConnectTimeout => true,
        TransportReason::Closed
        | TransportReason::WouldBlock
        | TransportReason::TooLarge
        | TransportReason::Other => false,
    }
}
