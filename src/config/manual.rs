//! The manual of the configuration, printed from the same table that reads it.

use super::fields::plain;
use super::section::{Key, Section, all};
use std::fmt::Write;

/// The text of `docs/configuration.md`.
pub fn manual() -> String {
    let mut out = String::from(INTRODUCTION);
    for section in all() {
        write_section(&mut out, section);
    }
    out.push_str("\n## Not supported in this version\n\n");
    out.push_str("These keys are refused with their line, never ignored:\n\n");
    for section in all().iter().filter(|section| !section.later.is_empty()) {
        let prefix = if section.path.is_empty() { String::new() } else { format!("{}.", section.path) };
        let names: Vec<_> = section.later.iter().map(|key| format!("`{prefix}{key}`")).collect();
        let _ = writeln!(out, "- {}", names.join(", "));
    }
    out.push_str(NOT_SUPPORTED);
    out
}

fn write_section(out: &mut String, section: &Section) {
    let title = if section.path.is_empty() { "Top level".into() } else { format!("`{}`", section.path) };
    let _ = write!(out, "\n## {title}\n\n{}\n\n", section.about.trim());
    out.push_str("| key | type | default | meaning | Kamailio |\n|---|---|---|---|---|\n");
    for key in section.keys {
        let _ = writeln!(
            out,
            "| `{}`{} | {} | {} | {}{} | {} |",
            key.name,
            key.alias.map(|alias| format!(" or `{alias}`")).unwrap_or_default(),
            cell(&kind(key)),
            default(key),
            cell(key.about.trim()),
            if key.restart { " ↻" } else { "" },
            cell(key.kamailio)
        );
    }
}

fn kind(key: &Key) -> String {
    let bounds = (key.bounds)();
    let kind = (key.kind)();
    let kind = if key.required { kind.trim_end_matches(", or null").into() } else { kind };
    if bounds.is_empty() { kind } else { format!("{kind} {bounds}") }
}

fn default(key: &Key) -> String {
    match (key.default)() {
        _ if key.required => "must be written".into(),
        serde_yaml::Value::Mapping(_) => String::new(),
        serde_yaml::Value::Null if !(key.kind)().ends_with("null") => String::new(),
        value => format!("`{}`", cell(&plain(&value))),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

const INTRODUCTION: &str = "\
# Configuration

Printed from the code (`make docs`); every key, with its default, is also in `config/reference.yaml`.

One YAML file. `sipwarden run -c FILE` names it; without, `sipwarden.yaml` in the working directory, then
`/etc/sipwarden/sipwarden.yaml`. The smallest useful one:

```yaml
sets:
  pbx:
    destinations: [sip:10.0.0.1:5060, sip:10.0.0.2:5060]
```

`sipwarden check -c FILE` says everything that is wrong with it, each with file, line and column, and prints what is in
force. Unknown keys and keys written twice are errors.

**Environment.** `SIPWARDEN_A__B=value` sets `a.b` over the file: `SIPWARDEN_LIMITS__TRANSACTIONS=5000`,
`SIPWARDEN_SETS__PBX__ALGORITHM=hash`. The value is YAML (`SIPWARDEN_LISTEN='[\"udp://0.0.0.0:5062\"]'`); a list can only be
set as a whole; an empty variable sets nothing. In the names of sets case does not matter, and `_` stands for anything
but letters and digits. Names that Kubernetes sets for a Service called `sipwarden` (`SIPWARDEN_PORT…`,
`SIPWARDEN_SERVICE_…`) are not keys.

**Variables in values.** `${NAME}` and `${NAME:-default}` stand for an environment variable in any value; the default is
taken if it is not set or empty. `$${` is a literal `${`. Inside `[ ]` and `{ }` such a value needs quotes.

**Units.** Durations carry one: `500ms`, `10s`, `5m`, `12h`. Percentages end in `%`. Files are looked for beside the
configuration file.

**Reload.** SIGHUP and `POST /-/reload` check the whole file first; a wrong one changes nothing. Keys marked ↻ take effect
only after a restart; a reload that changes one says so.
";

const NOT_SUPPORTED: &str = "\
- values: `listen` on `tls://`, `ws://`, `wss://`; `sips:` and `transport=tls` destinations; `tracing.otlp` over https
";
