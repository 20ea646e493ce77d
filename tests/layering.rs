//! The architecture as a test: who may import whom, one door for each foreign crate, no clock below
//! the sockets, files of a readable size. `docs/ARCHITECTURE.md` says why.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules from the ground up; a module imports those of lower layers only.
const LAYERS: &[&[&str]] = &[
    &["facts"],
    &["sip"],
    &["dispatch", "probe", "transaction"],
    &["proxy"],
    &["net", "telemetry", "admin"],
    &["config"],
    &["runtime"],
    &["cli"],
    &["main"],
];
/// The first layer that may know sockets, clocks and chance.
const FIRST_WITH_IO: usize = 4;
/// Lines of a file, tests not counted.
const MAX_LINES: usize = 600;

/// Foreign crates and the only places that may name them.
const DOORS: &[(&[&str], &[&str])] = &[
    (&["rsip"], &["src/sip/model.rs"]),
    (
        &[
            "prometheus",
            "opentelemetry",
            "opentelemetry_sdk",
            "opentelemetry_otlp",
            "opentelemetry_http",
            "tracing",
            "tracing_opentelemetry",
            "tracing_subscriber",
        ],
        &["src/telemetry"],
    ),
    (&["hyper", "hyper_util", "http_body_util"], &["src/admin", "src/telemetry/otlp"]),
    (&["figment", "serde_yaml"], &["src/config"]),
    (&["hickory_resolver", "socket2"], &["src/net"]),
];

/// What may not be written below the first layer with I/O.
const IMPURE: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "getrandom::",
    "tokio::",
    "async fn",
    ".await",
    "Mutex",
    "RwLock",
    "UdpSocket",
    "TcpStream",
    "std::env",
    "std::fs",
    "println!",
];

/// One source file without its comments, strings and tests.
struct Source {
    path: String,
    text: String,
    code: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code: without_comments_and_strings(without_tests(text)),
        }
    }

    /// The path of its module: `src/net/udp.rs` is net, udp; `src/lib.rs` is the root itself.
    fn module(&self) -> Vec<&str> {
        let inner = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        if inner == "lib" { vec![] } else { inner.split('/').collect() }
    }

    fn layer(&self) -> Option<usize> {
        layer_of(self.module().first()?)
    }
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Cuts the unit tests off; they stand at the bottom of a file.
fn without_tests(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod ").and_then(|start| text.get(..start)).unwrap_or(text)
}

/// Blanks out what the compiler does not read as code.
fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '/' if chars.peek() == Some(&'/') => {
                for skipped in chars.by_ref() {
                    if skipped == '\n' {
                        code.push('\n');
                        break;
                    }
                }
            }
            '"' => {
                let mut escaped = false;
                for skipped in chars.by_ref() {
                    match skipped {
                        '\n' => code.push('\n'),
                        '"' if !escaped => break,
                        _ => {}
                    }
                    escaped = skipped == '\\' && !escaped;
                }
                code.push_str("\"\"");
            }
            '\'' => {
                // A character literal, not a lifetime: 'x' or an escape.
                let mut ahead = chars.clone();
                let first = ahead.next();
                if first == Some('\\') || ahead.next() == Some('\'') {
                    let mut escaped = false;
                    for skipped in chars.by_ref() {
                        if skipped == '\'' && !escaped {
                            break;
                        }
                        escaped = skipped == '\\' && !escaped;
                    }
                }
            }
            _ => code.push(c),
        }
    }
    code
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where a word starts in the code, as a whole word.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    code.match_indices(word).filter_map(move |(start, _)| {
        let (before, rest) = code.split_at_checked(start)?;
        let after = rest.strip_prefix(word)?;
        (!before.ends_with(is_word) && !after.starts_with(is_word)).then_some((before, after))
    })
}

/// The first names of a path that follows `::`: one, or those of a group in braces.
fn names(after: &str) -> Vec<&str> {
    let Some(rest) = after.strip_prefix("::") else { return vec![] };
    let Some(group) = rest.strip_prefix('{') else { return first_word(rest).into_iter().collect() };
    let mut depth = 0;
    let mut found = Vec::new();
    let mut at_start = true;
    for (position, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            _ if at_start && is_word(c) => {
                found.extend(group.get(position..).and_then(first_word));
                at_start = false;
            }
            _ => {}
        }
    }
    found
}

fn first_word(text: &str) -> Option<&str> {
    text.split(|c| !is_word(c)).next().filter(|word| !word.is_empty())
}

/// The top-level modules that a file names, through `crate::` or a chain of `super::`.
fn imports(source: &Source) -> BTreeSet<&str> {
    let mut found: BTreeSet<&str> =
        words(&source.code, "crate").flat_map(|(_, after)| names(after)).collect();
    let depth = source.module().len();
    for (before, after) in words(&source.code, "super") {
        if before.ends_with("super::") {
            continue;
        }
        let mut rest = after;
        let mut climbed = 1;
        while let Some(further) = rest.strip_prefix("::super") {
            rest = further;
            climbed += 1;
        }
        if climbed >= depth {
            found.extend(names(rest));
        }
    }
    found.retain(|name| layer_of(name).is_some());
    found
}

fn wrong_imports(source: &Source) -> Vec<String> {
    let module = source.module();
    let (Some(own), Some(layer)) = (module.first(), source.layer()) else { return vec![] };
    let wrong = |name: &&str| *name != *own && layer_of(name).is_none_or(|other| other >= layer);
    imports(source).into_iter().filter(wrong).map(|name| format!("{} imports {name}", source.path)).collect()
}

fn wrong_doors(source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    for (crates, doors) in DOORS {
        let is_door = doors.iter().any(|door| {
            let rest = source.path.strip_prefix(door);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || rest == ".rs")
        });
        for name in crates.iter().filter(|_| !is_door) {
            let named = words(&source.code, name).any(|(before, after)| {
                let is_path = after.starts_with("::") && !before.ends_with("::");
                is_path || before.trim_end().ends_with("use")
            });
            if named {
                wrong.push(format!("{} names the crate {name}, which belongs to {doors:?}", source.path));
            }
        }
    }
    wrong
}

fn impurities(source: &Source) -> Vec<String> {
    if source.layer().is_none_or(|layer| layer >= FIRST_WITH_IO) {
        return vec![];
    }
    let found = IMPURE.iter().filter(|what| source.code.contains(**what));
    found.map(|what| format!("{} knows {what}", source.path)).collect()
}

fn wrong_shape(source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    if source.path.ends_with("/mod.rs") {
        wrong.push(format!("{} should be named after its module", source.path));
    }
    if !source.text.starts_with("//!") {
        wrong.push(format!("{} does not open with what it owns", source.path));
    }
    let lines = without_tests(&source.text).lines().count();
    if lines > MAX_LINES {
        wrong.push(format!("{} has {lines} lines", source.path));
    }
    if source.code.contains("#[allow(") || source.code.contains("#![allow(") {
        wrong.push(format!("{} allows a lint; expect it, with a reason", source.path));
    }
    if source.path != "src/main.rs"
        && words(&source.code, "exit").any(|(before, _)| before.ends_with("process::"))
    {
        wrong.push(format!("{} ends the process", source.path));
    }
    wrong
}

fn violations(source: &Source) -> Vec<String> {
    [wrong_imports(source), wrong_doors(source), impurities(source), wrong_shape(source)].concat()
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src")];
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the sources are there").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).expect("a source is text");
        let path = path.strip_prefix(root).expect("it lies below the root");
        Source::new(&path.display().to_string(), &text)
    };
    let all: Vec<Source> = files.iter().map(read).collect();
    // A module file that is declared under `#[cfg(test)]` is a test.
    let tests: BTreeSet<String> = all.iter().flat_map(test_files).collect();
    all.into_iter().filter(|source| !tests.contains(&source.path)).collect()
}

/// The files of modules that a source declares for tests only.
fn test_files(source: &Source) -> Vec<String> {
    let stem = source.path.trim_end_matches(".rs");
    let folder = if stem == "src/lib" || stem == "src/main" { "src" } else { stem };
    let declared = source.text.split("#[cfg(test)]\nmod ").skip(1);
    let names = declared.filter_map(|rest| rest.split_once(';').map(|(name, _)| name));
    names.filter(|name| name.chars().all(is_word)).map(|name| format!("{folder}/{name}.rs")).collect()
}

#[test]
fn every_source_keeps_to_its_layer_and_its_doors() {
    let wrong: Vec<String> = sources().iter().flat_map(violations).collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn every_module_has_a_layer() {
    for source in sources() {
        assert!(
            source.path == "src/lib.rs" || source.layer().is_some(),
            "{} belongs to no layer",
            source.path
        );
    }
}

#[test]
fn unsafe_code_is_forbidden() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    assert!(manifest.expect("there is a manifest").contains("unsafe_code = \"forbid\""));
}

#[test]
fn the_rules_notice_what_breaks_them() {
    let cases = [
        ("src/sip/uri.rs", "use crate::proxy::Core;", "imports proxy"),
        ("src/probe.rs", "use crate::{facts, dispatch::Verdicts};", "imports dispatch"),
        ("src/net/udp.rs", "use super::super::telemetry::Recorder;", "imports telemetry"),
        ("src/net.rs", "use super::admin;", "imports admin"),
        ("src/proxy/admit.rs", "fn f() -> rsip::Uri {}", "names the crate rsip"),
        ("src/net.rs", "use tracing::info;", "names the crate tracing"),
        ("src/proxy.rs", "let now = Instant::now();", "knows Instant::now"),
        ("src/dispatch.rs", "async fn f() {}", "knows async fn"),
        ("src/net/mod.rs", "", "named after its module"),
        ("src/net.rs", "#[allow(dead_code)]", "allows a lint"),
    ];
    for (path, code, expected) in cases {
        let found = violations(&Source::new(path, &format!("//! What it owns.\n{code}\n")));
        assert!(found.iter().any(|violation| violation.contains(expected)), "{code}: {found:?}");
        assert_eq!(found.len(), 1, "{code}: {found:?}");
    }
    let long = format!("//! Long.\n{}", "fn f() {}\n".repeat(MAX_LINES));
    assert_eq!(violations(&Source::new("src/net.rs", &long)).len(), 1);
    assert_eq!(violations(&Source::new("src/net.rs", "fn f() {}")).len(), 1, "no header");
}

#[test]
fn the_rules_stay_silent_where_nothing_is_wrong() {
    let cases = [
        ("src/proxy/context.rs", "use crate::facts::{Method, event::Event};\nuse super::failover;"),
        (
            "src/sip/uri.rs",
            "// tokio::spawn would be wrong here, see crate::net\nconst A: &str = \"Instant::now\";",
        ),
        ("src/facts.rs", "#[cfg(test)]\nmod tests { use std::sync::Mutex; }"),
        ("src/telemetry/metrics.rs", "use prometheus::Registry;"),
        ("src/admin/client.rs", "use hyper::Request;\nuse crate::facts::Admin;"),
        ("src/config.rs", "let quote = '\"'; let name = \"crate::cli\";"),
    ];
    for (path, code) in cases {
        let found = violations(&Source::new(path, &format!("//! What it owns.\n{code}\n")));
        assert!(found.is_empty(), "{found:?}");
    }
}
