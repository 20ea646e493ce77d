//! Transactions of RFC 3261 §17: matching, retransmissions, timers.
//!
//! Owns every message that may have to be sent again. Knows nothing of routing: a server
//! transaction is answered by its owner, a client transaction is sent where its owner says, and
//! the owner is told of responses and time-outs. Never reads a clock; never blocks.

mod alarms;
mod branch;
mod client;
mod key;
mod linger;
mod open;
mod relief;
mod server;
mod settings;
pub mod slab;
pub mod store;
pub mod timer;
mod told;
mod tombstones;

pub use branch::{Branch, COOKIE, Purpose};
pub use client::{Client, ClientState};
pub use key::Key;
pub use server::{Server, ServerState};
pub use settings::Settings;
pub use told::{Delivered, Fired, Matched, Owner};

use crate::facts::event::{Event, Role};
use crate::facts::outbox::Outbox;
use crate::facts::secret::{Nonces, Secret};
use crate::facts::{Hop, Method, StatusClass, Target, WorkerId};
use crate::sip::{Message, RequestEdit, build};
use client::ClientAction;
use linger::{Linger, weight_of_client, weight_of_server};
use open::Open;
use server::ServerAction;
use slab::{Id, Slab};
use std::collections::HashMap;
use std::time::Instant;
use store::Store;
use timer::Wheel;
use tombstones::Tombstones;

#[derive(Debug, Clone, Copy)]
enum Due {
    Client(Id<Client>),
    Server(Id<Server>),
}

/// What a client transaction is opened with.
#[derive(Debug, Clone, Copy)]
pub struct Opening {
    /// What its branch is for.
    pub purpose: Purpose,
    /// The request's method.
    pub method: Method,
    /// Where it goes.
    pub hop: Hop,
    /// The destination it counts for.
    pub target: Option<Target>,
    /// Who is told.
    pub owner: Owner,
    /// The hash that tells a loop from a spiral.
    pub loop_hash: u64,
}

/// Bytes of messages that one transaction usually keeps.
const USUAL: usize = 768;

/// Every transaction of one worker.
#[derive(Debug)]
pub struct Transactions {
    settings: Settings,
    worker: WorkerId,
    secret: Secret,
    nonces: Nonces,
    clients: Slab<Client>,
    servers: Slab<Server>,
    by_key: HashMap<Key, Id<Server>, foldhash::fast::RandomState>,
    wheel: Wheel<Due>,
    open: Open,
    messages: Store,
    linger: Linger,
    tombstones: Tombstones,
}

impl Transactions {
    /// An empty layer. Keys and branches depend on the secret alone.
    pub fn new(settings: Settings, worker: WorkerId, secret: &Secret, now: Instant) -> Self {
        let room = settings.room();
        let transactions = room / USUAL;
        Self {
            settings,
            worker,
            secret: secret.derive("transaction keys"),
            nonces: Nonces::new(secret.derive(&format!("branches of worker {}", worker.0))),
            clients: Slab::with_room(transactions / 2),
            servers: Slab::with_room(transactions),
            by_key: HashMap::default(),
            wheel: Wheel::with_room(now, transactions + transactions / 2),
            open: Open::default(),
            messages: Store::with_room(room),
            linger: Linger::default(),
            tombstones: Tombstones::default(),
        }
    }

    /// Uses these timers for transactions from now on.
    pub fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// The timers in use.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Matches a request (RFC 3261 §17.2.3) and answers repetitions.
    pub fn receive_request(&mut self, request: Message<'_>, now: Instant, out: &mut Outbox) -> Matched {
        let key = Key::of(request, &self.secret);
        let Some(&id) = self.by_key.get(&key) else {
            if self.tombstones.absorb(key, request.method()) {
                return Matched::Absorbed(Owner::Nobody);
            }
            return if request.method() == Method::Ack { Matched::EndToEndAck } else { Matched::New(key) };
        };
        let Some(server) = self.servers.get_mut(id) else { return Matched::New(key) };
        let owner = server.owner;
        if request.method() == Method::Ack {
            let before = weight_of_server(server);
            if !server.on_ack(now, &self.settings) {
                return Matched::EndToEndAck;
            }
            self.messages.free(&mut server.last);
            self.linger.weigh_server(id, server.method, before, weight_of_server(server));
        } else {
            out.event(Event::RequestAbsorbed { listener: server.hop.listener });
            match server.on_retransmission() {
                ServerAction::Repeat => {
                    out.send_with(server.hop, |arena| self.messages.copy(&server.last, arena));
                }
                ServerAction::Wait | ServerAction::End => {}
            }
        }
        self.rearm_server(id);
        Matched::Absorbed(owner)
    }

    /// The INVITE that a CANCEL is meant for, if it is still known (RFC 3261 §9.2).
    pub fn find_cancelled(&self, cancel: Message<'_>) -> Option<Id<Server>> {
        self.by_key.get(&Key::of_cancelled(cancel, &self.secret)).copied()
    }

    /// Opens the server transaction of a new request; responses go to `hop`.
    pub fn open_server(&mut self, key: Key, method: Method, hop: Hop, owner: Owner) -> Id<Server> {
        let id = self.servers.insert_with(|_| Server::new(key, method, hop, owner));
        self.by_key.insert(key, id);
        self.open.change(Role::Server, method, 1);
        id
    }

    /// Says who is told of a server transaction from now on.
    pub fn set_server_owner(&mut self, id: Id<Server>, owner: Owner) {
        if let Some(server) = self.servers.get_mut(id) {
            server.owner = owner;
        }
    }

    /// The owner of a server transaction.
    pub fn server_owner(&self, id: Id<Server>) -> Option<Owner> {
        self.servers.get(id).map(|server| server.owner)
    }

    /// Opens a server transaction beside that of an INVITE, for a 2xx that comes after another final
    /// response went up, and for the repetitions of that 2xx. Requests do not match it.
    pub fn open_beside(&mut self, invite: Message<'_>, hop: Hop) -> Id<Server> {
        let key = Key::of(invite, &self.secret);
        self.open.change(Role::Server, Method::Invite, 1);
        self.servers.insert_with(|_| Server::new(key, Method::Invite, hop, Owner::Nobody))
    }

    /// Sends a response, which `write` appends, unless a final one has gone before. Returns whether
    /// it went.
    pub fn respond(
        &mut self,
        id: Id<Server>,
        code: u16,
        now: Instant,
        out: &mut Outbox,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let Some(server) = self.servers.get_mut(id) else { return false };
        let was_open = server.state == ServerState::Proceeding;
        let before = weight_of_server(server);
        if !server.on_response(code, now, &self.settings) {
            return false;
        }
        let is_2xx_to_invite = server.state == ServerState::Accepted;
        out.send_with(server.hop, write);
        if is_2xx_to_invite || server.hop.transport.is_reliable() {
            self.messages.free(&mut server.last);
        } else {
            self.messages.replace(&mut server.last, out.last());
        }
        let is_closed = was_open && server.state != ServerState::Proceeding;
        let method = server.method;
        self.linger.weigh_server(id, method, before, weight_of_server(server));
        if is_closed {
            self.open.change(Role::Server, method, -1);
        }
        self.rearm_server(id);
        self.relieve(now, out);
        true
    }

    /// Opens a client transaction and sends its request, which `write` appends given the branch. A
    /// probe is kept for retransmission; the request of a call is written again by its owner.
    pub fn send(
        &mut self,
        opening: Opening,
        now: Instant,
        out: &mut Outbox,
        write: impl FnOnce(&Branch, &mut Vec<u8>),
    ) -> Id<Client> {
        let Opening { purpose, method, hop, target, owner, loop_hash } = opening;
        let nonce = self.nonces.next_u64();
        let settings = &self.settings;
        let id = self.clients.insert_with(|_| Client::new(nonce, method, hop, target, owner, now, settings));
        let branch = Branch { purpose, worker: self.worker, slot: id.index(), nonce, loop_hash };
        out.send_with(hop, |arena| write(&branch, arena));
        if let Some(client) = self.clients.get_mut(id)
            && purpose == Purpose::Probe
            && !hop.transport.is_reliable()
        {
            client.sent = self.messages.keep(out.last());
        }
        self.open.change(Role::Client, method, 1);
        self.rearm_client(id);
        id
    }

    /// Matches a response (RFC 3261 §17.1.3), acknowledges a non-2xx to an INVITE, and says who is
    /// to hear of it.
    pub fn receive_response(&mut self, response: Message<'_>, now: Instant, out: &mut Outbox) -> Delivered {
        let Some(branch) = response.top_via().branch.and_then(Branch::read) else {
            return Delivered::Stray(None);
        };
        let stray = Delivered::Stray(Some(branch.purpose));
        let Some(id) = self.find(&branch, response.method()) else { return stray };
        let Some(client) = self.clients.get_mut(id) else { return stray };
        let was_open = client.is_open();
        let before = weight_of_client(client);
        let action = client.on_response(response.status(), now, &self.settings);
        match action {
            // Over TCP no ACK is kept: a second failure comes at most in the same step.
            ClientAction::AckAgain if client.sent.is_empty() => {}
            ClientAction::AckAgain => {
                out.send_with(client.hop, |arena| self.messages.copy(&client.sent, arena));
            }
            ClientAction::Deliver | ClientAction::DeliverAndAck | ClientAction::Absorb => {}
        }
        if !client.may_repeat() {
            self.messages.free(&mut client.sent);
        }
        self.linger.weigh_client(id, before, weight_of_client(client));
        let (owner, target, method) = (client.owner, client.target, client.method);
        let cancel = if client.is_open() { None } else { client.cancel.take() };
        if was_open && !client.is_open() {
            self.open.change(Role::Client, method, -1);
        }
        self.rearm_client(id);
        if let Some(cancel) = cancel {
            // The INVITE has its final response: its CANCEL need not be repeated.
            self.forget(cancel);
        }
        let (delivered, is_repeated) = match action {
            // A further 2xx goes up each time (RFC 6026 §7.2).
            ClientAction::Deliver => (Delivered::To(owner), !was_open),
            ClientAction::DeliverAndAck => (Delivered::Unacknowledged(owner), false),
            ClientAction::AckAgain | ClientAction::Absorb => (Delivered::Absorbed, true),
        };
        if let Some(target) = target.filter(|_| is_repeated) {
            out.event(Event::ResponseRepeated { target });
        }
        delivered
    }

    /// Acknowledges the final response other than 2xx that came for an INVITE, given as it came and with
    /// what was changed in it (RFC 3261 §17.1.1.3). The ACK is kept for repetitions of the response.
    pub fn acknowledge(
        &mut self,
        id: Id<Client>,
        invite: Message<'_>,
        edit: &RequestEdit<'_>,
        response: Message<'_>,
        out: &mut Outbox,
    ) {
        debug_assert!(StatusClass::of(response.status()) > StatusClass::Success);
        let Some(client) = self.clients.get_mut(id) else { return };
        out.send_with(client.hop, |arena| build::ack(invite, edit, response, arena));
        if !client.hop.transport.is_reliable() {
            let before = weight_of_client(client);
            self.messages.replace(&mut client.sent, out.last());
            self.linger.weigh_client(id, before, weight_of_client(client));
        }
    }

    /// Sends a CANCEL for an INVITE without a final response, given as it came and with what was changed
    /// in it, once (RFC 3261 §9.1); the caller waits for a provisional response first. `reason` is the
    /// value of Reason to copy.
    pub fn cancel(
        &mut self,
        id: Id<Client>,
        invite: Message<'_>,
        edit: &RequestEdit<'_>,
        reason: Option<&[u8]>,
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some(client) = self.clients.get_mut(id) else { return };
        if !client.is_open() || client.method != Method::Invite || client.cancel.is_some() {
            return;
        }
        let (nonce, hop) = (client.nonce, client.hop);
        out.send_with(hop, |arena| build::cancel(invite, edit, reason, arena));
        let settings = &self.settings;
        let cancel = self
            .clients
            .insert_with(|_| Client::new(nonce, Method::Cancel, hop, None, Owner::Nobody, now, settings));
        if let Some(client) = self.clients.get_mut(cancel)
            && !hop.transport.is_reliable()
        {
            client.sent = self.messages.keep(out.last());
        }
        self.open.change(Role::Client, Method::Cancel, 1);
        if let Some(client) = self.clients.get_mut(id) {
            client.cancel = Some(cancel);
        }
        self.rearm_client(cancel);
    }

    /// The branch of the client transaction of a call, for writing its request again.
    pub fn branch_of(&self, id: Id<Client>, loop_hash: u64) -> Option<Branch> {
        let nonce = self.clients.get(id)?.nonce;
        Some(Branch { purpose: Purpose::Call, worker: self.worker, slot: id.index(), nonce, loop_hash })
    }

    /// Ends a client transaction without telling its owner; a late response will be a stray.
    pub fn forget(&mut self, id: Id<Client>) {
        if let Some(mut client) = self.clients.remove(id) {
            client.alarm.cancel(&mut self.wheel);
            self.linger.weigh_client(id, weight_of_client(&client), 0);
            self.messages.free(&mut client.sent);
            if client.is_open() {
                self.open.change(Role::Client, client.method, -1);
            }
            if let Some(cancel) = client.cancel {
                self.forget(cancel);
            }
        }
    }

    /// The client transaction that sent a message which could not be delivered, if it has had no
    /// response; it is ended, and its owner and the number of retransmissions returned.
    pub fn undeliverable(&mut self, branch: &Branch, hop: Hop) -> Option<(Owner, u32)> {
        let (id, client) = self.clients.at(branch.slot)?;
        let concerns = client.nonce == branch.nonce
            && client.state == ClientState::Calling
            && client.hop.remote == hop.remote
            && client.hop.transport == hop.transport;
        let told = (client.owner, client.retransmissions);
        concerns.then(|| {
            self.forget(id);
            told
        })
    }

    /// Says who is told of a client transaction from now on.
    pub fn set_client_owner(&mut self, id: Id<Client>, owner: Owner) {
        if let Some(client) = self.clients.get_mut(id) {
            client.owner = owner;
        }
    }

    /// The owner of the client transaction of a branch, if it is alive.
    pub fn owner_of(&self, branch: &Branch) -> Option<Owner> {
        let (_, client) = self.clients.at(branch.slot).filter(|(_, client)| client.nonce == branch.nonce)?;
        Some(client.owner)
    }

    /// The worker whose transactions these are.
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// Retransmissions sent so far by a client transaction that is alive.
    pub fn retransmissions(&self, id: Id<Client>) -> u32 {
        self.clients.get(id).map_or(0, |client| client.retransmissions)
    }

    /// Whether a client transaction still waits for its final response.
    pub fn is_open(&self, id: Id<Client>) -> bool {
        self.clients.get(id).is_some_and(Client::is_open)
    }

    /// Transactions without a final response, by role and method.
    pub fn open_counts(&self) -> impl Iterator<Item = (Role, Method, u64)> {
        self.open.counts()
    }

    /// Server transactions without a final response.
    pub fn unfinished(&self) -> u64 {
        self.open.servers()
    }

    /// The messages kept, for owners that keep one of their own.
    pub fn messages(&self) -> &Store {
        &self.messages
    }

    /// The messages kept, to add to or to free.
    pub fn messages_mut(&mut self) -> &mut Store {
        &mut self.messages
    }

    /// Every transaction alive, finished ones that linger included: (client, server).
    pub fn alive(&self) -> (usize, usize) {
        (self.clients.len(), self.servers.len())
    }

    /// Timers set: at most one for each of them.
    pub fn timers(&self) -> usize {
        self.wheel.count()
    }

    fn find(&self, branch: &Branch, method: Method) -> Option<Id<Client>> {
        if branch.worker != self.worker {
            return None;
        }
        let (id, client) = self.clients.at(branch.slot).filter(|(_, client)| client.nonce == branch.nonce)?;
        match (client.method, method) {
            // A CANCEL shares the branch of its INVITE; CSeq tells the responses apart.
            (Method::Invite, Method::Cancel) => client.cancel,
            (ours, theirs) if ours == theirs => Some(id),
            _ => None,
        }
    }

    /// Gives up on a server transaction that will get no final response (RFC 4320 forbids a late
    /// one). It lingers, so that a repetition still under way is not taken for a new request.
    pub fn abandon_server(&mut self, id: Id<Server>, now: Instant) {
        let Some(server) = self.servers.get_mut(id) else { return };
        let was_open = server.state == ServerState::Proceeding;
        let before = weight_of_server(server);
        server.abandon(now, &self.settings);
        self.messages.free(&mut server.last);
        self.linger.weigh_server(id, server.method, before, weight_of_server(server));
        if was_open {
            self.open.change(Role::Server, server.method, -1);
        }
        self.rearm_server(id);
    }
}
