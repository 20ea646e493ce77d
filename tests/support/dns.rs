//! A DNS server with scripted answers, over UDP and TCP, for the tests of names.
//!
//! Speaks the few record types that the product asks for. What is asked is remembered.

#![allow(dead_code, reason = "each test uses its own part of it")]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A record type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    A = 1,
    Aaaa = 28,
    Srv = 33,
}

/// How a question is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Script {
    /// With these records, kept for some seconds.
    Records(u32, Vec<Record>),
    /// The same, but only over TCP: over UDP the answer says that it is truncated.
    OverTcp(u32, Vec<Record>),
    /// The name exists, without such records.
    Nothing,
    /// There is no such name.
    NxDomain,
    /// The server cannot tell.
    ServFail,
    /// Not at all.
    Silence,
}

/// The data of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    Address(IpAddr),
    Srv { priority: u16, weight: u16, port: u16, target: String },
}

/// A running server; it ends with the last handle.
#[derive(Debug, Clone)]
pub struct Dns {
    pub address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    scripts: BTreeMap<(String, Kind), Script>,
    asked: Vec<(String, Kind)>,
}

/// Sockets of both transports on one port; any port that is free for UDP may be taken for TCP.
fn bound(address: SocketAddr) -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let udp = UdpSocket::bind(address).expect("the address is free (port 53 needs root)");
        let taken = udp.local_addr().expect("a bound socket has an address");
        match TcpListener::bind(taken) {
            Ok(tcp) => return (udp, tcp),
            Err(error) if address.port() != 0 => panic!("{address} over TCP: {error}"),
            Err(_) => {}
        }
    }
    panic!("no port is free for UDP and TCP alike");
}

impl Dns {
    /// Serves at this address, of which port 0 is any; every name is unknown at first.
    pub fn start(address: impl Into<SocketAddr>) -> Self {
        let (udp, tcp) = bound(address.into());
        let address = udp.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Mutex::new(Shared::default()));
        udp.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out can be set");
        tcp.set_nonblocking(true).expect("a listener can be polled");
        let weak = Arc::downgrade(&shared);
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Some(shared) = weak.upgrade() {
                if let Ok((length, client)) = udp.recv_from(&mut buffer)
                    && let Some(answer) =
                        respond(&shared, buffer.get(..length).unwrap_or_default(), Over::Udp)
                {
                    let _ = udp.send_to(&answer, client);
                }
                while let Ok((stream, _)) = tcp.accept() {
                    serve_stream(&shared, stream);
                }
            }
        });
        Self { address, shared }
    }

    /// From now on answers so.
    pub fn set(&self, name: &str, kind: Kind, script: Script) {
        self.lock().scripts.insert((name.to_owned(), kind), script);
    }

    /// From now on a name has these addresses of one family.
    pub fn set_addresses(&self, name: &str, ttl: u32, addresses: &[IpAddr]) {
        let kind = if addresses.first().is_some_and(IpAddr::is_ipv6) { Kind::Aaaa } else { Kind::A };
        let records = addresses.iter().copied().map(Record::Address).collect();
        self.set(name, kind, Script::Records(ttl, records));
    }

    /// How often something was asked since the start.
    pub fn asked(&self, name: &str, kind: Kind) -> usize {
        self.lock().asked.iter().filter(|(asked, of)| asked == name && *of == kind).count()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Udp,
    Tcp,
}

fn serve_stream(shared: &Mutex<Shared>, mut stream: std::net::TcpStream) {
    stream.set_nonblocking(false).expect("a stream can wait");
    stream.set_read_timeout(Some(Duration::from_millis(500))).expect("a time-out can be set");
    let mut length = [0; 2];
    while stream.read_exact(&mut length).is_ok() {
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        if stream.read_exact(&mut question).is_err() {
            return;
        }
        let Some(answer) = respond(shared, &question, Over::Tcp) else { return };
        let length = u16::try_from(answer.len()).expect("an answer is short");
        let _ = stream.write_all(&[&length.to_be_bytes()[..], &answer].concat());
    }
}

/// The answer to a question; `None` is silence.
fn respond(shared: &Mutex<Shared>, question: &[u8], over: Over) -> Option<Vec<u8>> {
    let (name, end) = read_name(question, 12)?;
    let kind = match question.get(end..end + 2)? {
        [0, 1] => Kind::A,
        [0, 28] => Kind::Aaaa,
        [0, 33] => Kind::Srv,
        _ => return None,
    };
    let script = {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.asked.push((name.clone(), kind));
        shared.scripts.get(&(name, kind)).cloned().unwrap_or(Script::NxDomain)
    };
    let none = Vec::new();
    let (code, is_truncated, ttl, records) = match &script {
        Script::Records(ttl, records) => (0, false, *ttl, records),
        Script::OverTcp(ttl, _) if over == Over::Udp => (0, true, *ttl, &none),
        Script::OverTcp(ttl, records) => (0, false, *ttl, records),
        Script::Nothing => (0, false, 0, &none),
        Script::NxDomain => (3, false, 0, &none),
        Script::ServFail => (2, false, 0, &none),
        Script::Silence => return None,
    };
    let mut answer = question.get(..2)?.to_vec();
    // QR, RD, RA, and TC where it is so.
    answer.extend([0x81 | if is_truncated { 2 } else { 0 }, 0x80 | code]);
    let count = u16::try_from(records.len()).expect("few records");
    for count in [1, count, 0, 0] {
        answer.extend(count.to_be_bytes());
    }
    answer.extend(question.get(12..end + 4)?);
    for record in records {
        answer.extend([0xC0, 12]);
        answer.extend(question.get(end..end + 4)?);
        answer.extend(ttl.to_be_bytes());
        let data = data(record);
        answer.extend(u16::try_from(data.len()).expect("short data").to_be_bytes());
        answer.extend(data);
    }
    Some(answer)
}

fn data(record: &Record) -> Vec<u8> {
    match record {
        Record::Address(IpAddr::V4(address)) => address.octets().to_vec(),
        Record::Address(IpAddr::V6(address)) => address.octets().to_vec(),
        Record::Srv { priority, weight, port, target } => {
            let mut data: Vec<u8> =
                [priority, weight, port].into_iter().flat_map(|n| n.to_be_bytes()).collect();
            for label in target.split('.').filter(|label| !label.is_empty()) {
                data.push(u8::try_from(label.len()).expect("a short label"));
                data.extend(label.bytes());
            }
            data.push(0);
            data
        }
    }
}

/// The name at a place, in lower case and without the last dot, and where it ends.
fn read_name(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        let label = message.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
}
