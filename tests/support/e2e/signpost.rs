//! A destination that says who it is: every INVITE gets 486 with its name, every OPTIONS 200; and a
//! caller that asks where an INVITE goes.

use super::address;
use super::phone::Message;
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often a destination looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Timer A of a caller over UDP (RFC 3261 §17.1.1.2).
const REPEAT_AFTER: Duration = Duration::from_millis(500);
/// INVITEs without a final response at once: few enough for any socket's buffer.
const AT_A_TIME: usize = 16;
const PATIENCE: Duration = Duration::from_secs(10);

/// A destination.
#[derive(Debug)]
pub struct Signpost {
    /// Where it answers.
    pub address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Signpost {
    /// Starts one on an address of its own.
    pub fn start(name: &str) -> Self {
        let address = address::endpoint();
        let socket = UdpSocket::bind(address).expect("the address was just free");
        socket.set_read_timeout(Some(LOOK_EVERY)).expect("a socket takes a timeout");
        let is_over = Arc::new(AtomicBool::new(false));
        let (ends, name) = (Arc::clone(&is_over), name.to_owned());
        let thread = std::thread::spawn(move || serve(&socket, &name, &ends));
        Self { address, is_over, thread: Some(thread) }
    }

    /// Ends it; its port is closed then.
    pub fn kill(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a destination does not panic");
        }
    }
}

impl Drop for Signpost {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

fn serve(socket: &UdpSocket, name: &str, ends: &AtomicBool) {
    let mut bytes = [0; 65_535];
    while !ends.load(Ordering::Relaxed) {
        // An error is a time-out, or what an earlier answer met.
        let Ok((length, from)) = socket.recv_from(&mut bytes) else { continue };
        let request = Message::new(bytes.get(..length).expect("no more than the buffer holds"));
        let status = match request.method() {
            "OPTIONS" => "200 OK",
            "INVITE" => "486 Busy Here",
            _ => continue,
        };
        let mut answer = format!("SIP/2.0 {status}\r\nX-Who: {name}\r\nContent-Length: 0\r\n");
        for header in ["Via", "From", "To", "Call-ID", "CSeq"] {
            for value in request.headers(header) {
                let tag = if header == "To" { ";tag=signpost" } else { "" };
                answer += &format!("{header}: {value}{tag}\r\n");
            }
        }
        let _ = socket.send_to((answer + "\r\n").as_bytes(), from);
    }
}

/// What an INVITE says beside what every one must.
#[derive(Debug)]
pub struct Invite {
    /// Its Request-URI.
    pub uri: String,
    /// From, To, Call-ID and whatever else, each line with its end.
    pub headers: String,
}

/// A caller from one socket.
#[derive(Debug)]
pub struct Asker {
    socket: UdpSocket,
    asked: u32,
}

/// An INVITE on its way.
#[derive(Debug)]
struct Open {
    sequence: u32,
    invite: Invite,
    text: String,
    repeat_at: Instant,
}

impl Asker {
    /// A caller on an address of its own.
    pub fn new() -> Self {
        let socket = UdpSocket::bind(address::endpoint()).expect("the address was just free");
        socket.set_read_timeout(Some(LOOK_EVERY)).expect("a socket takes a timeout");
        Self { socket, asked: 0 }
    }

    /// Sends INVITEs to a proxy in this order, a few at a time, and gives for each the name of the
    /// destination that answered, or else the code.
    pub fn ask(&mut self, proxy: SocketAddr, invites: impl IntoIterator<Item = Invite>) -> Vec<String> {
        let mut invites = invites.into_iter();
        let (mut open, mut names): (Vec<Open>, BTreeMap<u32, String>) = (vec![], BTreeMap::new());
        let mut last = Instant::now();
        loop {
            while open.len() < AT_A_TIME
                && let Some(invite) = invites.next()
            {
                open.push(self.open(invite));
            }
            if open.is_empty() {
                return names.into_values().collect();
            }
            assert!(last.elapsed() < PATIENCE, "no final response from {proxy} to {open:?}");
            let now = Instant::now();
            for open in open.iter_mut().filter(|open| open.repeat_at <= now) {
                let _ = self.socket.send_to(open.text.as_bytes(), proxy);
                open.repeat_at = now + REPEAT_AFTER;
            }
            let Some(answer) = self.receive() else { continue };
            let at = open.iter().position(|open| open.sequence == answer.sequence());
            if let Some(at) = at.filter(|_| answer.is_final("INVITE")) {
                let Open { sequence, invite, .. } = open.remove(at);
                self.acknowledge(proxy, &invite, &answer);
                let code = || answer.code().map(|code| code.to_string()).unwrap_or_default();
                names.insert(sequence, answer.header("X-Who").map_or_else(code, str::to_owned));
                last = Instant::now();
            }
        }
    }

    fn open(&mut self, invite: Invite) -> Open {
        self.asked += 1;
        let (sequence, via, local) = (self.asked, self.via(self.asked), self.local());
        let Invite { uri, headers } = &invite;
        let text = format!(
            "INVITE {uri} SIP/2.0\r\n{via}Max-Forwards: 70\r\nCSeq: {sequence} INVITE\r\n\
             Contact: <sip:asker@{local}>\r\n{headers}Content-Length: 0\r\n\r\n"
        );
        Open { sequence, invite, text, repeat_at: Instant::now() }
    }

    fn acknowledge(&self, proxy: SocketAddr, invite: &Invite, answer: &Message) {
        let (sequence, via) = (answer.sequence(), self.via(answer.sequence()));
        let kept = |name: &str| format!("{name}: {}\r\n", answer.header(name).unwrap_or_default());
        let kept = ["From", "To", "Call-ID"].map(kept).concat();
        let ack = format!(
            "ACK {} SIP/2.0\r\n{via}Max-Forwards: 70\r\nCSeq: {sequence} ACK\r\n{kept}\
             Content-Length: 0\r\n\r\n",
            invite.uri
        );
        let _ = self.socket.send_to(ack.as_bytes(), proxy);
    }

    fn receive(&self) -> Option<Message> {
        let mut bytes = [0; 65_535];
        let length = self.socket.recv(&mut bytes).ok()?;
        Some(Message::new(bytes.get(..length)?))
    }

    fn via(&self, sequence: u32) -> String {
        format!("Via: SIP/2.0/UDP {};branch=z9hG4bKasker{sequence}\r\n", self.local())
    }

    fn local(&self) -> SocketAddr {
        self.socket.local_addr().expect("a bound socket has an address")
    }
}
