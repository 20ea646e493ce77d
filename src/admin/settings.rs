//! What the HTTP server can be told: the `http` section.

use std::net::SocketAddr;

/// Where the HTTP server listens and who may change things through it.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Address to listen on. Default 127.0.0.1:9360.
    pub listen: SocketAddr,
    /// The token that changing calls need; without one they are accepted from loopback peers only.
    pub token: Option<Box<str>>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let token = self.token.as_ref().map(|_| "…");
        f.debug_struct("Settings").field("listen", &self.listen).field("token", &token).finish()
    }
}
