//! The status page: the routes and every destination, for a person with a browser.
//!
//! Plain HTML: no script, no image, nothing loaded, everything escaped. Never offers a change.

use super::destinations::{DestinationView, Listing, SetView};
use std::fmt::{self, Write};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;\
color-scheme:light dark}table{border-collapse:collapse;width:100%;margin:.5rem 0 2rem}\
th,td{text-align:left;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #8884}\
th{font-weight:600}code,td{font-variant-numeric:tabular-nums}.up{color:#1a7f37}.failing,.draining,.unknown{color:#9a6700}\
.down,.disabled,.ejected,.throttled{color:#cf222e}";

/// Writes the page.
pub fn render(routes: &[(&str, &str, &str)], listing: &Listing, ready: bool) -> String {
    let mut page = String::with_capacity(4096);
    write(&mut page, routes, listing, ready).expect("writing to a string succeeds");
    page
}

fn write(page: &mut String, routes: &[(&str, &str, &str)], listing: &Listing, ready: bool) -> fmt::Result {
    let version = env!("CARGO_PKG_VERSION");
    let readiness = if ready { "ready" } else { "not ready" };
    writeln!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>sipwarden</title>"
    )?;
    writeln!(page, "<style>{STYLE}</style></head><body>")?;
    writeln!(page, "<h1>sipwarden</h1><p>Version {version}, {readiness}.</p>")?;
    for set in &listing.sets {
        write_set(page, set)?;
    }
    writeln!(page, "<h2>Routes</h2><table><tr><th>Method</th><th>Path</th><th>Does</th></tr>")?;
    for (method, path, does) in routes {
        let name = match *method == "GET" {
            true => format!("<a href=\"{0}\"><code>{0}</code></a>", Escaped(path)),
            false => format!("<code>{}</code>", Escaped(path)),
        };
        writeln!(page, "<tr><td>{method}</td><td>{name}</td><td>{}</td></tr>", Escaped(does))?;
    }
    writeln!(page, "</table></body></html>")
}

fn write_set(page: &mut String, set: &SetView) -> fmt::Result {
    let all_down = if set.all_down { ": <span class=\"down\">all down</span>" } else { "" };
    writeln!(page, "<h2>{} <small>({})</small>{all_down}</h2>", Escaped(&set.name), Escaped(&set.algorithm))?;
    writeln!(
        page,
        "<table><tr><th>Destination</th><th>URI</th><th>State</th><th>Since</th><th>Why</th><th>Last probe</th>\
         <th>RTT</th><th>Calls</th><th>Weight</th><th>Priority</th><th>Kamailio</th></tr>"
    )?;
    for destination in &set.destinations {
        write_destination(page, destination)?;
    }
    writeln!(page, "</table>")
}

fn write_destination(page: &mut String, destination: &DestinationView) -> fmt::Result {
    let why = destination.changes.last().map_or("", |change| &change.reason);
    let probe = destination.probe.last_outcome.as_deref().unwrap_or("");
    let rtt = destination.probe.last_rtt_seconds;
    let rtt = rtt.map_or(String::new(), |seconds| format!("{:.1} ms", seconds * 1_000.0));
    write!(page, "<tr><td>{}</td><td>{}", Escaped(&destination.id), Escaped(&destination.uri))?;
    if let Some(dns) = &destination.dns {
        let address = destination.address.as_deref().unwrap_or("no address");
        let resolved = dns.resolved.as_deref().unwrap_or("never");
        let stale = if dns.stale { ", <span class=\"down\">stale</span>" } else { "" };
        write!(page, "<br><small>{}, resolved {}{stale}</small>", Escaped(address), Escaped(resolved))?;
    }
    write!(page, "</td>")?;
    write!(page, "<td class=\"{0}\">{0}</td>", Escaped(&destination.state))?;
    write!(
        page,
        "<td>{}</td><td>{}</td><td>{}</td>",
        Escaped(&destination.since),
        Escaped(why),
        Escaped(probe)
    )?;
    let most = destination.max_calls.map_or(String::new(), |most| format!("/{most}"));
    write!(page, "<td>{rtt}</td><td>{}{most}</td>", destination.calls)?;
    write!(page, "<td>{}</td><td>{}</td>", destination.weight, destination.priority)?;
    writeln!(page, "<td>{}</td></tr>", Escaped(&destination.kamailio))
}

/// Text that stands for itself in HTML, in elements and in quoted attributes.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            _ => f.write_char(character),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_html_would_read() {
        assert_eq!(Escaped(r#"<a href="x">'&"#).to_string(), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
    }
}
