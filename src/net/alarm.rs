//! A timer that a worker waits for beside its sockets.
//!
//! A runtime's own timers give each sleep a time-out, which the kernel sets and takes back every time
//! the worker sleeps: on a virtual machine dearer than reading a datagram. This one stays set from
//! sleep to sleep.

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Rings once at the time it is set to.
#[derive(Debug)]
pub struct Alarm {
    timer: AsyncFd<Timer>,
    set: Option<Instant>,
}

/// The timer, as a runtime wants it.
#[derive(Debug)]
struct Timer(TimerFd);

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Alarm {
    /// One that is not set; needs a runtime around it.
    pub fn new() -> io::Result<Self> {
        let timer =
            TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe; this one owns the timer, which is all that asks for"
        )]
        let timer = AsyncFd::with_interest(Timer(timer), Interest::READABLE)?;
        Ok(Self { timer, set: None })
    }

    /// Makes it ring at this time, if it would ring later or not at all; a time that is past rings at
    /// once. One that rings too early costs less than one that is set anew for every message.
    pub fn ring_by(&mut self, due: Instant, now: Instant) {
        if self.set.is_some_and(|set| set <= due) {
            return;
        }
        // Zero would unset it.
        let delay = due.saturating_duration_since(now).max(Duration::from_nanos(1));
        let expiration = Expiration::OneShot(TimeSpec::from_duration(delay));
        let set = self.timer.get_ref().0.set(expiration, TimerSetTimeFlags::empty());
        set.expect("a timer that is open takes every time that is not negative");
        self.set = Some(due);
    }

    /// Waits until it rings; it is not set any more then.
    pub fn poll_rung(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // A runtime that has ended wakes nobody any more.
        let Ok(mut guard) = ready!(self.timer.poll_read_ready(cx)) else { return Poll::Pending };
        guard.clear_ready();
        self.set = None;
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Waker;

    async fn rung(alarm: &mut Alarm) -> Instant {
        poll_fn(|cx| alarm.poll_rung(cx)).await;
        Instant::now()
    }

    #[tokio::test]
    async fn it_rings_once_at_the_earliest_time_that_was_asked_for() {
        let mut alarm = Alarm::new().unwrap();
        let now = Instant::now();
        let (soon, late) = (now + Duration::from_millis(20), now + Duration::from_secs(3_600));
        for due in [late, soon, late] {
            alarm.ring_by(due, now);
        }
        assert!(rung(&mut alarm).await >= soon);
        let mut again = pin!(rung(&mut alarm));
        tokio::task::yield_now().await;
        assert!(again.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "it rang twice");
    }

    #[tokio::test]
    async fn a_time_that_is_past_rings_at_once_and_it_can_be_set_again() {
        let mut alarm = Alarm::new().unwrap();
        for _ in 0..3 {
            let now = Instant::now();
            alarm.ring_by(now - Duration::from_secs(1), now);
            rung(&mut alarm).await;
        }
    }
}
