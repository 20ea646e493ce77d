//! Letting go of finished transactions before their time when they take more than they may.
//!
//! Stored responses go first, each leaving its key; then finished client transactions; keys last,
//! those of INVITEs after the others.

use super::server::ServerState;
use super::slab::Id;
use super::tombstones::Rest;
use super::{Server, Transactions};
use crate::facts::Method;
use crate::facts::event::{Event, LingerKind};
use crate::facts::outbox::Outbox;
use std::time::Instant;

/// Keys for which the table keeps room however few there are.
const FEW_KEYS: usize = 1_024;

impl Transactions {
    /// Bytes that finished transactions and what is left of them take.
    pub fn linger_bytes(&self) -> usize {
        self.linger.bytes() + self.tombstones.memory()
    }

    /// Lets go of finished transactions until they take no more than they may.
    pub(super) fn relieve(&mut self, now: Instant, out: &mut Outbox) {
        while self.linger_bytes() > self.settings.linger {
            let (kind, count) = if let Some(id) = self.linger.oldest_server(&self.servers) {
                self.bury(id, now);
                (LingerKind::Response, 1)
            } else if let Some(id) = self.linger.oldest_client(&self.clients) {
                self.forget(id);
                (LingerKind::Client, 1)
            } else if let Some((rest, count)) = self.tombstones.shed() {
                let kind = match rest {
                    Rest::Other => LingerKind::Tombstone,
                    Rest::Failed | Rest::Answered => LingerKind::InviteTombstone,
                };
                (kind, count)
            } else {
                return;
            };
            out.event(Event::LingerDropped { kind, count: u32::try_from(count).unwrap_or(u32::MAX) });
        }
    }

    /// Ends a finished server transaction but for its key.
    fn bury(&mut self, id: Id<Server>, now: Instant) {
        let Some(server) = self.servers.get(id) else { return };
        let (key, rest) = (server.key, rest_of(server));
        // One beside that of its INVITE has no requests of its own.
        let is_matched = self.by_key.get(&key) == Some(&id);
        self.end_server(id);
        if is_matched {
            self.tombstones.add(key, rest, now, self.settings.timeout());
        }
    }

    /// Gives memory of the table of keys back when hardly any of it is used.
    pub(super) fn shrink_keys(&mut self) {
        let (used, room) = (self.by_key.len(), self.by_key.capacity());
        if room > FEW_KEYS.max(8 * used) {
            self.by_key.shrink_to(2 * used);
        }
    }
}

fn rest_of(server: &Server) -> Rest {
    if server.method != Method::Invite {
        Rest::Other
    } else if server.state == ServerState::Accepted {
        Rest::Answered
    } else {
        Rest::Failed
    }
}
