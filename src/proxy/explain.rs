//! Where a request would go, asked without sending one: a dry run of a selection.
//!
//! A worker gives away copies ([`Core::trial`]), and whoever asked does the work: no turn is taken,
//! no cursor moves, and no call waits for a set of ten thousand to be ranked. The request asked about
//! is made up as bytes and read back, so that its hash is the very one of a real request.

use super::choose::{basis_of, is_call};
use super::key::hash_key_of;
use super::{Core, Plan};
use crate::dispatch::{Ask, Candidate, Selector, Verdicts, ranking};
use crate::facts::SetId;
use crate::facts::secret::Nonces;
use crate::sip::{Framing, Index, parse};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// What is asked: the parts of a request that a selection may look at. What is left out is made up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// The Call-ID.
    pub call_id: Option<String>,
    /// The URI of From, or the whole header value.
    pub from: Option<String>,
    /// The URI of To, or the whole header value; the Request-URI if left out.
    pub to: Option<String>,
    /// The Request-URI; the URI of To if only that is given.
    pub ruri: Option<String>,
    /// Where it comes from.
    pub source: Option<IpAddr>,
    /// Further header fields, as name and value.
    pub headers: Vec<(String, String)>,
}

/// What stands for a part that is left out.
const NOBODY: &str = "sip:nobody@explain.invalid";

impl Question {
    /// The INVITE that is asked about; `Err` says what cannot stand in one.
    pub fn request(&self) -> Result<Vec<u8>, &'static str> {
        let given = [&self.call_id, &self.from, &self.to, &self.ruri];
        let headers = self.headers.iter().flat_map(|(name, value)| [name, value]);
        if given.into_iter().flatten().chain(headers).any(|text| text.contains(char::is_control)) {
            return Err("control characters cannot stand in a request");
        }
        let or = |part: &Option<String>, other: &Option<String>| {
            part.clone().or_else(|| other.clone()).unwrap_or_else(|| NOBODY.to_owned())
        };
        let ruri = uri(&or(&self.ruri, &self.to));
        let call_id = self.call_id.as_deref().unwrap_or("explain");
        let mut text = format!(
            "INVITE {ruri} SIP/2.0\r\nVia: SIP/2.0/UDP explain.invalid;branch=z9hG4bK-explain\r\n\
             From: {};tag=explain\r\nTo: {}\r\nCall-ID: {call_id}\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n",
            name_address(&or(&self.from, &None)),
            name_address(&or(&self.to, &self.ruri)),
        );
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("Content-Length: 0\r\n\r\n");
        let mut index = Index::default();
        match parse(text.as_bytes(), Framing::Datagram, &mut index) {
            Ok(_) => Ok(text.into_bytes()),
            Err(_) => Err("these parts do not make a SIP request"),
        }
    }
}

/// A URI, with its scheme if that was left out.
fn uri(text: &str) -> String {
    let bare = match (text.find('<'), text.rfind('>')) {
        (Some(start), Some(end)) if start < end => text.get(start + 1..end).unwrap_or(text),
        _ => text,
    };
    let is_whole = ["sip:", "sips:", "tel:"]
        .iter()
        .any(|scheme| bare.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    if is_whole { bare.to_owned() } else { format!("sip:{bare}") }
}

/// A value of From or To, without its tag.
fn name_address(text: &str) -> String {
    match text.rfind('>') {
        Some(end) => text.get(..=end).unwrap_or(text).to_owned(),
        None => format!("<{}>", uri(text)),
    }
}

/// Copies of what a worker chooses with.
#[derive(Debug)]
pub struct Trial {
    plan: Arc<Plan>,
    verdicts: Arc<Verdicts>,
    selector: Selector,
    nonce: u64,
}

impl Core {
    /// Copies of what the next request would be dispatched with.
    pub fn trial(&self) -> Trial {
        let mut nonces: Nonces = self.engine.nonces.clone();
        Trial {
            plan: Arc::clone(&self.engine.plan),
            verdicts: Arc::clone(&self.engine.verdicts),
            selector: self.engine.selector.trial(),
            nonce: nonces.next_u64(),
        }
    }
}

impl Trial {
    /// The configuration that the worker goes by.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Every destination that this request would be tried at, in order, then those passed over. `request`
    /// is what [`Question::request`] made.
    pub fn run(&self, set: SetId, request: &[u8], source: IpAddr, now: Instant) -> Vec<Candidate> {
        let mut index = Index::default();
        let Ok(message) = parse(request, Framing::Datagram, &mut index) else { return vec![] };
        let basis = basis_of(message.method());
        let key_for = |set| hash_key_of(self.plan.table().set(set)?, basis, message, source);
        let ask = Ask { basis, key_for: &key_for, nonce: self.nonce, now, is_call: is_call(message) };
        ranking(&self.selector, set, ask, &self.verdicts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(question: &Question) -> String {
        String::from_utf8(question.request().unwrap()).unwrap()
    }

    #[test]
    fn a_request_is_made_of_what_is_given() {
        let question = Question {
            call_id: Some("a@b".to_owned()),
            from: Some("\"Alice\" <sip:alice@example.com>;tag=1".to_owned()),
            to: Some("bob@example.com".to_owned()),
            headers: vec![("X-Account".to_owned(), "7".to_owned())],
            ..Question::default()
        };
        let text = request(&question);
        assert!(text.starts_with("INVITE sip:bob@example.com SIP/2.0\r\n"), "{text}");
        for line in [
            "From: \"Alice\" <sip:alice@example.com>;tag=explain",
            "To: <sip:bob@example.com>",
            "Call-ID: a@b",
            "X-Account: 7",
        ] {
            assert!(text.contains(&format!("\r\n{line}\r\n")), "{line} in {text}");
        }
        let only_ruri = Question { ruri: Some("tel:+4930".to_owned()), ..Question::default() };
        assert!(request(&only_ruri).contains("\r\nTo: <tel:+4930>\r\n"));
        request(&Question::default());
    }

    #[test]
    fn what_cannot_stand_in_a_request_is_refused() {
        let injected = Question { call_id: Some("a\r\nX: y".to_owned()), ..Question::default() };
        assert!(injected.request().is_err());
        let broken = Question { ruri: Some("sip:a b".to_owned()), ..Question::default() };
        assert!(broken.request().is_err());
        let name = ("Content-Length".to_owned(), "9".to_owned());
        assert!(Question { headers: vec![name], ..Question::default() }.request().is_err());
    }
}
