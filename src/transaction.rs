//! Transactions of RFC 3261 §17: matching, retransmissions, timers.
//!
//! Owns every message that may have to be sent again. Knows nothing of routing: a server
//! transaction is answered by its owner, a client transaction is sent where its owner says, and
//! the owner is told of responses and time-outs. Never reads a clock; never blocks.

mod branch;
mod client;
mod key;
mod open;
mod server;
mod settings;
pub mod slab;
pub mod timer;
mod told;

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
use crate::sip::{Framing, Index, Message, build, parse};
use client::{ClientAction, ClientAlarm};
use open::Open;
use server::ServerAction;
use slab::{Id, Slab};
use std::collections::HashMap;
use std::time::Instant;
use timer::Wheel;

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
    index: Index,
}

impl Transactions {
    /// An empty layer. Keys and branches depend on the secret alone.
    pub fn new(settings: Settings, worker: WorkerId, secret: &Secret, now: Instant) -> Self {
        Self {
            settings,
            worker,
            secret: secret.derive("transaction keys"),
            nonces: Nonces::new(secret.derive(&format!("branches of worker {}", worker.0))),
            clients: Slab::default(),
            servers: Slab::default(),
            by_key: HashMap::default(),
            wheel: Wheel::new(now),
            open: Open::default(),
            index: Index::default(),
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
            return if request.method() == Method::Ack { Matched::EndToEndAck } else { Matched::New(key) };
        };
        let Some(server) = self.servers.get_mut(id) else { return Matched::New(key) };
        let owner = server.owner;
        if request.method() == Method::Ack {
            if !server.on_ack(now, &self.settings) {
                return Matched::EndToEndAck;
            }
        } else {
            out.event(Event::RequestAbsorbed { listener: server.hop.listener });
            match server.on_retransmission() {
                ServerAction::Repeat => out.send(server.hop, &server.last),
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
        if !server.on_response(code, now, &self.settings) {
            return false;
        }
        let is_2xx_to_invite = server.state == ServerState::Accepted;
        if is_2xx_to_invite || server.hop.transport.is_reliable() {
            server.last = Vec::new();
            out.send_with(server.hop, write);
        } else {
            server.last.clear();
            write(&mut server.last);
            out.send(server.hop, &server.last);
        }
        let is_closed = was_open && server.state != ServerState::Proceeding;
        let method = server.method;
        if is_closed {
            self.open.change(Role::Server, method, -1);
        }
        self.rearm_server(id);
        true
    }

    /// Opens a client transaction and sends its request, which `write` appends given the branch.
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
        if let Some(client) = self.clients.get_mut(id) {
            write(&branch, &mut client.sent);
            out.send(hop, &client.sent);
            if hop.transport.is_reliable() && method != Method::Invite {
                client.sent = Vec::new();
            }
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
        let action = client.on_response(response.status(), now, &self.settings);
        match action {
            ClientAction::DeliverAndAck => {
                acknowledge(client, response, &mut self.index);
                out.send(client.hop, &client.sent);
            }
            ClientAction::AckAgain => out.send(client.hop, &client.sent),
            ClientAction::Deliver | ClientAction::Absorb => {}
        }
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
            ClientAction::Deliver | ClientAction::DeliverAndAck => (Delivered::To(owner), !was_open),
            ClientAction::AckAgain | ClientAction::Absorb => (Delivered::Absorbed, true),
        };
        if let Some(target) = target.filter(|_| is_repeated) {
            out.event(Event::ResponseRepeated { target });
        }
        delivered
    }

    /// Sends a CANCEL for an INVITE without a final response, once (RFC 3261 §9.1); the caller
    /// waits for a provisional response first. `reason` is the value of Reason to copy.
    pub fn cancel(&mut self, id: Id<Client>, reason: Option<&[u8]>, now: Instant, out: &mut Outbox) {
        let Some(invite) = self.clients.get_mut(id) else { return };
        if !invite.is_open() || invite.method != Method::Invite || invite.cancel.is_some() {
            return;
        }
        let (nonce, hop) = (invite.nonce, invite.hop);
        let mut sent = Vec::new();
        match parse(&invite.sent, Framing::Datagram, &mut self.index) {
            Ok(message) => build::cancel(message, reason, "", &mut sent),
            Err(_) => return,
        }
        let settings = &self.settings;
        let cancel = self
            .clients
            .insert_with(|_| Client::new(nonce, Method::Cancel, hop, None, Owner::Nobody, now, settings));
        out.send(hop, &sent);
        if let Some(client) = self.clients.get_mut(cancel)
            && !hop.transport.is_reliable()
        {
            client.sent = sent;
        }
        self.open.change(Role::Client, Method::Cancel, 1);
        if let Some(invite) = self.clients.get_mut(id) {
            invite.cancel = Some(cancel);
        }
        self.rearm_client(cancel);
    }

    /// Ends a client transaction without telling its owner; a late response will be a stray.
    pub fn forget(&mut self, id: Id<Client>) {
        if let Some(client) = self.clients.remove(id) {
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

    /// When [`Transactions::poll_fired`] is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wheel.next()
    }

    /// Does what is due at `now` until an owner must hear of something.
    pub fn poll_fired(&mut self, now: Instant, out: &mut Outbox) -> Option<Fired> {
        while let Some(due) = self.wheel.pop(now) {
            let fired = match due {
                Due::Client(id) => self.ring_client(id, now, out),
                Due::Server(id) => {
                    self.ring_server(id, now, out);
                    None
                }
            };
            if fired.is_some() {
                return fired;
            }
        }
        None
    }

    /// Transactions without a final response, by role and method.
    pub fn open_counts(&self) -> impl Iterator<Item = (Role, Method, u64)> {
        self.open.counts()
    }

    /// Server transactions without a final response.
    pub fn unfinished(&self) -> u64 {
        self.open.servers()
    }

    /// Every transaction alive, finished ones that linger included: (client, server).
    pub fn alive(&self) -> (usize, usize) {
        (self.clients.len(), self.servers.len())
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

    fn ring_client(&mut self, id: Id<Client>, now: Instant, out: &mut Outbox) -> Option<Fired> {
        let client = self.clients.get_mut(id)?;
        if !client.alarm.is_due(now, &mut self.wheel, Due::Client(id)) {
            return None;
        }
        let action = client.on_alarm(now, &self.settings);
        let owner = client.owner;
        let mut fired = None;
        match action {
            ClientAlarm::Retransmit => {
                out.send(client.hop, &client.sent);
                if let Some(target) = client.target {
                    out.event(Event::RequestRetransmitted { target });
                }
                fired = (owner != Owner::Nobody).then_some(Fired::Retransmitted(owner));
            }
            ClientAlarm::TimedOut(timer) => {
                if let Some(target) = client.target {
                    out.event(Event::AttemptTimedOut { target, timer });
                }
                self.forget(id);
                return (owner != Owner::Nobody).then_some(Fired::TimedOut { owner, timer });
            }
            ClientAlarm::End => self.forget(id),
            ClientAlarm::Wait => {}
        }
        self.rearm_client(id);
        fired
    }

    fn ring_server(&mut self, id: Id<Server>, now: Instant, out: &mut Outbox) {
        let Some(server) = self.servers.get_mut(id) else { return };
        if !server.alarm.is_due(now, &mut self.wheel, Due::Server(id)) {
            return;
        }
        let action = server.on_alarm(now, &self.settings);
        match action {
            ServerAction::Repeat => {
                out.send(server.hop, &server.last);
                out.event(Event::ResponseRetransmitted { listener: server.hop.listener });
            }
            ServerAction::End => return self.end_server(id),
            ServerAction::Wait => {}
        }
        self.rearm_server(id);
    }

    fn end_server(&mut self, id: Id<Server>) {
        let Some(server) = self.servers.remove(id) else { return };
        if self.by_key.get(&server.key) == Some(&id) {
            self.by_key.remove(&server.key);
        }
        if server.state == ServerState::Proceeding {
            self.open.change(Role::Server, server.method, -1);
        }
    }

    /// Gives up on a server transaction that will get no final response (RFC 4320 forbids a late
    /// one). It lingers, so that a repetition still under way is not taken for a new request.
    pub fn abandon_server(&mut self, id: Id<Server>, now: Instant) {
        let Some(server) = self.servers.get_mut(id) else { return };
        let was_open = server.state == ServerState::Proceeding;
        server.abandon(now, &self.settings);
        if was_open {
            self.open.change(Role::Server, server.method, -1);
        }
        self.rearm_server(id);
    }

    fn rearm_client(&mut self, id: Id<Client>) {
        if let Some(client) = self.clients.get_mut(id) {
            client.alarm.set(client.deadline(), &mut self.wheel, Due::Client(id));
        }
    }

    fn rearm_server(&mut self, id: Id<Server>) {
        if let Some(server) = self.servers.get_mut(id) {
            server.alarm.set(server.deadline(), &mut self.wheel, Due::Server(id));
        }
    }
}

/// Replaces the stored INVITE of a transaction by the ACK to its non-2xx (RFC 3261 §17.1.1.3).
fn acknowledge(client: &mut Client, response: Message<'_>, index: &mut Index) {
    debug_assert!(StatusClass::of(response.status()) > StatusClass::Success);
    let mut ack = Vec::with_capacity(512);
    if let Ok(invite) = parse(&client.sent, Framing::Datagram, index) {
        build::ack(invite, response, &mut ack);
    }
    client.sent = ack;
}
