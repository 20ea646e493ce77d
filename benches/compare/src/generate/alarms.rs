//! Timers. There are few different delays, so each has a queue of its own, which is sorted by itself.

use std::collections::VecDeque;

/// What is due for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// The caller's first request again, for the n-th time
    Request(u8),
    /// The caller's BYE again
    Bye(u8),
    /// The callee's 200 again
    Answer(u8),
    /// The callee picks up
    PickUp,
    /// The caller hangs up
    HangUp,
    /// The call has failed if it is not over
    GiveUp,
}

/// All timers that run, in nanoseconds.
#[derive(Default)]
pub struct Alarms {
    lanes: Vec<Lane>,
}

struct Lane {
    delay: u64,
    due: VecDeque<(u64, u32, Alarm)>,
}

impl Alarms {
    /// Rings for the call after the delay.
    pub fn set(&mut self, now: u64, delay: u64, call: u32, alarm: Alarm) {
        let index = self.lanes.iter().position(|lane| lane.delay == delay).unwrap_or_else(|| {
            self.lanes.push(Lane { delay, due: VecDeque::new() });
            self.lanes.len() - 1
        });
        self.lanes[index].due.push_back((now + delay, call, alarm));
    }

    /// One that is due.
    pub fn pop(&mut self, now: u64) -> Option<(u32, Alarm)> {
        let lane = self.lanes.iter_mut().find(|lane| lane.due.front().is_some_and(|&(at, ..)| at <= now))?;
        lane.due.pop_front().map(|(_, call, alarm)| (call, alarm))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rings_once_when_it_is_due() {
        let mut alarms = Alarms::default();
        alarms.set(0, 100, 1, Alarm::GiveUp);
        alarms.set(0, 10, 1, Alarm::Request(0));
        alarms.set(5, 10, 2, Alarm::Request(0));
        assert_eq!(alarms.pop(9), None);
        assert_eq!(alarms.pop(12), Some((1, Alarm::Request(0))));
        assert_eq!(alarms.pop(12), None);
        assert_eq!(alarms.pop(100), Some((1, Alarm::GiveUp)));
        assert_eq!(alarms.pop(100), Some((2, Alarm::Request(0))));
        assert_eq!(alarms.pop(1000), None);
    }
}
