//! A destination that is a socket of the test: answers OPTIONS with 200 and INVITE with 486 as long
//! as it is alive, and writes down whose calls it got even when it is not.

use super::address;
use super::phone::Message;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Such a destination.
#[derive(Debug)]
pub struct Answerer {
    /// Where it answers.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    is_alive: AtomicBool,
    is_over: AtomicBool,
    /// Call-IDs of the INVITEs received, repetitions included.
    calls: Mutex<Vec<String>>,
    /// The last request that was no probe.
    last: Mutex<Option<String>>,
}

impl Answerer {
    /// One on an address of its own.
    pub fn start() -> Self {
        let address = address::endpoint();
        let socket = UdpSocket::bind(address).expect("a loopback address can be bound");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a time-out can be set");
        let shared = Arc::new(Shared {
            is_alive: AtomicBool::new(true),
            is_over: AtomicBool::new(false),
            calls: Mutex::default(),
            last: Mutex::default(),
        });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || theirs.serve(&socket));
        Self { address, shared, thread: Some(thread) }
    }

    /// Lets it answer, or be silent.
    pub fn set_alive(&self, is_alive: bool) {
        self.shared.is_alive.store(is_alive, Ordering::SeqCst);
    }

    /// The last request it has received that was no OPTIONS.
    pub fn last(&self) -> Option<String> {
        self.shared.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Call-IDs of the INVITEs it has received, in order.
    pub fn calls(&self) -> Vec<String> {
        self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Answerer {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn serve(&self, socket: &UdpSocket) {
        let mut buffer = [0; 65_535];
        while !self.is_over.load(Ordering::SeqCst) {
            let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
            let request = Message::new(buffer.get(..length).unwrap_or_default());
            if request.requests("INVITE") {
                let call_id = request.header("Call-ID").unwrap_or_default().to_owned();
                self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call_id);
            }
            if !request.requests("OPTIONS") {
                let text = request.text().to_owned();
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
            }
            if request.requests("ACK") || !self.is_alive.load(Ordering::SeqCst) {
                continue;
            }
            let status = if request.requests("INVITE") { "486 Busy Here" } else { "200 OK" };
            let mut answer = format!("SIP/2.0 {status}\r\n");
            for name in ["Via", "From", "Call-ID", "CSeq"] {
                for value in request.headers(name) {
                    answer.push_str(&format!("{name}: {value}\r\n"));
                }
            }
            let to = request.header("To").unwrap_or_default();
            answer.push_str(&format!("To: {to};tag=answerer\r\nContent-Length: 0\r\n\r\n"));
            let _ = socket.send_to(answer.as_bytes(), from);
        }
    }
}
