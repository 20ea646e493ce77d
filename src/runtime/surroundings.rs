//! What surrounds the cores, as a scrape sees it: queues, sockets, threads.

use super::command::Commands;
use crate::facts::event::Queue;
use crate::facts::snapshot::{QueueSnapshot, Surroundings};
use crate::net::{Exchange, ReceiveBuffers, Streams};
use std::sync::Arc;
use tokio::runtime::Handle;

/// Knows where to look.
#[derive(Debug)]
pub(super) struct Watched {
    /// The queues to the workers.
    pub(super) exchange: Exchange,
    /// The stream connections.
    pub(super) streams: Streams,
    /// The sockets' buffers.
    pub(super) buffers: ReceiveBuffers,
    /// Every runtime, with the name that its threads go by.
    pub(super) runtimes: Vec<(String, Handle)>,
}

impl Watched {
    /// Looks at everything; waits for nobody.
    pub(super) fn look(&self, commands: &Commands) -> Surroundings {
        let queues = [
            (Queue::Ingress, self.exchange.fullest()),
            (Queue::Egress, self.streams.fullest()),
            (Queue::Commands, commands.fullest()),
        ];
        let mut found = Surroundings {
            queues: queues.map(|(queue, (depth, capacity))| snapshot(queue, depth, capacity)).into(),
            receive: self.buffers.read(),
            ..Surroundings::default()
        };
        for (name, runtime) in &self.runtimes {
            let metrics = runtime.metrics();
            found.tasks += wide(metrics.num_alive_tasks());
            found.waiting_tasks += wide(metrics.global_queue_depth());
            let threads = metrics.num_workers();
            for thread in 0..threads {
                let name: Arc<str> =
                    if threads == 1 { name.as_str().into() } else { format!("{name}-{thread}").into() };
                found.threads.push((name, metrics.worker_total_busy_duration(thread)));
            }
        }
        found
    }
}

fn snapshot(queue: Queue, depth: usize, capacity: usize) -> QueueSnapshot {
    QueueSnapshot { queue, depth: wide(depth), capacity: wide(capacity) }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
