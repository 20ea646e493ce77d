//! Another program on the proxy's core: for each HTTP request it computes for a while and answers. What
//! that does to calls is what any program does that shares a core with them, a scrape included.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};

/// Command line of `compare burn`.
#[derive(Args, Debug)]
pub struct Options {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:9999")]
    listen: SocketAddr,
    /// Milliseconds of CPU for each request
    #[arg(long)]
    ms: f64,
    /// Milliseconds after which others may have the core
    #[arg(long, default_value_t = 0.2)]
    piece: f64,
}

/// Serves one request after the other until it is ended.
pub fn run(options: &Options) -> Result<()> {
    let listener = TcpListener::bind(options.listen).with_context(|| format!("bind {}", options.listen))?;
    println!("listening");
    for stream in listener.incoming().flatten() {
        // Who does not want the answer any more is not our concern.
        let _ = answer(stream, options);
    }
    Ok(())
}

fn answer(mut stream: TcpStream, options: &Options) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let _ = stream.read(&mut [0; 4096])?;
    let begin = cpu_us()?;
    let (mut now, mut piece) = (begin, begin);
    while now - begin < options.ms * 1000.0 {
        if now - piece >= options.piece * 1000.0 {
            std::thread::yield_now();
            piece = now;
        }
        now = cpu_us()?;
    }
    stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")?;
    Ok(())
}

/// CPU time of this thread in microseconds. (getrusage knows it only from one tick to the next.)
fn cpu_us() -> Result<f64> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.num_nanoseconds() as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_computes_before_it_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let options = Options { listen: listener.local_addr().unwrap(), ms: 5.0, piece: 1.0 };
        let before = cpu_us().unwrap();
        answer(listener.accept().unwrap().0, &options).unwrap();
        assert!(cpu_us().unwrap() - before >= 5000.0);
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.0 200 OK\r\n"), "{text}");
    }
}
