//! Loopback addresses that no other test and no other process uses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

/// The port that marks a block of addresses as taken by a process.
const CLAIM_PORT: u16 = 40_047;

/// 127.a.b.0/24, of which nobody else hands out addresses.
struct Block {
    octets: (u8, u8),
    next: u8,
    /// Bound as long as the process lives.
    _claim: UdpSocket,
}

impl Block {
    fn claim() -> Self {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
        let [x, y, ..] = (nanos ^ std::process::id().rotate_left(13)).wrapping_mul(0x9E37_79B9).to_be_bytes();
        let claim = |step| {
            let octets = (16 + x % 200, y.wrapping_add(step));
            let claim = UdpSocket::bind((Ipv4Addr::new(127, octets.0, octets.1, 254), CLAIM_PORT)).ok()?;
            Some(Self { octets, next: 1, _claim: claim })
        };
        (0..=u8::MAX).find_map(claim).expect("a block of loopback addresses is free")
    }

    fn hand_out(&mut self) -> Option<Ipv4Addr> {
        let last = self.next;
        self.next = last.checked_add(1).filter(|_| last < 254)?;
        Some(Ipv4Addr::new(127, self.octets.0, self.octets.1, last))
    }
}

/// A loopback address handed out once.
pub fn host() -> Ipv4Addr {
    static BLOCKS: Mutex<Vec<Block>> = Mutex::new(Vec::new());
    let mut blocks = BLOCKS.lock().expect("claiming does not panic");
    if let Some(address) = blocks.last_mut().and_then(Block::hand_out) {
        return address;
    }
    blocks.push(Block::claim());
    blocks.last_mut().and_then(Block::hand_out).expect("a new block has addresses")
}

/// A loopback address handed out once, with a port free for UDP and TCP.
pub fn endpoint() -> SocketAddr {
    port_on(host())
}

/// A port free for UDP and TCP on the IPv6 loopback, of which there is only one address.
pub fn endpoint_v6() -> SocketAddr {
    port_on(Ipv6Addr::LOCALHOST)
}

fn port_on(host: impl Into<IpAddr>) -> SocketAddr {
    let host = host.into();
    (0..100)
        .find_map(|_| {
            let udp = UdpSocket::bind((host, 0)).ok()?;
            let address = udp.local_addr().ok()?;
            TcpListener::bind(address).ok().map(|_| address)
        })
        .expect("a port is free for UDP and TCP")
}
