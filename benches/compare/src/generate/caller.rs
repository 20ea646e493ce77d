//! The caller: what responses do to a call.

use super::alarms::Alarm;
use super::calls::Stage;
use super::wire::{Header, headers, last_word, status};
use super::{Generator, SECOND, T1};

impl Generator<'_> {
    /// Begins a call.
    pub(super) fn call(&mut self) {
        let stage = if self.invites() { Stage::Inviting } else { Stage::Asking };
        let number = self.calls.begin(stage, self.now);
        self.report.started += 1;
        self.send_request(number);
        self.alarms.set(self.now, T1, number, Alarm::Request(0));
        self.alarms.set(self.now, self.patience, number, Alarm::GiveUp);
    }

    fn send_request(&mut self, number: u32) {
        self.messages.request(number, &mut self.scratch);
        self.report.request_bytes = self.scratch.len();
        self.send_up(&self.scratch);
    }

    fn send_up(&self, message: &[u8]) {
        if self.caller.send(message).is_err() {
            // What fails first is the error that an earlier datagram brought upon the socket.
            let _ = self.caller.send(message);
        }
    }

    pub(super) fn on_response(&mut self, message: &[u8]) {
        let (mut number, mut method, mut to) = (None, &b""[..], &b""[..]);
        for line in headers(message) {
            match line.header {
                Header::CallId => number = self.messages.number(line.value),
                Header::CSeq => method = last_word(line.value),
                Header::To => to = line.value,
                _ => {}
            }
        }
        let (Some(code), Some(number)) = (status(message), number) else {
            self.report.stray += 1;
            return;
        };
        match (method, code) {
            (b"INVITE", ..200) => self.on_progress(number),
            (b"INVITE", 200..300) => self.on_answer(number, message),
            (b"INVITE", _) => {
                let ack = self.messages.ack_of_failure(number, to);
                self.send_up(&ack);
                self.on_end(number, Stage::Inviting, code);
            }
            (b"BYE", 200..) => self.on_end(number, Stage::Ending, code),
            (b"MESSAGE" | b"OPTIONS", 200..) => self.on_end(number, Stage::Asking, code),
            _ => {}
        }
    }

    fn on_progress(&mut self, number: u32) {
        let (now, counts) = (self.now, self.counts());
        if let Some(call) = self.calls.get(number).filter(|call| !call.progressed) {
            call.progressed = true;
            if counts(call.began) {
                self.clocks.progress.add(now - call.began);
            }
        }
    }

    fn on_answer(&mut self, number: u32, message: &[u8]) {
        let (now, counts) = (self.now, self.counts());
        let Some(call) = self.calls.get(number) else {
            self.report.repeated.answer += 1;
            return;
        };
        if call.stage != Stage::Inviting {
            self.report.repeated.answer += 1;
            if let Some(dialog) = call.dialog.take() {
                self.send_up(&dialog.0);
                self.restore(number, dialog);
            }
            return;
        }
        call.stage = Stage::Talking;
        if counts(call.began) {
            self.clocks.answer.add(now - call.began);
            if let Some(scraper) = &self.scraper {
                let clock =
                    if scraper.meets(call.began) { &mut self.clocks.scraped } else { &mut self.clocks.clear };
                clock.add(now - call.began);
            }
        }
        let dialog = Box::new(self.messages.in_dialog(number, message));
        self.send_up(&dialog.0);
        self.restore(number, dialog);
        if self.hold == 0 {
            self.hang_up(number)
        } else {
            self.alarms.set(now, self.hold, number, Alarm::HangUp)
        }
    }

    fn restore(&mut self, number: u32, dialog: Box<(Vec<u8>, Vec<u8>)>) {
        if let Some(call) = self.calls.get(number) {
            call.dialog = Some(dialog);
        }
    }

    pub(super) fn hang_up(&mut self, number: u32) {
        if let Some(call) = self.calls.get(number).filter(|call| call.stage == Stage::Talking) {
            call.stage = Stage::Ending;
            self.send_bye(number);
            self.alarms.set(self.now, T1, number, Alarm::Bye(0));
        }
    }

    fn send_bye(&mut self, number: u32) {
        if let Some(dialog) = self.calls.get(number).and_then(|call| call.dialog.take()) {
            self.send_up(&dialog.1);
            self.restore(number, dialog);
        }
    }

    fn on_end(&mut self, number: u32, expected: Stage, code: u16) {
        let (now, counts) = (self.now, self.counts());
        let Some(call) = self.calls.get(number).filter(|call| call.stage == expected) else {
            self.report.repeated.answer += 1;
            return;
        };
        if expected != Stage::Ending && counts(call.began) {
            self.clocks.other.add(now - call.began);
        }
        if code >= 300 {
            *self.report.codes.entry(code).or_default() += 1;
        }
        self.finish(number, code < 300);
    }

    fn finish(&mut self, number: u32, well: bool) {
        if !self.calls.end(number) {
            return;
        }
        if well {
            self.report.completed += 1;
            if self.counts()(self.now) {
                let seconds = self.now as f64 / SECOND as f64;
                let behaviour = self.options.behave.first();
                let in_turn = behaviour.is_some_and(|behaviour| behaviour.has_its_turn(seconds));
                self.report.counted += 1;
                self.report.counted_in_turn += u64::from(in_turn);
            }
        } else {
            self.report.failed += 1;
        }
    }

    /// The request again, after the n-th interval of RFC 3261 §17.1.
    pub(super) fn resend_request(&mut self, number: u32, n: u8) {
        let Some(call) = self.calls.get(number) else { return };
        let unanswered = match call.stage {
            Stage::Inviting => !call.progressed,
            Stage::Asking => true,
            Stage::Talking | Stage::Ending | Stage::Done => false,
        };
        if unanswered {
            self.report.resent.request += 1;
            self.send_request(number);
            self.alarms.set(self.now, T1 << (n + 1).min(3), number, Alarm::Request(n + 1));
        }
    }

    pub(super) fn resend_bye(&mut self, number: u32, n: u8) {
        if self.calls.get(number).is_some_and(|call| call.stage == Stage::Ending) {
            self.report.resent.bye += 1;
            self.send_bye(number);
            self.alarms.set(self.now, T1 << (n + 1).min(3), number, Alarm::Bye(n + 1));
        }
    }

    pub(super) fn give_up(&mut self, number: u32) {
        if self.calls.get(number).is_some_and(|call| call.stage != Stage::Done) {
            self.report.given_up += 1;
            self.finish(number, false);
        }
    }
}
