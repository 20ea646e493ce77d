//! The story against a dispatcher that is made up: it is played to its end, or it says where not.

use super::super::text::{Text, address, uri};
use super::*;
use crate::admin::explain::Explanation;
use crate::admin::probes::Probing;
use crate::admin::{
    self, Clock, Control, Effective, MetricsFormat, NotExplained, NotSet, Pieces, ReloadReport, Reset,
    Unavailable,
};
use crate::facts::snapshot::{
    DestinationSnapshot, Detail, LoadSnapshot, ProbeSnapshot, SetSnapshot, Snapshot,
};
use crate::facts::{Admin, Algorithm, SetId, State, Target, Transport, WorkerId};
use crate::proxy::Question;
use async_trait::async_trait;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use tokio::net::UdpSocket;

/// Chooses in turn and knows at once who is dead.
struct Fake {
    destinations: [SocketAddr; DESTINATIONS],
    fails_over: bool,
    selections: Mutex<[u64; DESTINATIONS]>,
    failovers: AtomicU64,
}

impl Fake {
    /// A destination is dead when its port is free.
    fn is_alive(address: SocketAddr) -> bool {
        std::net::UdpSocket::bind(address).is_err()
    }

    fn select(&self, number: usize) -> Option<SocketAddr> {
        let turn = (0..DESTINATIONS).map(|offset| (number + offset) % DESTINATIONS);
        let chosen = turn.into_iter().find(|index| Self::is_alive(self.destinations[*index]))?;
        if chosen != number % DESTINATIONS {
            self.failovers.fetch_add(1, Ordering::Relaxed);
            if !self.fails_over {
                return None;
            }
        }
        self.selections.lock().unwrap()[chosen] += 1;
        Some(self.destinations[chosen])
    }

    async fn relay(self: Arc<Self>, socket: UdpSocket) {
        let own = socket.local_addr().unwrap();
        let (mut buffer, mut caller, mut placed) = (vec![0; 65_535], own, 0);
        loop {
            let Ok((length, peer)) = socket.recv_from(&mut buffer).await else { continue };
            let message = std::str::from_utf8(&buffer[..length]).unwrap().to_owned();
            let text = Text::parse(message.as_bytes()).unwrap();
            let (start, rest) = message.split_once("\r\n").unwrap();
            if text.code().is_some() {
                let (_, below) = rest.split_once("\r\n").unwrap();
                let _ = socket.send_to(format!("{start}\r\n{below}").as_bytes(), caller).await;
                continue;
            }
            caller = peer;
            let hop = match text.first("Route") {
                Some(_) => address(uri(start.split(' ').nth(1).unwrap())),
                None if text.method() == Some("ACK") => continue,
                None => {
                    placed += 1;
                    self.select(placed)
                }
            };
            match hop {
                Some(hop) => {
                    let ours =
                        format!("Via: SIP/2.0/UDP {own};branch=z9hG4bKx\r\nRecord-Route: <sip:{own};lr>");
                    let _ = socket.send_to(format!("{start}\r\n{ours}\r\n{rest}").as_bytes(), hop).await;
                }
                None => {
                    let answer = format!("SIP/2.0 503 Service Unavailable\r\n{rest}");
                    let _ = socket.send_to(answer.as_bytes(), caller).await;
                }
            }
        }
    }
}

#[async_trait]
impl Control for Fake {
    async fn metrics(&self, _: MetricsFormat) -> Result<Pieces, Unavailable> {
        let all_down = u8::from(!self.destinations.iter().any(|address| Self::is_alive(*address)));
        let mut text = format!("sipwarden_set_all_down{{set=\"pbx\"}} {all_down}\n");
        let failovers = self.failovers.load(Ordering::Relaxed);
        text += &format!(
            "sipwarden_failovers_total{{set=\"pbx\",destination=\"pbx-2\",cause=\"503\"}} {failovers}\n"
        );
        for (index, count) in self.selections.lock().unwrap().iter().enumerate() {
            let labels = format!("set=\"pbx\",destination=\"pbx-{}\"", index + 1);
            text += &format!("sipwarden_selections_total{{{labels}}} {count}\n");
        }
        Ok(Pieces::new([text].into_iter()))
    }
    async fn snapshots(&self, _: Detail) -> Result<Vec<Snapshot>, Unavailable> {
        let at = Instant::now();
        let destination = |(index, address): (usize, &SocketAddr)| DestinationSnapshot {
            target: Target::new(0),
            id: format!("pbx-{}", index + 1).into(),
            uri: format!("sip:{address}").into(),
            transport: Transport::Udp,
            address: Some(*address),
            addresses: vec![],
            name: None,
            resolved: None,
            dns_stale: false,
            weight: 1,
            priority: 0,
            state: if Self::is_alive(*address) { State::Up } else { State::Down },
            usable: true,
            admin: Admin::Enabled,
            passive_failures: 0,
            ejected_until: None,
            retry_after_until: None,
            added: at,
            since: at,
            last_change: None,
            probe: ProbeSnapshot::default(),
            load: LoadSnapshot::default(),
            changes: vec![],
            probes: vec![],
            exchange: None,
        };
        let set = SetSnapshot {
            id: SetId::new(0),
            name: "pbx".into(),
            algorithm: Algorithm::RoundRobin,
            objective: 0.999,
            all_down: false,
            detection: Duration::ZERO,
            destinations: self.destinations.iter().enumerate().map(destination).collect(),
        };
        Ok(vec![Snapshot {
            worker: WorkerId(0),
            at,
            in_flight: vec![],
            waiting: vec![],
            early: vec![],
            dialogs: vec![],
            linger: 0,
            probes_in_flight: vec![],
            sets: vec![set],
        }])
    }
    async fn config(&self) -> Effective {
        unreachable!("the story does not ask")
    }
    fn is_ready(&self) -> bool {
        true
    }
    async fn reload(&self, _: Reset) -> Result<ReloadReport, String> {
        Ok(ReloadReport::default())
    }
    async fn probe(&self, _: &str, _: Option<&str>) -> Result<Probing, NotSet> {
        Err(NotSet::NoSet)
    }
    async fn explain(&self, _: &str, _: &Question) -> Result<Explanation, NotExplained> {
        Err(NotExplained::NoSet)
    }
    async fn set_admin(&self, _: &str, _: &str, _: Admin) -> Result<(), NotSet> {
        Err(NotSet::NoSet)
    }
    fn clock(&self) -> Clock {
        Clock::new(Instant::now(), SystemTime::now())
    }
}

async fn play(fails_over: bool) -> bool {
    let destinations = [Uas::new().await.unwrap(), Uas::new().await.unwrap(), Uas::new().await.unwrap()];
    let fake = Arc::new(Fake {
        destinations: destinations.each_ref().map(Uas::address),
        fails_over,
        selections: Mutex::default(),
        failovers: AtomicU64::new(0),
    });
    let settings = admin::Settings { listen: ([127, 0, 0, 1], 0).into(), token: None };
    let bound = admin::bind(&settings).unwrap();
    let client = Client::new(&format!("http://{}", bound.address()), None).unwrap();
    let control: Arc<dyn Control> = fake.clone();
    tokio::spawn(admin::serve(bound, settings, control));
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let proxy = socket.local_addr().unwrap();
    tokio::spawn(fake.relay(socket));
    let rate = 50;
    let caller = Caller::new(proxy, rate).await.unwrap();
    Stage { destinations, caller, client, view: View::new(), rate }.play().await.unwrap()
}

#[tokio::test]
async fn a_dispatcher_that_does_its_work_plays_it_to_the_end() {
    assert!(play(true).await);
}

#[tokio::test]
async fn a_dispatcher_that_does_not_fail_over_is_found_out() {
    assert!(!play(false).await);
}
