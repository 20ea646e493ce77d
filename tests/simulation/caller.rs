//! Callers: user agent clients as RFC 3261 §8, §9, §13 and §15 want them, one request or call each.

use crate::client::{ClientTx, Heard, Rung, Stage};
use crate::wire::{self, PROXY};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What a caller has in mind.
#[derive(Debug, Clone)]
pub struct Intent {
    /// INVITE, MESSAGE, REGISTER or OPTIONS.
    pub method: &'static str,
    pub start: Instant,
    /// When it changes its mind, after the start.
    pub cancel_after: Option<Duration>,
    /// Whether it sends CANCEL without waiting for a provisional response, which RFC 3261 §9.1
    /// forbids and some do.
    pub is_hasty: bool,
    pub talk: Duration,
    /// Whether it sends an INVITE inside the dialog.
    pub reinvites: bool,
    /// Whether it forgets the Route set, as SIPp's built-in caller does.
    pub is_routeless: bool,
    pub hangs_up: bool,
    /// From when on it is gone without a word.
    pub gone_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
enum Todo {
    Start,
    Cancel,
    Reinvite(usize),
    Bye(usize),
}

#[derive(Debug)]
struct Dialog {
    to_tag: String,
    routes: Vec<String>,
    uri: String,
    /// The ACKs sent, by CSeq number.
    acks: Vec<(u32, Rc<str>)>,
    is_over: bool,
}

#[derive(Debug)]
pub struct Caller {
    pub name: String,
    pub address: SocketAddr,
    pub is_tcp: bool,
    pub intent: Intent,
    uri: String,
    cseq: u32,
    branches: u32,
    txs: Vec<ClientTx>,
    dialogs: Vec<Dialog>,
    answered: Vec<(String, Rc<str>)>,
    agenda: Vec<(Instant, Todo)>,
    wants_cancel: bool,
    has_credentials: bool,
    /// What it sends; the world takes it.
    pub out: Vec<Rc<str>>,
}

impl Caller {
    pub fn new(name: String, address: SocketAddr, is_tcp: bool, user: &str, intent: Intent) -> Self {
        let mut agenda = vec![(intent.start, Todo::Start)];
        agenda.extend(intent.cancel_after.map(|after| (intent.start + after, Todo::Cancel)));
        let uri = match intent.method {
            "OPTIONS" => format!("sip:{PROXY}"),
            _ => format!("sip:{user}@{PROXY}"),
        };
        Self {
            name,
            address,
            is_tcp,
            intent,
            uri,
            cseq: 0,
            branches: 0,
            txs: Vec::new(),
            dialogs: Vec::new(),
            answered: Vec::new(),
            agenda,
            wants_cancel: false,
            has_credentials: false,
            out: Vec::new(),
        }
    }

    pub fn is_gone(&self, now: Instant) -> bool {
        self.intent.gone_at.is_some_and(|at| at <= now)
    }

    pub fn deadline(&self) -> Option<Instant> {
        let todo = self.agenda.iter().map(|(at, _)| *at);
        self.txs.iter().filter_map(ClientTx::deadline).chain(todo).min()
    }

    pub fn on_time(&mut self, now: Instant) {
        for index in 0..self.txs.len() {
            if self.txs[index].ring(now) == Rung::Resend {
                self.out.push(self.txs[index].request.clone());
            }
        }
        while let Some(at) = self.agenda.iter().position(|(at, _)| *at <= now) {
            let (_, todo) = self.agenda.remove(at);
            self.act(todo, now);
        }
    }

    fn act(&mut self, todo: Todo, now: Instant) {
        match todo {
            Todo::Start => {
                self.cseq += 1;
                self.request(self.intent.method, None, self.cseq, now);
            }
            Todo::Cancel => {
                self.wants_cancel = true;
                let can = |tx: &ClientTx| tx.stage == Stage::Proceeding || self.intent.is_hasty;
                if self.txs.last().is_some_and(|tx| tx.method == "INVITE" && can(tx)) {
                    self.cancel(now);
                }
            }
            Todo::Reinvite(dialog) if !self.dialogs[dialog].is_over => {
                self.cseq += 1;
                self.request("INVITE", Some(dialog), self.cseq, now);
            }
            Todo::Bye(dialog) if !self.dialogs[dialog].is_over => {
                self.dialogs[dialog].is_over = true;
                self.cseq += 1;
                self.request("BYE", Some(dialog), self.cseq, now);
            }
            Todo::Reinvite(_) | Todo::Bye(_) => {}
        }
    }

    /// CANCELs the last INVITE, once, while it has no final response.
    fn cancel(&mut self, now: Instant) {
        let Some(invite) = self.txs.iter().rev().find(|tx| tx.method == "INVITE") else { return };
        let is_open = matches!(invite.stage, Stage::Calling | Stage::Proceeding);
        if !is_open || self.txs.iter().any(|tx| tx.method == "CANCEL" && tx.cseq == invite.cseq) {
            return;
        }
        let (branch, cseq) = (invite.branch.clone(), invite.cseq);
        let text = self.text("CANCEL", None, cseq, &branch);
        self.send("CANCEL", branch, cseq, text, now);
    }

    fn request(&mut self, method: &'static str, dialog: Option<usize>, cseq: u32, now: Instant) {
        self.branches += 1;
        let branch = format!("z9hG4bK{}-{}", self.name, self.branches);
        let text = self.text(method, dialog, cseq, &branch);
        self.send(method, branch, cseq, text, now);
    }

    fn send(&mut self, method: &'static str, branch: String, cseq: u32, text: Rc<str>, now: Instant) {
        self.out.push(text.clone());
        self.txs.push(ClientTx::new(method, branch, cseq, text, self.is_tcp, now));
    }

    fn text(&self, method: &str, dialog: Option<usize>, cseq: u32, branch: &str) -> Rc<str> {
        let Self { name, address, .. } = self;
        let transport = if self.is_tcp { "TCP" } else { "UDP" };
        let parameter = if self.is_tcp { ";transport=tcp" } else { "" };
        let dialog = dialog.map(|dialog| &self.dialogs[dialog]);
        let tag = dialog.map_or(String::new(), |dialog| format!(";tag={}", dialog.to_tag));
        let is_routeless = self.intent.is_routeless;
        let uri = dialog.filter(|_| !is_routeless).map_or(&self.uri, |dialog| &dialog.uri);
        let routes: String = dialog
            .filter(|_| !is_routeless)
            .map_or(&[][..], |dialog| &dialog.routes)
            .iter()
            .map(|route| format!("Route: {route}\r\n"))
            .collect();
        let credentials = if self.has_credentials { "Authorization: Digest username=\"a\"\r\n" } else { "" };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{transport} {address};rport;branch={branch}\r\n{routes}\
             Max-Forwards: 70\r\nFrom: <sip:{name}@{address}>;tag=from-{name}\r\nTo: <sip:1000@{PROXY}>{tag}\r\n\
             Call-ID: {name}\r\nCSeq: {cseq} {method}\r\nContact: <sip:{name}@{address}{parameter}>\r\n\
             {credentials}Content-Length: 0\r\n\r\n"
        )
        .into()
    }

    pub fn on_message(&mut self, text: &str, now: Instant) {
        match wire::status(text) {
            Some(code) => self.on_response(text, code, now),
            None => self.on_request(text),
        }
    }

    /// A BYE of the other side.
    fn on_request(&mut self, text: &str) {
        let branch = wire::branch(text).to_owned();
        if let Some((_, reply)) = self.answered.iter().find(|(known, _)| *known == branch) {
            self.out.push(reply.clone());
            return;
        }
        let dialog = self.dialogs.iter_mut().find(|dialog| Some(&*dialog.to_tag) == wire::tag(text, "From"));
        let code = dialog.map_or(481, |dialog| {
            dialog.is_over = true;
            200
        });
        let reply: Rc<str> = wire::reply(text, code, "caller", "").into();
        self.answered.push((branch, reply.clone()));
        self.out.push(reply);
    }

    fn on_response(&mut self, text: &str, code: u16, now: Instant) {
        let (branch, (_, method)) = (wire::branch(text), wire::cseq(text));
        let Some(at) = self.txs.iter().position(|tx| tx.branch == branch && tx.method == method) else {
            return;
        };
        let heard = self.txs[at].heard(code);
        let is_invite = method == "INVITE";
        match heard {
            Heard::Provisional if is_invite && self.wants_cancel => self.cancel(now),
            Heard::Provisional | Heard::Nothing => {}
            Heard::Final | Heard::Again if is_invite && (200..300).contains(&code) => {
                self.on_answer(at, text, now);
            }
            Heard::Final => {
                if is_invite {
                    self.txs[at].ack = Some(self.acknowledge(at, text));
                    self.out.extend(self.txs[at].ack.clone());
                }
                let may_repeat =
                    matches!(code, 401 | 407) && wire::tag(&self.txs[at].request, "To").is_none();
                if may_repeat && !self.has_credentials && !self.wants_cancel {
                    self.has_credentials = true;
                    self.cseq += 1;
                    self.request(self.intent.method, None, self.cseq, now);
                }
            }
            Heard::Again => self.out.extend(self.txs[at].ack.clone()),
        }
    }

    /// The ACK to a non-2xx: branch, CSeq number and Request-URI of the INVITE, To of the response.
    fn acknowledge(&self, at: usize, response: &str) -> Rc<str> {
        let invite = &self.txs[at].request;
        let cseq = self.txs[at].cseq;
        let to = |text: &str| format!("\r\nTo: {}\r\n", wire::header(text, "To"));
        invite
            .replacen("INVITE", "ACK", 1)
            .replace(&format!("CSeq: {cseq} INVITE"), &format!("CSeq: {cseq} ACK"))
            .replacen(&to(invite), &to(response), 1)
            .into()
    }

    /// A 2xx to an INVITE, maybe a repeated one, maybe of a second destination.
    fn on_answer(&mut self, at: usize, text: &str, now: Instant) {
        let cseq = self.txs[at].cseq;
        let to_tag = wire::tag(text, "To").unwrap_or_default().to_owned();
        let known = self.dialogs.iter().position(|dialog| dialog.to_tag == to_tag);
        let index = known.unwrap_or_else(|| {
            let mut routes: Vec<String> = wire::headers(text, "Record-Route").map(str::to_owned).collect();
            routes.reverse();
            let uri = wire::header(text, "Contact").trim_matches(['<', '>']).to_owned();
            self.dialogs.push(Dialog { to_tag, routes, uri, acks: Vec::new(), is_over: false });
            let index = self.dialogs.len() - 1;
            // A second answer, or one to a cancelled call, is hung up at once.
            let is_wanted = index == 0 && !self.wants_cancel;
            let talk = if is_wanted { self.intent.talk } else { Duration::from_millis(20) };
            if is_wanted && self.intent.reinvites {
                self.agenda.push((now + talk / 2, Todo::Reinvite(index)));
            }
            let patience = Duration::from_secs(if self.intent.hangs_up || !is_wanted { 0 } else { 100 });
            self.agenda.push((now + talk + patience, Todo::Bye(index)));
            index
        });
        let sent = self.dialogs[index].acks.iter().find(|(number, _)| *number == cseq);
        let ack = sent.map(|(_, ack)| ack.clone()).unwrap_or_else(|| {
            self.branches += 1;
            let branch = format!("z9hG4bK{}-{}", self.name, self.branches);
            self.text("ACK", Some(index), cseq, &branch)
        });
        self.dialogs[index].acks.push((cseq, ack.clone()));
        self.out.push(ack);
    }

    /// What is wrong at the end, if anything: an INVITE of a caller that is there gets an answer.
    pub fn complaint(&self, now: Instant) -> Option<String> {
        if self.is_gone(now) {
            return None;
        }
        let invite = self.txs.iter().find(|tx| tx.method == "INVITE" && tx.stage != Stage::Finished)?;
        Some(format!("{}: INVITE {} ended as {:?}", self.name, invite.cseq, invite.stage))
    }
}
