//! rsip as an oracle for our own reading of messages, and the differences that are known: where rsip
//! 0.4 is wrong, what it does is pinned next to what we do. A pin that fails here says that rsip has
//! changed, and which work-around may go.

use super::super::samples::{INVITE, OK, read, refused, show, with};
use super::super::{
    Framing, Index, ParseError, RequestEdit, Uri, Via, element_uri, forward_request, forward_response, list,
    parse, reason_phrase,
};
use super::*;
use proptest::prelude::*;
use rsip::headers::ToTypedHeader;
use rsip::message::{HasHeaders, HeadersExt};
use std::net::SocketAddr;

const PARTS: ProbeParts<'_> = ProbeParts {
    method: "OPTIONS",
    target: "sip:10.0.0.9:5070;transport=tcp",
    from: "sip:sipwarden@10.0.0.1",
    contact: "sip:10.0.0.1:5060",
    max_forwards: 70,
    user_agent: "sipwarden",
};

const OURS: &[u8] = b"SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKours";

fn theirs(bytes: &[u8]) -> Result<rsip::Request, rsip::Error> {
    rsip::Request::try_from(bytes)
}

/// Whether rsip refuses a request that we read.
fn is_only_ours(bytes: &[u8]) -> bool {
    read(bytes, &mut Index::default());
    theirs(bytes).is_err()
}

/// Whether rsip reads a request that we refuse, and why we do.
fn is_only_theirs(bytes: &[u8]) -> ParseError {
    let read = theirs(bytes);
    assert!(read.is_ok(), "{read:?}");
    refused(bytes)
}

fn uri(text: &str) -> Uri<'_> {
    Uri::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text} is a URI"))
}

/// What rsip makes of a URI, printed; `None` if it refuses it.
fn printed(text: &str) -> Option<String> {
    rsip::Uri::try_from(text).ok().map(|uri| uri.to_string())
}

#[test]
fn rsip_refuses_ipv6_literals_and_prints_them_bare() {
    let text = "sip:b@[2001:db8::5]:5060";
    assert_eq!((printed(text), show(uri(text).host)), (None, "2001:db8::5".into()));
    let via = "SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bKx";
    assert!(headers::Via::new(via).typed().is_err());
    let ours = Via::parse(via.as_bytes()).unwrap();
    assert_eq!((show(ours.host), show(ours.sent_by())), ("2001:db8::1".into(), "[2001:db8::1]:5060".into()));
    let address: SocketAddr = "[2001:db8::5]:5060".parse().unwrap();
    assert!(rsip::Uri::from(address).to_string().contains("2001:db8::5:5060"), "without brackets");
    assert_eq!(rsip_uri(text).to_string(), text);
}

#[test]
fn rsip_prints_reason_phrases_of_its_own() {
    let phrase = |code: u16| rsip::StatusCode::from(code).to_string();
    assert_eq!((phrase(503), phrase(486)), ("503 ServiceUnavailable".into(), "486 BusyHere".into()));
    assert_eq!((reason_phrase(503), reason_phrase(486)), ("Service Unavailable", "Busy Here"));
    let again = rsip::Response::try_from(OK).unwrap().to_string();
    assert!(again.starts_with("SIP/2.0 200 OK\r\n"), "{again}");
    let mut out = Vec::new();
    forward_response(read(OK, &mut Index::default()), &mut out);
    assert!(out.starts_with(b"SIP/2.0 200 Alles gut\r\n"));
}

#[test]
fn rsip_does_not_know_compact_names() {
    let mut compact = INVITE.to_vec();
    for (long, short) in [
        ("Via:", "v:"),
        ("From:", "f:"),
        ("To:", "t:"),
        ("Call-ID:", "i:"),
        ("Contact:", "m:"),
        ("Content-Length:", "l:"),
    ] {
        compact = with(&compact, long, short);
    }
    let request = theirs(&compact).unwrap();
    assert!(request.via_header().is_err() && request.call_id_header().is_err());
    let (mut one, mut other) = (Index::default(), Index::default());
    let (short, long) = (read(&compact, &mut one), read(INVITE, &mut other));
    assert_eq!((short.top_via().raw(), short.call_id()), (long.top_via().raw(), long.call_id()));
    assert_eq!((short.contact(), short.body()), (long.contact(), long.body()));
}

#[test]
fn rsip_refuses_folds_bare_line_ends_and_blanks_before_the_colon() {
    for (from, to) in [("kept", "kept\r\n "), ("X-Odd:", "X-Odd :")] {
        assert!(is_only_ours(&with(INVITE, from, to)), "{to:?}");
    }
    assert!(is_only_ours(&[b"\r\n\r\n", INVITE].concat()), "line ends in front");
    assert!(is_only_ours(show(INVITE).replace("\r\n", "\n").replace("Length: 5", "Length: 4").as_bytes()));
    let no_phrase = with(OK, " Alles gut", "");
    assert!(rsip::Response::try_from(no_phrase.as_slice()).is_err());
    assert_eq!(read(&no_phrase, &mut Index::default()).status(), 200);
}

#[test]
fn rsip_knows_some_methods_only_and_takes_them_in_any_case() {
    for method in ["NEWMETHOD", "X-FOO", "KDMQ", "RE%47IST%45R"] {
        let request = show(INVITE).replace("INVITE", method);
        assert!(is_only_ours(request.as_bytes()), "{method}");
    }
    let lower = show(INVITE).replace("INVITE sip", "invite sip");
    assert!(theirs(lower.as_bytes()).unwrap().to_string().starts_with("INVITE "));
    // Another method than that of CSeq: methods have case.
    refused(lower.as_bytes());
}

#[test]
fn rsip_loses_users_with_dots_and_parameters() {
    let dotted = rsip::Uri::try_from("sip:first.last@h").unwrap();
    assert_eq!((dotted.user(), dotted.host().to_string()), (None, "first.last@h".into()));
    assert_eq!(uri("sip:first.last@h").user, Some(&b"first.last"[..]));
    let phone = "sip:1234;phone-context=example.com@h";
    assert!(is_only_ours(&with(INVITE, "sip:bob@example.com SIP", &format!("{phone} SIP"))));
    assert_eq!(
        (uri(phone).user.map(show), show(uri(phone).host)),
        (Some(phone[4..phone.len() - 2].into()), "h".into())
    );
}

#[test]
fn rsip_cuts_parameter_values_at_a_colon() {
    assert_eq!(printed("sip:a@h;x=1:2").as_deref(), Some("sip:a@h;x=1"));
    assert_eq!(uri("sip:a@h;x=1:2").params().next(), Some((&b"x"[..], &b"1:2"[..])));
    let via = "SIP/2.0/UDP h;branch=z9hG4bKx;received=2001:db8::9";
    let typed = headers::Via::new(via).typed().unwrap();
    assert!(!typed.to_string().contains("2001:db8::9"), "{typed}");
    assert_eq!(Via::parse(via.as_bytes()).unwrap().received, Some(&b"2001:db8::9"[..]));
}

#[test]
fn rsip_reads_sip_uris_only_and_takes_headers_for_a_host() {
    for text in ["tel:+15551234", "urn:service:sos"] {
        assert!(is_only_ours(&with(INVITE, "sip:bob@example.com SIP", &format!("{text} SIP"))), "{text}");
    }
    let attached = "sip:b@h?Subject=x&a=b";
    assert_ne!(rsip::Uri::try_from(attached).map(|uri| uri.host().to_string()).ok().as_deref(), Some("h"));
    assert_eq!(show(uri(attached).host), "h");
    assert_eq!(printed("SIP:b@h").as_deref(), Some("sip:b@h"));
}

#[test]
fn rsip_reads_the_first_of_a_list_only() {
    let two = "SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/UDP b;branch=z9hG4bK2";
    assert_eq!(headers::Via::new(two).typed().unwrap().uri.host().to_string(), "a");
    let request = with(INVITE, "z9hG4bKphone1", "z9hG4bKphone1, SIP/2.0/UDP b;branch=z9hG4bK2");
    let mut index = Index::default();
    let hosts: Vec<String> = read(&request, &mut index).vias().map(|via| show(via.host)).collect();
    assert_eq!(hosts, ["192.0.2.10", "b"]);
    let contacts = "<sip:a@h>, <sip:b@h>";
    assert!(headers::Contact::new(contacts).typed().is_err());
    assert_eq!(list(contacts.as_bytes()).filter_map(element_uri).count(), 2);
    assert!(headers::Contact::new("<sip:a@h>;+sip.instance=\"<urn:uuid:1>\"").typed().is_err());
    assert!(headers::Route::new("\"A\" <sip:a@h;lr>").typed().is_err());
    assert_eq!(element_uri(b"\"A\" <sip:a@h;lr>").map(show), Some("sip:a@h;lr".into()));
}

#[test]
fn rsip_trips_over_blanks_and_quoted_names() {
    let from = "\"Alice; <a>\" <sip:alice@example.com>;tag=from1";
    for (value, tag) in [("<sip:a@h> ; tag = 1", "1"), ("\"<sip:x>\" <sip:a@h>;tag=2", "2")] {
        assert!(headers::From::new(value).typed().is_err(), "{value}");
        let (bytes, mut index) = (with(INVITE, from, value), Index::default());
        let message = read(&bytes, &mut index);
        assert_eq!(
            (show(message.from_uri()), message.from_tag().map(show)),
            ("sip:a@h".into(), Some(tag.into()))
        );
    }
    let via = "SIP / 2.0 / UDP h ; branch = z9hG4bKx";
    assert!(headers::Via::new(via).typed().is_err());
    assert_eq!(Via::parse(via.as_bytes()).unwrap().branch, Some(&b"z9hG4bKx"[..]));
}

#[test]
fn rsip_refuses_or_corrupts_what_is_not_utf8() {
    let header = [&INVITE[..INVITE.len() - 28], &INVITE[INVITE.len() - 28..]].concat();
    let odd = show(&header).replace("kept", "k\u{1}pt").into_bytes();
    let odd: Vec<u8> = odd.into_iter().map(|byte| if byte == 1 { 0xFF } else { byte }).collect();
    assert!(is_only_ours(&odd));
    let body = [&INVITE[..INVITE.len() - 5], b"v=\xFF\r\n"].concat();
    let again = theirs(&body).unwrap().to_string();
    assert!(again.len() > body.len(), "longer than its Content-Length says");
    let (mut index, mut out) = (Index::default(), Vec::new());
    let edit = RequestEdit { via: OURS, max_forwards: 69, ..RequestEdit::default() };
    forward_request(read(&body, &mut index), &edit, &mut out);
    assert!(out.ends_with(b"v=\xFF\r\n"));
}

#[test]
fn rsip_passes_over_content_length() {
    assert_eq!(theirs(&with(INVITE, "Length: 5", "Length: 2")).unwrap().body.len(), 5);
    assert_eq!(read(&with(INVITE, "Length: 5", "Length: 2"), &mut Index::default()).body(), b"v=");
    is_only_theirs(&with(INVITE, "Length: 5", "Length: 99"));
    is_only_theirs(&with(INVITE, "Length: 5", "Length: -1"));
    is_only_theirs(&with(INVITE, "Length: 5", "Length: 5\r\nContent-Length: 4"));
}

#[test]
fn rsip_does_not_print_what_it_read() {
    for (written, printed) in
        [("VIA:", "Via:"), ("Via:S", "Via: S"), ("Via:  S", "Via: S"), ("Via:\tS", "Via: S")]
    {
        let request = with(INVITE, "Via: S", if written == "VIA:" { "VIA: S" } else { written });
        let again = theirs(&request).unwrap().to_string();
        assert!(!again.contains(written) && again.contains(printed), "{written:?}: {again}");
        let (mut index, mut out) = (Index::default(), Vec::new());
        let edit = RequestEdit { via: OURS, max_forwards: 69, ..RequestEdit::default() };
        forward_request(read(&request, &mut index), &edit, &mut out);
        assert!(show(&out).contains(written), "{written:?}");
    }
}

#[test]
fn rsip_keeps_a_bare_line_end_inside_a_value() {
    let smuggled = with(INVITE, "call-1@192.0.2.10", "a\nCSeq: 56 INVITE");
    let request = theirs(&smuggled).unwrap();
    assert_eq!(request.call_id_header().unwrap().value(), "a\nCSeq: 56 INVITE");
    is_only_theirs(&smuggled);
}

#[test]
fn rsip_takes_messages_that_lack_or_double_what_they_need() {
    for (from, to) in [
        ("Call-ID: call-1@192.0.2.10\r\n", ""),
        ("To: <sip:bob@example.com>\r\n", ""),
        ("CSeq: 314 INVITE", "CSeq: 314 OPTIONS"),
        ("CSeq: 314 INVITE", "CSeq: 4294967296 INVITE"),
        ("CSeq: 314 INVITE", "CSeq: 314 INVITE\r\nCSeq: 315 INVITE"),
        ("Max-Forwards: 70", "Max-Forwards: 70\r\nCall-ID: b"),
    ] {
        is_only_theirs(&with(INVITE, from, to));
    }
    let event = with(INVITE, "Max-Forwards", "Subscription-State: active\r\nMax-Forwards");
    let found = theirs(&event)
        .unwrap()
        .headers()
        .iter()
        .any(|header| matches!(header, rsip::Header::SubscriptionState(_)));
    assert!(!found, "Subscription-State is one of the others");
}

/// A request made of rsip's types, inside what rsip 0.4 prints right.
fn made(
    method: rsip::Method,
    user: &str,
    host: &str,
    port: Option<u16>,
    tag: &str,
    seq: u32,
    body: &str,
) -> rsip::Request {
    let uri = rsip_uri(&match port {
        Some(port) => format!("sip:{user}@{host}:{port}"),
        None => format!("sip:{user}@{host}"),
    });
    let mut request = request(&ProbeParts { user_agent: tag, ..PARTS });
    let party =
        headers::typed::To { display_name: None, uri: uri.clone(), params: vec![Param::Tag(tag.into())] };
    let headers = request.headers_mut();
    headers.unique_push(party.into());
    headers.unique_push(headers::typed::CSeq { seq, method }.into());
    headers.unique_push(headers::ContentLength::from(u32::try_from(body.len()).unwrap()).into());
    request.method = method;
    request.uri = uri;
    request.body = body.as_bytes().to_vec();
    request
}

fn method() -> impl Strategy<Value = rsip::Method> {
    use rsip::Method::{Bye, Info, Invite, Message, Notify, Options, Refer, Register, Subscribe, Update};
    proptest::sample::select(vec![
        Bye, Info, Invite, Message, Notify, Options, Refer, Register, Subscribe, Update,
    ])
}

/// The header lines of a message, as rsip prints them.
fn header_lines(message: &impl HasHeaders) -> Vec<String> {
    message.headers().iter().map(ToString::to_string).collect()
}

proptest! {
    #[test]
    fn agrees_with_rsip_on_what_rsip_makes(
        method in method(),
        user in "[a-z0-9]{1,8}", host in "[a-z]{1,8}(\\.[a-z]{1,4}){0,2}", port in proptest::option::of(1..65_535_u16),
        tag in "[a-z0-9]{1,8}", seq in 0..i32::MAX.unsigned_abs(), body in "[a-z\r\n]{0,20}",
    ) {
        let made = made(method, &user, &host, port, &tag, seq, &body);
        let text = made.to_string();
        let mut index = Index::default();
        let view = parse(text.as_bytes(), Framing::Stream, &mut index).unwrap();
        prop_assert_eq!(show(view.request_uri()), made.uri.to_string());
        prop_assert_eq!(show(view.call_id()), made.call_id_header().unwrap().value());
        let cseq = made.cseq_header().unwrap().typed().unwrap();
        prop_assert_eq!((view.cseq(), show(view.method_token())), (cseq.seq, cseq.method.to_string()));
        prop_assert_eq!(view.to_tag().map(show), made.to_header().unwrap().tag().unwrap().map(|tag| tag.to_string()));
        let via = made.via_header().unwrap().typed().unwrap();
        prop_assert_eq!(view.top_via().branch.map(show), via.branch().map(|branch| branch.to_string()));
        prop_assert_eq!(show(view.top_via().host), via.uri.host().to_string());
        let uri = Uri::parse(view.request_uri()).unwrap();
        prop_assert_eq!((uri.user.map(show), show(uri.host), uri.port), (Some(user), host, port));
        prop_assert_eq!(view.body(), body.as_bytes());
    }

    #[test]
    fn rsip_reads_the_same_headers_in_what_we_forward(
        method in method(), tag in "[a-z0-9]{1,8}", seq in 0..1_000_u32, body in "[a-z\r\n]{0,20}",
    ) {
        let made = made(method, "bob", "example.com", None, &tag, seq, &body);
        let (text, mut index, mut out) = (made.to_string(), Index::default(), Vec::new());
        let edit = RequestEdit { via: OURS, max_forwards: 69, ..RequestEdit::default() };
        forward_request(read(text.as_bytes(), &mut index), &edit, &mut out);
        let again = theirs(&out).unwrap();
        prop_assert_eq!((&again.method, &again.uri, &again.body), (&made.method, &made.uri, &made.body));
        let mut expected = header_lines(&made);
        let top = expected.iter().position(|line| line.starts_with("Via: ")).unwrap();
        expected.insert(top, format!("Via: {}", show(OURS)));
        expected.iter_mut().for_each(|line| *line = line.replace("Max-Forwards: 70", "Max-Forwards: 69"));
        prop_assert_eq!(header_lines(&again), expected);
    }

    #[test]
    fn rsip_reads_the_same_headers_in_what_we_pass_back(
        method in method(), code in 100..700_u16, tag in "[a-z0-9]{1,8}", seq in 0..1_000_u32,
    ) {
        let request = made(method, "bob", "example.com", None, &tag, seq, "");
        let made = rsip::Response {
            status_code: rsip::StatusCode::Other(code, "As It Pleases".into()),
            version: rsip::Version::V2,
            headers: request.headers.clone(),
            body: vec![],
        };
        let below = header_lines(&made);
        let text = made.to_string().replacen("Via: ", &format!("Via: {}\r\nVia: ", show(OURS)), 1);
        let (mut index, mut out) = (Index::default(), Vec::new());
        let view = read(text.as_bytes(), &mut index);
        prop_assert_eq!((view.status(), show(view.reason_phrase())), (code, "As It Pleases".into()));
        forward_response(view, &mut out);
        let line = format!("SIP/2.0 {code} As It Pleases\r\n");
        prop_assert!(out.starts_with(line.as_bytes()), "{}", show(&out));
        prop_assert_eq!(header_lines(&rsip::Response::try_from(out.as_slice()).unwrap()), below);
    }
}
