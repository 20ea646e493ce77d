//! The error queue of a UDP socket: which datagram an ICMP error is about.
//!
//! Without it an error surfaces at the next call on the socket, whatever datagram that call is
//! about; with `IP_RECVERR` the kernel quotes the address and the payload of the one that failed.

use crate::facts::event::TransportReason;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use std::io::{self, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

/// Errors read from one socket at a time, so that a flood of them cannot hold up the traffic.
const MAX_ERRORS: usize = 64;
/// Bytes of a quoted datagram that are kept: its Via and Call-ID stand well before that.
const MAX_QUOTE: usize = 2_048;

/// A datagram of ours that did not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// Where it was to go.
    pub remote: SocketAddr,
    /// As much of it as the error quotes.
    pub quote: Vec<u8>,
    /// What went wrong.
    pub reason: TransportReason,
}

/// Has the kernel keep ICMP errors in the socket's error queue.
pub(super) fn enable(socket: &impl AsFd, v6: bool) -> io::Result<()> {
    if v6 {
        setsockopt(socket, sockopt::Ipv6RecvErr, &true)?;
    } else {
        setsockopt(socket, sockopt::Ipv4RecvErr, &true)?;
    }
    Ok(())
}

/// Reads the error queue until it is empty, or until a bounded number of errors.
pub(super) fn drain(socket: &impl AsRawFd, found: &mut Vec<Undelivered>) {
    let mut quote = [0_u8; MAX_QUOTE];
    let mut control = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
    for _ in 0..MAX_ERRORS {
        let mut parts = [IoSliceMut::new(&mut quote)];
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let received =
            match recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags) {
                Ok(received) => received,
                Err(Errno::EINTR) => continue,
                Err(_) => return,
            };
        let remote = received.address.as_ref().and_then(address_of);
        let reason = received.cmsgs().ok().and_then(|mut messages| messages.find_map(|m| reason_of(&m)));
        let length = received.bytes;
        if let (Some(remote), Some(reason)) = (remote, reason) {
            let quote = quote.get(..length).unwrap_or_default().to_vec();
            found.push(Undelivered { remote, quote, reason });
        }
    }
}

fn reason_of(message: &ControlMessageOwned) -> Option<TransportReason> {
    let error = match message {
        ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) => error,
        _ => return None,
    };
    // Errors of local origin are returned by the send call as well, which knows its datagram.
    if !matches!(error.ee_origin, libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6) {
        return None;
    }
    let too_large = i32::try_from(error.ee_errno) == Ok(libc::EMSGSIZE);
    Some(if too_large { TransportReason::TooLarge } else { TransportReason::Icmp })
}

fn address_of(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddrV4::new(v4.ip(), v4.port()).into());
    }
    let v6 = storage.as_sockaddr_in6()?;
    let ip: Ipv6Addr = v6.ip();
    Some(SocketAddrV6::new(ip, v6.port(), 0, v6.scope_id()).into())
}
