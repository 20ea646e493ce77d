//! Starting and stopping an instance: all of it, or nothing and one clear message.

use super::command::{Command, Commands, Memory};
use super::control::ControlPlane;
use super::reload::{ConfigFile, Reloader};
use super::state_file::StateFile;
use super::surroundings::Watched;
use super::worker::{self, Setup, Share};
use super::{drain, names, reload::LOOK_EVERY, state_file};
use crate::admin;
use crate::config::Config;
use crate::dispatch::Loads;
use crate::facts::clock::Clock;
use crate::facts::event::{Event, ReloadTrigger};
use crate::facts::lookup::Lookup;
use crate::facts::remembered::Remembered;
use crate::facts::secret::Secret;
use crate::facts::{ListenerId, Transport, WorkerId};
use crate::net::{self, BindError, Bound, Exchange, Streams};
use crate::proxy::{Listener, Plan};
use crate::telemetry::{self, Telemetry};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// Answers for names that may wait for the control plane.
const RESOLUTIONS: usize = 64;
/// Time for spans and logs to leave at the end.
const FLUSH: Duration = Duration::from_secs(2);

/// Why an instance does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A SIP listener cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The HTTP server cannot be had.
    #[error(transparent)]
    Http(#[from] admin::Error),
    /// Spans or logs cannot be set up.
    #[error("telemetry: {0}")]
    Telemetry(#[from] telemetry::Error),
    /// The operating system gives no randomness for the secret.
    #[error("no randomness from the operating system: {0}")]
    Randomness(getrandom::Error),
    /// A worker cannot be started.
    #[error("worker {worker}: {source}")]
    Worker {
        /// Which one.
        worker: u8,
        /// What the system said.
        source: io::Error,
    },
}

/// An instance that serves.
#[derive(Debug)]
pub struct Running {
    /// Where its HTTP server listens.
    pub http: SocketAddr,
    /// Where it listens for SIP, by listener.
    pub sip: Vec<(Transport, SocketAddr)>,
    control: Arc<ControlPlane>,
    workers: Vec<JoinHandle<()>>,
    ended: mpsc::Receiver<u8>,
    /// HTTP server, resolver and file watcher; they end when this is dropped.
    tasks: JoinSet<()>,
}

/// Starts an instance with the control plane on the calling runtime. With a file it can be
/// reloaded. On an error nothing is left running.
pub async fn start(config: Config, file: Option<ConfigFile>) -> Result<Running, StartError> {
    let clock = Clock::new(Instant::now(), SystemTime::now());
    let workers = config.workers.max(1);
    net::raise_file_limit();
    let sockets = bind_all(&config, workers)?;
    let http = admin::bind(&config.admin)?;
    let secret = secret(&config)?;
    let sip: Vec<(Transport, SocketAddr)> =
        config.net.listeners.iter().zip(&sockets).map(|(l, bound)| (l.transport, bound.address())).collect();
    let listeners = as_bound(&config, &sip);
    let loads = Loads::new(Instant::now());
    let reloader = Reloader::new(file, config, listeners, Arc::clone(&loads), net::interfaces());
    let plan = Arc::clone(reloader.plan());
    let config = reloader.config().clone();
    let telemetry = Telemetry::start(&config.telemetry, Arc::clone(plan.directory()), Handle::current())?;
    let (commands, command_ends) = Commands::new(workers);
    let buffers = net::ReceiveBuffers::of(&sockets);
    let (wanted, lookups) = watch::channel(Vec::new());
    let crew =
        Crew { config: &config, plan: &plan, secret, loads, telemetry: &telemetry, workers, sip: &sip };
    let state_file = config.state_file.clone().map(|path| StateFile::new(path, clock));
    let (remembered, ignored) = match state_file.as_ref().map(|file| file.load(SystemTime::now())) {
        None | Some(Ok(None)) => (vec![], None),
        Some(Ok(Some(remembered))) => (remembered, None),
        Some(Err(ignored)) => (vec![], Some(ignored)),
    };
    let unsaved = Arc::new(Notify::new());
    let share = (wanted, Arc::clone(&unsaved), remembered);
    let (workers, ended, watched) = crew.start(sockets, command_ends, share).await?;
    let watched = Watched { buffers, ..watched };
    let control = Arc::new(ControlPlane::new(commands, telemetry, reloader, clock, state_file, watched));
    if let Some((problem, detail)) = ignored {
        control.record(&Event::StateIgnored { problem, detail });
    }
    let http_address = http.address();
    let tasks = spawn_tasks(&control, &config, &sip, http, lookups, unsaved);
    control.set_ready(true);
    Ok(Running { http: http_address, sip, control, workers, ended, tasks })
}

impl Running {
    /// Reloads as if the file or a signal had asked for it.
    pub async fn reload(&self, trigger: ReloadTrigger) {
        // The outcome is an event; nobody waits for the answer.
        let _ = self.control.reload_for(trigger, Memory::Keep).await;
    }

    /// Waits until a worker has ended by itself, which only a defect makes it do.
    pub async fn failed(&mut self) -> u8 {
        match self.ended.recv().await {
            Some(worker) => worker,
            None => std::future::pending().await,
        }
    }

    /// Drains: not ready, new dialogs refused, what runs may finish until the configured deadline.
    pub async fn drain(&self) {
        drain::drain(&self.control).await;
    }

    /// Stops at once, without draining.
    pub async fn stop(mut self) {
        self.control.set_ready(false);
        self.control.save_states().await;
        self.control.commands().to_all(|| Command::Stop).await;
        let workers = std::mem::take(&mut self.workers);
        let joined = tokio::task::spawn_blocking(move || {
            for worker in workers {
                // A worker that panicked has said so; there is nothing left to stop.
                let _ = worker.join();
            }
        });
        let _ = joined.await;
        self.control.telemetry().flush(FLUSH).await;
        self.tasks.shutdown().await;
    }
}

fn bind_all(config: &Config, workers: u8) -> Result<Vec<Bound>, BindError> {
    let names = config.proxy.listeners.iter().map(|listener| &*listener.name);
    names.zip(&config.net.listeners).map(|(name, listener)| net::bind(name, listener, workers)).collect()
}

/// The configured listeners with the ports that the kernel chose.
fn as_bound(config: &Config, sip: &[(Transport, SocketAddr)]) -> Vec<Listener> {
    let bound = sip.iter().map(|(_, address)| *address);
    let listeners = config.proxy.listeners.iter().cloned();
    listeners.zip(bound).map(|(listener, bind)| Listener { bind, ..listener }).collect()
}

fn secret(config: &Config) -> Result<Secret, StartError> {
    if let Some(key) = config.secret {
        return Ok(Secret::new(key));
    }
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(StartError::Randomness)?;
    Ok(Secret::new(key))
}

/// What every worker is started with.
struct Crew<'a> {
    config: &'a Config,
    plan: &'a Arc<Plan>,
    secret: Secret,
    loads: Arc<Loads>,
    telemetry: &'a Telemetry,
    workers: u8,
    sip: &'a [(Transport, SocketAddr)],
}

impl Crew<'_> {
    /// Starts the worker threads and waits until each serves its sockets. Dropping the commands'
    /// senders, as a failure does, ends those that run.
    async fn start(
        &self,
        sockets: Vec<Bound>,
        commands: Vec<mpsc::Receiver<Command>>,
        (lookups, unsaved, remembered): (watch::Sender<Vec<Lookup>>, Arc<Notify>, Vec<Remembered>),
    ) -> Result<(Vec<JoinHandle<()>>, mpsc::Receiver<u8>, Watched), StartError> {
        let (exchange, deliveries) = Exchange::new(self.workers);
        let mut limits = self.config.net.clone();
        for (listener, (_, address)) in limits.listeners.iter_mut().zip(self.sip) {
            listener.address = *address;
        }
        let max_message = limits.max_message;
        let streams = Streams::new(limits, exchange.clone());
        let (published, publications) = watch::channel(None);
        let mut owner = Some(Share::Owner { published, lookups, unsaved, remembered });
        let (ended_by_itself, ended) = mpsc::channel(usize::from(self.workers));
        let mut by_worker = divide(sockets, self.workers)?.into_iter();
        let (mut threads, mut starts) = (Vec::new(), Vec::new());
        for (id, (deliveries, commands)) in (0..self.workers).zip(deliveries.into_iter().zip(commands)) {
            let (datagrams, listeners) = by_worker.next().unwrap_or_default();
            let setup = Setup {
                id: WorkerId(id),
                plan: Arc::clone(self.plan),
                secret: self.secret.clone(),
                loads: Arc::clone(&self.loads),
                datagrams,
                listeners,
                max_message,
                exchange: exchange.clone(),
                deliveries,
                commands,
                streams: streams.clone(),
                share: owner.take().unwrap_or_else(|| Share::Follower(publications.clone())),
                recorder: self.telemetry.recorder(),
            };
            let (started, starting) = oneshot::channel();
            let notice = EndNotice(id, ended_by_itself.clone());
            let spawned = std::thread::Builder::new().name(format!("worker-{id}")).spawn(move || {
                let _notice = notice;
                worker::run(setup, started);
            });
            threads.push(spawned.map_err(|source| StartError::Worker { worker: id, source })?);
            starts.push((id, starting));
        }
        let mut runtimes = vec![("control".to_owned(), Handle::current())];
        for (worker, starting) in starts {
            let started = starting.await.unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
            let runtime = started.map_err(|source| StartError::Worker { worker, source })?;
            runtimes.push((format!("worker-{worker}"), runtime));
        }
        let watched = Watched { exchange, streams, buffers: net::ReceiveBuffers::default(), runtimes };
        Ok((threads, ended, watched))
    }
}

/// Tells that a worker's thread has ended, however it did.
struct EndNotice(u8, mpsc::Sender<u8>);

impl Drop for EndNotice {
    fn drop(&mut self) {
        let _ = self.1.try_send(self.0);
    }
}

type Sockets = (Vec<(ListenerId, std::net::UdpSocket)>, Vec<(ListenerId, std::net::TcpListener)>);

/// Gives each worker its own datagram sockets, and a handle of each listening socket.
fn divide(sockets: Vec<Bound>, workers: u8) -> Result<Vec<Sockets>, StartError> {
    let mut shares: Vec<Sockets> = (0..workers).map(|_| Sockets::default()).collect();
    for (listener, bound) in (0..=u8::MAX).zip(sockets) {
        let listener = ListenerId::new(listener);
        match bound {
            Bound::Udp(_, sockets) => {
                for (share, socket) in shares.iter_mut().zip(sockets) {
                    share.0.push((listener, socket));
                }
            }
            Bound::Tcp(_, socket) => {
                for (worker, share) in (0..).zip(&mut shares) {
                    let socket =
                        socket.try_clone().map_err(|source| StartError::Worker { worker, source })?;
                    share.1.push((listener, socket));
                }
            }
        }
    }
    Ok(shares)
}

fn spawn_tasks(
    control: &Arc<ControlPlane>,
    config: &Config,
    sip: &[(Transport, SocketAddr)],
    http: admin::BoundListener,
    lookups: watch::Receiver<Vec<Lookup>>,
    unsaved: Arc<Notify>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let (settings, asked) = (config.admin.clone(), Arc::clone(control));
    tasks.spawn(async move {
        if let Err(error) = admin::serve(http, settings, asked).await {
            eprintln!("sipwarden: HTTP server ended: {error}");
        }
    });
    tasks.spawn(control.telemetry().recorder().watch_lag());
    let (reports, resolutions) = mpsc::channel(RESOLUTIONS);
    let has = |v6: bool| sip.iter().any(|(_, address)| address.is_ipv6() == v6);
    tasks.spawn(net::resolve(config.net.dns.clone(), (has(false), has(true)), lookups, reports));
    tasks.spawn(names::follow(Arc::clone(control), resolutions));
    let saved = Arc::clone(control);
    tasks.spawn(async move { state_file::save_when(&saved, &unsaved).await });
    let watched = Arc::clone(control);
    tasks.spawn(async move {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            watched.reload_if_changed().await;
        }
    });
    tasks
}
