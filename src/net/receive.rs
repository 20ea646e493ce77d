//! What the kernel says of the receive buffers of our datagram sockets: bytes waiting, and datagrams
//! dropped for want of room.
//!
//! `/proc/net/udp` has a line for each socket of the network namespace; ours are known by their inode.
//! Asking costs the sockets nothing. Where there is no `/proc`, nothing is known.

use super::Bound;
use crate::facts::ListenerId;
use crate::facts::snapshot::ReceiveBuffer;
use std::collections::HashMap;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

/// Where the kernel tells of them.
const TABLES: [&str; 2] = ["/proc/net/udp", "/proc/net/udp6"];

/// The datagram sockets of every listener.
#[derive(Debug, Default)]
pub struct ReceiveBuffers {
    listeners: Vec<ListenerId>,
    by_inode: HashMap<u64, ListenerId>,
}

impl ReceiveBuffers {
    /// Those of these listeners, in their order; stream listeners have none.
    pub fn of(bound: &[Bound]) -> Self {
        let mut buffers = Self::default();
        for (listener, bound) in (0..=u8::MAX).map(ListenerId::new).zip(bound) {
            let Bound::Udp(_, sockets) = bound else { continue };
            buffers.listeners.push(listener);
            let inodes = sockets.iter().filter_map(inode);
            buffers.by_inode.extend(inodes.map(|inode| (inode, listener)));
        }
        buffers
    }

    /// What they hold and have lost; empty if the kernel does not tell.
    pub fn read(&self) -> Vec<(ListenerId, ReceiveBuffer)> {
        let tables: Vec<String> = TABLES.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
        match tables.is_empty() {
            true => vec![],
            false => self.sum(tables.iter().flat_map(|table| table.lines())),
        }
    }

    fn sum<'a>(&self, lines: impl Iterator<Item = &'a str>) -> Vec<(ListenerId, ReceiveBuffer)> {
        let mut sums: Vec<_> =
            self.listeners.iter().map(|listener| (*listener, ReceiveBuffer::default())).collect();
        for (inode, buffer) in lines.filter_map(parse) {
            let listener = self.by_inode.get(&inode);
            if let Some((_, sum)) = sums.iter_mut().find(|(known, _)| Some(known) == listener) {
                sum.waiting += buffer.waiting;
                sum.dropped += buffer.dropped;
            }
        }
        sums
    }
}

fn inode(socket: &std::net::UdpSocket) -> Option<u64> {
    // What the link names is the socket itself.
    fs::metadata(format!("/proc/self/fd/{}", socket.as_raw_fd())).ok().map(|metadata| metadata.ino())
}

/// A line: `sl local remote st tx_queue:rx_queue tr:when retrnsmt uid timeout inode ref pointer drops`.
fn parse(line: &str) -> Option<(u64, ReceiveBuffer)> {
    let mut fields = line.split_ascii_whitespace().skip(4);
    let waiting = u64::from_str_radix(fields.next()?.split_once(':')?.1, 16).ok()?;
    let inode = fields.nth(4)?.parse().ok()?;
    let dropped = fields.nth(2)?.parse().ok()?;
    Some((inode, ReceiveBuffer { waiting, dropped }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Transport;
    use crate::net::{Bind, bind};
    use std::net::UdpSocket;

    #[test]
    fn a_line_of_the_kernel_is_understood_and_its_head_is_not_taken_for_one() {
        let line = "  461: 0100007F:13C4 00000000:0000 07 00000000:00000A80 00:00000000 00000000  1000        0 \
                    31337 2 00000000deadbeef 42   ";
        assert_eq!(parse(line), Some((31337, ReceiveBuffer { waiting: 0xA80, dropped: 42 })));
        let head = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout \
                    inode ref pointer drops";
        assert_eq!(parse(head), None);
    }

    #[test]
    fn what_waits_and_what_is_lost_is_told_by_listener() {
        let udp = |address: &str| {
            bind("test", &Bind { transport: Transport::Udp, address: address.parse().unwrap() }, 2).unwrap()
        };
        let tcp = Bind { transport: Transport::Tcp, address: "127.0.0.1:0".parse().unwrap() };
        let bound = [bind("tcp", &tcp, 1).unwrap(), udp("127.0.0.1:0"), udp("127.0.0.1:0")];
        let buffers = ReceiveBuffers::of(&bound);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let Bound::Udp(address, _) = &bound[2] else { panic!("a UDP listener") };
        sender.send_to(&[0; 1_000], address).unwrap();
        let [(first, idle), (second, waits)] = buffers.read()[..] else { panic!("two UDP listeners") };
        assert_eq!((first.index(), second.index()), (1, 2));
        assert_eq!(idle, ReceiveBuffer::default());
        assert!(waits.waiting >= 1_000 && waits.dropped == 0, "{waits:?}");
        // More than any buffer of the system's holds, and nobody reads.
        let mut sent = 0;
        while buffers.read()[1].1.dropped == 0 {
            (0..2_000).for_each(|_| drop(sender.send_to(&[0; 32_000], address)));
            sent += 2_000;
            assert!(sent < 200_000, "nothing was lost");
        }
        assert_eq!(buffers.read()[0].1.dropped, 0);
    }
}
