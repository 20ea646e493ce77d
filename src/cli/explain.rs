//! `sipwarden explain`: where a request would go, and why not elsewhere.

use super::remote::Remote;
use super::term::{self, Cell, Style, Tone};
use crate::admin::explain::{self, Explanation};
use crate::proxy::Question;
use std::net::IpAddr;
use std::process::ExitCode;

/// Options of `explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The set
    #[arg(value_name = "SET")]
    pub set: String,
    /// Call-ID of the request
    #[arg(long, value_name = "TEXT")]
    pub call_id: Option<String>,
    /// URI of its From
    #[arg(long, value_name = "URI")]
    pub from: Option<String>,
    /// URI of its To
    #[arg(long, value_name = "URI")]
    pub to: Option<String>,
    /// Its Request-URI
    #[arg(long, value_name = "URI")]
    pub ruri: Option<String>,
    /// Address that it comes from
    #[arg(long, value_name = "IP")]
    pub source: Option<IpAddr>,
    /// A further header field; may be given several times
    #[arg(long, value_name = "NAME: VALUE", value_parser = explain::parse_header)]
    pub header: Vec<(String, String)>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Where the running sipwarden is.
    #[command(flatten)]
    pub remote: Remote,
}

/// Runs the command.
pub fn run(args: Args) -> ExitCode {
    let Args { set, call_id, from, to, ruri, source, header, json, remote } = args;
    let question = Question { call_id, from, to, ruri, source, headers: header };
    remote.run(|client| async move {
        let explanation: Explanation = client.get(&explain::path(&set, &question)).await?;
        let text = match json {
            true => {
                serde_json::to_string_pretty(&explanation).expect("an explanation has string keys") + "\n"
            }
            false => lines(Style::of_stdout(), &explanation).join("\n") + "\n",
        };
        Ok(term::print(&text))
    })
}

fn lines(style: Style, explanation: &Explanation) -> Vec<String> {
    let mut lines = vec![format!(
        "{}  {}",
        style.paint(Tone::Strong, &explanation.set),
        style.paint(Tone::Faint, &explanation.algorithm)
    )];
    if !explanation.missing.is_empty() {
        let missing = explanation.missing.join(", ");
        let text = format!("not given, so not that of a real request: {missing}");
        lines.push(style.paint(Tone::Warning, &text));
    }
    let head = ["RANK", "DESTINATION", "TIER", "WHY", "URI"];
    let mut rows = vec![head.map(|name| Cell::text(name).in_tone(Tone::Faint)).to_vec()];
    rows.extend(explanation.candidates.iter().map(|candidate| {
        let rank = candidate.rank.map_or_else(|| "-".to_owned(), |rank| rank.to_string());
        let foreign = candidate.set != explanation.set;
        let id = if foreign { format!("{}/{}", candidate.set, candidate.id) } else { candidate.id.clone() };
        vec![
            Cell::number(rank),
            Cell::text(id),
            Cell::number(candidate.tier),
            match (&candidate.skipped, &candidate.reason) {
                (Some(skipped), _) => Cell::text(skipped).in_tone(Tone::Warning),
                (None, reason) => Cell::text(reason.as_deref().unwrap_or("")),
            },
            Cell::text(&candidate.uri).in_tone(Tone::Faint),
        ]
    }));
    lines.extend(term::table(style, &rows));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::explain::CandidateView;

    #[test]
    fn the_table_gives_each_candidate_its_rank_or_the_reason_against_it() {
        let candidate = |set: &str, id: &str, rank: Option<u32>, skipped: Option<&str>| CandidateView {
            set: set.to_owned(),
            id: id.to_owned(),
            uri: format!("sip:{id}"),
            tier: 0,
            rank,
            reason: rank.map(|_| "primary".to_owned()),
            skipped: skipped.map(str::to_owned),
        };
        let explanation = Explanation {
            set: "pbx".to_owned(),
            algorithm: "hash".to_owned(),
            missing: vec!["from".to_owned()],
            candidates: vec![
                candidate("pbx", "b", Some(1), None),
                candidate("backup", "z", Some(2), None),
                candidate("pbx", "a", None, Some("down")),
            ],
        };
        assert_eq!(
            lines(Style::plain(), &explanation),
            [
                "pbx  hash",
                "not given, so not that of a real request: from",
                "  RANK  DESTINATION  TIER  WHY      URI",
                "     1  b               0  primary  sip:b",
                "     2  backup/z        0  primary  sip:z",
                "     -  a               0  down     sip:a",
            ]
        );
    }
}
