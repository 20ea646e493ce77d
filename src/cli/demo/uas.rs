//! A SIP destination of the demo: answers OPTIONS and calls over UDP, can be killed and started.
//!
//! Keeps no state of calls: it answers a repeated request as it answered the first. It never
//! repeats a 200 by itself; on loopback nothing is lost on the way.

use super::text::Text;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::SocketAddr;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// One destination.
#[derive(Debug)]
pub struct Uas {
    address: SocketAddr,
    task: Option<JoinHandle<()>>,
}

impl Uas {
    /// Starts a destination on a free loopback port.
    pub async fn new() -> io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let address = socket.local_addr()?;
        Ok(Self { address, task: Some(tokio::spawn(answer(socket, address))) })
    }

    /// Where it listens, whenever it is alive.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills it: its socket is closed when this returns, and the calls on it are lost.
    pub async fn kill(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }

    /// Starts it again on the same port.
    pub async fn start(&mut self) -> io::Result<()> {
        if self.task.is_none() {
            let socket = UdpSocket::bind(self.address).await?;
            self.task = Some(tokio::spawn(answer(socket, self.address)));
        }
        Ok(())
    }
}

impl Drop for Uas {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn answer(socket: UdpSocket, own: SocketAddr) {
    let mut buffer = vec![0; 65_535];
    loop {
        // An error here is about an earlier datagram of ours, never about the one to come.
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let Some(request) = buffer.get(..length).and_then(Text::parse) else { continue };
        for response in responses(&request, own) {
            let _ = socket.send_to(response.as_bytes(), peer).await;
        }
    }
}

/// What a request is answered with.
fn responses(request: &Text<'_>, own: SocketAddr) -> Vec<String> {
    match request.method() {
        Some("INVITE") => {
            let sdp = sdp(own);
            vec![
                response(request, own, "100 Trying", None),
                response(request, own, "180 Ringing", None),
                response(request, own, "200 OK", Some(&sdp)),
            ]
        }
        Some("ACK") | None => vec![],
        Some("OPTIONS" | "BYE" | "CANCEL") => vec![response(request, own, "200 OK", None)],
        Some(_) => vec![response(request, own, "501 Not Implemented", None)],
    }
}

fn response(request: &Text<'_>, own: SocketAddr, status: &str, sdp: Option<&str>) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    let mut line = |name: &str, value: &str| {
        write!(text, "{name}: {value}\r\n").expect("writing to a string succeeds");
    };
    for name in ["Via", "Record-Route", "From"] {
        request.all(name).for_each(|value| line(name, value));
    }
    let to = request.first("To").unwrap_or("");
    let call_id = request.first("Call-ID").unwrap_or("");
    match to.contains(";tag=") || status.starts_with("100") {
        true => line("To", to),
        false => line("To", &format!("{to};tag={:x}", tag(call_id, own))),
    }
    line("Call-ID", call_id);
    line("CSeq", request.first("CSeq").unwrap_or(""));
    line("Contact", &format!("<sip:{own}>"));
    if sdp.is_some() {
        line("Content-Type", "application/sdp");
    }
    let body = sdp.unwrap_or("");
    line("Content-Length", &body.len().to_string());
    text.push_str("\r\n");
    text.push_str(body);
    text
}

/// The tag of a call on this destination: the same for every response to it (RFC 3261 §8.2.6.2).
fn tag(call_id: &str, own: SocketAddr) -> u64 {
    let mut hasher = DefaultHasher::new();
    (call_id, own).hash(&mut hasher);
    hasher.finish()
}

/// A session of one audio stream that nobody sends to (port 9, discard).
pub fn sdp(own: SocketAddr) -> String {
    let ip = own.ip();
    format!("v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n")
}
