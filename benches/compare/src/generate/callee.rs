//! The destinations: what a request does at one of them.

use super::alarms::Alarm;
use super::behaviour::{Behaviour, Manner};
use super::callees::{Asked, index};
use super::calls::Callee;
use super::messages::response;
use super::wire::{Header, first_word, headers};
use super::{Generator, SECOND, T1};

/// What one destination has seen.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) calls: u64,
    pub(super) probed: bool,
}

impl Generator<'_> {
    pub(super) fn on_request(&mut self, message: &[u8], asked: Asked) {
        let index = index(asked.local).filter(|&index| index < self.options.destinations);
        let Some(index) = index else {
            self.report.stray += 1;
            return;
        };
        let seconds = if self.going { self.now as f64 / SECOND as f64 } else { 0.0 };
        let manner = Behaviour::of(&self.options.behave, index, seconds);
        let method = first_word(message);
        let number = headers(message).find(|line| line.header == Header::CallId);
        let number = number.and_then(|line| self.messages.number(line.value));
        self.note(method, index, number, seconds);
        if manner == Manner::Dead {
            return;
        }
        match (method, number) {
            (b"INVITE", Some(number)) => self.on_invite(message, asked, number, manner),
            (b"ACK", Some(number)) => {
                if let Some(callee) = self.callee(number) {
                    callee.acknowledged = true;
                }
            }
            (b"ACK", None) => {}
            (b"BYE", Some(number)) => {
                match self.callee(number) {
                    Some(callee) if !callee.ended => callee.ended = true,
                    _ => self.report.repeated.bye += 1,
                }
                self.answer(message, asked, 200);
            }
            (b"SIP/2.0", _) => self.report.stray += 1,
            _ => self.answer(message, asked, 200),
        }
    }

    fn note(&mut self, method: &[u8], index: u32, number: Option<u32>, seconds: f64) {
        let seen = &mut self.seen[index as usize];
        match method {
            b"INVITE" | b"MESSAGE" => {
                seen.calls += 1;
                let call = number.filter(|_| index == 0).and_then(|number| self.calls.get(number));
                if let Some(call) = call.filter(|call| !call.asked_first) {
                    call.asked_first = true;
                    self.report.last_call_to_first_s = seconds;
                }
            }
            b"OPTIONS" if !seen.probed => {
                seen.probed = true;
                self.unprobed -= 1;
                if self.unprobed == 0 {
                    println!("probed");
                }
            }
            _ => {}
        }
    }

    fn callee(&mut self, number: u32) -> Option<&mut Callee> {
        self.calls.get(number)?.callee.as_deref_mut()
    }

    fn answer(&mut self, message: &[u8], asked: Asked, code: u16) {
        response(message, code, (asked.local, self.options.port), &mut self.scratch);
        self.callees.send(asked.local, asked.peer, &self.scratch);
    }

    fn on_invite(&mut self, message: &[u8], asked: Asked, number: u32, manner: Manner) {
        match manner {
            Manner::Mute | Manner::Dead => return,
            Manner::Refuse(code) => return self.answer(message, asked, code),
            Manner::Answer => {}
        }
        if let Some(callee) = self.callee(number).filter(|callee| callee.local == asked.local) {
            let again = callee.answered.then(|| callee.answer.clone());
            self.report.repeated.invite += 1;
            match again {
                Some(answer) => self.callees.send(asked.local, asked.peer, &answer),
                None => self.answer(message, asked, 180),
            }
            return;
        }
        self.answer(message, asked, 180);
        let mut answer = Vec::with_capacity(1024);
        response(message, 200, (asked.local, self.options.port), &mut answer);
        let callee = Callee {
            local: asked.local,
            peer: asked.peer,
            answer,
            answered: false,
            acknowledged: false,
            ended: false,
        };
        let Some(call) = self.calls.get(number) else {
            self.report.stray += 1;
            return;
        };
        call.callee = Some(Box::new(callee));
        if self.ring == 0 {
            self.pick_up(number)
        } else {
            self.alarms.set(self.now, self.ring, number, Alarm::PickUp)
        }
    }

    pub(super) fn pick_up(&mut self, number: u32) {
        if self.send_answer(number) {
            self.alarms.set(self.now, T1, number, Alarm::Answer(0));
        }
    }

    /// The 200 again, until its ACK comes (RFC 3261 §13.3.1.4).
    pub(super) fn resend_answer(&mut self, number: u32, n: u8) {
        if self.callee(number).is_some_and(|callee| !callee.acknowledged) {
            self.report.resent.answer += 1;
            self.send_answer(number);
            self.alarms.set(self.now, T1 << (n + 1).min(3), number, Alarm::Answer(n + 1));
        }
    }

    fn send_answer(&mut self, number: u32) -> bool {
        let Some(callee) = self.calls.get(number).and_then(|call| call.callee.as_deref_mut()) else {
            return false;
        };
        callee.answered = true;
        self.callees.send(callee.local, callee.peer, &callee.answer);
        true
    }
}
