//! `/api/v1/explain`: where a request would go, as JSON, and how the question is written in a query.
//!
//! Owns the shape, which the command reads back; never the selection behind it.

use super::destinations::{decode, encode};
use crate::dispatch::{Basis, Candidate};
use crate::facts::SetId;
use crate::proxy::{Plan, Question};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What would become of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The set.
    pub set: String,
    /// How it chooses.
    pub algorithm: String,
    /// Parts of its hash key, and of those of the sets that it falls back to, that the question leaves out, so that the ranking stands for no real
    /// request.
    pub missing: Vec<String>,
    /// Who would be tried, in order, then who is passed over, in file order.
    pub candidates: Vec<CandidateView>,
}

/// One destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateView {
    /// The set it belongs to.
    pub set: String,
    /// Its id within the set.
    pub id: String,
    /// Its configured URI without user part.
    pub uri: String,
    /// Its tier, counted from 0; the lowest priority value makes tier 0.
    pub tier: usize,
    /// When it would be tried, counted from 1; null if it is passed over.
    pub rank: Option<u32>,
    /// Why it would be tried: the word of a selection, as in spans and metrics; null if it is passed over.
    pub reason: Option<String>,
    /// Why it is passed over.
    pub skipped: Option<String>,
}

impl Explanation {
    /// Puts names to the outcome of a dry run.
    pub fn new(plan: &Plan, set: SetId, question: &Question, candidates: &[Candidate]) -> Self {
        let table = plan.table();
        let names = &plan.directory().names;
        let view = |candidate: &Candidate| {
            let destination = table.destination(candidate.target)?;
            Some(CandidateView {
                set: names.set(destination.set).to_owned(),
                id: destination.settings.id.to_string(),
                uri: destination.settings.uri.to_string(),
                tier: destination.tier,
                rank: candidate.place.ok().map(|(rank, _)| rank),
                reason: candidate.place.ok().map(|(_, reason)| reason.to_string()),
                skipped: candidate.place.err().map(|reason| reason.to_string()),
            })
        };
        let settings = table.set(set);
        let fallbacks = settings.into_iter().flat_map(|set| set.fallbacks());
        let chain = settings.into_iter().chain(fallbacks.filter_map(|set| table.set(*set)));
        let keys = chain.flat_map(|set| set.key_on(Basis::Algorithm));
        let parts: BTreeSet<&str> = keys.map(|part| part.as_str()).collect();
        Self {
            set: names.set(set).to_owned(),
            algorithm: settings.map_or(String::new(), |set| set.algorithm().to_string()),
            missing: parts.into_iter().filter(|part| !is_given(question, part)).map(str::to_owned).collect(),
            candidates: candidates.iter().filter_map(view).collect(),
        }
    }
}

/// Whether a question says anything of a part of a hash key, by the part's name.
fn is_given(question: &Question, part: &str) -> bool {
    match part {
        "call_id" => question.call_id.is_some(),
        "from" => question.from.is_some(),
        "to" => question.to.is_some() || question.ruri.is_some(),
        "ruri" | "ruri_user" => question.ruri.is_some() || question.to.is_some(),
        "source_ip" => question.source.is_some(),
        // What else there is comes from header fields.
        _ => !question.headers.is_empty(),
    }
}

/// Reads the query of `/api/v1/explain`: the set and the question; `Err` says what is wrong.
pub fn parse_query(query: Option<&str>) -> Result<(String, Question), String> {
    let (mut set, mut question) = (None, Question::default());
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value).ok_or_else(|| format!("{name}: the value is not percent-encoded"))?;
        let slot = match name {
            "set" => &mut set,
            "call_id" => &mut question.call_id,
            "from" => &mut question.from,
            "to" => &mut question.to,
            "ruri" => &mut question.ruri,
            "source" => {
                let source = value.parse().map_err(|_| format!("source: {value:?} is not an IP address"))?;
                question.source = Some(source);
                continue;
            }
            "header" => {
                question.headers.push(parse_header(&value)?);
                continue;
            }
            _ => return Err(format!("no parameter {name:?}")),
        };
        if slot.replace(value).is_some() {
            return Err(format!("{name} is given twice"));
        }
    }
    Ok((set.ok_or("set is missing")?, question))
}

/// Reads a header field, `NAME: VALUE`.
pub fn parse_header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').unwrap_or((text, ""));
    let (name, value) = (name.trim(), value.trim());
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || value.is_empty() || !name.bytes().all(is_name) {
        return Err(format!("header: {text:?} is not NAME: VALUE"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// The path that asks a question.
pub fn path(set: &str, question: &Question) -> String {
    let parts = [
        ("call_id", &question.call_id),
        ("from", &question.from),
        ("to", &question.to),
        ("ruri", &question.ruri),
    ];
    let mut path = format!("/api/v1/explain?set={}", encode(set));
    for (name, value) in parts {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", encode(value)));
        }
    }
    if let Some(source) = question.source {
        path.push_str(&format!("&source={source}"));
    }
    for (name, value) in &question.headers {
        path.push_str(&format!("&header={}", encode(&format!("{name}: {value}"))));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_comes_back_as_it_was_asked() {
        let question = Question {
            call_id: Some("a+b&c=d@é".to_owned()),
            from: Some("\"A\" <sip:a@b>".to_owned()),
            to: None,
            ruri: Some("sip:x@y;transport=tcp".to_owned()),
            source: Some("2001:db8::1".parse().unwrap()),
            headers: vec![("X-Account".to_owned(), "7: 8".to_owned())],
        };
        let path = path("p b/x", &question);
        let (_, query) = path.split_once('?').unwrap();
        assert_eq!(parse_query(Some(query)), Ok(("p b/x".to_owned(), question)));
    }

    #[test]
    fn a_question_that_cannot_be_understood_is_named() {
        for (query, word) in [
            ("", "set is missing"),
            ("call_id=x", "set is missing"),
            ("set=a&set=b", "set is given twice"),
            ("set=a&source=here", "\"here\""),
            ("set=a&colour=red", "\"colour\""),
            ("set=%zz", "percent-encoded"),
            ("set=a&header=X", "NAME: VALUE"),
            ("set=a&header=X%0d%0aY:1", "NAME: VALUE"),
        ] {
            let error = parse_query(Some(query)).unwrap_err();
            assert!(error.contains(word), "{query}: {error}");
        }
    }
}
