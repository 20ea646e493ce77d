//! Which connections there are, and which one a message leaves on.
//!
//! Plain bookkeeping behind one lock, held for a look-up only.

use super::WRITE_QUEUE;
use super::connection::Outgoing;
use crate::facts::{ConnectionChoice, ConnectionId, Hop, Transport};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use tokio::sync::mpsc;

type State = foldhash::fast::RandomState;
type Queue = (mpsc::Sender<Outgoing>, mpsc::Receiver<Outgoing>);

/// The connections of the process.
#[derive(Debug)]
pub(super) struct Table {
    last: u64,
    limit: usize,
    limit_per_source: usize,
    open: HashMap<ConnectionId, Entry, State>,
    outbound: HashMap<(Transport, SocketAddr), ConnectionId, State>,
    accepted: HashMap<(Transport, SocketAddr), ConnectionId, State>,
    inbound_by_source: HashMap<IpAddr, usize, State>,
    inbound: usize,
}

#[derive(Debug)]
struct Entry {
    queue: mpsc::Sender<Outgoing>,
    peer: Peer,
}

#[derive(Debug, Clone, Copy)]
enum Peer {
    Inbound(Transport, SocketAddr),
    Outbound(Transport, SocketAddr),
}

impl Peer {
    const fn remote(self) -> (Transport, SocketAddr) {
        match self {
            Self::Inbound(transport, remote) | Self::Outbound(transport, remote) => (transport, remote),
        }
    }
}

/// Where a message goes.
#[derive(Debug)]
pub(super) enum Claim {
    /// Onto a connection that is open, or being opened by somebody.
    Open(mpsc::Sender<Outgoing>),
    /// Onto one that the caller opens.
    Opening(ConnectionId, Queue),
    /// Nowhere: the limit of connections is reached.
    Full,
    /// Nowhere: the only connection that would do is gone.
    Gone,
}

impl Table {
    /// An empty table; the limit holds for each direction by itself, so that callers cannot cut us
    /// off from destinations.
    pub(super) fn new(limit: usize, limit_per_source: usize) -> Self {
        Self {
            last: 0,
            limit,
            limit_per_source,
            open: HashMap::default(),
            outbound: HashMap::default(),
            accepted: HashMap::default(),
            inbound_by_source: HashMap::default(),
            inbound: 0,
        }
    }

    /// Finds the connection for a message, or makes the entry of a new one.
    pub(super) fn claim(&mut self, hop: &Hop) -> Claim {
        let remote = (hop.transport, hop.remote);
        if let Some(ConnectionChoice::Only(id)) = hop.connection {
            return self.claim_flow(id, remote);
        }
        let opened = self.outbound.get(&remote).copied();
        // A phone's Contact is often the very port that it called from, where nobody listens (RFC 3261 §18).
        let accepted = self.accepted.get(&remote).copied();
        let named = hop.connection.map(ConnectionChoice::id);
        let known = [named, opened, accepted].into_iter().flatten();
        let live = known.filter_map(|id| self.open.get(&id)).find(|entry| !entry.queue.is_closed());
        if let Some(entry) = live {
            return Claim::Open(entry.queue.clone());
        }
        if self.outbound.len() >= self.limit {
            return Claim::Full;
        }
        let peer = Peer::Outbound(hop.transport, hop.remote);
        let (id, queue) = self.insert(peer);
        self.outbound.insert((hop.transport, hop.remote), id);
        Claim::Opening(id, queue)
    }

    /// Finds one connection. Numbers begin again with each process, so the remote address has to be
    /// the same, too.
    fn claim_flow(&self, id: ConnectionId, remote: (Transport, SocketAddr)) -> Claim {
        let entry =
            self.open.get(&id).filter(|entry| entry.peer.remote() == remote && !entry.queue.is_closed());
        entry.map_or(Claim::Gone, |entry| Claim::Open(entry.queue.clone()))
    }

    /// Makes the entry of an accepted connection, unless a limit is reached.
    pub(super) fn admit(
        &mut self,
        transport: Transport,
        remote: SocketAddr,
    ) -> Option<(ConnectionId, mpsc::Receiver<Outgoing>)> {
        let source = remote.ip();
        let from_source = self.inbound_by_source.get(&source).copied().unwrap_or(0);
        if self.inbound >= self.limit || from_source >= self.limit_per_source {
            return None;
        }
        self.inbound += 1;
        self.inbound_by_source.insert(source, from_source + 1);
        let (id, (_, receiver)) = self.insert(Peer::Inbound(transport, remote));
        self.accepted.insert((transport, remote), id);
        Some((id, receiver))
    }

    /// Forgets a connection; its queue ends once what is in it has been read.
    pub(super) fn remove(&mut self, id: ConnectionId) {
        let Some(entry) = self.open.remove(&id) else { return };
        match entry.peer {
            Peer::Inbound(transport, remote) => {
                let source = remote.ip();
                self.inbound = self.inbound.saturating_sub(1);
                let left = self.inbound_by_source.get(&source).map_or(0, |count| count.saturating_sub(1));
                if left == 0 {
                    self.inbound_by_source.remove(&source);
                } else {
                    self.inbound_by_source.insert(source, left);
                }
                forget(&mut self.accepted, (transport, remote), id);
            }
            Peer::Outbound(transport, remote) => {
                forget(&mut self.outbound, (transport, remote), id);
            }
        }
    }

    /// How many messages wait in all queues.
    pub(super) fn queued(&self) -> usize {
        self.waiting().sum()
    }

    /// How many wait in the fullest.
    pub(super) fn fullest(&self) -> usize {
        self.waiting().max().unwrap_or(0)
    }

    fn waiting(&self) -> impl Iterator<Item = usize> {
        self.open.values().map(|entry| WRITE_QUEUE.saturating_sub(entry.queue.capacity()))
    }

    /// Whether there is no connection.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn insert(&mut self, peer: Peer) -> (ConnectionId, Queue) {
        self.last += 1;
        let id = ConnectionId(self.last);
        let (sender, receiver) = mpsc::channel(WRITE_QUEUE);
        self.open.insert(id, Entry { queue: sender.clone(), peer });
        (id, (sender, receiver))
    }
}

/// Takes a connection out, unless a younger one has taken its place while it was closing.
fn forget(
    connections: &mut HashMap<(Transport, SocketAddr), ConnectionId, State>,
    remote: (Transport, SocketAddr),
    id: ConnectionId,
) {
    if connections.get(&remote) == Some(&id) {
        connections.remove(&remote);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::ListenerId;

    fn hop(port: u16, connection: Option<ConnectionId>) -> Hop {
        let remote = ([192, 0, 2, 1], port).into();
        let connection = connection.map(ConnectionChoice::Preferred);
        Hop { transport: Transport::Tcp, listener: ListenerId::new(0), remote, connection }
    }

    fn source(last: u8, port: u16) -> SocketAddr {
        ([192, 0, 2, last], port).into()
    }

    #[test]
    fn one_connection_is_opened_for_each_remote() {
        let mut table = Table::new(10, 10);
        let Claim::Opening(id, _queue) = table.claim(&hop(1, None)) else { panic!("opens") };
        assert!(matches!(table.claim(&hop(1, None)), Claim::Open(_)));
        assert!(matches!(table.claim(&hop(2, None)), Claim::Opening(other, _) if other != id));
    }

    #[test]
    fn a_connection_that_is_gone_falls_back_to_the_remote() {
        let mut table = Table::new(10, 10);
        let (id, receiver) = table.admit(Transport::Tcp, source(1, 7)).unwrap();
        assert!(matches!(table.claim(&hop(9, Some(id))), Claim::Open(_)));
        drop(receiver);
        assert!(matches!(table.claim(&hop(9, Some(id))), Claim::Opening(..)));
        table.remove(id);
        assert!(matches!(table.claim(&hop(8, Some(id))), Claim::Opening(..)));
    }

    #[test]
    fn a_flow_is_its_own_connection_or_none() {
        let mut table = Table::new(10, 10);
        let (id, receiver) = table.admit(Transport::Tcp, source(1, 7)).unwrap();
        let (other, _other) = table.admit(Transport::Tcp, source(2, 7)).unwrap();
        let flow = |id| Hop { connection: Some(ConnectionChoice::Only(id)), ..hop(7, None) };
        assert!(matches!(table.claim(&flow(id)), Claim::Open(_)));
        assert!(matches!(table.claim(&flow(other)), Claim::Gone), "another address");
        drop(receiver);
        assert!(matches!(table.claim(&flow(id)), Claim::Gone), "closing");
        table.remove(id);
        let _again = table.admit(Transport::Tcp, source(1, 7)).unwrap();
        assert!(matches!(table.claim(&flow(id)), Claim::Gone), "a later one from the same address");
    }

    #[test]
    fn an_accepted_connection_serves_its_remote_until_it_is_gone() {
        let mut table = Table::new(10, 10);
        let (id, _receiver) = table.admit(Transport::Tcp, source(1, 7)).unwrap();
        assert!(matches!(table.claim(&hop(7, None)), Claim::Open(_)));
        assert!(matches!(table.claim(&hop(8, None)), Claim::Opening(..)));
        table.remove(id);
        assert!(matches!(table.claim(&hop(7, None)), Claim::Opening(..)));
    }

    #[test]
    fn limits_hold_by_source_and_in_total_and_closing_makes_room() {
        let mut table = Table::new(3, 2);
        let mut port = 1_000;
        let mut admit = |table: &mut Table, last| {
            port += 1;
            table.admit(Transport::Tcp, source(last, port))
        };
        let (first, _a) = admit(&mut table, 1).unwrap();
        let _b = admit(&mut table, 1).unwrap();
        assert!(admit(&mut table, 1).is_none());
        let _c = admit(&mut table, 2).unwrap();
        assert!(admit(&mut table, 3).is_none());
        table.remove(first);
        table.remove(first);
        assert!(admit(&mut table, 1).is_some());
        assert!(admit(&mut table, 3).is_none());
    }

    #[test]
    fn the_removal_of_an_old_connection_leaves_its_successor() {
        let mut table = Table::new(10, 10);
        let Claim::Opening(old, queue) = table.claim(&hop(1, None)) else { panic!("opens") };
        drop(queue);
        let Claim::Opening(_, _queue) = table.claim(&hop(1, None)) else { panic!("opens again") };
        table.remove(old);
        assert!(matches!(table.claim(&hop(1, None)), Claim::Open(_)));
    }
}
