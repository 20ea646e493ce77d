//! A tiny HTTP server: takes requests with a body and hands them on.

use super::address;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

const MAX_BODY: usize = 16 << 20;

/// Serves on an address of its own until the test process ends; `take` gets path and body, and says
/// whether the request was a good one.
pub fn start(take: impl Fn(&str, &[u8]) -> bool + Send + Sync + 'static) -> SocketAddr {
    let address = address::endpoint();
    let listener = TcpListener::bind(address).expect("the server's address is free");
    let take = Arc::new(take);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let take = Arc::clone(&take);
            std::thread::spawn(move || while serve(&stream, &*take).is_some() {});
        }
    });
    address
}

/// Takes one request from a connection; `None` when the connection is over or broken.
fn serve(stream: &TcpStream, take: &impl Fn(&str, &[u8]) -> bool) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = None;
    let mut chunked = false;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => {
                length = value.trim().parse::<usize>().ok().filter(|length| *length <= MAX_BODY)
            }
            "transfer-encoding" => chunked = value.trim().eq_ignore_ascii_case("chunked"),
            _ => {}
        }
    }
    let body = if chunked { read_chunks(&mut reader)? } else { read_exactly(&mut reader, length?)? };
    let status = if take(&path, &body) { "200 OK" } else { "400 Bad Request" };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    let mut writer = stream;
    writer.write_all(head.as_bytes()).ok()
}

fn read_exactly(reader: &mut impl Read, length: usize) -> Option<Vec<u8>> {
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}

fn read_chunks(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let length = usize::from_str_radix(line.trim(), 16).ok().filter(|length| *length <= MAX_BODY)?;
        body.extend(read_exactly(reader, length)?);
        read_exactly(reader, 2)?;
        if length == 0 {
            return Some(body);
        }
    }
}
