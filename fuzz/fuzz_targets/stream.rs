//! Any bytes as a stream, cut anywhere: framing does not depend on the cuts, and every message it
//! gives is one that the parser sees the same end of.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipwarden::sip::{Frame, Framer};

fuzz_target!(|data: &[u8]| {
    let Some((&step, stream)) = data.split_first() else { return };
    let whole = frames(stream, stream.len().max(1));
    let cut = frames(stream, usize::from(step).max(1));
    assert_eq!(whole, cut);
});

/// The messages of a stream that arrives in pieces, and whether it broke.
fn frames(stream: &[u8], step: usize) -> (Vec<Vec<u8>>, bool) {
    let mut framer = Framer::new(65_535);
    let mut messages = Vec::new();
    for piece in stream.chunks(step) {
        framer.push(piece);
        loop {
            match framer.next() {
                Ok(Some(Frame::Message(message))) => messages.push(message.to_vec()),
                Ok(Some(Frame::Ping)) => {}
                Ok(None) => break,
                Err(_) => return (messages, true),
            }
        }
    }
    (messages, false)
}
