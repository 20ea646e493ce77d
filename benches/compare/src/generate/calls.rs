//! The calls that are going on, by number. Numbers only grow, and old calls are forgotten from the front.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Where the caller is in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// INVITE is out
    Inviting,
    /// Answered
    Talking,
    /// BYE is out
    Ending,
    /// MESSAGE or OPTIONS is out
    Asking,
    /// Over
    Done,
}

/// Both sides of one call.
#[derive(Debug)]
pub struct Call {
    /// Where the caller is.
    pub stage: Stage,
    /// When the first request was sent.
    pub began: u64,
    /// A provisional response has come.
    pub progressed: bool,
    /// Destination 0 has been asked.
    pub asked_first: bool,
    /// ACK and BYE, from the 2xx on.
    pub dialog: Option<Box<(Vec<u8>, Vec<u8>)>>,
    /// The callee's side, from the INVITE on.
    pub callee: Option<Box<Callee>>,
}

/// The side of the destination that rings.
#[derive(Debug)]
pub struct Callee {
    /// Which destination.
    pub local: Ipv4Addr,
    /// Whom it answers.
    pub peer: SocketAddrV4,
    /// Its 200.
    pub answer: Vec<u8>,
    /// The 200 has been sent.
    pub answered: bool,
    /// The ACK has come.
    pub acknowledged: bool,
    /// The BYE has come.
    pub ended: bool,
}

/// The calls from the oldest that is not over.
#[derive(Default)]
pub struct Calls {
    first: u32,
    kept: VecDeque<Call>,
    going_on: usize,
}

impl Calls {
    /// A new call; gives its number.
    pub fn begin(&mut self, stage: Stage, now: u64) -> u32 {
        self.kept.push_back(Call {
            stage,
            began: now,
            progressed: false,
            asked_first: false,
            dialog: None,
            callee: None,
        });
        self.going_on += 1;
        self.first + self.kept.len() as u32 - 1
    }

    /// The call of this number, if it is not forgotten.
    pub fn get(&mut self, number: u32) -> Option<&mut Call> {
        self.kept.get_mut(number.checked_sub(self.first)? as usize)
    }

    /// Ends a call; false if it was over.
    pub fn end(&mut self, number: u32) -> bool {
        let Some(call) = self.get(number).filter(|call| call.stage != Stage::Done) else { return false };
        call.stage = Stage::Done;
        call.dialog = None;
        self.going_on -= 1;
        while self.kept.front().is_some_and(|call| call.stage == Stage::Done) {
            self.kept.pop_front();
            self.first += 1;
        }
        true
    }

    /// How many are not over.
    pub fn going_on(&self) -> usize {
        self.going_on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_keep_their_numbers_and_end_once() {
        let mut calls = Calls::default();
        let numbers: Vec<u32> = (0..3).map(|_| calls.begin(Stage::Inviting, 0)).collect();
        assert_eq!(numbers, [0, 1, 2]);
        assert!(calls.end(1) && !calls.end(1));
        assert!(calls.get(1).is_some(), "kept while an older one goes on");
        assert!(calls.end(0));
        assert!(calls.get(0).is_none() && calls.get(1).is_none() && calls.get(2).is_some());
        assert_eq!((calls.going_on(), calls.begin(Stage::Asking, 0)), (1, 3));
    }
}
