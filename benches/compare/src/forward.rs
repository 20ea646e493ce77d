//! The floor: what it costs to move the datagrams of a call through one process, and nothing else.
//! What comes from the callees' port goes to the caller, everything else to the one destination.

use std::net::{SocketAddr, SocketAddrV4, UdpSocket};

use anyhow::Result;
use clap::{Args, ValueEnum};
use nix::sys::socket::{setsockopt, sockopt};

/// How the forwarder waits for datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum How {
    /// Blocking receive and send
    Plain,
    /// tokio on one thread, one datagram a wake
    Tokio,
    /// tokio on one thread, each wake reads until the socket is empty
    TokioDrain,
}

impl How {
    /// The word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            How::Plain => "plain",
            How::Tokio => "tokio",
            How::TokioDrain => "tokio-drain",
        }
    }
}

/// Command line of `compare forward`.
#[derive(Args, Debug)]
pub struct Options {
    /// Where to receive
    #[arg(long, default_value = "127.0.0.1:5060")]
    listen: SocketAddrV4,
    /// Where requests go
    #[arg(long)]
    destination: SocketAddrV4,
    /// Where responses go
    #[arg(long)]
    caller: SocketAddrV4,
    /// How to wait
    #[arg(long, value_enum, default_value = "plain")]
    how: How,
}

/// Forwards until it is killed.
pub fn run(options: &Options) -> Result<()> {
    let socket = UdpSocket::bind(options.listen)?;
    // As much as the kernel grants without privilege, which is what a proxy gets as well.
    setsockopt(&socket, sockopt::RcvBuf, &(256 << 10))?;
    if options.how == How::Plain {
        return plain(options, &socket);
    }
    socket.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let socket = tokio::net::UdpSocket::from_std(socket)?;
        if options.how == How::Tokio {
            one_a_wake(options, &socket).await
        } else {
            drained(options, &socket).await
        }
    })
}

fn next_hop(options: &Options, from: SocketAddr) -> SocketAddrV4 {
    if from.port() == options.destination.port() { options.caller } else { options.destination }
}

fn plain(options: &Options, socket: &UdpSocket) -> Result<()> {
    let mut buffer = vec![0; 65536];
    loop {
        // An error here is an ICMP answer to something sent before.
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], next_hop(options, from));
        }
    }
}

async fn one_a_wake(options: &Options, socket: &tokio::net::UdpSocket) -> Result<()> {
    let mut buffer = vec![0; 65536];
    loop {
        if let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..length], next_hop(options, from)).await;
        }
    }
}

async fn drained(options: &Options, socket: &tokio::net::UdpSocket) -> Result<()> {
    let mut buffer = vec![0; 65536];
    loop {
        socket.readable().await?;
        while let Ok((length, from)) = socket.try_recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], next_hop(options, from)).await;
        }
    }
}
