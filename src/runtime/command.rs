//! What the control plane asks of a worker, and how it waits for the answers.

use crate::admin::Unavailable;
use crate::facts::event::{ConfigApplied, ReloadTrigger};
use crate::facts::lookup::Resolution;
use crate::facts::remembered::Remembered;
use crate::facts::snapshot::{Detail, Snapshot};
use crate::facts::{Admin, Target, WorkerId};
use crate::proxy::{Plan, Trial};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Commands that may wait for one worker.
const COMMANDS: usize = 64;
/// Time for every worker to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a worker is asked to do. Those with a sender are answered once done.
#[derive(Debug)]
pub(super) enum Command {
    /// Tell what is.
    Snapshot(Detail, oneshot::Sender<Snapshot>),
    /// Take over a configuration (worker 0, which passes it on with the verdicts that belong to it).
    Reload(Arc<Plan>, ReloadTrigger, Memory, Order<ConfigApplied>),
    /// Take over the same configuration with other endpoints (worker 0, as above).
    Replan(Arc<Plan>, Order<()>),
    /// Probe these destinations now (worker 0).
    Probe(Vec<Target>, oneshot::Sender<()>),
    /// Give copies of what the next request would be dispatched with.
    Trial(oneshot::Sender<Trial>),
    /// Tell what is to survive a restart (worker 0).
    Remembered(oneshot::Sender<Vec<Remembered>>),
    /// Take an administrator's wish (worker 0).
    SetAdmin(Target, Admin, Order<()>),
    /// Take the end of a look-up (worker 0).
    Resolved(Resolution),
    /// Refuse new dialogs from now on.
    Drain,
    /// Cut off what still runs.
    Abort,
    /// Tell how many transactions a drain waits for.
    Unfinished(oneshot::Sender<u64>),
    /// End.
    Stop,
}

/// The right to make a change that is refused if it is not begun in time: whoever asked and the
/// worker never disagree on whether it was made.
#[derive(Debug)]
pub(super) struct Order<T> {
    begun: oneshot::Sender<()>,
    done: oneshot::Sender<T>,
}

impl<T> Order<T> {
    /// Begins, and gives where to tell the end; `None` if whoever asked has given up and said so.
    pub(super) fn begin(self) -> Option<oneshot::Sender<T>> {
        self.begun.send(()).is_ok().then_some(self.done)
    }
}

/// What becomes of that which was learned and wished at run time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    /// It stays.
    Keep,
    /// It is forgotten.
    Forget,
}

/// The sending ends of all workers' commands.
#[derive(Debug, Clone)]
pub(super) struct Commands {
    workers: Arc<[mpsc::Sender<Command>]>,
}

impl Commands {
    /// Makes one channel for each worker.
    pub(super) fn new(workers: u8) -> (Self, Vec<mpsc::Receiver<Command>>) {
        let (senders, ends): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::channel(COMMANDS)).unzip();
        (Self { workers: senders.into() }, ends)
    }

    /// Gives a command to the owner of states and waits until there is room for it.
    pub(super) async fn to_owner(&self, command: Command) -> Result<(), Unavailable> {
        let owner = self.workers.first().ok_or(Unavailable)?;
        owner.send(command).await.map_err(|_| Unavailable)
    }

    /// Asks the owner of states and waits for its answer.
    pub(super) async fn ask_owner<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Unavailable> {
        self.ask(WorkerId(0), command).await
    }

    /// Orders a change of the owner of states. It is unavailable only if it has not been begun in time,
    /// and then never is; once begun, its end is waited for.
    pub(super) async fn order<T>(&self, command: impl FnOnce(Order<T>) -> Command) -> Result<T, Unavailable> {
        let ((begun, mut beginning), (done, end)) = (oneshot::channel(), oneshot::channel());
        let ordered = async {
            self.to_owner(command(Order { begun, done })).await?;
            (&mut beginning).await.map_err(|_| Unavailable)
        };
        let is_begun = timeout(PATIENCE, ordered).await.unwrap_or_else(|_| {
            beginning.close();
            beginning.try_recv().map_err(|_| Unavailable)
        });
        is_begun?;
        let ended = end.await.map_err(|_| Unavailable);
        // The worker has calls to take before this thread, woken by it and perhaps on its core, goes
        // on to what takes longer than they may wait.
        std::thread::yield_now();
        ended
    }

    /// Asks a worker and waits for its answer.
    pub(super) async fn ask<T>(
        &self,
        worker: WorkerId,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Unavailable> {
        let worker = self.workers.get(usize::from(worker.0)).ok_or(Unavailable)?;
        let (sender, receiver) = oneshot::channel();
        let asked = async {
            worker.send(command(sender)).await.map_err(|_| Unavailable)?;
            receiver.await.map_err(|_| Unavailable)
        };
        timeout(PATIENCE, asked).await.unwrap_or(Err(Unavailable))
    }

    /// How full the fullest channel is, and how much each can hold.
    pub(super) fn fullest(&self) -> (usize, usize) {
        let filled = self.workers.iter().map(|worker| worker.max_capacity() - worker.capacity());
        (filled.max().unwrap_or(0), COMMANDS)
    }

    /// How many workers there are.
    pub(super) fn workers(&self) -> u8 {
        u8::try_from(self.workers.len()).unwrap_or(u8::MAX)
    }

    /// Gives a command to every worker; one that has ended is passed over.
    pub(super) async fn to_all(&self, command: impl Fn() -> Command) {
        for worker in &*self.workers {
            let _ = timeout(PATIENCE, worker.send(command())).await;
        }
    }

    /// Asks every worker at once and returns the answers in the order of workers.
    pub(super) async fn ask_all<T>(
        &self,
        command: impl Fn(oneshot::Sender<T>) -> Command,
    ) -> Result<Vec<T>, Unavailable> {
        let asked = async {
            let mut receivers = Vec::with_capacity(self.workers.len());
            for worker in &*self.workers {
                let (sender, receiver) = oneshot::channel();
                worker.send(command(sender)).await.map_err(|_| Unavailable)?;
                receivers.push(receiver);
            }
            let mut answers = Vec::with_capacity(receivers.len());
            for receiver in receivers {
                answers.push(receiver.await.map_err(|_| Unavailable)?);
            }
            Ok(answers)
        };
        timeout(PATIENCE, asked).await.unwrap_or(Err(Unavailable))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_come_in_the_order_of_workers() {
        let (commands, ends) = Commands::new(3);
        for (number, mut end) in (0..).zip(ends) {
            tokio::spawn(async move {
                while let Some(Command::Unfinished(answer)) = end.recv().await {
                    let _ = answer.send(number);
                }
            });
        }
        assert_eq!(commands.ask_all(Command::Unfinished).await, Ok(vec![0_u64, 1, 2]));
    }

    fn order_of(command: Option<Command>) -> Order<()> {
        match command {
            Some(Command::SetAdmin(_, _, order)) => order,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_that_is_not_begun_in_time_is_never_made_and_one_that_is_begun_is_waited_for() {
        let (commands, mut ends) = Commands::new(1);
        let order = || commands.order(|order| Command::SetAdmin(Target::new(0), Admin::Disabled, order));
        assert_eq!(order().await, Err(Unavailable));
        assert!(order_of(ends[0].recv().await).begin().is_none(), "it has been refused");

        let slow = async {
            let done = order_of(ends[0].recv().await).begin().expect("in time");
            tokio::time::advance(PATIENCE * 2).await;
            done.send(()).expect("still waited for");
        };
        assert_eq!(tokio::join!(order(), slow).0, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_is_stuck_makes_the_answer_unavailable_after_a_second() {
        let (commands, ends) = Commands::new(2);
        let before = tokio::time::Instant::now();
        assert_eq!(commands.ask_all(Command::Unfinished).await, Err(Unavailable));
        assert!(before.elapsed() >= PATIENCE);
        drop(ends);
        assert_eq!(commands.ask_owner(Command::Unfinished).await, Err(Unavailable));
    }
}
