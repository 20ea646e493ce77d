//! Loopback addresses that no other test and no other process uses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The port that marks a block of addresses as taken by a process.
const CLAIM_PORT: u16 = 40_047;

/// Two octets that are this process's own: 127.a.b.0/24.
fn block() -> (u8, u8) {
    static CLAIMED: OnceLock<(u8, u8, UdpSocket)> = OnceLock::new();
    let (a, b, _) = CLAIMED.get_or_init(|| {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
        let [x, y, ..] = (nanos ^ std::process::id().rotate_left(13)).wrapping_mul(0x9E37_79B9).to_be_bytes();
        (0..=u8::MAX)
            .find_map(|step| {
                let (a, b) = (16 + x % 200, y.wrapping_add(step));
                let guard = UdpSocket::bind((Ipv4Addr::new(127, a, b, 254), CLAIM_PORT)).ok()?;
                Some((a, b, guard))
            })
            .expect("a block of loopback addresses is free")
    });
    (*a, *b)
}

/// A loopback address handed out once.
pub fn host() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let last = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(last < 254, "a test process uses at most 253 loopback addresses");
    let (a, b) = block();
    Ipv4Addr::new(127, a, b, last)
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
