//! How many transactions have no final response yet.

use crate::facts::Method;
use crate::facts::event::Role;

/// Counts of transactions without a final response, by role and method.
#[derive(Debug, Default)]
pub(super) struct Open {
    counts: [[u64; Method::ALL.len()]; 2],
    total_servers: u64,
}

impl Open {
    /// Counts a transaction in or out.
    pub(super) fn change(&mut self, role: Role, method: Method, by: i64) {
        let count = self.counts.get_mut(role as usize).and_then(|row| row.get_mut(method as usize));
        if let Some(count) = count {
            *count = count.checked_add_signed(by).expect("a transaction is closed once, after it was opened");
        }
        if role == Role::Server {
            self.total_servers = self.total_servers.saturating_add_signed(by);
        }
    }
    /// The counts, by role and method.
    pub(super) fn counts(&self) -> impl Iterator<Item = (Role, Method, u64)> {
        Role::ALL.iter().zip(&self.counts).flat_map(|(role, row)| {
            Method::ALL.iter().zip(row).map(|(method, count)| (*role, *method, *count))
        })
    }

    /// Server transactions without a final response.
    pub(super) fn servers(&self) -> u64 {
        self.total_servers
    }
}
