//! Takes the configured addresses, all or none, before anything is announced.
//!
//! Each address is first bound without SO_REUSEPORT, so that a second instance is told that the
//! port is in use instead of receiving a part of the traffic; only then is the option set, and the
//! sockets of the other workers join.

use super::Bind;
use crate::facts::Transport;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

/// Size asked for as receive and send buffer of a UDP socket: a burst of some thousand messages.
/// The kernel silently gives no more than `net.core.rmem_max` and `wmem_max`.
const SOCKET_BUFFER: usize = 4 << 20;
/// Connections waiting to be accepted.
const BACKLOG: i32 = 1024;

/// Why a listener cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody has the port.
    #[error(
        "listener {name}: port in use ({transport} {address}): another process, perhaps a second sipwarden, \
         has it; stop that process or change `listen`"
    )]
    InUse {
        /// The listener's name.
        name: String,
        /// How messages travel.
        transport: Transport,
        /// The address asked for.
        address: SocketAddr,
    },
    /// No interface has the address.
    #[error("listener {name}: this host has no address {}; use one of its own or 0.0.0.0 in `listen`", .address.ip())]
    NoSuchAddress {
        /// The listener's name.
        name: String,
        /// The address asked for.
        address: SocketAddr,
    },
    /// The process may not bind it.
    #[error(
        "listener {name}: not allowed to bind {transport} {address}; a port below 1024 needs CAP_NET_BIND_SERVICE"
    )]
    Denied {
        /// The listener's name.
        name: String,
        /// How messages travel.
        transport: Transport,
        /// The address asked for.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("listener {name}: cannot bind {transport} {address}: {source}")]
    Other {
        /// The listener's name.
        name: String,
        /// How messages travel.
        transport: Transport,
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// One listener's sockets, bound.
#[derive(Debug)]
pub enum Bound {
    /// Datagram sockets that share one address, one for each worker.
    Udp(SocketAddr, Vec<UdpSocket>),
    /// One listening socket that all workers accept from.
    Tcp(SocketAddr, TcpListener),
}

impl Bound {
    /// The address actually bound.
    pub const fn address(&self) -> SocketAddr {
        match self {
            Self::Udp(address, _) | Self::Tcp(address, _) => *address,
        }
    }
}

/// Asks for as many file descriptors as the process may have, because the usual soft limit of 1,024
/// is below the default limit of connections.
pub fn raise_file_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // Best effort: with the lower limit fewer connections are accepted.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Binds one listener for a number of workers.
pub fn bind(name: &str, listener: &Bind, workers: u8) -> Result<Bound, BindError> {
    let bound = match listener.transport {
        Transport::Udp => bind_udp(listener.address, workers),
        Transport::Tcp => bind_tcp(listener.address),
    };
    bound.map_err(|source| describe(name, listener, source))
}

fn describe(name: &str, listener: &Bind, source: io::Error) -> BindError {
    let (name, transport, address) = (name.to_owned(), listener.transport, listener.address);
    match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { name, transport, address },
        io::ErrorKind::AddrNotAvailable => BindError::NoSuchAddress { name, address },
        io::ErrorKind::PermissionDenied => BindError::Denied { name, transport, address },
        _ => BindError::Other { name, transport, address, source },
    }
}

fn bind_udp(address: SocketAddr, workers: u8) -> io::Result<Bound> {
    let first = udp_socket(address)?;
    first.bind(&address.into())?;
    let bound = local_address(&first)?;
    let mut sockets = Vec::with_capacity(usize::from(workers));
    if workers > 1 {
        first.set_reuse_port(true)?;
    }
    sockets.push(first.into());
    for _ in 1..workers {
        let socket = udp_socket(address)?;
        socket.set_reuse_port(true)?;
        socket.bind(&bound.into())?;
        sockets.push(socket.into());
    }
    Ok(Bound::Udp(bound, sockets))
}

fn udp_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // Best effort: the kernel caps both, and a small buffer still works.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    super::icmp::enable(&socket, address.is_ipv6())?;
    Ok(socket)
}

fn bind_tcp(address: SocketAddr) -> io::Result<Bound> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restart finds connections of the process before it in TIME_WAIT; a listening socket of
    // another process still makes the port in use.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(Bound::Tcp(local_address(&socket)?, socket.into()))
}

fn local_address(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback(transport: Transport, port: u16) -> Bind {
        Bind { transport, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    #[test]
    fn a_second_bind_of_a_port_is_told_that_it_is_in_use() {
        for transport in [Transport::Udp, Transport::Tcp] {
            let first = bind("first", &loopback(transport, 0), 3).unwrap();
            let again = loopback(transport, first.address().port());
            for workers in [1, 2] {
                let error = bind("edge", &again, workers).unwrap_err().to_string();
                assert!(error.starts_with("listener edge: port in use"), "{error}");
                assert!(error.contains("change `listen`"), "{error}");
            }
        }
    }

    #[test]
    fn sockets_of_several_workers_share_one_port_and_its_traffic() {
        let Bound::Udp(address, sockets) = bind("edge", &loopback(Transport::Udp, 0), 2).unwrap() else {
            panic!("a UDP listener");
        };
        assert_eq!(sockets.len(), 2);
        for _ in 0..64 {
            UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", address).unwrap();
        }
        let mut buffer = [0; 8];
        let counts: Vec<usize> = sockets
            .iter()
            .map(|socket| std::iter::from_fn(|| socket.recv_from(&mut buffer).ok()).count())
            .collect();
        assert_eq!(counts.iter().sum::<usize>(), 64);
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    }

    #[test]
    fn ipv6_and_ipv4_listeners_can_share_a_port_number() {
        let v6 = Bind { transport: Transport::Udp, address: "[::]:0".parse().unwrap() };
        let Ok(first) = bind("v6", &v6, 1) else { return };
        let v4 = Bind {
            transport: Transport::Udp,
            address: SocketAddr::from(([0, 0, 0, 0], first.address().port())),
        };
        bind("v4", &v4, 1).unwrap();
    }

    #[test]
    fn an_address_of_nobody_is_named() {
        let bad = Bind { transport: Transport::Tcp, address: "192.0.2.77:5060".parse().unwrap() };
        let error = bind("edge", &bad, 1).unwrap_err().to_string();
        assert!(error.contains("this host has no address 192.0.2.77"), "{error}");
    }
}
