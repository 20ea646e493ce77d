//! What finished transactions may take of memory, and in which order they go when it is too much.
//!
//! Counts bytes and keeps the order in which transactions finished; what goes is for
//! [`super::Transactions`] to end.

use super::client::Client;
use super::server::{Server, ServerState};
use super::slab::{Id, Slab};
use crate::facts::Method;
use std::collections::VecDeque;

/// Memory of an entry besides itself: its place in the table of keys and its timer.
const OVERHEAD: usize = 96;

/// Entries for which a queue keeps room however few there are.
const FEW: usize = 1_024;

/// The finished transactions.
#[derive(Debug, Default)]
pub(super) struct Linger {
    bytes: usize,
    /// Requests other than INVITE, by the time they finished. What has ended since is passed over.
    others: VecDeque<Id<Server>>,
    invites: VecDeque<Id<Server>>,
    /// INVITEs that failed and whose ACK is still awaited.
    unacknowledged: VecDeque<Id<Server>>,
    clients: VecDeque<Id<Client>>,
}

/// What a server transaction takes once it has finished.
pub(super) fn weight_of_server(server: &Server) -> usize {
    match server.state {
        ServerState::Proceeding => 0,
        ServerState::Accepted | ServerState::Completed | ServerState::Confirmed => {
            size_of::<Server>() + OVERHEAD + server.last.memory()
        }
    }
}

/// What a client transaction takes once it has finished.
pub(super) fn weight_of_client(client: &Client) -> usize {
    if client.is_open() { 0 } else { size_of::<Client>() + OVERHEAD + client.sent.memory() }
}

impl Linger {
    /// Bytes that finished transactions take.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes note that a server transaction now weighs something else.
    pub(super) fn weigh_server(&mut self, id: Id<Server>, method: Method, before: usize, after: usize) {
        self.bytes = self.bytes + after - before;
        if before == 0 && after > 0 {
            let queue = if method == Method::Invite { &mut self.invites } else { &mut self.others };
            queue.push_back(id);
        }
    }

    /// Takes note that a client transaction now weighs something else.
    pub(super) fn weigh_client(&mut self, id: Id<Client>, before: usize, after: usize) {
        self.bytes = self.bytes + after - before;
        if before == 0 && after > 0 {
            self.clients.push_back(id);
        }
    }

    /// Forgets at the front of each queue what has ended by itself.
    pub(super) fn tidy(&mut self, servers: &Slab<Server>, clients: &Slab<Client>) {
        tidy(&mut self.others, servers);
        tidy(&mut self.invites, servers);
        tidy(&mut self.unacknowledged, servers);
        tidy(&mut self.clients, clients);
    }

    /// The finished server transaction to go first: the oldest, those of INVITEs after the others,
    /// those whose ACK is awaited last.
    pub(super) fn oldest_server(&mut self, servers: &Slab<Server>) -> Option<Id<Server>> {
        while let Some(id) = self.others.pop_front() {
            if servers.get(id).is_some() {
                return Some(id);
            }
        }
        while let Some(id) = self.invites.pop_front() {
            match servers.get(id).map(|server| server.state) {
                Some(ServerState::Completed) => self.unacknowledged.push_back(id),
                Some(_) => return Some(id),
                None => {}
            }
        }
        std::iter::from_fn(|| self.unacknowledged.pop_front()).find(|id| servers.get(*id).is_some())
    }

    /// The finished client transaction to go first.
    pub(super) fn oldest_client(&mut self, clients: &Slab<Client>) -> Option<Id<Client>> {
        std::iter::from_fn(|| self.clients.pop_front()).find(|id| clients.get(*id).is_some())
    }
}

fn tidy<T>(queue: &mut VecDeque<Id<T>>, alive: &Slab<T>) {
    while queue.front().is_some_and(|id| alive.get(*id).is_none()) {
        queue.pop_front();
    }
    if queue.capacity() > FEW.max(8 * queue.len()) {
        queue.shrink_to(2 * queue.len());
    }
}
