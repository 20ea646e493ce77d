//! One open connection: frames in, queued messages out, and when it ends.
//!
//! Reading and writing wait for each other nowhere, so two full peers cannot block one another.

use crate::facts::event::Event;
use crate::facts::{Hop, Transport, WorkerId};
use crate::net::Settings;
use crate::net::exchange::{Delivery, Exchange};
use crate::sip::stream::{Frame, Framer};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

/// The answer to a keep-alive (RFC 5626 §3.5.1).
const PONG: &[u8] = b"\r\n";
/// Bytes read at a time.
const CHUNK: usize = 16 * 1024;
/// Time for the peer to take one message.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the core to answer a broken stream before it is closed.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A message on its way to a connection, and the worker that wants to know if it fails.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Who sends it.
    pub(super) worker: WorkerId,
    /// Where to.
    pub(super) hop: Hop,
    /// Its bytes.
    pub(super) bytes: Vec<u8>,
}

/// One connection of a worker.
#[derive(Debug)]
pub(super) struct Connection<'a> {
    worker: WorkerId,
    hop: Hop,
    limits: &'a Settings,
    exchange: &'a Exchange,
    opened: Instant,
    /// Milliseconds from `opened` to the last traffic, either way.
    last_traffic: AtomicU64,
}

/// Why reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The peer closed, an error, a limit, or nobody is left to read for.
    Closed,
    /// The stream cannot be framed; the core may answer it.
    Broken,
}

impl<'a> Connection<'a> {
    /// A connection whose peer and id are those of `hop`.
    pub(super) fn new(worker: WorkerId, hop: Hop, limits: &'a Settings, exchange: &'a Exchange) -> Self {
        Self { worker, hop, limits, exchange, opened: Instant::now(), last_traffic: AtomicU64::new(0) }
    }

    /// Serves until it ends and returns the message that was being written then, if any.
    pub(super) async fn run(
        &self,
        stream: TcpStream,
        queue: &mut mpsc::Receiver<Outgoing>,
    ) -> Option<Outgoing> {
        let (reader, mut writer) = stream.into_split();
        let (pongs, mut pongs_to_write) = mpsc::channel(1);
        let mut writing = None;
        let end = tokio::select! {
            end = self.read(reader, pongs) => end,
            () = self.write(&mut writer, queue, &mut pongs_to_write, &mut writing) => return writing,
        };
        if end == End::Broken && writing.is_none() {
            let last_words = self.write(&mut writer, queue, &mut pongs_to_write, &mut writing);
            // Running out is the usual end: the queue lives until the connection is forgotten.
            let _ = timeout(LAST_WORDS, last_words).await;
        }
        writing
    }

    async fn read(&self, mut reader: OwnedReadHalf, pongs: mpsc::Sender<()>) -> End {
        let mut framer = Framer::new(self.limits.max_message);
        let mut began: Option<Instant> = None;
        loop {
            framer.buffer().reserve(CHUNK);
            let idle_until = self.last_traffic() + self.limits.idle_timeout;
            let until = began.map_or(idle_until, |began| began + self.limits.message_deadline);
            match timeout_at(until, reader.read_buf(framer.buffer())).await {
                Ok(Ok(0) | Err(_)) => return End::Closed,
                Ok(Ok(_)) => self.touch(),
                // Writing counts as traffic too and may have moved the idle time meanwhile.
                Err(_)
                    if began.is_none() && self.last_traffic() + self.limits.idle_timeout > Instant::now() =>
                {
                    continue;
                }
                Err(_) => return End::Closed,
            }
            let completed = match self.deliver_frames(&mut framer, &pongs).await {
                Ok(completed) => completed,
                Err(end) => return end,
            };
            began = match began {
                _ if !framer.is_partial() => None,
                Some(began) if completed == 0 => Some(began),
                Some(_) | None => Some(Instant::now()),
            };
        }
    }

    /// Delivers every whole message and returns how many there were.
    async fn deliver_frames(&self, framer: &mut Framer, pongs: &mpsc::Sender<()>) -> Result<usize, End> {
        let mut completed = 0;
        loop {
            match framer.next() {
                Ok(Some(Frame::Message(bytes))) => {
                    completed += 1;
                    let bytes = bytes.to_vec();
                    self.deliver(bytes).await?;
                }
                // One answer waiting is enough for any number of keep-alives.
                Ok(Some(Frame::Ping)) => drop(pongs.try_send(())),
                Ok(None) => return Ok(completed),
                Err(error) if error.head.is_empty() => {
                    let event = Event::ParseFailed {
                        transport: Transport::Tcp,
                        source: self.hop.remote,
                        reason: error.reason,
                        answered: None,
                    };
                    self.exchange.hand(self.worker, Delivery::Happened(event)).await;
                    return Err(End::Closed);
                }
                Err(error) => {
                    let head = error.head.to_vec();
                    self.deliver(head).await?;
                    return Err(End::Broken);
                }
            }
        }
    }

    async fn deliver(&self, bytes: Vec<u8>) -> Result<(), End> {
        let owner = self.exchange.owner(&bytes, self.worker);
        let taken = self.exchange.hand(owner, Delivery::Message { hop: self.hop, bytes }).await;
        if taken { Ok(()) } else { Err(End::Closed) }
    }

    /// Writes what is queued; ends when the queue does or the peer takes no more, and then leaves
    /// the message that did not get through in `writing`.
    async fn write(
        &self,
        writer: &mut OwnedWriteHalf,
        queue: &mut mpsc::Receiver<Outgoing>,
        pongs: &mut mpsc::Receiver<()>,
        writing: &mut Option<Outgoing>,
    ) {
        loop {
            let bytes = tokio::select! {
                next = queue.recv() => match next {
                    Some(outgoing) => writing.insert(outgoing).bytes.as_slice(),
                    None => return,
                },
                Some(()) = pongs.recv() => PONG,
            };
            match timeout(WRITE_TIMEOUT, writer.write_all(bytes)).await {
                Ok(Ok(())) => *writing = None,
                Ok(Err(_)) | Err(_) => return,
            }
            self.touch();
        }
    }

    fn touch(&self) {
        let since = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_traffic.store(since, Ordering::Relaxed);
    }

    fn last_traffic(&self) -> Instant {
        self.opened + Duration::from_millis(self.last_traffic.load(Ordering::Relaxed))
    }
}
