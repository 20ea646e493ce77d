//! One worker's datagram socket of one listener.
//!
//! Receives into a buffer of the caller, sends without waiting, and reports ICMP errors with the
//! datagram they quote. An error that a call returns is never charged to the datagram in hand,
//! unless it can only be about that one (EMSGSIZE).

use super::batch;
use super::exchange::{Delivery, Exchange};
use super::icmp::{self, Undelivered};
use crate::facts::event::TransportReason;
use crate::facts::{Hop, ListenerId, Transport, WorkerId};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, SockaddrStorage, sendto};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// How long a send may wait for room in the socket's buffer: the time a 4 MiB buffer needs to
/// drain a few messages at 100 Mbit/s, short against every SIP timer.
const SEND_PATIENCE_MS: u8 = 5;

/// A datagram socket of a worker.
#[derive(Debug)]
pub struct UdpSocket {
    io: Arc<AsyncFd<std::net::UdpSocket>>,
    listener: ListenerId,
}

/// What reading a socket gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// A datagram of so many bytes, and who sent it.
    Datagram(usize, SocketAddr),
    /// Nothing more for the time being.
    Empty,
    /// An error that concerns no datagram; there may be more to read.
    Failed(TransportReason),
}

impl UdpSocket {
    /// Takes over a bound, non-blocking socket; needs a runtime around it. Room to write is not
    /// watched: on loopback each datagram sent would wake the worker for it once more.
    pub fn new(socket: std::net::UdpSocket, listener: ListenerId) -> io::Result<Self> {
        let interest = Interest::READABLE.add(Interest::ERROR);
        #[expect(
            deprecated,
            reason = "its successor is unsafe; this one owns the socket, which is all that asks for"
        )]
        Ok(Self { io: Arc::new(AsyncFd::with_interest(socket, interest)?), listener })
    }

    /// The listener that it belongs to.
    pub const fn listener(&self) -> ListenerId {
        self.listener
    }

    /// The hop of a datagram from or to an address.
    pub const fn hop(&self, remote: SocketAddr) -> Hop {
        Hop { transport: Transport::Udp, listener: self.listener, remote, connection: None }
    }

    /// Whether there is something to read; registers the task otherwise.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.io.poll_read_ready(cx).map(|_| ())
    }

    /// Reads one datagram, if there is one.
    pub fn receive(&self, buffer: &mut [u8]) -> Received {
        match self.io.try_io(Interest::READABLE, |socket| socket.recv_from(buffer)) {
            Ok((length, source)) => Received::Datagram(length, source),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Received::Empty,
            Err(error) => Received::Failed(super::reason_of(&error)),
        }
    }

    /// Sends one datagram. Errors about earlier ones are put into `found`. `patient` allows one
    /// short wait for room in the send buffer and is cleared by it.
    pub fn send(
        &self,
        remote: SocketAddr,
        bytes: &[u8],
        found: &mut Vec<Undelivered>,
        patient: &mut bool,
    ) -> Result<(), TransportReason> {
        // One attempt may meet the pending error of an earlier datagram, one a full buffer.
        for _ in 0..2 {
            match self.send_now(remote, bytes) {
                Ok(()) => return Ok(()),
                Err(TransportReason::TooLarge) => return Err(TransportReason::TooLarge),
                Err(TransportReason::WouldBlock) => {
                    if !std::mem::take(patient) || !self.wait_writable() {
                        return Err(TransportReason::WouldBlock);
                    }
                }
                Err(
                    TransportReason::Refused
                    | TransportReason::Icmp
                    | TransportReason::Closed
                    | TransportReason::ConnectTimeout
                    | TransportReason::Other,
                ) => icmp::drain(&self.io, found),
            }
        }
        self.send_now(remote, bytes)
    }

    /// Sends datagrams in their order with one call; how many the kernel took, 0 if the first of them
    /// failed, which [`UdpSocket::send`] then tells more of.
    pub fn send_many(&self, datagrams: &[(SocketAddr, &[u8])]) -> usize {
        batch::send(&self.io, datagrams)
    }

    fn send_now(&self, remote: SocketAddr, bytes: &[u8]) -> Result<(), TransportReason> {
        sendto(self.io.as_raw_fd(), bytes, &SockaddrStorage::from(remote), MsgFlags::MSG_DONTWAIT)
            .map(|_| ())
            .map_err(|errno| super::reason_of(&errno.into()))
    }

    fn wait_writable(&self) -> bool {
        let mut fds = [PollFd::new(self.io.as_fd(), PollFlags::POLLOUT)];
        poll(&mut fds, PollTimeout::from(SEND_PATIENCE_MS)).is_ok_and(|ready| ready > 0)
    }

    /// Watches the error queue and delivers what it quotes to the worker that sent it; `worker`
    /// reads it, and its end ends this.
    pub fn watch_errors(&self, worker: WorkerId, exchange: Exchange) -> impl Future<Output = ()> + use<> {
        let (io, listener) = (Arc::clone(&self.io), self.listener);
        async move {
            let mut found = Vec::new();
            while io.ready(Interest::ERROR).await.is_ok() {
                // Clears the readiness first, so that an error arriving meanwhile sets it again.
                let _ = io.try_io(Interest::ERROR, |_| Err::<(), _>(io::ErrorKind::WouldBlock.into()));
                icmp::drain(&io, &mut found);
                for Undelivered { remote, quote, reason } in found.drain(..) {
                    let hop = Hop { transport: Transport::Udp, listener, remote, connection: None };
                    let sender = exchange.sender(&quote, worker);
                    let delivery = Delivery::Undeliverable { hop, message: quote, reason };
                    if !exchange.hand(sender, delivery).await {
                        return;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Bind, Bound, bind};
    use std::time::Duration;
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_secs(5);

    fn socket(address: &str) -> Option<UdpSocket> {
        let listener = Bind { transport: Transport::Udp, address: address.parse().unwrap() };
        let Bound::Udp(_, mut sockets) = bind("test", &listener, 1).ok()? else { panic!("a UDP listener") };
        Some(UdpSocket::new(sockets.remove(0), ListenerId::new(0)).unwrap())
    }

    fn closed_port(address: &str) -> SocketAddr {
        std::net::UdpSocket::bind(address).unwrap().local_addr().unwrap()
    }

    #[tokio::test]
    async fn an_icmp_error_arrives_with_the_address_and_the_payload_it_is_about() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let Some(socket) = socket(any) else { continue };
            let (exchange, mut queues) = Exchange::new(1);
            tokio::spawn(socket.watch_errors(WorkerId(0), exchange));
            let dead = closed_port(any);
            let message = b"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\r\n";
            socket.send(dead, message, &mut Vec::new(), &mut true).unwrap();
            let delivery = timeout(SOON, queues[0].recv()).await.unwrap().unwrap();
            let Delivery::Undeliverable { hop, message: quote, reason } = delivery else {
                panic!("{delivery:?}");
            };
            assert_eq!((hop.remote, reason), (dead, TransportReason::Icmp));
            assert_eq!(quote, message);
        }
    }

    #[tokio::test]
    async fn a_pending_error_is_not_charged_to_the_next_datagram() {
        let socket = socket("127.0.0.1:0").unwrap();
        let dead = closed_port("127.0.0.1:0");
        let alive = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        alive.set_read_timeout(Some(SOON)).unwrap();
        let mut found = Vec::new();
        socket.send(dead, b"first", &mut found, &mut true).unwrap();
        socket.send(alive.local_addr().unwrap(), b"second", &mut found, &mut true).unwrap();
        let mut buffer = [0; 16];
        let (length, _) = alive.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"second");
        let expected = Undelivered { remote: dead, quote: b"first".to_vec(), reason: TransportReason::Icmp };
        assert_eq!(found, [expected]);
    }

    #[tokio::test]
    async fn many_leave_in_order_up_to_the_first_that_cannot() {
        let socket = socket("127.0.0.1:0").unwrap();
        let alive = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        alive.set_read_timeout(Some(SOON)).unwrap();
        let (to, huge) = (alive.local_addr().unwrap(), vec![b'x'; 66_000]);
        let datagrams: [(_, &[u8]); 4] = [(to, b"one"), (to, b"two"), (to, &huge), (to, b"four")];
        assert_eq!(socket.send_many(&datagrams), 2);
        assert_eq!(socket.send_many(&datagrams[2..]), 0);
        assert_eq!(socket.send_many(&datagrams[3..]), 1);
        let mut buffer = [0; 16];
        for expected in [&b"one"[..], b"two", b"four"] {
            let (length, _) = alive.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], expected);
        }
    }

    #[tokio::test]
    async fn a_datagram_too_large_for_any_path_fails_by_itself() {
        let socket = socket("127.0.0.1:0").unwrap();
        let alive = closed_port("127.0.0.1:0");
        let sent = socket.send(alive, &vec![b'x'; 66_000], &mut Vec::new(), &mut true);
        assert_eq!(sent, Err(TransportReason::TooLarge));
    }

    #[tokio::test]
    async fn reads_until_empty() {
        let socket = socket("127.0.0.1:0").unwrap();
        let address = socket.io.get_ref().local_addr().unwrap();
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for text in [b"one", b"two"] {
            peer.send_to(text, address).unwrap();
        }
        timeout(SOON, std::future::poll_fn(|cx| socket.poll_readable(cx))).await.unwrap();
        let mut buffer = [0; 16];
        let source = peer.local_addr().unwrap();
        assert_eq!(socket.receive(&mut buffer), Received::Datagram(3, source));
        assert_eq!(socket.receive(&mut buffer), Received::Datagram(3, source));
        assert_eq!(socket.receive(&mut buffer), Received::Empty);
    }
}
