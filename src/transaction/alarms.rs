//! The alarms of transactions: what each timer of RFC 3261 §17 does when it rings.

use super::client::ClientAlarm;
use super::linger::weight_of_server;
use super::server::{ServerAction, ServerState};
use super::slab::Id;
use super::{Client, Due, Fired, Owner, Server, Transactions};
use crate::facts::event::{Event, Role};
use crate::facts::outbox::Outbox;
use std::time::Instant;

impl Transactions {
    /// When [`Transactions::poll_fired`] is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wheel.next().into_iter().chain(self.tombstones.expiry()).min()
    }

    /// Does what is due at `now` until an owner must hear of something.
    pub fn poll_fired(&mut self, now: Instant, out: &mut Outbox) -> Option<Fired> {
        self.tombstones.expire(now);
        while let Some(due) = self.wheel.pop(now) {
            let fired = match due {
                Due::Client(id) => self.ring_client(id, now, out),
                Due::Server(id) => {
                    self.ring_server(id, now, out);
                    None
                }
            };
            if fired.is_some() {
                return fired;
            }
        }
        None
    }

    fn ring_client(&mut self, id: Id<Client>, now: Instant, out: &mut Outbox) -> Option<Fired> {
        let client = self.clients.get_mut(id)?;
        if !client.alarm.is_due(now, &mut self.wheel, Due::Client(id)) {
            return None;
        }
        let action = client.on_alarm(now, &self.settings);
        let owner = client.owner;
        let mut fired = None;
        match action {
            ClientAlarm::Retransmit => {
                if !client.sent.is_empty() {
                    out.send_with(client.hop, |arena| self.messages.copy(&client.sent, arena));
                }
                if let Some(target) = client.target {
                    out.event(Event::RequestRetransmitted { target });
                }
                fired = (owner != Owner::Nobody).then_some(Fired::Retransmit(owner));
            }
            ClientAlarm::TimedOut(timer) => {
                if let Some(target) = client.target {
                    out.event(Event::AttemptTimedOut { target, timer });
                }
                self.forget(id);
                return (owner != Owner::Nobody).then_some(Fired::TimedOut { owner, timer });
            }
            ClientAlarm::End => self.forget(id),
            ClientAlarm::Wait => {}
        }
        self.rearm_client(id);
        fired
    }

    fn ring_server(&mut self, id: Id<Server>, now: Instant, out: &mut Outbox) {
        let Some(server) = self.servers.get_mut(id) else { return };
        if !server.alarm.is_due(now, &mut self.wheel, Due::Server(id)) {
            return;
        }
        let action = server.on_alarm(now, &self.settings);
        match action {
            ServerAction::Repeat => {
                out.send_with(server.hop, |arena| self.messages.copy(&server.last, arena));
                out.event(Event::ResponseRetransmitted { listener: server.hop.listener });
            }
            ServerAction::End => return self.end_server(id),
            ServerAction::Wait => {}
        }
        self.rearm_server(id);
    }

    pub(super) fn end_server(&mut self, id: Id<Server>) {
        let Some(mut server) = self.servers.remove(id) else { return };
        server.alarm.cancel(&mut self.wheel);
        self.linger.weigh_server(id, server.method, weight_of_server(&server), 0);
        self.messages.free(&mut server.last);
        if self.by_key.get(&server.key) == Some(&id) {
            self.by_key.remove(&server.key);
            self.shrink_keys();
        }
        if server.state == ServerState::Proceeding {
            self.open.change(Role::Server, server.method, -1);
        }
        self.linger.tidy(&self.servers, &self.clients);
    }

    pub(super) fn rearm_client(&mut self, id: Id<Client>) {
        if let Some(client) = self.clients.get_mut(id) {
            match client.deadline() {
                Some(end) if client.may_end_late() => {
                    client.alarm.set_last(end, &mut self.wheel, Due::Client(id));
                }
                deadline => client.alarm.set(deadline, &mut self.wheel, Due::Client(id)),
            }
        }
    }

    pub(super) fn rearm_server(&mut self, id: Id<Server>) {
        if let Some(server) = self.servers.get_mut(id) {
            match server.deadline() {
                Some(end) if server.may_end_late() => {
                    server.alarm.set_last(end, &mut self.wheel, Due::Server(id));
                }
                deadline => server.alarm.set(deadline, &mut self.wheel, Due::Server(id)),
            }
        }
    }
}
