//! A phone that makes one call and writes down every message it is sent, repetitions included.
//!
//! Timers of RFC 3261 over UDP; final responses are acknowledged and requests answered with 200, as
//! often as they come. It keeps to the route set.

mod message;
mod wire;

use super::sipp::Transport;
pub use message::Message;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use wire::Wire;

const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
/// 64·T1: longer than any transaction lives.
const PATIENCE: Duration = Duration::from_secs(32);

/// A phone in a call.
#[derive(Debug)]
pub struct Phone {
    wire: Wire,
    uri: String,
    call_id: String,
    tag: String,
    sequence: u32,
    remote: Remote,
    unanswered: Vec<Unanswered>,
    received: Vec<Message>,
    repeated: Vec<Message>,
    sent_again: u32,
}

/// What a phone knows of the other side.
#[derive(Debug)]
struct Remote {
    to: String,
    target: String,
    routes: Vec<String>,
}

/// A request that is sent again until it is answered.
#[derive(Debug)]
struct Unanswered {
    method: &'static str,
    sequence: u32,
    text: String,
    again: Instant,
    pause: Duration,
}

impl Phone {
    /// A phone at an address that will call a URI through the product.
    pub fn new(transport: Transport, from: IpAddr, product: SocketAddr, uri: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let remote = Remote { to: format!("<{uri}>"), target: uri.to_owned(), routes: Vec::new() };
        Self {
            wire: Wire::open(transport, from, product),
            uri: uri.to_owned(),
            call_id: format!("{process}-{number}@{from}"),
            tag: format!("{process}-{number}"),
            sequence: 0,
            remote,
            unanswered: Vec::new(),
            received: Vec::new(),
            repeated: Vec::new(),
            sent_again: 0,
        }
    }

    /// Sends the INVITE.
    pub fn invite(&mut self) {
        let host = self.wire.local().ip();
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        );
        self.request("INVITE", "Content-Type: application/sdp\r\n", &sdp);
    }

    /// Sends a CANCEL of the INVITE, whatever has become of that. A second one is the same request.
    pub fn cancel(&mut self) {
        let text = self.compose("CANCEL", 1, "invite", "", "");
        self.send("CANCEL", 1, text);
    }

    /// Sends a request inside the dialog.
    pub fn request(&mut self, method: &'static str, headers: &str, body: &str) {
        self.sequence += 1;
        let branch = if method == "INVITE" { "invite" } else { method };
        let text = self.compose(method, self.sequence, branch, headers, body);
        self.send(method, self.sequence, text);
    }

    /// Follows the call until a message fits; tells whether it came.
    pub fn wait_for(&mut self, fits: impl Fn(&Message) -> bool) -> bool {
        let until = Instant::now() + PATIENCE + T2;
        let mut read = 0;
        while !self.received.iter().skip(read).any(&fits) {
            read = self.received.len();
            if Instant::now() > until {
                return false;
            }
            self.step(until);
        }
        true
    }

    /// Follows the call for some time.
    pub fn listen(&mut self, during: Duration) {
        let until = Instant::now() + during;
        while Instant::now() < until {
            self.step(until);
        }
    }

    /// Hangs up and waits for the answer; tells whether that is 200.
    pub fn hang_up(&mut self) -> bool {
        self.request("BYE", "", "");
        self.wait_for(|message| message.is_final("BYE")) && self.codes("BYE") == [200]
    }

    /// The different final responses to requests with the method.
    pub fn finals(&self, method: &str) -> impl Iterator<Item = &Message> {
        self.received.iter().filter(move |message| message.is_final(method))
    }

    /// Their codes.
    pub fn codes(&self, method: &str) -> Vec<u16> {
        self.finals(method).filter_map(Message::code).collect()
    }

    /// The bodies of the requests received with the method.
    pub fn bodies(&self, method: &str) -> Vec<&str> {
        self.received.iter().filter(|message| message.requests(method)).map(Message::body).collect()
    }

    /// How many final responses to requests with the method came that had come before.
    pub fn repetitions(&self, method: &str) -> usize {
        self.repeated.iter().filter(|message| message.is_final(method)).count()
    }

    /// How many requests it sent again because no answer came.
    pub const fn sent_again(&self) -> u32 {
        self.sent_again
    }

    /// The first lines of what came, for a failed assertion.
    pub fn story(&self) -> String {
        let lines =
            self.received.iter().map(|m| format!("{} ({} {})", m.start_line(), m.sequence(), m.method()));
        format!("{}: {}", self.call_id, lines.collect::<Vec<_>>().join(", "))
    }

    fn send(&mut self, method: &'static str, sequence: u32, text: String) {
        self.wire.send(&text);
        if self.wire.transport() == Transport::Udp {
            self.unanswered.retain(|known| known.text != text);
            self.unanswered.push(Unanswered {
                method,
                sequence,
                text,
                again: Instant::now() + T1,
                pause: T1,
            });
        }
    }

    /// Takes in one message, or sends again what is due.
    fn step(&mut self, until: Instant) {
        let due = self.unanswered.iter().map(|request| request.again).min();
        if let Some(message) = self.wire.receive(due.map_or(until, |due| due.min(until))) {
            self.take_in(message);
        }
        let now = Instant::now();
        for request in self.unanswered.iter_mut().filter(|request| request.again <= now) {
            self.wire.send(&request.text);
            self.sent_again += 1;
            let longest = if request.method == "INVITE" { PATIENCE } else { T2 };
            request.pause = (request.pause * 2).min(longest);
            request.again = now + request.pause;
        }
    }

    fn take_in(&mut self, message: Message) {
        match message.code() {
            None if message.method() != "ACK" => self.answer(&message),
            None => {}
            Some(code) => {
                let (method, sequence) = (message.method(), message.sequence());
                self.unanswered.retain(|request| {
                    let answered = request.method == method && request.sequence == sequence;
                    !answered || (code < 200 && method != "INVITE")
                });
                if message.is_final("INVITE") {
                    self.acknowledge(&message, code);
                }
            }
        }
        // A repetition is equal to the byte, as the product and its peers keep what they sent.
        if self.received.contains(&message) {
            self.repeated.push(message);
        } else {
            self.received.push(message);
        }
    }

    fn acknowledge(&mut self, message: &Message, code: u16) {
        self.remote.to = message.header("To").unwrap_or_default().to_owned();
        let ack = if code < 300 {
            self.remote.routes = message.headers("Record-Route").map(str::to_owned).collect();
            self.remote.routes.reverse();
            let contact = message.header("Contact").unwrap_or_default();
            let target = contact.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
            self.remote.target = target.map_or(contact, |(uri, _)| uri).to_owned();
            self.compose("ACK", 1, "ack", "", "")
        } else {
            self.compose("ACK", 1, "invite", "", "")
        };
        self.wire.send(&ack);
    }

    fn answer(&mut self, request: &Message) {
        let mut text = String::from("SIP/2.0 200 OK\r\n");
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            text.extend(request.headers(name).map(|value| format!("{name}: {value}\r\n")));
        }
        text.push_str("Content-Length: 0\r\n\r\n");
        self.wire.send(&text);
    }

    fn compose(&self, method: &str, sequence: u32, branch: &str, headers: &str, body: &str) -> String {
        let Self { uri, call_id, tag, remote, wire, .. } = self;
        let (local, transport) = (wire.local(), wire.transport().word());
        // CANCEL and the ACK of a failure go where the INVITE went.
        let is_inside = branch != "invite";
        let target = if is_inside { &remote.target } else { uri };
        let to = if method == "CANCEL" { format!("<{uri}>") } else { remote.to.clone() };
        let routes: String = remote.routes.iter().map(|route| format!("Route: {route}\r\n")).collect();
        let routes = if is_inside { routes } else { String::new() };
        format!(
            "{method} {target} SIP/2.0\r\n\
             Via: SIP/2.0/{} {local};branch=z9hG4bK{tag}-{sequence}-{branch};rport\r\n\
             Max-Forwards: 70\r\n{routes}\
             From: <sip:phone@{local}>;tag={tag}\r\nTo: {to}\r\n\
             Call-ID: {call_id}\r\nCSeq: {sequence} {method}\r\n\
             Contact: <sip:phone@{local};transport={transport}>\r\n{headers}\
             Content-Length: {}\r\n\r\n{body}",
            transport.to_uppercase(),
            body.len(),
        )
    }
}
