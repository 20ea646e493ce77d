//! Properties that hold for any message: edits change nothing else, and nothing panics.

use super::samples::{INVITE, OK, read, show, with};
use super::*;
use proptest::prelude::*;

const OURS: &[u8] = b"SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKours";

/// Header lines that a proxy has no business with, in any form.
fn foreign_lines() -> impl Strategy<Value = String> {
    let line =
        ("[A-Z][a-z]{1,6}-[!%*_+`'~a-z0-9]{1,8}", "[ \t]{0,2}", "[ -~é]{0,30}", "(\r\n [ -~]{0,9}){0,2}");
    let line = line.prop_map(|(name, space, value, fold)| format!("X{name}{space}:{space}{value}{fold}\r\n"));
    proptest::collection::vec(line, 0..6).prop_map(|lines| lines.concat())
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let body = proptest::collection::vec(any::<u8>(), 0..40);
    let vias = proptest::sample::select(vec![
        "",
        ", SIP/2.0/TCP b",
        " ,SIP/2.0/UDP [::1]:5 ;x\r\nv: SIP/2.0/WS c;y=\"1,2\"",
    ]);
    (foreign_lines(), vias, foreign_lines(), body).prop_map(|(above, vias, below, body)| {
        let bytes = with(INVITE, "Via:", &format!("{above}Via:"));
        let bytes = with(&bytes, "phone1\r\n", &format!("phone1{vias}\r\n"));
        let bytes = with(&bytes, "Contact:", &format!("{below}Contact:"));
        let head = with(
            &bytes,
            "Content-Length: 5\r\n\r\nv=0\r\n",
            &format!("Content-Length: {}\r\n\r\n", body.len()),
        );
        [head, body].concat()
    })
}

/// A message with some bytes overwritten, cut out or doubled.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let sample = proptest::sample::select(vec![INVITE.to_vec(), OK.to_vec()]);
    let byte = prop_oneof![any::<u8>(), proptest::sample::select(b"\r\n \t:;,=<>\"\\/[]@\0".to_vec())];
    let mutation = (any::<proptest::sample::Index>(), 0..4_usize, byte);
    (sample, proptest::collection::vec(mutation, 1..8)).prop_map(|(mut bytes, mutations)| {
        for (position, kind, byte) in mutations {
            let at = position.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => {
                    bytes.remove(at);
                }
                _ => bytes.extend_from_within(at..),
            }
        }
        bytes
    })
}

/// Calls everything that reads a message.
fn exercise(bytes: &[u8]) {
    for framing in [Framing::Datagram, Framing::Stream] {
        let (mut index, mut out) = (Index::default(), Vec::new());
        let result = parse(bytes, framing, &mut index).map(|_| ());
        let message = partial(bytes, &index);
        let _ = (
            message.vias().count(),
            message.routes().count(),
            message.record_routes().count(),
            message.contact(),
        );
        let _ =
            (message.top_via(), message.header("Subject"), message.body(), Uri::parse(message.request_uri()));
        reply(message, &Reply { code: 400, to_tag: Some(b"x"), ..Reply::default() }, &mut out);
        out.clear();
        if result.is_err() {
            continue;
        }
        if message.is_request() {
            let edit = RequestEdit {
                via: OURS,
                pop_routes: 1,
                append_route: Some(b"sip:z"),
                ..RequestEdit::default()
            };
            forward_request(message, &edit, &mut out);
        } else {
            forward_response(message, &mut out);
        }
        let mut again = Index::default();
        if message.is_request() || message.via_count() > 1 {
            let forwarded = parse(&out, Framing::Stream, &mut again).map(|_| ());
            // Below the topmost Via line nothing was promised of the other ones.
            assert!(forwarded.is_ok() || !message.is_request(), "{forwarded:?} {}", show(bytes));
        }
    }
}

proptest! {
    #[test]
    fn a_forwarded_request_is_the_input_but_for_its_edits(bytes in request()) {
        let (mut index, mut out) = (Index::default(), Vec::new());
        let stamp = Stamp { received: "192.0.2.99".parse().ok(), rport: Some(9) };
        let edit = RequestEdit { via: OURS, stamp, max_forwards: 69, ..RequestEdit::default() };
        forward_request(read(&bytes, &mut index), &edit, &mut out);
        let split = bytes.windows(4).position(|word| word == b"\r\n\r\n").unwrap();
        let (head, rest) = bytes.split_at(split);
        let head = show(head)
            .replacen("\r\n", &format!("\r\nVia: {}\r\n", show(OURS)), 1)
            .replacen(";rport;branch=z9hG4bKphone1", ";rport=9;branch=z9hG4bKphone1;received=192.0.2.99", 1)
            .replacen("Max-Forwards: 70", "Max-Forwards: 69", 1);
        prop_assert_eq!(out, [head.as_bytes(), rest].concat());
    }

    #[test]
    fn popping_undoes_pushing(bytes in request()) {
        // A response carries back the Vias of the request.
        let response = with_status(&bytes);
        let (mut index, mut out) = (Index::default(), Vec::new());
        let at = response.windows(2).position(|word| word == b"\r\n").unwrap() + 2;
        let pushed = [&response[..at], b"Via: ", OURS, b"\r\n", &response[at..]].concat();
        forward_response(read(&pushed, &mut index), &mut out);
        prop_assert_eq!(out, response);
    }

    #[test]
    fn nothing_panics_on_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        exercise(&bytes);
        let _ = (Via::parse(&bytes), Uri::parse(&bytes), element_uri(&bytes), list(&bytes).count());
        if let Ok(text) = std::str::from_utf8(&bytes) {
            let _ = parse_destination(text);
        }
    }

    #[test]
    fn nothing_panics_on_mutations(bytes in mutated()) {
        exercise(&bytes);
    }

    #[test]
    fn framing_does_not_depend_on_how_a_stream_is_split(bytes in mutated(), step in 1..200_usize) {
        let whole = frames(&bytes, bytes.len().max(1));
        prop_assert_eq!(frames(&bytes, step), whole);
    }

    #[test]
    fn uris_and_vias_do_not_panic(text in "(sips?:)?[a-z@:;=?\\[\\]%.,<>\" 0-9]{0,40}", via in "SIP/2.0/UDP [a-z\\[\\]:; =,\"0-9]{0,40}") {
        let _ = (Uri::parse(text.as_bytes()), parse_destination(&text), element_uri(text.as_bytes()));
        if let Some(via) = Via::parse(via.as_bytes()) {
            prop_assert!(!via.host.is_empty() && !via.sent_by().is_empty());
        }
    }
}

fn with_status(request: &[u8]) -> Vec<u8> {
    let line = b"INVITE sip:bob@example.com SIP/2.0";
    [b"SIP/2.0 200 OK", request.strip_prefix(line.as_slice()).unwrap()].concat()
}

/// The messages of a stream before anything that cannot be framed, and whether it ended so.
fn frames(bytes: &[u8], step: usize) -> (Vec<Vec<u8>>, bool) {
    let mut framer = Framer::new(65_535);
    let mut messages = vec![];
    for piece in bytes.chunks(step) {
        framer.push(piece);
        loop {
            match framer.next() {
                Ok(Some(Frame::Message(message))) => {
                    let mut index = Index::default();
                    if let Ok(read) = parse(message, Framing::Stream, &mut index) {
                        assert_eq!(read.bytes(), message, "framer and parser must cut alike");
                    }
                    messages.push(message.to_vec());
                }
                Ok(Some(Frame::Ping)) => {}
                Ok(None) => break,
                Err(_) => return (messages, true),
            }
        }
    }
    (messages, false)
}
