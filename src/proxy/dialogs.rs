//! The dialogs that went through us: who the two parties are and which destination serves them.
//!
//! Requests inside a dialog travel by their Route set; this table serves those whose sender lost
//! it (SIPp's built-in `uac` does) and tells a request of a dialog from an invented To tag. It
//! never chooses a destination.

use super::tally::Tally;
use crate::dispatch::Call;
use crate::facts::secret::Secret;
use crate::facts::trace::SpanRef;
use crate::facts::{Hop, SetId, Target};
use crate::sip::Message;
use crate::transaction::store::{Store, Stored};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, Instant};

/// Bytes of a Contact in one chunk: most fit, and it takes 96 with what links it.
const CHUNK: usize = 80;

/// The URI of a Contact, kept by [`Dialogs`].
pub type Contact = Stored<CHUNK>;

/// Names a dialog (RFC 3261 §12) as seen from one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DialogKey(u128);

/// One side of a dialog.
#[derive(Debug)]
pub struct Party {
    /// Its remote target: the URI of its Contact.
    pub contact: Contact,
    /// Where its messages come from.
    pub hop: Hop,
}

/// A confirmed dialog.
#[derive(Debug)]
pub struct Dialog {
    /// The destination that answered; `None` if the peer was none of ours.
    pub target: Option<Target>,
    /// The set of that destination.
    pub set: Option<SetId>,
    /// Who sent the INVITE.
    pub caller: Party,
    /// Who answered it.
    pub callee: Party,
    /// The span of its INVITE, if that was told of.
    pub span: Option<SpanRef>,
    /// When it was confirmed.
    pub created: Instant,
    /// The call that it counts as on its destination.
    #[expect(dead_code, reason = "it is counted for as long as it is held")]
    pub call: Option<Call>,
}

/// Every dialog alive.
#[derive(Debug)]
pub struct Dialogs {
    secret: Secret,
    by_key: HashMap<DialogKey, Dialog, foldhash::fast::RandomState>,
    counts: Tally,
    contacts: Store<CHUNK>,
    scratch: Vec<u8>,
    next_sweep: Option<Instant>,
}

/// How many dialogs are remembered at most, about 300 MiB of them. A call beyond that still works:
/// its requests carry their Route set.
const MAX: usize = 1 << 20;

/// Dialogs for which the table keeps room however few there are.
const FEW: usize = 1_024;

/// Bytes of Contacts for which there is room from the start.
const FIRST: usize = 16 << 10;

/// How many times in the life of the oldest dialog the table is swept.
const SWEEPS: u32 = 32;
/// Bytes of the two Contacts of a dialog that is remembered. What is longer is no address of a
/// telephone, and would let one caller fill the memory for as long as a call may live.
const MAX_CONTACTS: usize = 512;

impl Dialogs {
    /// An empty table.
    pub fn new(secret: &Secret) -> Self {
        Self {
            secret: secret.derive("dialogs"),
            by_key: HashMap::default(),
            counts: Tally::default(),
            contacts: Store::with_room(FIRST),
            scratch: Vec::new(),
            next_sweep: None,
        }
    }

    /// Remembers the dialog that a 2xx to an INVITE confirms, unless there are too many; without its
    /// Contacts if they are absurdly long: then only its Route set carries it. A repetition changes
    /// nothing. Returns whether it is remembered.
    pub fn confirm(&mut self, response: Message<'_>, mut dialog: Dialog) -> bool {
        let Some((from, to)) = tags(response) else {
            self.forget_parties(&mut dialog);
            return false;
        };
        let key = key(&self.secret, response.call_id(), from, to);
        let is_absurd = dialog.caller.contact.len() + dialog.callee.contact.len() > MAX_CONTACTS;
        if is_absurd {
            self.forget_parties(&mut dialog);
        }
        let has_room = self.by_key.len() < MAX || self.by_key.contains_key(&key);
        if has_room && let Entry::Vacant(place) = self.by_key.entry(key) {
            if let Some(set) = dialog.set {
                self.counts.add(set);
            }
            place.insert(dialog);
        } else {
            self.forget_parties(&mut dialog);
        }
        has_room
    }

    /// A 2xx to a request inside a dialog may give either party another remote target (RFC 3261
    /// §12.2.1.2, §12.2.2; RFC 3311 §5.2).
    pub fn refresh(&mut self, request: Message<'_>, response: Message<'_>, from: Hop, to: Hop) {
        let Some([forth, back]) = self.keys(request) else { return };
        let (key, is_callers) = if self.by_key.contains_key(&forth) { (forth, true) } else { (back, false) };
        let Some(dialog) = self.by_key.get_mut(&key) else { return };
        let Dialog { caller, callee, .. } = dialog;
        let (sender, other) = if is_callers { (caller, callee) } else { (callee, caller) };
        let contacts = [request.contact(), response.contact()];
        if contacts.iter().flatten().map(|contact| contact.len()).sum::<usize>() > MAX_CONTACTS {
            return;
        }
        for (party, contact, hop) in [(sender, contacts[0], from), (other, contacts[1], to)] {
            if let Some(contact) = contact {
                self.contacts.replace(&mut party.contact, contact);
                party.hop = hop;
            }
        }
    }

    /// The dialog that a request belongs to, and the party it is for.
    pub fn find(&self, request: Message<'_>) -> Option<(&Dialog, &Party)> {
        let [forth, back] = self.keys(request)?;
        if let Some(dialog) = self.by_key.get(&forth) {
            return Some((dialog, &dialog.callee));
        }
        self.by_key.get(&back).map(|dialog| (dialog, &dialog.caller))
    }

    /// The key of the dialog that a request belongs to, if it is known, and the span of its INVITE.
    pub fn key_of(&self, request: Message<'_>) -> Option<(DialogKey, Option<SpanRef>)> {
        self.keys(request)?.into_iter().find_map(|key| Some((key, self.by_key.get(&key)?.span)))
    }

    /// The keys of a request sent by the caller, and by the callee.
    fn keys(&self, request: Message<'_>) -> Option<[DialogKey; 2]> {
        let (from, to) = tags(request)?;
        let call_id = request.call_id();
        Some([key(&self.secret, call_id, from, to), key(&self.secret, call_id, to, from)])
    }

    /// Forgets a dialog that has ended; the destination that served it, and when it was confirmed.
    pub fn end(&mut self, key: DialogKey) -> Option<(Target, Instant)> {
        let mut dialog = self.by_key.remove(&key)?;
        if let Some(set) = dialog.set {
            self.counts.take(set);
        }
        self.forget_parties(&mut dialog);
        self.shrink();
        Some((dialog.target?, dialog.created))
    }

    /// Gives memory back when hardly any of it is used.
    fn shrink(&mut self) {
        let (used, room) = (self.by_key.len(), self.by_key.capacity());
        if room > FEW.max(8 * used) {
            self.by_key.shrink_to(2 * used);
        }
    }

    /// Keeps a Contact until [`Dialogs::confirm`] or [`Dialogs::forget`].
    pub fn keep(&mut self, contact: &[u8]) -> Contact {
        self.contacts.keep(contact)
    }

    /// Keeps another copy of a Contact.
    pub fn keep_again(&mut self, contact: &Contact) -> Contact {
        self.scratch.clear();
        self.contacts.copy(contact, &mut self.scratch);
        self.contacts.keep(&self.scratch)
    }

    /// Frees a Contact of which no dialog was made.
    pub fn forget(&mut self, contact: &mut Contact) {
        self.contacts.free(contact);
    }

    /// The Contact of a party; `None` if it was too long to be kept.
    pub fn contact(&self, party: &Party) -> Option<Box<[u8]>> {
        let mut contact = Vec::with_capacity(party.contact.len());
        self.contacts.copy(&party.contact, &mut contact);
        (!contact.is_empty()).then(|| contact.into())
    }

    /// Chunks of Contacts kept: those of the dialogs alive, and of calls that may become one.
    pub fn contacts_kept(&self) -> usize {
        self.contacts.len()
    }

    fn forget_parties(&mut self, dialog: &mut Dialog) {
        self.contacts.free(&mut dialog.caller.contact);
        self.contacts.free(&mut dialog.callee.contact);
    }

    /// Forgets dialogs older than `max_age`, now and then; calls `expired` for each.
    pub fn sweep(&mut self, now: Instant, max_age: Duration, mut expired: impl FnMut(&Dialog)) {
        if self.next_sweep.is_some_and(|at| now < at) {
            return;
        }
        self.next_sweep = Some(now + max_age / SWEEPS);
        let Self { by_key, counts, contacts, .. } = self;
        by_key.retain(|_, dialog| {
            let keep = now.saturating_duration_since(dialog.created) < max_age;
            if !keep {
                expired(dialog);
                if let Some(set) = dialog.set {
                    counts.take(set);
                }
                contacts.free(&mut dialog.caller.contact);
                contacts.free(&mut dialog.callee.contact);
            }
            keep
        });
        self.shrink();
    }

    /// When the next sweep is due, while there is anything to sweep.
    pub fn next_sweep(&self) -> Option<Instant> {
        self.next_sweep.filter(|_| !self.by_key.is_empty())
    }

    /// How many dialogs are alive.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Counts the dialogs alive by set, in order of the sets.
    pub fn by_set(&self) -> Vec<(SetId, u64)> {
        self.counts.counts()
    }
}

fn tags<'a>(message: Message<'a>) -> Option<(&'a [u8], &'a [u8])> {
    Some((message.from_tag()?, message.to_tag()?))
}

fn key(secret: &Secret, call_id: &[u8], from: &[u8], to: &[u8]) -> DialogKey {
    DialogKey(secret.mac(&[call_id, from, to]))
}
