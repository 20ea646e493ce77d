//! Client transactions of the simulated parties: RFC 3261 §17.1 written a second time, from the
//! RFC and not from the product.

use std::rc::Rc;
use std::time::{Duration, Instant};

const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
const TIMEOUT: Duration = Duration::from_secs(32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Calling,
    Proceeding,
    Finished,
    TimedOut,
}

/// What a response is to its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    Provisional,
    Final,
    /// A final response after the first.
    Again,
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rung {
    Nothing,
    Resend,
    TimedOut,
}

#[derive(Debug)]
pub struct ClientTx {
    pub method: &'static str,
    pub branch: String,
    pub cseq: u32,
    pub request: Rc<str>,
    /// The ACK to its non-2xx.
    pub ack: Option<Rc<str>>,
    pub stage: Stage,
    pub code: u16,
    interval: Duration,
    resend_at: Option<Instant>,
    end_at: Option<Instant>,
}

impl ClientTx {
    pub fn new(
        method: &'static str,
        branch: String,
        cseq: u32,
        request: Rc<str>,
        is_reliable: bool,
        now: Instant,
    ) -> Self {
        Self {
            method,
            branch,
            cseq,
            request,
            ack: None,
            stage: Stage::Calling,
            code: 0,
            interval: T1,
            resend_at: (!is_reliable).then(|| now + T1),
            end_at: Some(now + TIMEOUT),
        }
    }

    pub fn heard(&mut self, code: u16) -> Heard {
        match (self.stage, code) {
            (Stage::Calling | Stage::Proceeding, 100..=199) => {
                self.stage = Stage::Proceeding;
                if self.method == "INVITE" {
                    self.resend_at = None;
                    self.end_at = None;
                } else {
                    self.interval = T2;
                }
                Heard::Provisional
            }
            (Stage::Calling | Stage::Proceeding, _) => {
                self.stage = Stage::Finished;
                self.code = code;
                self.resend_at = None;
                self.end_at = None;
                Heard::Final
            }
            (Stage::Finished, 200..) => Heard::Again,
            (Stage::Finished | Stage::TimedOut, _) => Heard::Nothing,
        }
    }

    pub fn ring(&mut self, now: Instant) -> Rung {
        if self.end_at.is_some_and(|at| at <= now) {
            self.end_at = None;
            self.resend_at = None;
            self.stage = Stage::TimedOut;
            return Rung::TimedOut;
        }
        if self.resend_at.is_some_and(|at| at <= now) {
            let doubled = self.interval * 2;
            self.interval = if self.method == "INVITE" { doubled } else { doubled.min(T2) };
            self.resend_at = Some(now + self.interval);
            return Rung::Resend;
        }
        Rung::Nothing
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.resend_at.into_iter().chain(self.end_at).min()
    }
}
