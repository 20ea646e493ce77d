//! The command line of the generator.

use std::net::SocketAddrV4;

use clap::{Args, ValueEnum};

use super::behaviour::Behaviour;

/// What is asked of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// INVITE, 100, 180, 200, ACK, BYE, 200
    Invite,
    /// MESSAGE, 200
    Message,
    /// OPTIONS to the proxy itself, 200
    Options,
    /// Nothing: only the destinations are there
    None,
}

/// Command line of `compare generate`.
#[derive(Args, Debug)]
pub struct Options {
    /// The proxy
    #[arg(long)]
    pub target: SocketAddrV4,
    /// Address of the caller
    #[arg(long, default_value = "127.0.0.2:6000")]
    pub caller: SocketAddrV4,
    /// Port of every destination; they are 127.0.1.1, 127.0.1.2, …
    #[arg(long, default_value_t = 7000)]
    pub port: u16,
    /// How many destinations there are
    #[arg(long, default_value_t = 1)]
    pub destinations: u32,
    /// What to send
    #[arg(long, value_enum, default_value = "invite")]
    pub mode: Mode,
    /// Closed loop: so many calls at a time
    #[arg(long, default_value_t = 1)]
    pub window: u32,
    /// Open loop instead: so many new calls a second
    #[arg(long)]
    pub rate: Option<f64>,
    /// End after so many calls, if that is before the time is up
    #[arg(long)]
    pub calls: Option<u64>,
    /// Seconds that do not count
    #[arg(long, default_value_t = 1.0)]
    pub warm: f64,
    /// Seconds that count
    #[arg(long, default_value_t = 5.0)]
    pub count: f64,
    /// Seconds to wait for the last calls
    #[arg(long, default_value_t = 4.0)]
    pub drain: f64,
    /// Seconds after which a call has failed
    #[arg(long, default_value_t = 4.0)]
    pub patience: f64,
    /// Milliseconds from ACK to BYE
    #[arg(long, default_value_t = 0.0)]
    pub hold: f64,
    /// Milliseconds from 180 to 200
    #[arg(long, default_value_t = 0.0)]
    pub ring: f64,
    /// Bytes of an INVITE
    #[arg(long, default_value_t = 756)]
    pub size: usize,
    /// FIRST[-LAST]=answer|mute|dead|CODE[@SECONDS][~SECONDS]: how destinations treat requests, from when on,
    /// and whether in every other span of so many seconds only
    #[arg(long)]
    pub behave: Vec<Behaviour>,
    /// Fetch /metrics from here while the load goes on
    #[arg(long)]
    pub scrape: Option<SocketAddrV4>,
    /// Seconds from one such fetch to the next
    #[arg(long, default_value_t = 1.0)]
    pub scrape_every: f64,
    /// Begin without a line on standard input
    #[arg(long)]
    pub now: bool,
}
