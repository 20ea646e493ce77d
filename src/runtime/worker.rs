//! One data-plane worker: its sockets, its core, its recorder, and the loop that joins them.
//!
//! A step takes in everything that is there, bounded by source, reads the clock once, then sends,
//! then records. Nothing in it waits for anything but the next step.

mod step;

use super::command::{Command, Memory};
use crate::dispatch::{Loads, Verdicts};
use crate::facts::event::{ConfigApplied, Event, ReloadTrigger};
use crate::facts::lookup::Lookup;
use crate::facts::remembered::Remembered;
use crate::facts::secret::Secret;
use crate::facts::snapshot::Snapshot;
use crate::facts::{ListenerId, WorkerId};
use crate::net::{Alarm, Delivery, Exchange, Streams, UdpSocket};
use crate::proxy::{Core, Draft, Input, Plan};
use crate::telemetry::{Recorder, Ticks};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::{TcpListener, UdpSocket as StdUdpSocket};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use step::{BATCH, Scratch};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::yield_now;

/// Destinations in one part of a snapshot: about as long as a call takes.
const PART: usize = 32;
/// Time for the last answers to leave on streams.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A configuration and the verdicts that belong to it, which reach the workers together.
#[derive(Debug, Clone)]
pub(super) struct Published {
    plan: Arc<Plan>,
    verdicts: Arc<Verdicts>,
}

/// The part that a worker has in the states that worker 0 owns.
#[derive(Debug)]
pub(super) enum Share {
    /// Owns them: publishes verdicts, says which names to look up, and that states are to be saved.
    Owner {
        /// To the followers.
        published: watch::Sender<Option<Published>>,
        /// To the resolver.
        lookups: watch::Sender<Vec<Lookup>>,
        /// To whoever saves states.
        unsaved: Arc<Notify>,
        /// What was remembered over a restart, taken back first of all.
        remembered: Vec<Remembered>,
    },
    /// Is told of them.
    Follower(watch::Receiver<Option<Published>>),
}

/// What a worker is made of.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) id: WorkerId,
    pub(super) plan: Arc<Plan>,
    pub(super) secret: Secret,
    pub(super) loads: Arc<Loads>,
    pub(super) datagrams: Vec<(ListenerId, StdUdpSocket)>,
    pub(super) listeners: Vec<(ListenerId, TcpListener)>,
    pub(super) max_message: usize,
    pub(super) exchange: Exchange,
    pub(super) deliveries: mpsc::Receiver<Delivery>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) streams: Streams,
    pub(super) share: Share,
    pub(super) recorder: Recorder,
}

/// Runs a worker on the calling thread until it is stopped. `started` is told once its sockets
/// are served, or why they cannot be.
pub(super) fn run(setup: Setup, started: oneshot::Sender<io::Result<Handle>>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    runtime.block_on(async move {
        match Worker::new(setup) {
            Ok(worker) => {
                let _ = started.send(Ok(Handle::current()));
                worker.serve().await;
            }
            Err(error) => drop(started.send(Err(error))),
        }
    });
}

#[derive(Debug)]
struct Worker {
    id: WorkerId,
    core: Core,
    plan: Arc<Plan>,
    recorder: Recorder,
    sockets: Vec<UdpSocket>,
    /// Position in `sockets` by listener; `None` for a stream listener.
    by_listener: Vec<Option<usize>>,
    streams: Streams,
    exchange: Exchange,
    deliveries: mpsc::Receiver<Delivery>,
    commands: mpsc::Receiver<Command>,
    share: Share,
    max_message: usize,
    scratch: Scratch,
    alarm: Alarm,
    ticks: Ticks,
    /// Snapshots that are being taken, and who waits for them.
    drafts: VecDeque<(Draft, oneshot::Sender<Snapshot>)>,
}

/// What ended a wait.
#[derive(Debug)]
enum Woken {
    Command(Command),
    Published,
    Traffic,
    Ended,
}

impl Worker {
    fn new(setup: Setup) -> io::Result<Self> {
        let Setup { id, plan, secret, loads, datagrams, listeners, max_message, .. } = setup;
        let Setup { exchange, deliveries, commands, streams, mut share, recorder, .. } = setup;
        let mut sockets = Vec::with_capacity(datagrams.len());
        let mut by_listener = vec![None; plan.settings().listeners.len()];
        for (listener, socket) in datagrams {
            let socket = UdpSocket::new(socket, listener)?;
            tokio::spawn(socket.watch_errors(id, exchange.clone()));
            if let Some(position) = by_listener.get_mut(listener.index()) {
                *position = Some(sockets.len());
            }
            sockets.push(socket);
        }
        for (listener, socket) in listeners {
            tokio::spawn(streams.clone().accept(id, listener, socket));
        }
        let now = Instant::now();
        let mut core = Core::new(id, Arc::clone(&plan), &secret, &loads, Instant::now, now);
        if let Share::Owner { remembered, .. } = &mut share
            && !remembered.is_empty()
        {
            core.handle_input(Input::Restore(std::mem::take(remembered)), now);
        }
        let (scratch, alarm, ticks) = (Scratch::new(), Alarm::new()?, recorder.ticks());
        Ok(Self {
            id,
            core,
            plan,
            recorder,
            sockets,
            by_listener,
            streams,
            exchange,
            deliveries,
            commands,
            share,
            max_message,
            scratch,
            alarm,
            ticks,
            drafts: VecDeque::new(),
        })
    }

    async fn serve(mut self) {
        if let Share::Follower(published) = &mut self.share {
            // Before the first verdicts nobody is usable: what came meanwhile waits in the sockets.
            // An error means that worker 0 has not started, and then nothing does.
            let _ = published.wait_for(Option::is_some).await;
            self.follow(Instant::now());
        }
        let mut now = Instant::now();
        self.settle(now);
        loop {
            let woken = self.wait(now).await;
            now = Instant::now();
            self.ticks.pass(now);
            let is_asked = matches!(woken, Woken::Command(Command::Snapshot(..)));
            match woken {
                Woken::Command(Command::Stop) | Woken::Ended => break,
                Woken::Command(command) => self.obey(command, now),
                Woken::Published => self.follow(now),
                Woken::Traffic => {}
            }
            self.take_in(now);
            if self.core.poll_timeout().is_some_and(|due| due <= now) {
                self.core.handle_timeout(now);
            }
            self.settle(now);
            if is_asked {
                // Whoever asks may share this core, pushed off it by this wake. Until that thread sleeps,
                // the scheduler owes it the time that the snapshot takes, and gives it that later in one
                // piece, while calls wait.
                std::thread::yield_now();
            }
            self.draw_up();
        }
        self.streams.flush(LAST_WORDS).await;
    }

    /// Waits for a command, a publication, something to read, the core's own deadline, or the next tick.
    async fn wait(&mut self, now: Instant) -> Woken {
        let tick = self.ticks.due();
        self.alarm.ring_by(self.core.poll_timeout().map_or(tick, |due| due.min(tick)), now);
        tokio::select! {
            biased;
            command = self.commands.recv() => command.map_or(Woken::Ended, Woken::Command),
            () = changed(&mut self.share) => Woken::Published,
            () = readable(&self.sockets) => Woken::Traffic,
            taken = self.deliveries.recv_many(&mut self.scratch.deliveries, BATCH) => {
                if taken == 0 { Woken::Ended } else { Woken::Traffic }
            }
            () = poll_fn(|cx| self.alarm.poll_rung(cx)) => Woken::Traffic,
            // Once around the runtime, which looks whether there is something to read.
            () = yield_now(), if !self.drafts.is_empty() => Woken::Traffic,
        }
    }

    /// Takes another part of the first snapshot that somebody waits for.
    fn draw_up(&mut self) {
        // Nobody waits any more for what took too long.
        self.drafts.retain(|(_, answer)| !answer.is_closed());
        let Some((draft, _)) = self.drafts.front_mut() else { return };
        if self.core.continue_snapshot(draft, PART)
            && let Some((draft, answer)) = self.drafts.pop_front()
        {
            let _ = answer.send(draft.finish());
        }
    }

    fn obey(&mut self, command: Command, now: Instant) {
        match command {
            Command::Snapshot(detail, answer) => {
                self.drafts.push_back((self.core.begin_snapshot(now, detail), answer));
            }
            // What is refused and taken all the same would leave the control plane with another
            // configuration, and the next one with numbers of destinations used twice.
            Command::Reload(plan, trigger, memory, order) => {
                let Some(done) = order.begin() else { return };
                let applied = self.reload(plan, trigger, memory, now);
                let _ = done.send(applied);
            }
            Command::SetAdmin(target, admin, order) => {
                let Some(done) = order.begin() else { return };
                self.core.handle_input(Input::SetAdmin { target, admin }, now);
                self.settle(now);
                let _ = done.send(());
            }
            Command::Replan(plan, order) => {
                let Some(done) = order.begin() else { return };
                self.plan = Arc::clone(&plan);
                self.core.handle_input(Input::Replan(Arc::clone(&plan)), now);
                self.publish(Some(plan));
                let _ = done.send(());
            }
            Command::Probe(targets, done) => {
                self.core.handle_input(Input::Probe(targets), now);
                let _ = done.send(());
            }
            Command::Trial(answer) => drop(answer.send(self.core.trial())),
            Command::Remembered(answer) => drop(answer.send(self.core.remembered())),
            Command::Resolved(resolution) => self.core.handle_input(Input::Resolved(resolution), now),
            Command::Drain => self.core.handle_input(Input::Drain, now),
            Command::Abort => self.core.handle_input(Input::Abort, now),
            Command::Unfinished(answer) => drop(answer.send(self.core.unfinished())),
            Command::Stop => {}
        }
    }

    /// Takes over a configuration and returns what that changed, for the control plane to record
    /// with what it knows more.
    fn reload(
        &mut self,
        plan: Arc<Plan>,
        trigger: ReloadTrigger,
        memory: Memory,
        now: Instant,
    ) -> ConfigApplied {
        let hash = plan.settings().hash;
        self.plan = Arc::clone(&plan);
        self.core.handle_input(Input::Reload { plan: Arc::clone(&plan), trigger }, now);
        if memory == Memory::Forget {
            self.core.handle_input(Input::Forget, now);
        }
        let mut told = ConfigApplied { trigger: Some(trigger), hash, ..ConfigApplied::default() };
        for event in self.core.outbox().drain_events() {
            match event {
                Event::ConfigApplied(applied) => told = ConfigApplied::clone(&applied),
                event => self.recorder.record(&event),
            }
        }
        self.publish(Some(plan));
        told
    }

    /// Takes over what worker 0 published: the configuration first, if it is a new one.
    fn follow(&mut self, now: Instant) {
        let Share::Follower(published) = &mut self.share else { return };
        let Some(Published { plan, verdicts }) = published.borrow_and_update().clone() else {
            return;
        };
        if !Arc::ptr_eq(&plan, &self.plan) {
            self.plan = Arc::clone(&plan);
            // What asked for it is told by worker 0.
            self.core.handle_input(Input::Replan(plan), now);
        }
        self.core.handle_input(Input::Verdicts(verdicts), now);
    }

    /// Publishes new verdicts, and whatever there is with a new plan.
    fn publish(&mut self, planned: Option<Arc<Plan>>) {
        let Share::Owner { published, lookups: wanted, unsaved, .. } = &self.share else { return };
        if self.core.take_unsaved() {
            unsaved.notify_one();
        }
        let verdicts = self.core.take_verdicts();
        if verdicts.is_some() || planned.is_some() {
            let plan = planned.unwrap_or_else(|| Arc::clone(&self.plan));
            published.send_modify(|slot| {
                let last = || slot.as_ref().map(|last| Arc::clone(&last.verdicts)).unwrap_or_default();
                *slot = Some(Published { plan, verdicts: verdicts.unwrap_or_else(last) });
            });
        }
        if let Some(lookups) = self.core.take_lookups() {
            wanted.send_replace(lookups);
        }
    }
}

async fn readable(sockets: &[UdpSocket]) {
    poll_fn(|cx| {
        // Every socket is asked, so that each of them wakes the worker.
        let ready = sockets.iter().filter(|socket| socket.poll_readable(cx).is_ready()).count();
        if ready > 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

async fn changed(share: &mut Share) {
    if let Share::Follower(published) = share
        && published.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}
