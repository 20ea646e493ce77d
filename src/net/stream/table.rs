//! Which connections there are, and which one a message leaves on.
//!
//! Plain bookkeeping behind one lock, held for a look-up only.

use super::WRITE_QUEUE;
use super::connection::Outgoing;
use crate::facts::{ConnectionId, Hop, Transport};
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
    Inbound(IpAddr),
    Outbound(Transport, SocketAddr),
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
            inbound_by_source: HashMap::default(),
            inbound: 0,
        }
    }

    /// Finds the connection for a message, or makes the entry of a new one.
    pub(super) fn claim(&mut self, hop: &Hop) -> Claim {
        let reusable = self.outbound.get(&(hop.transport, hop.remote)).copied();
        let known = [hop.connection, reusable].into_iter().flatten();
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

    /// Makes the entry of an accepted connection, unless a limit is reached.
    pub(super) fn admit(&mut self, source: IpAddr) -> Option<(ConnectionId, mpsc::Receiver<Outgoing>)> {
        let from_source = self.inbound_by_source.get(&source).copied().unwrap_or(0);
        if self.inbound >= self.limit || from_source >= self.limit_per_source {
            return None;
        }
        self.inbound += 1;
        self.inbound_by_source.insert(source, from_source + 1);
        let (id, (_, receiver)) = self.insert(Peer::Inbound(source));
        Some((id, receiver))
    }

    /// Forgets a connection; its queue ends once what is in it has been read.
    pub(super) fn remove(&mut self, id: ConnectionId) {
        let Some(entry) = self.open.remove(&id) else { return };
        match entry.peer {
            Peer::Inbound(source) => {
                self.inbound = self.inbound.saturating_sub(1);
                let left = self.inbound_by_source.get(&source).map_or(0, |count| count.saturating_sub(1));
                if left == 0 {
                    self.inbound_by_source.remove(&source);
                } else {
                    self.inbound_by_source.insert(source, left);
                }
            }
            Peer::Outbound(transport, remote) => {
                // A younger connection may have taken the place of one that was closing.
                if self.outbound.get(&(transport, remote)) == Some(&id) {
                    self.outbound.remove(&(transport, remote));
                }
            }
        }
    }

    /// How many messages wait in all queues.
    pub(super) fn queued(&self) -> usize {
        self.open.values().map(|entry| WRITE_QUEUE.saturating_sub(entry.queue.capacity())).sum()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::ListenerId;

    fn hop(port: u16, connection: Option<ConnectionId>) -> Hop {
        let remote = ([192, 0, 2, 1], port).into();
        Hop { transport: Transport::Tcp, listener: ListenerId::new(0), remote, connection }
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
        let (id, receiver) = table.admit([192, 0, 2, 1].into()).unwrap();
        assert!(matches!(table.claim(&hop(9, Some(id))), Claim::Open(_)));
        drop(receiver);
        assert!(matches!(table.claim(&hop(9, Some(id))), Claim::Opening(..)));
        table.remove(id);
        assert!(matches!(table.claim(&hop(8, Some(id))), Claim::Opening(..)));
    }

    #[test]
    fn limits_hold_by_source_and_in_total_and_closing_makes_room() {
        let mut table = Table::new(3, 2);
        let source = |last: u8| IpAddr::from([192, 0, 2, last]);
        let (first, _a) = table.admit(source(1)).unwrap();
        let _b = table.admit(source(1)).unwrap();
        assert!(table.admit(source(1)).is_none());
        let _c = table.admit(source(2)).unwrap();
        assert!(table.admit(source(3)).is_none());
        table.remove(first);
        table.remove(first);
        assert!(table.admit(source(1)).is_some());
        assert!(table.admit(source(3)).is_none());
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
