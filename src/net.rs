//! Sockets and names: what the data plane receives from and sends to, and who the names are.
//!
//! Owns binding, datagrams with their ICMP errors, streams with their connections, name
//! resolution, and the bounded queues between workers. Never reads a message beyond its framing:
//! which worker owns it is asked of the proxy.

mod alarm;
mod batch;
mod bind;
mod exchange;
mod icmp;
mod interfaces;
mod receive;
mod resolve;
mod settings;
mod stream;
mod udp;

pub use alarm::Alarm;
pub use batch::MANY;
pub use bind::{BindError, Bound, bind, raise_file_limit};
pub use exchange::{Delivery, Exchange, QUEUE_LENGTH};
pub use icmp::Undelivered;
pub use interfaces::interfaces;
pub use receive::ReceiveBuffers;
pub use resolve::resolve;
pub use settings::{Bind, DnsSettings, Family, Settings};
pub use stream::Streams;
pub use udp::{Received, UdpSocket};

use crate::facts::event::TransportReason;
use std::io;

/// The reason that an error of a socket call stands for.
fn reason_of(error: &io::Error) -> TransportReason {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => TransportReason::Refused,
        io::ErrorKind::WouldBlock => TransportReason::WouldBlock,
        io::ErrorKind::TimedOut => TransportReason::ConnectTimeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => TransportReason::Icmp,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => TransportReason::Closed,
        _ if error.raw_os_error() == Some(nix::libc::EMSGSIZE) => TransportReason::TooLarge,
        _ if error.raw_os_error() == Some(nix::libc::ENOBUFS) => TransportReason::WouldBlock,
        _ => TransportReason::Other,
    }
}
