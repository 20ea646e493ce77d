//! The real dispatcher inside the demo: `run` in all but where its configuration comes from.

use crate::config;
use crate::runtime::{self, Running};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The dispatcher, running.
#[derive(Debug)]
pub struct Dispatcher {
    running: Running,
    sip: SocketAddr,
}

impl Dispatcher {
    /// Starts it with a configuration given as YAML.
    pub async fn start(yaml: &str) -> Result<Self, String> {
        let config =
            config::from_str(yaml, "demo.yaml", &BTreeMap::new()).map_err(|error| error.to_string())?;
        let running = runtime::start(config, None).await.map_err(|error| error.to_string())?;
        let (_, sip) = *running.sip.first().ok_or("the demo has a listener")?;
        Ok(Self { running, sip })
    }

    /// Where its HTTP server listens.
    pub const fn http(&self) -> SocketAddr {
        self.running.http
    }

    /// Where it takes SIP over UDP.
    pub const fn sip(&self) -> SocketAddr {
        self.sip
    }

    /// Stops it, calls and all.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}
