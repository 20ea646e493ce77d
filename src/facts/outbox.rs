//! What a step of the core puts out: messages to send, events, and evidence, each in order.
//!
//! Messages are written into one arena that is reused, so a step allocates nothing once the arena
//! has grown to the size of a batch. Owned by the core; drained by the worker loop after a batch.

use super::event::{Event, MessageKind};
use super::evidence::Evidence;
use super::record::TransactionRecord;
use super::{Hop, Target};
use std::ops::Range;

/// A message to send, with its bytes in the outbox's arena.
#[derive(Debug, Clone)]
pub struct Transmit {
    /// Where to.
    pub hop: Hop,
    bytes: Range<usize>,
    /// Whether it passes on a message that came in this step.
    forwards: bool,
}

/// Records kept for use again: as many as may end in a few steps.
const SPARE_RECORDS: usize = 256;

/// Collects what steps put out until the worker loop drains it.
#[derive(Debug, Default)]
pub struct Outbox {
    arena: Vec<u8>,
    transmits: Vec<Transmit>,
    events: Vec<Event>,
    evidence: Vec<(Target, Evidence)>,
    #[expect(clippy::vec_box, reason = "an event carries its record in a box, which is what is used again")]
    spare_records: Vec<Box<TransactionRecord>>,
}

impl Outbox {
    /// Queues a message that `write` appends to the arena.
    pub fn send_with(&mut self, hop: Hop, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.arena.len();
        write(&mut self.arena);
        let bytes = start..self.arena.len();
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let kind = kind_of(self.arena.get(bytes.clone()).unwrap_or_default());
        self.events.push(Event::MessageSent { transport: hop.transport, kind, bytes: size });
        self.transmits.push(Transmit { hop, bytes, forwards: false });
    }

    /// The message queued last.
    pub fn last(&self) -> &[u8] {
        let last = self.transmits.last().map_or(0..0, |transmit| transmit.bytes.clone());
        self.arena.get(last).unwrap_or_default()
    }

    /// Says that the message queued last passes on one that came in this step.
    pub fn mark_forwarded(&mut self) {
        if let Some(last) = self.transmits.last_mut() {
            last.forwards = true;
        }
    }

    /// The kind of each queued message that passes on one that came in this step.
    pub fn forwarded(&self) -> impl Iterator<Item = MessageKind> {
        let forwards = self.transmits.iter().filter(|transmit| transmit.forwards);
        forwards.map(|transmit| kind_of(self.arena.get(transmit.bytes.clone()).unwrap_or_default()))
    }

    /// Queues an event.
    pub fn event(&mut self, event: Event) {
        self.events.push(event);
    }

    /// The queued messages, oldest first.
    pub fn transmits(&self) -> impl Iterator<Item = (Hop, &[u8])> {
        self.transmits
            .iter()
            .map(|transmit| (transmit.hop, self.arena.get(transmit.bytes.clone()).unwrap_or_default()))
    }

    /// Tells every queued event, oldest first, and forgets it; its memory serves for those to come.
    pub fn tell_events(&mut self, mut tell: impl FnMut(&Event)) {
        for event in self.events.drain(..) {
            tell(&event);
            if let Event::TransactionFinished(record) | Event::RequestUnanswered(record) = event
                && self.spare_records.len() < SPARE_RECORDS
            {
                self.spare_records.push(record);
            }
        }
    }

    /// A record that has been told and can be written anew.
    pub fn spare_record(&mut self) -> Option<Box<TransactionRecord>> {
        self.spare_records.pop()
    }

    /// Takes the queued events, oldest first.
    pub fn drain_events(&mut self) -> std::vec::Drain<'_, Event> {
        self.events.drain(..)
    }

    /// Queues what an attempt showed of its destination, for the owner of states.
    pub fn evidence(&mut self, target: Target, evidence: Evidence) {
        self.evidence.push((target, evidence));
    }

    /// Takes the queued evidence, oldest first.
    pub fn drain_evidence(&mut self) -> std::vec::Drain<'_, (Target, Evidence)> {
        self.evidence.drain(..)
    }

    /// Forgets messages, events and evidence, keeping the memory for the next batch.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.transmits.clear();
        self.events.clear();
        self.evidence.clear();
    }

    /// Whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.transmits.is_empty() && self.events.is_empty() && self.evidence.is_empty()
    }

    /// How many messages are queued.
    pub fn pending(&self) -> usize {
        self.transmits.len()
    }
}

fn kind_of(message: &[u8]) -> MessageKind {
    if message.starts_with(b"SIP/") { MessageKind::Response } else { MessageKind::Request }
}
