//! The caller of the demo: places real calls at a steady rate and counts what becomes of them.
//!
//! One call is INVITE, 200, ACK, a moment of talk, BYE, 200; requests inside the call follow the
//! route set (RFC 3261 §12.2). Never talks to a destination by itself unless the route set is empty.

mod call;

use super::text::Text;
use call::{Call, Step};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// Calls under way at most; no further ones are placed above.
const MAX_CALLS: usize = 2_000;
/// How often timers are looked at.
const TICK: Duration = Duration::from_millis(20);

/// What became of the calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// INVITEs sent, without retransmissions.
    pub placed: u64,
    /// Calls answered with 2xx.
    pub answered: u64,
    /// Calls answered, by the address in Contact.
    pub by_destination: BTreeMap<SocketAddr, u64>,
    /// Calls refused, by status code.
    pub refused: BTreeMap<u16, u64>,
    /// Calls without a final response in time.
    pub silent: u64,
    /// Calls whose BYE was answered with 2xx.
    pub ended: u64,
    /// Answered calls whose BYE was not: their destination died under them.
    pub cut: u64,
}

impl Tally {
    /// New calls that were not answered.
    pub fn failed(&self) -> u64 {
        self.silent + self.refused.values().sum::<u64>()
    }
}

/// The caller, placing calls until it is dropped.
#[derive(Debug)]
pub struct Caller {
    tally: Arc<Mutex<Tally>>,
    bursts: mpsc::Sender<u32>,
    task: JoinHandle<()>,
}

impl Caller {
    /// Starts to place `rate` calls a second at a proxy.
    pub async fn new(proxy: SocketAddr, rate: u32) -> io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let own = socket.local_addr()?;
        let tally = Arc::new(Mutex::new(Tally::default()));
        let (bursts, orders) = mpsc::channel(8);
        let desk = Desk { socket, own, proxy, placed: 0, calls: HashMap::new(), tally: Arc::clone(&tally) };
        let task = tokio::spawn(desk.work(Duration::from_secs(1) / rate.max(1), orders));
        Ok(Self { tally, bursts, task })
    }

    /// What became of the calls so far.
    pub fn tally(&self) -> Tally {
        lock(&self.tally).clone()
    }

    /// Places some calls at once, on top of the rate.
    pub async fn burst(&self, calls: u32) {
        let _ = self.bursts.send(calls).await;
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Desk {
    socket: UdpSocket,
    own: SocketAddr,
    proxy: SocketAddr,
    placed: u64,
    calls: HashMap<String, Call>,
    tally: Arc<Mutex<Tally>>,
}

impl Desk {
    async fn work(mut self, every: Duration, mut orders: mpsc::Receiver<u32>) {
        let mut buffer = vec![0; 65_535];
        let mut next = interval(every);
        next.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => {
                    let message = received.ok().and_then(|(length, _)| buffer.get(..length));
                    if let Some(text) = message.and_then(Text::parse) {
                        self.receive(&text).await;
                    }
                }
                _ = next.tick() => self.place().await,
                Some(calls) = orders.recv() => for _ in 0..calls {
                    self.place().await;
                },
                _ = tick.tick() => self.fire().await,
            }
        }
    }

    async fn place(&mut self) {
        if self.calls.len() >= MAX_CALLS {
            return;
        }
        self.placed += 1;
        let (call_id, call) = Call::place(self.placed, self.own, self.proxy, Instant::now());
        self.send(call.message()).await;
        self.calls.insert(call_id, call);
        lock(&self.tally).placed += 1;
    }

    async fn receive(&mut self, text: &Text<'_>) {
        let Some(call_id) = text.first("Call-ID") else { return };
        let Some(call) = self.calls.get_mut(call_id) else { return };
        let step = call.receive(text, Instant::now());
        let call_id = call_id.to_owned();
        self.apply(&call_id, step).await;
    }

    async fn fire(&mut self) {
        let now = Instant::now();
        let due: Vec<String> =
            self.calls.iter().filter(|(_, call)| call.is_due(now)).map(|(id, _)| id.clone()).collect();
        for call_id in due {
            if let Some(step) = self.calls.get_mut(&call_id).map(|call| call.fire(now)) {
                self.apply(&call_id, step).await;
            }
        }
    }

    /// Counts and sends what a step of a call asks for.
    async fn apply(&mut self, call_id: &str, step: Step) {
        let (message, over) = {
            let mut tally = lock(&self.tally);
            match step {
                Step::Wait => (None, false),
                Step::Send(message) => (Some(message), false),
                Step::Answered { contact, ack } => {
                    tally.answered += 1;
                    if let Some(address) = contact {
                        *tally.by_destination.entry(address).or_default() += 1;
                    }
                    (Some(ack), false)
                }
                Step::Refused { code, ack } => {
                    *tally.refused.entry(code).or_default() += 1;
                    (Some(ack), true)
                }
                Step::Silent => {
                    tally.silent += 1;
                    (None, true)
                }
                Step::Ended => {
                    tally.ended += 1;
                    (None, true)
                }
                Step::Cut => {
                    tally.cut += 1;
                    (None, true)
                }
            }
        };
        if let Some((to, message)) = &message {
            self.send((*to, message)).await;
        }
        if over {
            self.calls.remove(call_id);
        }
    }

    async fn send(&self, (to, message): (SocketAddr, &str)) {
        let _ = self.socket.send_to(message.as_bytes(), to).await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::uas::Uas;
    use super::*;

    async fn until(caller: &Caller, wanted: impl Fn(&Tally) -> bool) -> Tally {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let tally = caller.tally();
            if wanted(&tally) {
                return tally;
            }
            assert!(Instant::now() < deadline, "{tally:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn calls_are_answered_and_hung_up() {
        let uas = Uas::new().await.unwrap();
        let caller = Caller::new(uas.address(), 50).await.unwrap();
        let tally = until(&caller, |tally| tally.ended >= 5).await;
        assert_eq!((tally.failed(), tally.cut), (0, 0), "{tally:?}");
        assert_eq!(tally.by_destination.get(&uas.address()), Some(&tally.answered));
    }

    #[tokio::test]
    async fn a_killed_destination_cuts_its_calls_and_answers_again_once_started() {
        let mut uas = Uas::new().await.unwrap();
        let caller = Caller::new(uas.address(), 50).await.unwrap();
        until(&caller, |tally| tally.answered >= 3).await;
        uas.kill().await;
        caller.burst(1).await;
        until(&caller, |tally| tally.cut >= 1).await;
        let before = caller.tally().ended;
        uas.start().await.unwrap();
        until(&caller, |tally| tally.ended > before).await;
    }
}
