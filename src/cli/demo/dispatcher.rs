//! The real dispatcher inside the demo: `run` in all but where its configuration comes from.

use std::net::SocketAddr;

/// The dispatcher, running.
#[derive(Debug)]
pub struct Dispatcher {}

impl Dispatcher {
    /// Starts it with a configuration given as YAML.
    pub fn start(yaml: &str) -> Result<Self, String> {
        let _ = yaml;
        Err("the runtime is not plugged in".to_owned())
    }

    /// Where its HTTP server listens.
    pub fn http(&self) -> SocketAddr {
        ([127, 0, 0, 1], 0).into()
    }

    /// Where it takes SIP over UDP.
    pub fn sip(&self) -> SocketAddr {
        ([127, 0, 0, 1], 0).into()
    }

    /// Stops it.
    pub fn stop(self) {}
}
