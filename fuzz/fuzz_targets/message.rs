//! Any bytes as one message: parsed, viewed, forwarded and answered; never a panic, and what is
//! forwarded can be parsed again, unless the lines that a proxy adds exceed a limit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipwarden::sip::{
    Framing, Index, Message, Reply, RequestEdit, Stamp, forward_request, forward_response, limits, parse,
    partial, reply,
};

fuzz_target!(|data: &[u8]| {
    for framing in [Framing::Datagram, Framing::Stream] {
        let mut index = Index::default();
        let mut out = Vec::new();
        let is_err = match parse(data, framing, &mut index) {
            Err(_) => true,
            Ok(message) if message.is_request() => {
                let edit = RequestEdit {
                    via: b"SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx",
                    max_forwards: 69,
                    ..RequestEdit::default()
                };
                forward_request(message, &edit, &mut out);
                let mut again = Index::default();
                match parse(&out, Framing::Stream, &mut again) {
                    Ok(forwarded) => {
                        assert_eq!(forwarded.call_id(), message.call_id());
                        assert_eq!(forwarded.via_count(), message.via_count() + 1);
                        assert_eq!(forwarded.body(), message.body());
                    }
                    Err(error) => assert!(is_near_a_limit(&message), "what is forwarded: {error}"),
                }
                out.clear();
                reply(
                    message,
                    &Reply {
                        code: 503,
                        reason: None,
                        to_tag: Some(b"t"),
                        headers: &[],
                        stamp: Stamp::default(),
                    },
                    &mut out,
                );
                parse(&out, Framing::Stream, &mut again).expect("an answer of ours can be parsed");
                false
            }
            Ok(message) => {
                forward_response(message, &mut out);
                false
            }
        };
        if is_err {
            let view = partial(data, &index);
            let _ = (view.top_via(), view.call_id(), view.contact(), view.routes().count());
        }
    }
});

/// Whether a Via, Max-Forwards and Content-Length more may be too many.
fn is_near_a_limit(message: &Message<'_>) -> bool {
    message.line_count() + 3 > limits::HEADERS
        || message.via_count() == limits::VIAS
        || message.bytes().len() + 1_024 > limits::HEAD
}
