//! Stream connections: accepting, opening, reusing, closing.
//!
//! One table for the process says which connection a message leaves on; a connection's reading and
//! writing happen on the worker that accepted or opened it, and everybody else hands it complete
//! messages through its bounded write queue (RFC 3261 §18).

mod connection;
mod table;

use super::exchange::{Delivery, Exchange};
use super::{Bind, Settings};
use crate::facts::event::{ConnectResult, ConnectionRole, Event, SocketOperation, TransportReason};
use crate::facts::{ConnectionChoice, ConnectionId, Hop, ListenerId, Transport, WorkerId};
use connection::{Connection, Outgoing};
use socket2::SockRef;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use table::{Claim, Table};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Time for a connection of ours to open: a SYN and its retransmission after a second fit. Shorter than
/// the default of `no_response_after`, so that a request that is over TCP for its size alone falls back
/// to UDP before its destination is given up.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Messages that may wait to be written to one connection.
const WRITE_QUEUE: usize = 256;
/// Time without acknowledgement after which a connection is dead: its successor may reach a peer
/// that has restarted or moved, while the kernel would go on for a quarter of an hour.
const SILENCE: Duration = Duration::from_secs(10);
/// Pause after an accept error such as EMFILE, which a retry at once would only repeat.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often a flush looks.
const FLUSH_STEP: Duration = Duration::from_millis(5);

/// All stream connections of the process. Clones share them.
#[derive(Debug, Clone)]
pub struct Streams {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limits: Settings,
    listeners: Vec<Bind>,
    exchange: Exchange,
    table: Mutex<Table>,
}

impl Streams {
    /// Makes the empty table. `limits.listeners` hold the addresses actually bound.
    pub fn new(limits: Settings, exchange: Exchange) -> Self {
        let table = Mutex::new(Table::new(limits.connections, limits.connections_per_source));
        let listeners = limits.listeners.clone();
        Self { shared: Arc::new(Shared { limits, listeners, exchange, table }) }
    }

    /// Queues a message on the connection of its hop; if that is gone or none is named, on the one
    /// open to its remote address, opening it first if need be; a flow is that connection or none. Called on a worker's runtime, which
    /// then owns a connection that is opened. What cannot be written later comes back to `worker`
    /// as [`Delivery::Undeliverable`].
    pub fn send(&self, worker: WorkerId, hop: Hop, message: &[u8]) -> Result<(), TransportReason> {
        let outgoing = Outgoing { worker, hop, bytes: message.to_vec() };
        let (id, (sender, receiver)) = match self.table().claim(&hop) {
            Claim::Open(queue) => return put(&queue, outgoing),
            Claim::Full => return Err(TransportReason::WouldBlock),
            Claim::Gone => return Err(TransportReason::Closed),
            Claim::Opening(id, queue) => (id, queue),
        };
        put(&sender, outgoing)?;
        drop(sender);
        let streams = self.clone();
        tokio::spawn(async move { streams.open(worker, id, hop, receiver).await });
        Ok(())
    }

    /// Accepts connections for a worker until it ends.
    pub async fn accept(self, worker: WorkerId, listener: ListenerId, socket: std::net::TcpListener) {
        let Ok(socket) = TcpListener::from_std(socket) else { return };
        loop {
            match socket.accept().await {
                Ok((stream, remote)) => self.accepted(worker, listener, stream, remote).await,
                Err(error) => {
                    let reason = super::reason_of(&error);
                    let event = Event::SocketFailed {
                        transport: Transport::Tcp,
                        operation: SocketOperation::Recv,
                        reason,
                    };
                    if !self.happened(worker, event).await {
                        return;
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// How full the fullest write queue is, and how much each can hold.
    pub fn fullest(&self) -> (usize, usize) {
        (self.table().fullest(), WRITE_QUEUE)
    }

    /// Waits until everything queued has been taken for writing, or for `limit`.
    pub async fn flush(&self, limit: Duration) {
        let emptied = async {
            while self.table().queued() > 0 {
                tokio::time::sleep(FLUSH_STEP).await;
            }
            // The last one taken is still being written.
            tokio::time::sleep(FLUSH_STEP).await;
        };
        if !self.table().is_empty() {
            let _ = timeout(limit, emptied).await;
        }
    }

    async fn accepted(&self, worker: WorkerId, listener: ListenerId, stream: TcpStream, remote: SocketAddr) {
        let admitted = self.table().admit(Transport::Tcp, remote);
        let result = if admitted.is_some() { ConnectResult::Ok } else { ConnectResult::Refused };
        let role = ConnectionRole::Inbound;
        self.happened(worker, Event::ConnectionOpened { transport: Transport::Tcp, role, result }).await;
        let Some((id, receiver)) = admitted else { return };
        let hop = Hop {
            transport: Transport::Tcp,
            listener,
            remote,
            connection: Some(ConnectionChoice::Preferred(id)),
        };
        let streams = self.clone();
        tokio::spawn(async move { streams.serve(worker, role, hop, stream, receiver).await });
    }

    async fn open(self, worker: WorkerId, id: ConnectionId, hop: Hop, queue: mpsc::Receiver<Outgoing>) {
        let opened = match timeout(CONNECT_TIMEOUT, self.connect(&hop)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(super::reason_of(&error)),
            Err(_) => Err(TransportReason::ConnectTimeout),
        };
        let result = match &opened {
            Ok(_) => ConnectResult::Ok,
            Err(TransportReason::Refused) => ConnectResult::Refused,
            Err(TransportReason::ConnectTimeout) => ConnectResult::Timeout,
            Err(_) => ConnectResult::Error,
        };
        let role = ConnectionRole::Outbound;
        self.happened(worker, Event::ConnectionOpened { transport: Transport::Tcp, role, result }).await;
        let hop = Hop { connection: Some(ConnectionChoice::Preferred(id)), ..hop };
        match opened {
            Ok(stream) => self.serve(worker, role, hop, stream, queue).await,
            Err(reason) => {
                self.table().remove(id);
                self.give_back(queue, reason).await;
            }
        }
    }

    async fn connect(&self, hop: &Hop) -> std::io::Result<TcpStream> {
        let socket = if hop.remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        let local = self.shared.listeners.get(hop.listener.index()).map(|listener| listener.address.ip());
        if let Some(ip) = local.filter(|ip| !ip.is_unspecified() && ip.is_ipv4() == hop.remote.is_ipv4()) {
            socket.bind(SocketAddr::new(ip, 0))?;
        }
        socket.connect(hop.remote).await
    }

    async fn serve(
        self,
        worker: WorkerId,
        role: ConnectionRole,
        hop: Hop,
        stream: TcpStream,
        mut queue: mpsc::Receiver<Outgoing>,
    ) {
        // SIP messages are small and each is written whole: waiting for more only adds delay.
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(SILENCE));
        let connection = Connection::new(worker, hop, &self.shared.limits, &self.shared.exchange);
        let unwritten = connection.run(stream, &mut queue).await;
        if let Some(choice) = hop.connection {
            self.table().remove(choice.id());
        }
        if let Some(outgoing) = unwritten {
            self.undeliverable(outgoing, TransportReason::Closed).await;
        }
        self.give_back(queue, TransportReason::Closed).await;
        self.happened(worker, Event::ConnectionClosed { transport: Transport::Tcp, role }).await;
    }

    /// Gives every message still queued back to the worker it came from.
    async fn give_back(&self, mut queue: mpsc::Receiver<Outgoing>, reason: TransportReason) {
        queue.close();
        while let Some(outgoing) = queue.recv().await {
            self.undeliverable(outgoing, reason).await;
        }
    }

    async fn undeliverable(&self, outgoing: Outgoing, reason: TransportReason) {
        let Outgoing { worker, hop, bytes } = outgoing;
        self.shared.exchange.hand(worker, Delivery::Undeliverable { hop, message: bytes, reason }).await;
    }

    async fn happened(&self, worker: WorkerId, event: Event) -> bool {
        self.shared.exchange.hand(worker, Delivery::Happened(event)).await
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // The table is consistent between any two statements of its methods.
        self.shared.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn put(queue: &mpsc::Sender<Outgoing>, outgoing: Outgoing) -> Result<(), TransportReason> {
    queue.try_send(outgoing).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => TransportReason::WouldBlock,
        mpsc::error::TrySendError::Closed(_) => TransportReason::Closed,
    })
}

#[cfg(test)]
mod tests;
