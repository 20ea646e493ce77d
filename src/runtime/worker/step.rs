//! One step of a worker: everything in, everything out, then what is to be recorded.

use super::Worker;
use crate::facts::event::{
    Direction, DropReason, Event, HandoverResult, ParseReason, SocketOperation, TransportReason,
};
use crate::facts::evidence::Evidence;
use crate::facts::{Hop, Target, Transport, WorkerId};
use crate::net::{Delivery, Exchange, MANY, Received, UdpSocket, Undelivered};
use crate::proxy::Input;
use crate::telemetry::Recorder;
use smallvec::SmallVec;
use std::net::SocketAddr;
use std::time::Instant;

/// Datagrams read from one socket, and deliveries taken, in one step.
pub(super) const BATCH: usize = 64;
/// Steps in a row in which failed sends may lead to further sends.
const RESENDS: usize = 16;
/// The worker that owns probes and states.
const OWNER: WorkerId = WorkerId(0);
/// Largest datagram there is.
const DATAGRAM: usize = 65_535;

/// Memory that is used again in every step.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    datagram: Vec<u8>,
    pub(super) deliveries: Vec<Delivery>,
    found: Vec<Undelivered>,
    failed: Vec<(Hop, Vec<u8>, TransportReason)>,
    evidence: Vec<(Target, Evidence)>,
}

impl Scratch {
    /// Takes what every worker needs from the start.
    pub(super) fn new() -> Self {
        Self { datagram: vec![0; DATAGRAM], ..Self::default() }
    }
}

impl Worker {
    /// Feeds the core what the sockets and the queue hold.
    pub(super) fn take_in(&mut self, now: Instant) {
        for position in 0..self.sockets.len() {
            self.receive(position, now);
        }
        while self.scratch.deliveries.len() < BATCH {
            match self.deliveries.try_recv() {
                Ok(delivery) => self.scratch.deliveries.push(delivery),
                Err(_) => break,
            }
        }
        for delivery in self.scratch.deliveries.drain(..) {
            match delivery {
                Delivery::Message { hop, bytes } => {
                    self.core.handle_input(Input::Message { hop, bytes: &bytes }, now);
                }
                Delivery::Undeliverable { hop, message, reason } => {
                    // Those of streams are told where they happen.
                    if hop.transport == Transport::Udp {
                        self.recorder.record(&returned(reason));
                    }
                    self.core.handle_input(Input::Undeliverable { hop, message: &message, reason }, now);
                }
                Delivery::Evidence(target, evidence) => {
                    self.core.handle_input(Input::Evidence { target, evidence }, now);
                }
                Delivery::Happened(event) => self.recorder.record(&event),
            }
        }
    }

    /// Reads one socket until it is empty or its share of the step is used.
    fn receive(&mut self, position: usize, now: Instant) {
        let Some(socket) = self.sockets.get(position) else { return };
        for _ in 0..BATCH {
            match socket.receive(&mut self.scratch.datagram) {
                Received::Empty => return,
                Received::Failed(reason) => {
                    // What was refused or unreachable is told, and counted, by the error queue.
                    if !matches!(reason, TransportReason::Refused | TransportReason::Icmp) {
                        let (transport, operation) = (Transport::Udp, SocketOperation::Recv);
                        self.recorder.record(&Event::SocketFailed { transport, operation, reason });
                    }
                }
                Received::Datagram(length, source) => {
                    let bytes = self.scratch.datagram.get(..length).unwrap_or_default();
                    if length > self.max_message {
                        let (transport, reason) = (Transport::Udp, ParseReason::TooLarge);
                        let event = Event::ParseFailed { transport, source, reason, answered: None };
                        self.recorder.record(&event);
                        continue;
                    }
                    let hop = socket.hop(source);
                    let owner = self.exchange.owner(bytes, self.id);
                    if owner == self.id {
                        self.core.handle_input(Input::Message { hop, bytes }, now);
                    } else {
                        let delivery = Delivery::Message { hop, bytes: bytes.to_vec() };
                        hand_over(&self.exchange, owner, delivery, &mut self.recorder);
                    }
                }
            }
        }
    }

    /// Sends what the core put out, then records; what fails is told to the core, which may send
    /// elsewhere.
    pub(super) fn settle(&mut self, now: Instant) {
        for _ in 0..RESENDS {
            self.send();
            self.note_delay(now);
            let recorder = &mut self.recorder;
            self.core.outbox().tell_events(|event| {
                // The control plane tells of the drain of all workers together.
                if !matches!(event, Event::DrainStarted { .. } | Event::DrainEnded { .. }) {
                    recorder.record(event);
                }
            });
            self.collect_evidence();
            self.core.outbox().clear();
            self.return_failed(now);
            self.tell_evidence(now);
            if self.core.outbox().is_empty() {
                break;
            }
        }
        self.publish(None);
    }

    fn collect_evidence(&mut self) {
        self.scratch.evidence.extend(self.core.outbox().drain_evidence());
    }

    /// Gives what requests showed of their destinations to the owner of states, if there is room in its
    /// queue: it waits for nobody.
    fn tell_evidence(&mut self, now: Instant) {
        for (target, evidence) in self.scratch.evidence.drain(..) {
            if self.id == OWNER {
                self.core.handle_input(Input::Evidence { target, evidence }, now);
            } else if !self.exchange.try_hand(OWNER, Delivery::Evidence(target, evidence)) {
                self.recorder.record(&Event::EvidenceDropped);
            }
        }
    }

    /// Records how long what was passed on took since the step began, with one more look at the
    /// clock for all of it.
    fn note_delay(&mut self, begun: Instant) {
        let mut kinds = self.core.outbox().forwarded().peekable();
        if kinds.peek().is_some() {
            let delay = begun.elapsed();
            kinds.for_each(|kind| {
                self.recorder.record(&Event::MessageForwarded { kind, since: begun, delay })
            });
        }
    }

    fn send(&mut self) {
        let mut post = Post {
            sockets: &self.sockets,
            recorder: &mut self.recorder,
            found: &mut self.scratch.found,
            failed: &mut self.scratch.failed,
            patient: true,
            position: 0,
            waiting: SmallVec::new(),
        };
        for (hop, bytes) in self.core.outbox().transmits() {
            match hop.transport {
                Transport::Udp => match self.by_listener.get(hop.listener.index()).copied().flatten() {
                    Some(position) => post.push(position, hop.remote, bytes),
                    None => post.fail(hop, bytes, TransportReason::Other),
                },
                Transport::Tcp => {
                    if let Err(reason) = self.streams.send(self.id, hop, bytes) {
                        post.fail(hop, bytes, reason);
                    }
                }
            }
        }
        post.flush();
    }

    /// Tells whoever sent them of the messages that could not be delivered.
    fn return_failed(&mut self, now: Instant) {
        for (hop, message, reason) in self.scratch.failed.drain(..) {
            let sender = self.exchange.sender(&message, self.id);
            if sender == self.id {
                self.core.handle_input(Input::Undeliverable { hop, message: &message, reason }, now);
            } else {
                // If its queue is full, its timers tell it.
                self.exchange.try_hand(sender, Delivery::Undeliverable { hop, message, reason });
            }
        }
    }
}

/// Gives a datagram to the worker that owns it, or drops it.
fn hand_over(exchange: &Exchange, owner: WorkerId, delivery: Delivery, recorder: &mut Recorder) {
    let result = if exchange.try_hand(owner, delivery) {
        HandoverResult::Ok
    } else {
        let (direction, reason) = (Direction::Received, DropReason::QueueFull);
        recorder.record(&Event::MessageDropped { direction, reason });
        HandoverResult::Full
    };
    recorder.record(&Event::HandedOver { result });
}

/// Datagrams on their way out, those of one socket together.
struct Post<'a> {
    sockets: &'a [UdpSocket],
    recorder: &'a mut Recorder,
    found: &'a mut Vec<Undelivered>,
    failed: &'a mut Vec<(Hop, Vec<u8>, TransportReason)>,
    patient: bool,
    /// The socket of those that wait.
    position: usize,
    waiting: SmallVec<[(SocketAddr, &'a [u8]); MANY]>,
}

/// A datagram came back on the error queue.
fn returned(reason: TransportReason) -> Event {
    Event::SocketFailed { transport: Transport::Udp, operation: SocketOperation::Recv, reason }
}

impl<'a> Post<'a> {
    fn push(&mut self, position: usize, remote: SocketAddr, bytes: &'a [u8]) {
        if self.waiting.len() == MANY || position != self.position {
            self.flush();
        }
        self.position = position;
        self.waiting.push((remote, bytes));
    }

    /// Sends what waits: many with one call, and one that could not go with them by itself, so that
    /// its error is known.
    fn flush(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let Some(socket) = self.sockets.get(self.position) else { return };
        let mut rest = waiting.as_slice();
        while let [(remote, bytes), behind @ ..] = rest {
            let sent = if behind.is_empty() { 0 } else { socket.send_many(rest) };
            if sent > 0 {
                rest = rest.get(sent..).unwrap_or_default();
                continue;
            }
            let result = socket.send(*remote, bytes, self.found, &mut self.patient);
            for lost in self.found.drain(..) {
                self.recorder.record(&returned(lost.reason));
                self.failed.push((socket.hop(lost.remote), lost.quote, lost.reason));
            }
            if let Err(reason) = result {
                self.fail(socket.hop(*remote), bytes, reason);
            }
            rest = behind;
        }
    }

    /// Tells of a message that could not be sent.
    fn fail(&mut self, hop: Hop, bytes: &[u8], reason: TransportReason) {
        let (transport, operation) = (hop.transport, SocketOperation::Send);
        self.recorder.record(&Event::SocketFailed { transport, operation, reason });
        // A full buffer of our own says nothing of the peer: a lost datagram, which the timers of the
        // transaction repair. A full stream is one that is not read.
        if transport != Transport::Udp || reason != TransportReason::WouldBlock {
            self.failed.push((hop, bytes.to_vec(), reason));
        }
    }
}
