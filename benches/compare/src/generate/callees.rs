//! One socket that plays every destination: it hears requests to any loopback address on its port, and
//! answers from the address that was asked.

use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use nix::libc::in_pktinfo;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt, sockopt,
};

/// The socket of the destinations.
pub struct Callees {
    socket: UdpSocket,
    control: Vec<u8>,
}

/// Who asked which destination.
#[derive(Clone, Copy)]
pub struct Asked {
    /// The sender.
    pub peer: SocketAddrV4,
    /// The destination's address.
    pub local: Ipv4Addr,
    /// Length of the datagram.
    pub length: usize,
}

impl Callees {
    /// Binds the port on all addresses, of the loopback interface where the kernel lets us say so.
    pub fn bind(port: u16) -> Result<Self> {
        let socket =
            UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).with_context(|| format!("bind port {port}"))?;
        let _ = setsockopt(&socket, sockopt::BindToDevice, &"lo".into());
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        roomy(&socket)?;
        Ok(Callees { socket, control: nix::cmsg_space!(in_pktinfo) })
    }

    /// The next request, if one is there.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Option<Asked> {
        let mut parts = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let received =
            recvmsg::<SockaddrIn>(self.socket.as_raw_fd(), &mut parts, Some(&mut self.control), flags)
                .ok()?;
        let local = received.cmsgs().ok()?.find_map(|message| match message {
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(u32::from_be(info.ipi_addr.s_addr)),
            _ => None,
        })?;
        let peer = received.address.map(SocketAddrV4::from)?;
        Some(Asked { peer, local: Ipv4Addr::from_bits(local), length: received.bytes })
    }

    /// Sends from the address of one destination. A full buffer or an ICMP error loses the datagram, as a
    /// network would.
    pub fn send(&self, local: Ipv4Addr, peer: SocketAddrV4, message: &[u8]) {
        let address = |ip: Ipv4Addr| nix::libc::in_addr { s_addr: ip.to_bits().to_be() };
        let info = in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: address(local),
            ipi_addr: address(Ipv4Addr::UNSPECIFIED),
        };
        let control = [ControlMessage::Ipv4PacketInfo(&info)];
        let (fd, parts, peer) = (self.socket.as_raw_fd(), [IoSlice::new(message)], SockaddrIn::from(peer));
        if sendmsg(fd, &parts, &control, MsgFlags::MSG_DONTWAIT, Some(&peer)).is_err() {
            // What fails first is the error that an earlier datagram brought upon the socket.
            let _ = sendmsg(fd, &parts, &control, MsgFlags::MSG_DONTWAIT, Some(&peer));
        }
    }
}

/// Room for bursts, so that what is lost is lost at the proxy: beyond the kernel's limit if we are root.
pub fn roomy(socket: &UdpSocket) -> Result<()> {
    const ROOM: usize = 8 << 20;
    if setsockopt(socket, sockopt::RcvBufForce, &ROOM).is_err() {
        setsockopt(socket, sockopt::RcvBuf, &ROOM)?;
    }
    if setsockopt(socket, sockopt::SndBufForce, &ROOM).is_err() {
        setsockopt(socket, sockopt::SndBuf, &ROOM)?;
    }
    Ok(())
}

/// The address of destination `index`: 127.0.1.1, 127.0.1.2, … with 250 to each /24.
pub fn address(index: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x7f00_0000 + ((1 + index / 250) << 8) + 1 + index % 250)
}

/// The index of the destination at an address.
pub fn index(address: Ipv4Addr) -> Option<u32> {
    let low = address.to_bits().checked_sub(0x7f00_0100)?;
    let host = (low & 0xff).checked_sub(1)?;
    Some((low >> 8) * 250 + host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_indices_are_the_same_thing() {
        assert_eq!(address(0), Ipv4Addr::new(127, 0, 1, 1));
        assert_eq!(address(9999), Ipv4Addr::new(127, 0, 40, 250));
        for number in [0, 249, 250, 999, 9999] {
            assert_eq!(index(address(number)), Some(number));
        }
        assert_eq!(index(Ipv4Addr::LOCALHOST), None);
    }

    #[test]
    fn a_destination_answers_from_the_address_that_was_asked() {
        let probe = UdpSocket::bind("127.0.0.1:0").unwrap();
        let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut callees = Callees::bind(free).unwrap();
        probe.send_to(b"hello", (address(5), free)).unwrap();
        let mut buffer = [0; 100];
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        let asked = loop {
            if let Some(asked) = callees.receive(&mut buffer) {
                break asked;
            }
            assert!(std::time::Instant::now() < deadline, "nothing came");
        };
        assert_eq!((asked.local, &buffer[..asked.length]), (address(5), &b"hello"[..]));
        callees.send(asked.local, asked.peer, b"well");
        probe.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        assert_eq!(probe.recv_from(&mut buffer).unwrap().1, (address(5), free).into());
    }
}
