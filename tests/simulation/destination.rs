//! Destinations: user agent servers in every mood, RFC 3261 §8.2, §9.2, §13.3 and §17.2.

use crate::chance::Chance;
use crate::client::{ClientTx, Rung};
use crate::wire::{self, PROXY};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
const TIMEOUT: Duration = Duration::from_secs(32);

/// How a destination is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Does all that a destination may do, in good proportions.
    Well,
    /// Answers probes and nothing else.
    Hung,
    /// Answers probes with 503, calls as if it were well.
    Sick,
    /// Refuses every request with this code; probes are answered.
    Refusing(u16),
    /// Says and hears nothing.
    Dead,
    /// The same, and the host says so by ICMP or by refusing connections.
    Unreachable,
}

impl Mood {
    pub fn is_there(self) -> bool {
        !matches!(self, Self::Dead | Self::Unreachable)
    }
}

#[derive(Debug, Clone)]
enum Todo {
    /// Answers a transaction.
    Answer { tx: usize, code: u16, tag: String },
    /// Hangs up.
    Bye { tx: usize, tag: String },
}

/// A final response to an INVITE that waits for its ACK.
#[derive(Debug)]
struct Answer {
    code: u16,
    tag: String,
    text: Rc<str>,
    is_acked: bool,
    is_over: bool,
    interval: Duration,
    resend_at: Option<Instant>,
    give_up_at: Instant,
}

#[derive(Debug)]
struct ServerTx {
    branch: String,
    request: Rc<str>,
    method: String,
    last: Option<Rc<str>>,
    answers: Vec<Answer>,
    is_final: bool,
    obeys_cancel: bool,
    is_cancelled: bool,
}

#[derive(Debug)]
pub struct Destination {
    pub name: String,
    pub address: SocketAddr,
    pub is_tcp: bool,
    pub mood: Mood,
    /// Whether it has ever been away.
    pub was_away: bool,
    chance: Chance,
    txs: Vec<ServerTx>,
    clients: Vec<ClientTx>,
    agenda: Vec<(Instant, Todo)>,
    byes: u32,
    /// What it sends; the world takes it.
    pub out: Vec<Rc<str>>,
    /// What reached it that should not have.
    pub complaints: Vec<String>,
}

impl Destination {
    pub fn new(name: String, address: SocketAddr, is_tcp: bool, chance: Chance) -> Self {
        Self {
            name,
            address,
            is_tcp,
            mood: Mood::Well,
            was_away: false,
            chance,
            txs: Vec::new(),
            clients: Vec::new(),
            agenda: Vec::new(),
            byes: 0,
            out: Vec::new(),
            complaints: Vec::new(),
        }
    }

    pub fn set_mood(&mut self, mood: Mood) {
        self.mood = mood;
        self.was_away |= !mood.is_there();
    }

    pub fn deadline(&self) -> Option<Instant> {
        let answers = self.txs.iter().flat_map(|tx| &tx.answers);
        let resends = answers.filter_map(|answer| answer.resend_at.map(|at| at.min(answer.give_up_at)));
        let todo = self.agenda.iter().map(|(at, _)| *at);
        resends.chain(self.clients.iter().filter_map(ClientTx::deadline)).chain(todo).min()
    }

    pub fn on_time(&mut self, now: Instant) {
        for index in 0..self.clients.len() {
            if self.clients[index].ring(now) == Rung::Resend {
                self.out.push(self.clients[index].request.clone());
            }
        }
        for index in 0..self.txs.len() {
            self.resend(index, now);
        }
        while let Some(at) = self.agenda.iter().position(|(at, _)| *at <= now) {
            match self.agenda.remove(at).1 {
                Todo::Answer { tx, code, tag } => self.answer(tx, code, &tag, now),
                Todo::Bye { tx, tag } => self.hang_up(tx, &tag, now),
            }
        }
    }

    fn resend(&mut self, tx: usize, now: Instant) {
        let mut unacknowledged = None;
        for answer in &mut self.txs[tx].answers {
            let Some(at) = answer.resend_at else { continue };
            if answer.give_up_at <= now {
                answer.resend_at = None;
                // RFC 3261 §13.3.1.4: without an ACK the session is ended.
                unacknowledged = (answer.code < 300).then(|| answer.tag.clone()).or(unacknowledged);
            } else if at <= now {
                answer.interval = (answer.interval * 2).min(T2);
                answer.resend_at = Some(now + answer.interval);
                self.out.push(answer.text.clone());
            }
        }
        if let Some(tag) = unacknowledged {
            self.hang_up(tx, &tag, now);
        }
    }

    pub fn on_message(&mut self, text: &Rc<str>, now: Instant) {
        if wire::status(text).is_some() {
            let (branch, (_, method)) = (wire::branch(text), wire::cseq(text));
            let client = self.clients.iter_mut().find(|tx| tx.branch == branch && tx.method == method);
            if let (Some(client), Some(code)) = (client, wire::status(text)) {
                client.heard(code);
            }
            return;
        }
        let method = wire::cseq(text).1.to_owned();
        let branch = wire::branch(text).to_owned();
        if method == "ACK" {
            return self.on_ack(text, &branch, now);
        }
        if let Some(tx) = self.txs.iter().find(|tx| tx.branch == branch && tx.method == method) {
            self.out.extend(tx.last.clone());
            return;
        }
        if self.mood == Mood::Hung {
            return;
        }
        let obeys_cancel = self.chance.percent(90);
        self.txs.push(ServerTx {
            branch: branch.clone(),
            request: text.clone(),
            method: method.clone(),
            last: None,
            answers: Vec::new(),
            is_final: false,
            obeys_cancel,
            is_cancelled: false,
        });
        let tx = self.txs.len() - 1;
        match (&*method, wire::tag(text, "To")) {
            ("CANCEL", _) => self.on_cancel(tx, &branch, now),
            ("BYE", Some(tag)) => self.on_bye(tx, tag, now),
            ("INVITE", None) => self.on_invite(tx, now),
            ("INVITE", Some(_)) => {
                let code = if self.chance.percent(80) { 200 } else { 488 };
                self.plan(tx, code, 5, 400, now);
            }
            _ => self.on_other(tx, now),
        }
    }

    fn plan(&mut self, tx: usize, code: u16, from: u64, to: u64, now: Instant) {
        let tag = self.tag(tx);
        let after = self.chance.ms(from, to);
        self.agenda.push((now + after, Todo::Answer { tx, code, tag }));
    }

    fn tag(&self, tx: usize) -> String {
        format!("{}.{tx}", self.name)
    }

    fn has_credentials(&self, tx: usize) -> bool {
        !wire::header(&self.txs[tx].request, "Authorization").is_empty()
    }

    fn on_invite(&mut self, tx: usize, now: Instant) {
        if let Mood::Refusing(code) = self.mood {
            return self.plan(tx, code, 1, 100, now);
        }
        let rings = |this: &mut Self| {
            if this.chance.percent(60) {
                this.plan(tx, 100, 1, 60, now);
            }
            if this.chance.percent(80) {
                let code = this.chance.pick(&[180, 183]);
                this.plan(tx, code, 20, 900, now);
            }
        };
        match self.chance.below(100) {
            0..45 => {
                rings(self);
                self.plan(tx, 200, 60, 6_000, now);
            }
            45..55 => {
                rings(self);
                let code = self.chance.pick(&[302, 403, 404, 480, 486, 488, 600, 603]);
                self.plan(tx, code, 10, 3_000, now);
            }
            55..67 => {
                let code = self.chance.pick(&[408, 500, 502, 503, 503, 504]);
                if self.chance.percent(30) {
                    rings(self);
                }
                self.plan(tx, code, 1, 1_500, now);
            }
            67..75 if !self.has_credentials(tx) => self.plan(tx, 401, 1, 300, now),
            75..80 => {}
            80..86 => rings(self),
            86..91 => self.plan(tx, 200, 900, 26_000, now),
            91..95 => {
                // Two parties behind it answer.
                rings(self);
                self.plan(tx, 200, 60, 2_000, now);
                let (tag, after) = (format!("{}.{tx}b", self.name), self.chance.ms(60, 3_000));
                self.agenda.push((now + after, Todo::Answer { tx, code: 200, tag }));
            }
            95..98 => {
                // It contradicts itself.
                let (first, second) = self.chance.pick(&[(200, 486), (486, 200), (503, 486), (183, 603)]);
                self.plan(tx, first, 60, 1_000, now);
                self.plan(tx, second, 1_000, 2_000, now);
            }
            _ => self.plan(tx, 200, 1, 5, now),
        }
    }

    /// A request other than INVITE, outside or inside a dialog.
    fn on_other(&mut self, tx: usize, now: Instant) {
        if let Mood::Refusing(code) = self.mood {
            return self.plan(tx, code, 1, 100, now);
        }
        match self.chance.below(100) {
            0..50 => self.plan(tx, 200, 1, 1_000, now),
            50..60 => {
                self.plan(tx, 100, 1, 500, now);
                self.plan(tx, 200, 600, 9_000, now);
            }
            60..68 => {
                let code = self.chance.pick(&[403, 404, 480, 600]);
                self.plan(tx, code, 1, 1_000, now);
            }
            68..78 => {
                let code = self.chance.pick(&[408, 500, 503]);
                self.plan(tx, code, 1, 1_000, now);
            }
            78..84 if !self.has_credentials(tx) => self.plan(tx, 401, 1, 300, now),
            84..90 => self.plan(tx, 200, 5_000, 40_000, now),
            90..93 => {
                self.plan(tx, 200, 1, 500, now);
                self.plan(tx, 500, 500, 1_000, now);
            }
            _ => {}
        }
    }

    fn on_cancel(&mut self, tx: usize, branch: &str, now: Instant) {
        let invite = self.txs.iter().position(|tx| tx.branch == branch && tx.method == "INVITE");
        let tag = self.tag(tx);
        self.answer(tx, if invite.is_some() { 200 } else { 481 }, &tag, now);
        match invite {
            // A datagram may be overtaken, a CANCEL of nothing it may not: RFC 3261 §9.1.
            None => self.complaints.push(format!("CANCEL of an INVITE that {} never got", self.name)),
            Some(invite) if self.txs[invite].obeys_cancel && !self.txs[invite].is_final => {
                self.txs[invite].is_cancelled = true;
                self.plan(invite, 487, 0, 80, now);
            }
            Some(_) => {}
        }
    }

    fn on_bye(&mut self, tx: usize, tag: &str, now: Instant) {
        let call_id = wire::call_id(&self.txs[tx].request).to_owned();
        let answer = self.answer_of(&call_id, tag);
        let code = match answer {
            Some(answer) if !answer.is_over => {
                // What has been hung up needs no ACK any more.
                (answer.is_over, answer.is_acked, answer.resend_at) = (true, true, None);
                200
            }
            Some(_) => 481,
            None => {
                self.complaints
                    .push(format!("BYE of {call_id} reached {}, which never answered it", self.name));
                481
            }
        };
        let own = self.tag(tx);
        let code = if self.chance.percent(4) { 500 } else { code };
        self.answer(tx, code, &own, now);
    }

    /// The 2xx to the INVITE that opened a dialog.
    fn answer_of(&mut self, call_id: &str, tag: &str) -> Option<&mut Answer> {
        let of_call = self.txs.iter_mut().filter(|tx| wire::call_id(&tx.request) == call_id);
        of_call.flat_map(|tx| &mut tx.answers).find(|answer| answer.code < 300 && answer.tag == tag)
    }

    fn on_ack(&mut self, text: &str, branch: &str, now: Instant) {
        let (cseq, call_id) = (wire::cseq(text).0, wire::call_id(text));
        let tag = wire::tag(text, "To").unwrap_or_default();
        let mut hit = None;
        for (index, tx) in self.txs.iter_mut().enumerate().filter(|(_, tx)| tx.method == "INVITE") {
            let is_of_failure = tx.branch == branch;
            let is_of_call = wire::call_id(&tx.request) == call_id && wire::cseq(&tx.request).0 == cseq;
            for answer in &mut tx.answers {
                let matches = if answer.code < 300 {
                    is_of_call && (answer.tag == tag || wire::tag(&tx.request, "To") == Some(tag))
                } else {
                    is_of_failure
                };
                if matches {
                    hit.get_or_insert((index, answer.code, answer.tag.clone(), answer.is_acked));
                    answer.is_acked = true;
                    answer.resend_at = None;
                }
            }
        }
        match hit {
            None => {
                self.complaints.push(format!("ACK of {call_id} reached {}, which waits for none", self.name))
            }
            Some((tx, 200..300, tag, false)) if self.chance.percent(25) => {
                let after = self.chance.ms(100, 20_000);
                self.agenda.push((now + after, Todo::Bye { tx, tag }));
            }
            Some(_) => {}
        }
    }

    fn answer(&mut self, tx: usize, code: u16, tag: &str, now: Instant) {
        let contact = format!("sip:1000@{}{}", self.address, if self.is_tcp { ";transport=tcp" } else { "" });
        let server = &mut self.txs[tx];
        let is_late = server.is_final && code < 200 || server.is_cancelled && code != 487;
        if is_late || server.is_final && code == 487 {
            return;
        }
        let mut text = wire::reply(&server.request, code, tag, &contact);
        if code == 503 && self.chance.percent(40) {
            let seconds = self.chance.pick(&["0", "1", "5;duration=10", "300 (closed)"]);
            text = text.replace("Content-Length", &format!("Retry-After: {seconds}\r\nContent-Length"));
        }
        let text: Rc<str> = text.into();
        server.last = Some(text.clone());
        self.out.push(text.clone());
        if code < 200 {
            return;
        }
        server.is_final = true;
        if server.method == "INVITE" {
            // A 2xx is repeated over any transport, another final response over UDP.
            let is_repeated = code < 300 || !self.is_tcp;
            server.answers.push(Answer {
                code,
                tag: tag.to_owned(),
                text,
                is_acked: false,
                is_over: false,
                interval: T1,
                resend_at: is_repeated.then(|| now + T1),
                give_up_at: now + TIMEOUT,
            });
        }
    }

    /// Sends a BYE of its own along the Record-Route it was given.
    fn hang_up(&mut self, tx: usize, tag: &str, now: Instant) {
        let invite = self.txs[tx].request.clone();
        let call_id = wire::call_id(&invite).to_owned();
        match self.answer_of(&call_id, tag) {
            Some(answer) if !answer.is_over => answer.is_over = true,
            _ => return,
        }
        self.byes += 1;
        // Numbers that no other destination uses, so that requests can be told apart by them.
        let octets = match self.address.ip() {
            IpAddr::V4(v4) => v4.octets(),
            IpAddr::V6(_) => [0; 4],
        };
        let first_cseq = 1_000 * u32::from(octets[3]);
        let Self { name, address, byes, is_tcp, .. } = &*self;
        let branch = format!("z9hG4bK{name}-{tx}-{byes}");
        let transport = if *is_tcp { "TCP" } else { "UDP" };
        let uri = wire::header(&invite, "Contact").trim_matches(['<', '>']);
        let routes: String =
            wire::headers(&invite, "Record-Route").map(|route| format!("Route: {route}\r\n")).collect();
        let (caller, cseq) = (wire::header(&invite, "From"), first_cseq + byes);
        let text: Rc<str> = format!(
            "BYE {uri} SIP/2.0\r\nVia: SIP/2.0/{transport} {address};rport;branch={branch}\r\n{routes}\
             Max-Forwards: 70\r\nFrom: <sip:1000@{PROXY}>;tag={tag}\r\nTo: {caller}\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq} BYE\r\nContent-Length: 0\r\n\r\n"
        )
        .into();
        self.out.push(text.clone());
        self.clients.push(ClientTx::new("BYE", branch, cseq, text, self.is_tcp, now));
    }

    /// The tags of 2xx that never got their ACK.
    pub fn unacknowledged(&self) -> impl Iterator<Item = (&str, &str)> {
        self.txs.iter().flat_map(|tx| {
            let answers = tx.answers.iter().filter(|answer| answer.code < 300 && !answer.is_acked);
            answers.map(|answer| (wire::call_id(&tx.request), &*answer.tag))
        })
    }
}
