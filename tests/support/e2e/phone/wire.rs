//! One socket of a phone: datagrams, or a stream cut into messages.

use super::super::sipp::Transport;
use super::message::Message;
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// A connected socket.
#[derive(Debug)]
pub enum Wire {
    /// Datagrams.
    Udp(UdpSocket),
    /// A stream, and what has come of the next message.
    Tcp(TcpStream, Vec<u8>),
}

impl Wire {
    /// Opens a socket from a port of the address.
    pub fn open(transport: Transport, from: IpAddr, to: SocketAddr) -> Self {
        let kind = match transport {
            Transport::Udp => Type::DGRAM,
            Transport::Tcp => Type::STREAM,
        };
        let socket = Socket::new(Domain::for_address(to), kind, None).expect("a socket can be made");
        socket.bind(&SocketAddr::new(from, 0).into()).expect("a port of the phone's address is free");
        socket.connect(&to.into()).expect("the product takes connections");
        match transport {
            Transport::Udp => Self::Udp(socket.into()),
            Transport::Tcp => Self::Tcp(socket.into(), Vec::new()),
        }
    }

    /// Its own address.
    pub fn local(&self) -> SocketAddr {
        let local = match self {
            Self::Udp(socket) => socket.local_addr(),
            Self::Tcp(stream, _) => stream.local_addr(),
        };
        local.expect("a bound socket has an address")
    }

    /// How it sends.
    pub const fn transport(&self) -> Transport {
        match self {
            Self::Udp(_) => Transport::Udp,
            Self::Tcp(..) => Transport::Tcp,
        }
    }

    /// Sends a message. What cannot be sent is lost; the story then lacks its answer.
    pub fn send(&mut self, text: &str) {
        let _ = match self {
            Self::Udp(socket) => socket.send(text.as_bytes()).map(drop),
            Self::Tcp(stream, _) => stream.write_all(text.as_bytes()),
        };
    }

    /// The next message, if one comes in time.
    pub fn receive(&mut self, until: Instant) -> Option<Message> {
        let mut bytes = [0; 65_535];
        loop {
            if let Self::Tcp(_, rest) = self
                && let Some(length) = framed(rest)
            {
                return Some(Message::new(&rest.drain(..length).collect::<Vec<u8>>()));
            }
            let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let received = match self {
                Self::Udp(socket) => {
                    socket.set_read_timeout(Some(left)).and_then(|()| socket.recv(&mut bytes))
                }
                Self::Tcp(stream, _) => {
                    stream.set_read_timeout(Some(left)).and_then(|()| stream.read(&mut bytes))
                }
            };
            let bytes = bytes.get(..received.ok()?)?;
            match &mut *self {
                Self::Udp(_) => return Some(Message::new(bytes)),
                // The product has closed the stream: nothing will come.
                Self::Tcp(..) if bytes.is_empty() => {
                    std::thread::park_timeout(left);
                    return None;
                }
                Self::Tcp(_, rest) => rest.extend_from_slice(bytes),
            }
        }
    }
}

/// The length of the first message in a stream's bytes, once it is whole.
fn framed(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let length = Message::new(bytes.get(..head)?).header("Content-Length")?.parse::<usize>().ok()?;
    (bytes.len() >= head + length).then_some(head + length)
}
