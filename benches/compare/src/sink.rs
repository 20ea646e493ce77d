//! A collector that answers 200 to `POST /v1/traces` and forgets what it was sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

/// Command line of `compare sink`.
#[derive(Args, Debug)]
pub struct Options {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:4318")]
    listen: SocketAddr,
}

/// What was received.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Received {
    /// Requests answered.
    pub requests: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Spans in them.
    pub spans: u64,
}

/// Serves until standard input ends, then prints what was received.
pub fn run(options: &Options) -> Result<()> {
    let listener = TcpListener::bind(options.listen).with_context(|| format!("bind {}", options.listen))?;
    let total = Arc::new(Mutex::new(Received::default()));
    println!("listening");
    let shared = total.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let total = shared.clone();
            std::thread::spawn(move || serve(stream, &total));
        }
    });
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    println!("{}", serde_json::to_string(&*total.lock().expect("no thread panics with it"))?);
    Ok(())
}

fn serve(stream: TcpStream, total: &Mutex<Received>) {
    let Ok(mut answers) = stream.try_clone() else { return };
    let mut requests = BufReader::new(stream);
    while let Ok(Some(body)) = read_request(&mut requests) {
        {
            let mut total = total.lock().expect("no thread panics with it");
            total.requests += 1;
            total.bytes += body.len() as u64;
            total.spans += count_spans(&body);
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        if answers.write_all(answer).is_err() {
            return;
        }
    }
}

/// The body of the next request; none when the connection ends between two.
fn read_request(from: &mut impl BufRead) -> Result<Option<Vec<u8>>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut length = None;
    loop {
        line.clear();
        if from.read_line(&mut line)? == 0 {
            bail!("ended inside a head");
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = Some(value.trim().parse::<u64>()?);
        }
    }
    let length = length.context("no Content-Length")?;
    let mut body = Vec::new();
    if from.take(length).read_to_end(&mut body)? as u64 != length {
        bail!("ended inside a body");
    }
    Ok(Some(body))
}

/// Spans in an ExportTraceServiceRequest: resource_spans = 1, in it scope_spans = 2, in it spans = 2.
fn count_spans(request: &[u8]) -> u64 {
    let scopes = |resource| fields(resource, 2).map(|scope| fields(scope, 2).count() as u64).sum::<u64>();
    fields(request, 1).map(scopes).sum()
}

/// The length-delimited fields of a protobuf message that bear this number.
fn fields(message: &[u8], wanted: u64) -> impl Iterator<Item = &[u8]> {
    let mut rest = message;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let key = varint(&mut rest)?;
            let length = match key & 7 {
                0 => {
                    varint(&mut rest)?;
                    continue;
                }
                1 => 8,
                2 => varint(&mut rest)? as usize,
                5 => 4,
                _ => return None,
            };
            let field = rest.get(..length)?;
            rest = &rest[length..];
            if key == wanted << 3 | 2 {
                return Some(field);
            }
        }
        None
    })
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, body.len() as u8];
        out.extend_from_slice(body);
        out
    }

    #[test]
    fn spans_are_counted_through_resources_and_scopes() {
        let scope = [field(1, b"name"), field(2, b"span"), field(2, b"span"), field(3, b"url")].concat();
        let resource = [field(1, b"resource"), field(2, &scope), field(2, &scope)].concat();
        assert_eq!(count_spans(&[field(1, &resource), field(1, &resource)].concat()), 8);
        assert_eq!(count_spans(&field(1, &field(2, &field(3, b"no span")))), 0);
        assert_eq!(count_spans(&[0x0a, 0x7f, 0x00]), 0, "a length beyond the end");
    }

    #[test]
    fn requests_on_one_connection_are_told_apart() {
        let mut wire: &[u8] = b"POST /v1/traces HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPOST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(read_request(&mut wire).unwrap(), Some(b"abc".to_vec()));
        assert_eq!(read_request(&mut wire).unwrap(), Some(Vec::new()));
        assert_eq!(read_request(&mut wire).unwrap(), None);
    }
}
