//! Two Asterisks as set `pbx` behind the product.

use super::asterisk::Asterisk;
use super::product::{Config, Sipwarden};
use super::wait;
use super::workspace::Workspace;
use std::time::Duration;

/// How long an Asterisk may take to clear up after a call.
const CLEAR_UP: Duration = Duration::from_secs(10);

/// The product and the Asterisks behind it.
#[derive(Debug)]
pub struct Pbx {
    /// The Asterisks.
    pub peers: [Asterisk; 2],
    /// The product.
    pub sipwarden: Sipwarden,
    /// Where all of them write.
    pub workspace: Workspace,
}

impl Pbx {
    /// Starts all three, and waits until the product has found both destinations, `first` and
    /// `second`, up. They are reached over the given transport.
    pub fn start(test: &str, transport: &str) -> Self {
        let workspace = Workspace::new(test);
        let peers = [Asterisk::start(&workspace), Asterisk::start(&workspace)];
        let [first, second] = &peers;
        let destinations = [("first", first.address), ("second", second.address)];
        let sipwarden =
            Sipwarden::start(&workspace, &Config::new().with_set("pbx", transport, &destinations));
        sipwarden.wait_until_up("pbx", 2);
        Self { peers, sipwarden, workspace }
    }

    /// Waits until no channel is left in either Asterisk; gives the number of calls that each has had.
    pub fn wait_until_idle(&self) -> [u32; 2] {
        wait_until_idle(&self.peers)
    }
}

/// Waits until no channel is left in any of these; gives the number of calls that each has had.
pub fn wait_until_idle<const N: usize>(peers: &[Asterisk; N]) -> [u32; N] {
    wait::until_true("no channel is left in any Asterisk", CLEAR_UP, || {
        peers.iter().all(|peer| peer.calls().0 == 0)
    });
    peers.each_ref().map(|peer| peer.calls().1)
}
