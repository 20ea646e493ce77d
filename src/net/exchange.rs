//! The bounded queues through which workers get what arrived elsewhere.
//!
//! Owns the queues and nothing else; who owns a message is asked of the proxy.

use crate::facts::event::{Event, TransportReason};
use crate::facts::evidence::Evidence;
use crate::facts::{Hop, Target, WorkerId};
use crate::proxy;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Deliveries that may wait for one worker; above, datagrams are dropped and streams wait.
pub const QUEUE_LENGTH: usize = 1024;

/// What a socket, or another worker, hands to a worker.
#[derive(Debug)]
pub enum Delivery {
    /// A whole message.
    Message {
        /// Where it came from.
        hop: Hop,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// A message of ours that did not arrive.
    Undeliverable {
        /// Where it was to go.
        hop: Hop,
        /// As much of it as is known.
        message: Vec<u8>,
        /// What went wrong.
        reason: TransportReason,
    },
    /// What a request showed of its destination, for the owner of states.
    Evidence(Target, Evidence),
    /// Something to record.
    Happened(Event),
}

/// The sending ends of all workers' queues.
#[derive(Debug, Clone)]
pub struct Exchange {
    queues: Arc<[mpsc::Sender<Delivery>]>,
}

impl Exchange {
    /// Makes one queue for each worker.
    pub fn new(workers: u8) -> (Self, Vec<mpsc::Receiver<Delivery>>) {
        let (queues, ends): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::channel(QUEUE_LENGTH)).unzip();
        (Self { queues: queues.into() }, ends)
    }

    /// How many workers there are.
    pub fn workers(&self) -> u8 {
        u8::try_from(self.queues.len()).unwrap_or(u8::MAX)
    }

    /// The worker that owns a message which `receiver` received.
    pub fn owner(&self, message: &[u8], receiver: WorkerId) -> WorkerId {
        match self.workers() {
            0 | 1 => receiver,
            workers => proxy::owner(message, workers).unwrap_or(receiver),
        }
    }

    /// The worker that sent a message which an error quotes. Sockets that share a port share their
    /// errors too, so it need not be the one that reads the error.
    pub fn sender(&self, quote: &[u8], reader: WorkerId) -> WorkerId {
        match self.workers() {
            0 | 1 => reader,
            workers => proxy::sender(quote, workers).unwrap_or(reader),
        }
    }

    /// Hands over without waiting; false if the queue is full or its worker has ended.
    pub fn try_hand(&self, worker: WorkerId, delivery: Delivery) -> bool {
        self.queue(worker).is_some_and(|queue| queue.try_send(delivery).is_ok())
    }

    /// Hands over as soon as there is room; false if the worker has ended.
    pub async fn hand(&self, worker: WorkerId, delivery: Delivery) -> bool {
        match self.queue(worker) {
            Some(queue) => queue.send(delivery).await.is_ok(),
            None => false,
        }
    }

    /// How full the fullest queue is, and how much each can hold.
    pub fn fullest(&self) -> (usize, usize) {
        let filled = self.queues.iter().map(|queue| queue.max_capacity() - queue.capacity());
        (filled.max().unwrap_or(0), QUEUE_LENGTH)
    }

    fn queue(&self, worker: WorkerId) -> Option<&mpsc::Sender<Delivery>> {
        self.queues.get(usize::from(worker.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{ListenerId, Transport};
    use std::time::Duration;
    use tokio::time::timeout;

    fn message() -> Delivery {
        let remote = ([127, 0, 0, 1], 5060).into();
        let hop = Hop { transport: Transport::Udp, listener: ListenerId::new(0), remote, connection: None };
        Delivery::Message { hop, bytes: b"x".to_vec() }
    }

    #[tokio::test]
    async fn a_full_queue_refuses_datagrams_and_makes_streams_wait() {
        let (exchange, mut ends) = Exchange::new(2);
        for _ in 0..QUEUE_LENGTH {
            assert!(exchange.try_hand(WorkerId(1), message()));
        }
        assert!(!exchange.try_hand(WorkerId(1), message()));
        assert_eq!(exchange.fullest(), (QUEUE_LENGTH, QUEUE_LENGTH));
        assert!(exchange.try_hand(WorkerId(0), message()));
        let waiting = exchange.hand(WorkerId(1), message());
        tokio::pin!(waiting);
        assert!(timeout(Duration::from_millis(20), &mut waiting).await.is_err());
        assert!(ends[1].recv().await.is_some());
        assert!(waiting.await);
    }

    #[tokio::test]
    async fn a_worker_that_ended_takes_nothing() {
        let (exchange, ends) = Exchange::new(1);
        drop(ends);
        assert!(!exchange.try_hand(WorkerId(0), message()));
        assert!(!exchange.hand(WorkerId(0), message()).await);
        assert!(!exchange.try_hand(WorkerId(7), message()));
    }
}
