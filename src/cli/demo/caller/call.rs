//! One call of the demo's caller: what it has sent, what it waits for, what comes next.
//!
//! Pure: the time and the messages are given to it.

use super::super::text::{Text, address, uri};
use super::super::uas::sdp;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// RFC 3261 T1: the first retransmission over UDP.
const T1: Duration = Duration::from_millis(500);
/// Time to a final response to an INVITE: above what the demo's failover may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(6);
/// Time to a final response to a BYE.
const END_WITHIN: Duration = Duration::from_secs(3);
/// How long an answered call lasts.
const TALK: Duration = Duration::from_millis(200);

/// What a call wants of its caller.
#[derive(Debug)]
pub enum Step {
    /// Nothing.
    Wait,
    /// A message to send.
    Send((SocketAddr, String)),
    /// A first 2xx came; the ACK to send.
    Answered {
        /// The destination that answered.
        contact: Option<SocketAddr>,
        /// The ACK.
        ack: (SocketAddr, String),
    },
    /// Over: refused; the ACK to send.
    Refused {
        /// The status code.
        code: u16,
        /// The ACK.
        ack: (SocketAddr, String),
    },
    /// Over: no final response to the INVITE.
    Silent,
    /// Over: hung up.
    Ended,
    /// Over: the BYE failed.
    Cut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Inviting,
    Proceeding,
    Talking,
    HangingUp,
}

/// One call.
#[derive(Debug)]
pub struct Call {
    number: u64,
    own: SocketAddr,
    proxy: SocketAddr,
    phase: Phase,
    /// The request under way, and where it goes.
    sent: (SocketAddr, String),
    /// The ACK of the 2xx, sent again for every repeated 2xx (RFC 3261 §13.2.2.4).
    ack: Option<(SocketAddr, String)>,
    /// The BYE to send after the talk.
    bye: Option<(SocketAddr, String)>,
    /// When something is due: a retransmission, the end of the talk.
    next: Instant,
    pause: Duration,
    deadline: Instant,
}

impl Call {
    /// Places a call; returns its Call-ID too.
    pub fn place(number: u64, own: SocketAddr, proxy: SocketAddr, now: Instant) -> (String, Self) {
        let mut call = Self {
            number,
            own,
            proxy,
            phase: Phase::Inviting,
            sent: (proxy, String::new()),
            ack: None,
            bye: None,
            next: now + T1,
            pause: T1,
            deadline: now + ANSWER_WITHIN,
        };
        let body = sdp(own);
        let contact = format!("Contact: <sip:caller@{own}>\r\nContent-Type: application/sdp\r\n");
        let head = call.head("INVITE", &call.target(), "invite", 1, &call.to());
        call.sent.1 = format!("{head}{contact}Content-Length: {}\r\n\r\n{body}", body.len());
        (call.call_id(), call)
    }

    /// The request under way.
    pub fn message(&self) -> (SocketAddr, &str) {
        (self.sent.0, &self.sent.1)
    }

    /// Whether [`Call::fire`] has something to do.
    pub fn is_due(&self, now: Instant) -> bool {
        self.deadline <= now || self.next <= now
    }

    /// Takes in a response.
    pub fn receive(&mut self, text: &Text<'_>, now: Instant) -> Step {
        let (Some(code), Some(method)) = (text.code(), text.cseq_method()) else { return Step::Wait };
        match (method, self.phase, code) {
            ("INVITE", Phase::Inviting, ..=199) => {
                self.phase = Phase::Proceeding;
                Step::Wait
            }
            ("INVITE", Phase::Inviting | Phase::Proceeding, 200..=299) => self.answered(text, now),
            ("INVITE", Phase::Inviting | Phase::Proceeding, 300..) => {
                let to = text.first("To").map_or_else(|| self.to(), str::to_owned);
                let ack = self.head("ACK", &self.target(), "invite", 1, &to);
                Step::Refused { code, ack: (self.proxy, format!("{ack}Content-Length: 0\r\n\r\n")) }
            }
            ("INVITE", Phase::Talking | Phase::HangingUp, 200..=299) => {
                self.ack.clone().map_or(Step::Wait, Step::Send)
            }
            ("BYE", Phase::HangingUp, 200..=299) => Step::Ended,
            ("BYE", Phase::HangingUp, 300..) => Step::Cut,
            _ => Step::Wait,
        }
    }

    /// Does what is due.
    pub fn fire(&mut self, now: Instant) -> Step {
        match self.phase {
            Phase::Inviting | Phase::Proceeding if self.deadline <= now => Step::Silent,
            Phase::HangingUp if self.deadline <= now => Step::Cut,
            Phase::Inviting | Phase::HangingUp => {
                self.pause *= 2;
                self.next = now + self.pause;
                Step::Send(self.sent.clone())
            }
            // RFC 3261 §17.1.1.2: a provisional response ends the retransmissions.
            Phase::Proceeding => {
                self.next = self.deadline;
                Step::Wait
            }
            Phase::Talking => {
                self.phase = Phase::HangingUp;
                self.sent = self.bye.take().unwrap_or_else(|| self.sent.clone());
                (self.pause, self.next, self.deadline) = (T1, now + T1, now + END_WITHIN);
                Step::Send(self.sent.clone())
            }
        }
    }

    /// A first 2xx: the dialog's route set and remote target are known (RFC 3261 §12.1.2).
    fn answered(&mut self, text: &Text<'_>, now: Instant) -> Step {
        let target = text.first("Contact").map_or_else(|| self.target(), |contact| uri(contact).to_owned());
        let to = text.first("To").map_or_else(|| self.to(), str::to_owned);
        let routes: Vec<&str> = text.all("Record-Route").flat_map(|value| value.split(',')).rev().collect();
        let hop = routes.first().map_or(target.as_str(), |route| uri(route));
        let hop = address(hop).unwrap_or(self.proxy);
        let route: String = routes.iter().map(|route| format!("Route: {}\r\n", route.trim())).collect();
        let request = |method: &str, sequence| {
            let head = self.head(method, &target, method, sequence, &to);
            (hop, format!("{head}{route}Content-Length: 0\r\n\r\n"))
        };
        let (ack, bye) = (request("ACK", 1), request("BYE", 2));
        self.phase = Phase::Talking;
        self.ack = Some(ack.clone());
        self.bye = Some(bye);
        (self.next, self.deadline) = (now + TALK, now + TALK);
        Step::Answered { contact: address(&target), ack }
    }

    fn head(&self, method: &str, target: &str, branch: &str, sequence: u32, to: &str) -> String {
        let (own, number) = (self.own, self.number);
        format!(
            "{method} {target} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {own};branch=z9hG4bK-demo-{number}-{branch};rport\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:caller@{own}>;tag=demo{number}\r\n\
             To: {to}\r\n\
             Call-ID: {}\r\n\
             CSeq: {sequence} {method}\r\n",
            self.call_id()
        )
    }

    fn call_id(&self) -> String {
        format!("demo-{}@{}", self.number, self.own)
    }

    fn target(&self) -> String {
        format!("sip:100@{}", self.proxy)
    }

    fn to(&self) -> String {
        format!("<sip:100@{}>", self.proxy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(now: Instant) -> Call {
        Call::place(7, ([127, 0, 0, 1], 1000).into(), ([127, 0, 0, 1], 2000).into(), now).1
    }

    fn receive(call: &mut Call, text: &str, now: Instant) -> Step {
        call.receive(&Text::parse(text.as_bytes()).unwrap(), now)
    }

    const ANSWER: &str = "SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\nTo: <sip:100@x>;tag=b\r\n\
        Contact: <sip:127.0.0.1:3000>\r\nRecord-Route: <sip:127.0.0.1:2001;lr>, <sip:127.0.0.1:2002;lr>\r\n\r\n";

    #[test]
    fn requests_in_the_call_follow_the_route_set_from_its_end() {
        let now = Instant::now();
        let mut call = call(now);
        let Step::Answered { contact, ack: (hop, ack) } = receive(&mut call, ANSWER, now) else { panic!() };
        assert_eq!(contact, Some(([127, 0, 0, 1], 3000).into()));
        assert_eq!(hop, ([127, 0, 0, 1], 2002).into());
        assert!(ack.starts_with("ACK sip:127.0.0.1:3000 SIP/2.0\r\n"), "{ack}");
        assert!(
            ack.contains("Route: <sip:127.0.0.1:2002;lr>\r\nRoute: <sip:127.0.0.1:2001;lr>\r\n"),
            "{ack}"
        );
        assert!(ack.contains("To: <sip:100@x>;tag=b\r\n") && ack.contains("CSeq: 1 ACK\r\n"), "{ack}");
        assert!(matches!(receive(&mut call, ANSWER, now), Step::Send((_, again)) if again == ack));
        let Step::Send((_, bye)) = call.fire(now + TALK) else { panic!() };
        assert!(bye.contains("CSeq: 2 BYE\r\n"), "{bye}");
        let step = receive(&mut call, "SIP/2.0 200 OK\r\nCSeq: 2 BYE\r\n\r\n", now);
        assert!(matches!(step, Step::Ended));
    }

    #[test]
    fn a_refusal_is_acknowledged_in_the_transaction() {
        let now = Instant::now();
        let mut call = call(now);
        let refusal = "SIP/2.0 503 Service Unavailable\r\nCSeq: 1 INVITE\r\nTo: <sip:100@x>;tag=c\r\n\r\n";
        let Step::Refused { code: 503, ack: (_, ack) } = receive(&mut call, refusal, now) else { panic!() };
        let branch = |text: &str| text.split("branch=").nth(1).unwrap().split(';').next().unwrap().to_owned();
        assert_eq!(branch(&ack), branch(call.message().1));
        assert!(ack.contains("tag=c\r\n"), "{ack}");
    }

    #[test]
    fn an_unanswered_invite_is_sent_again_and_given_up() {
        let now = Instant::now();
        let mut call = call(now);
        assert!(!call.is_due(now));
        assert!(matches!(call.fire(now + T1), Step::Send(_)));
        assert!(matches!(
            receive(&mut call, "SIP/2.0 100 Trying\r\nCSeq: 1 INVITE\r\n\r\n", now),
            Step::Wait
        ));
        assert!(matches!(call.fire(now + 3 * T1), Step::Wait));
        assert!(!call.is_due(now + 4 * T1));
        assert!(matches!(call.fire(now + ANSWER_WITHIN), Step::Silent));
    }
}
