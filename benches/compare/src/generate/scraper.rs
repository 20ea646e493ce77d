//! A scraper in the generator's own loop, so that it takes the core from the generator for no longer than
//! a read does, and knows which calls were on their way while a scrape was.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpStream};

use super::SECOND;

/// What a Prometheus asks for.
const REQUEST: &[u8] =
    b"GET /metrics HTTP/1.0\r\nAccept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n\r\n";

/// Fetches `/metrics` again and again.
pub struct Scraper {
    target: SocketAddrV4,
    every: u64,
    next: u64,
    going: Option<Going>,
    /// When the last one that is over began and ended.
    last: Option<(u64, u64)>,
}

struct Going {
    stream: TcpStream,
    since: u64,
    bytes: u64,
}

/// A scrape that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scraped {
    /// When it began.
    pub since: u64,
    /// How long it took, in nanoseconds.
    pub took: u64,
    /// Bytes of the answer; none if it failed.
    pub bytes: Option<u64>,
}

impl Scraper {
    /// The first one is due after one interval.
    pub fn new(target: SocketAddrV4, every: f64) -> Self {
        let every = ((every * SECOND as f64) as u64).max(1);
        Scraper { target, every, next: every, going: None, last: None }
    }

    /// Begins what is due, reads what is there; tells of a scrape that is over.
    pub fn turn(&mut self, now: u64, buffer: &mut [u8]) -> Option<Scraped> {
        if self.going.is_none() {
            if now < self.next {
                return None;
            }
            self.next = now + self.every;
            match begin(self.target) {
                Ok(stream) => self.going = Some(Going { stream, since: now, bytes: 0 }),
                Err(_) => return Some(Scraped { since: now, took: 0, bytes: None }),
            }
        }
        let going = self.going.as_mut()?;
        let bytes = match going.stream.read(buffer) {
            Ok(0) => Some(going.bytes),
            Ok(length) => {
                going.bytes += length as u64;
                return None;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(_) => None,
        };
        let since = going.since;
        (self.going, self.last) = (None, Some((since, now)));
        Some(Scraped { since, took: now - since, bytes })
    }

    /// Whether any of the time from `since` to `now` was that of a scrape.
    pub fn meets(&self, since: u64) -> bool {
        self.going.is_some() || self.last.is_some_and(|(_, ended)| ended >= since)
    }
}

fn begin(target: SocketAddrV4) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(target)?;
    stream.write_all(REQUEST)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::*;

    #[test]
    fn scrapes_come_when_due_and_calls_that_they_meet_are_known() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(target) = listener.local_addr().unwrap() else { panic!("bound to IPv4") };
        let mut scraper = Scraper::new(target, 1.0);
        let mut buffer = [0; REQUEST.len()];
        assert_eq!(scraper.turn(SECOND - 1, &mut buffer), None);
        assert!(!scraper.meets(0));
        assert_eq!(scraper.turn(SECOND, &mut buffer), None);
        assert!(scraper.meets(SECOND), "one is going on");
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut buffer).unwrap();
        assert_eq!(buffer, REQUEST);
        stream.write_all(b"all of it").unwrap();
        drop(stream);
        let done = std::iter::from_fn(|| Some(scraper.turn(SECOND + 7, &mut buffer))).flatten().next();
        assert_eq!(done, Some(Scraped { since: SECOND, took: 7, bytes: Some(9) }));
        assert!(scraper.meets(SECOND + 7) && !scraper.meets(SECOND + 8));
        assert_eq!(scraper.turn(SECOND + 8, &mut buffer), None, "the next one is not due");
    }
}
