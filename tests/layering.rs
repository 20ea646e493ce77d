//! The layout, as far as a machine can check it by reading the sources: who may import whom, which
//! crate has which door, and what the pure layers must not do.
//!
//! Code under `#[cfg(test)]` is not looked at, except for `mod.rs`, `dbg!` and `todo!`.

use std::collections::BTreeSet;
use std::path::Path;

const MAX_LINES: usize = 600;

/// Modules by layer. A file imports its own module and lower layers; modules on one layer never
/// import each other. The three of the top layer stand in the order in which they call each other.
const LAYERS: [(&str, u32); 14] = [
    ("main", 63),
    ("cli", 62),
    ("runtime", 61),
    ("config", 50),
    ("net", 40),
    ("telemetry", 40),
    ("admin", 40),
    ("proxy", 30),
    ("dispatch", 20),
    ("probe", 20),
    ("transaction", 20),
    ("sip", 10),
    ("facts", 0),
    // Imports nothing, lists everything.
    ("lib", u32::MAX),
];
/// Macros of `facts` that are exported at the root.
const ROOT_MACROS: [&str; 1] = ["words"];
const L4: u32 = 40;
const L6: u32 = 60;

/// One crate, one door: the only modules that may name it. `net*` is `net.rs` and all of `net/`.
const DOORS: [(&str, &[&str]); 20] = [
    ("rsip", &["sip/model"]),
    ("prometheus", &["telemetry*"]),
    ("opentelemetry", &["telemetry*"]),
    ("opentelemetry_sdk", &["telemetry*"]),
    ("tracing", &["telemetry*"]),
    ("tracing_opentelemetry", &["telemetry*"]),
    ("tracing_subscriber", &["telemetry*"]),
    ("hyper", &["admin*", "telemetry/otlp*"]),
    ("hyper_util", &["admin*", "telemetry/otlp*"]),
    ("http_body_util", &["admin*", "telemetry/otlp*"]),
    ("figment", &["config*"]),
    ("serde_yaml", &["config*"]),
    ("hickory_resolver", &["net*"]),
    ("socket2", &["net*"]),
    ("nix", &["net*"]),
    ("rustix", &["net*"]),
    ("clap", &["cli*", "main"]),
    ("anyhow", &["cli*", "runtime*", "main"]),
    ("tokio", &["net*", "telemetry*", "admin*", "config*", "runtime*", "cli*", "main"]),
    ("async_trait", &["net*", "telemetry*", "admin*", "runtime*", "cli*", "main"]),
];

/// What only layers from a level up may say.
const WORDS: [(&str, u32, &str); 21] = [
    ("Instant::now", L4, "the time is an argument"),
    ("SystemTime::now", L4, "the time is an argument"),
    (".elapsed()", L4, "it reads the clock; subtract from `now`"),
    ("thread_rng", L4, "randomness is an argument"),
    ("getrandom", L4, "randomness is an argument"),
    ("RandomState::new", L4, "it draws a random seed; take one"),
    ("RandomState::default", L4, "it draws a random seed; take one"),
    ("async fn", L4, "the core does not wait"),
    (".await", L4, "the core does not wait"),
    ("Mutex", L4, "a worker owns its core"),
    ("RwLock", L4, "a worker owns its core"),
    ("UdpSocket", L4, "sockets belong to net"),
    ("TcpStream", L4, "sockets belong to net"),
    ("TcpListener", L4, "sockets belong to net"),
    ("std::env", L4, "the environment is read in config"),
    ("std::fs", L4, "files are read in config"),
    ("println!", L6, "what is worth telling is an event"),
    ("print!", L6, "what is worth telling is an event"),
    ("eprint!", L6, "what is worth telling is an event"),
    ("eprintln!", L6, "what is worth telling is an event"),
    ("process::exit", 63, "only main ends the process"),
];
const NEVER: [&str; 3] = ["dbg!", "todo!", "unimplemented!"];

/// A source file: its path below `src` and its text.
type Source<'a> = (&'a str, &'a str);

/// Everything wrong with the sources, as `file:line: what`.
fn lint(sources: &[Source<'_>]) -> Vec<String> {
    let stripped: Vec<(&str, String, String)> = sources
        .iter()
        .map(|(path, text)| {
            let code = blank_comments_and_strings(text);
            let product = blank_tests(&code);
            (*path, code, product)
        })
        .collect();
    let tests = test_modules(&stripped);
    let mut found = Vec::new();
    for (path, code, product) in &stripped {
        if path.ends_with("mod.rs") {
            found.push(format!("src/{path}:1: mod.rs: name the file after its module"));
        }
        for word in NEVER {
            report(&mut found, path, code, word, "not in the product");
        }
        let module = path.trim_end_matches(".rs");
        if tests.contains(module) {
            continue;
        }
        let Some(level) = level(module) else {
            found.push(format!("src/{path}:1: the module has no layer; give it one in tests/layering.rs"));
            continue;
        };
        check_size(&mut found, path, code, product);
        check_imports(&mut found, path, level, product);
        check_doors(&mut found, path, product);
        for (word, least, why) in WORDS {
            if level < least {
                report(&mut found, path, product, word, why);
            }
        }
    }
    found
}

fn top(module: &str) -> &str {
    module.split('/').next().unwrap_or(module)
}

fn level(module: &str) -> Option<u32> {
    LAYERS.iter().find(|(name, _)| *name == top(module)).map(|(_, level)| *level)
}

fn report(found: &mut Vec<String>, path: &str, code: &str, word: &str, why: &str) {
    for at in occurrences(code, word) {
        found.push(format!("src/{path}:{}: {word}: {why}", line_of(code, at)));
    }
}

/// Where a word stands by itself.
fn occurrences<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let (before, rest) = code.split_at(at);
        let after = rest.strip_prefix(word).and_then(|rest| rest.chars().next());
        let starts = !is_name(word.chars().next()) || !is_name(before.chars().next_back());
        let ends = !is_name(word.chars().next_back()) || !is_name(after);
        starts && ends
    })
}

fn line_of(code: &str, at: usize) -> usize {
    code.split_at(at).0.matches('\n').count() + 1
}

fn check_size(found: &mut Vec<String>, path: &str, code: &str, product: &str) {
    // Test code is blanked, not removed: count the lines that hold something only before blanking.
    let tests = code.lines().zip(product.lines()).filter(|(all, kept)| all != kept).count();
    let lines = code.lines().count() - tests;
    if lines > MAX_LINES {
        found.push(format!("src/{path}:1: {lines} lines without tests; split it (limit {MAX_LINES})"));
    }
}

fn check_imports(found: &mut Vec<String>, path: &str, level: u32, code: &str) {
    let module = path.trim_end_matches(".rs");
    let own = top(module);
    if own == "lib" || own == "main" {
        return;
    }
    for (at, name) in root_paths(module, code) {
        let line = line_of(code, at);
        match self::level(&name) {
            _ if name == own || ROOT_MACROS.contains(&name.as_str()) => {}
            None => found.push(format!("src/{path}:{line}: crate::{name} has no layer")),
            Some(other) if other >= level => {
                found.push(format!("src/{path}:{line}: {own} must not import {name}"));
            }
            Some(_) => {}
        }
    }
}

/// The first segment of every path that starts at the crate's root: `crate::x`, each of
/// `crate::{x, y}`, and `super::x` from where `super` is the root.
fn root_paths(module: &str, code: &str) -> Vec<(usize, String)> {
    let depth = module.split('/').count();
    let to_root = vec!["super"; depth].join("::");
    let mut found = Vec::new();
    for root in ["crate", to_root.as_str()] {
        for at in occurrences(code, root) {
            let (before, rest) = code.split_at(at);
            let Some(after) = rest.strip_prefix(root).and_then(|rest| rest.strip_prefix("::")) else {
                continue;
            };
            // What a longer chain names, or an inline module's `super`, is no module of the root.
            let is_module = |name: &String| root == "crate" || self::level(name).is_some();
            if !before.ends_with("super::") {
                found.extend(first_segments(after).into_iter().filter(is_module).map(|name| (at, name)));
            }
        }
    }
    found
}

/// `x::y` → x; `{x::y, z::{…}}` → x, z.
fn first_segments(text: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = text.trim_start().strip_prefix('{') else { return vec![name(text)] };
    let mut depth = 1;
    let mut segments = vec![name(group)];
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => segments.push(name(group.split_at(at + 1).1)),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    segments.retain(|segment| !segment.is_empty() && segment != "self");
    segments
}

fn check_doors(found: &mut Vec<String>, path: &str, code: &str) {
    let module = path.trim_end_matches(".rs");
    for (name, doors) in DOORS {
        let is_open = doors.iter().any(|door| match door.strip_suffix('*') {
            Some(family) => module == family || module.starts_with(&format!("{family}/")),
            None => module == *door,
        });
        if is_open {
            continue;
        }
        for at in occurrences(code, name) {
            let (before, rest) = code.split_at(at);
            let after = rest.strip_prefix(name).unwrap_or(rest);
            let is_inner = before.ends_with("::") && !before.ends_with(" ::") || before.ends_with('.');
            let is_path = after.starts_with("::");
            let is_use = before.ends_with("use ") || before.ends_with("extern crate ");
            if !is_inner && (is_path || is_use) {
                let line = line_of(code, at);
                found.push(format!("src/{path}:{line}: {name} only in {}", doors.join(", ")));
            }
        }
    }
}

/// Modules declared as `#[cfg(test)] mod name;`, by path.
fn test_modules(sources: &[(&str, String, String)]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, code, product) in sources {
        for at in occurrences(code, "mod") {
            let declared = code.split_at(at).1.trim_start_matches("mod").trim_start();
            let name: String = declared.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let is_file = declared.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(';'));
            let is_test = !product.split_at(at).1.starts_with("mod");
            if is_file && is_test {
                let parent = path.trim_end_matches(".rs");
                let parent = if parent == "lib" { String::new() } else { format!("{parent}/") };
                found.insert(format!("{parent}{name}"));
            }
        }
    }
    found
}

/// The code with comments, strings and characters blanked, line by line as long as before.
fn blank_comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = token_to_blank(rest, code.chars().next_back());
        let (token, after) = rest.split_at(length.unwrap_or(c.len_utf8()));
        if length.is_some() {
            code.extend(token.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        } else {
            code.push(c);
        }
        rest = after;
    }
    code
}

/// The length of the comment, string or character at the start, if one starts there.
fn token_to_blank(rest: &str, before: Option<char>) -> Option<usize> {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    if rest.starts_with('"') {
        return Some(quoted(rest, '"'));
    }
    if rest.starts_with('\'') {
        let is_character = rest.starts_with("'\\") || rest.chars().nth(2) == Some('\'');
        return is_character.then(|| quoted(rest, '\''));
    }
    let raw = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r')).filter(|_| !in_word)?;
    let hashes = raw.len() - raw.trim_start_matches('#').len();
    let body = raw.trim_start_matches('#').strip_prefix('"')?;
    let closing = format!("\"{}", "#".repeat(hashes));
    let end = body.find(&closing).map_or(body.len(), |at| at + closing.len());
    Some(rest.len() - body.len() + end)
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_u32;
    for (at, _) in rest.char_indices() {
        let here = rest.split_at(at).1;
        if here.starts_with("/*") {
            depth += 1;
        } else if here.starts_with("*/") {
            depth = depth.saturating_sub(1);
            // `/*/` opens and does not close: the star is shared.
            if depth == 0 && at > 1 {
                return at + 2;
            }
        }
    }
    rest.len()
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The code with every item under `#[cfg(test)]` blanked.
fn blank_tests(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    let starts = ["#[cfg(test)]", "#[cfg(all(test"];
    while let Some(at) = starts.iter().filter_map(|start| rest.find(start)).min() {
        let (before, item) = rest.split_at(at);
        kept.push_str(before);
        let (item, after) = item.split_at(item_length(item));
        kept.extend(item.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = after;
    }
    kept.push_str(rest);
    kept
}

/// From an attribute to the end of the item it stands on: a `;` or `,`, or the matching brace.
fn item_length(item: &str) -> usize {
    let mut depth = 0_i32;
    for (at, c) in item.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth -= 1;
                if depth < 0 {
                    return at;
                }
                if depth == 0 && c == '}' {
                    return at + 1;
                }
            }
            ';' | ',' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    item.len()
}

fn sources(folder: &Path, below: &str, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).expect("src can be listed") {
        let path = entry.expect("src can be listed").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("file names are UTF-8");
        if path.is_dir() {
            sources(&path, &format!("{below}{name}/"), found);
        } else if name.ends_with(".rs") {
            let text = std::fs::read_to_string(&path).expect("a source can be read");
            found.push((format!("{below}{name}"), text));
        }
    }
}

#[test]
fn the_sources_keep_to_the_layout() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut files);
    files.sort();
    assert!(files.len() > 20, "only {} sources were found", files.len());
    let files: Vec<Source<'_>> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let found = lint(&files);
    assert!(found.is_empty(), "{} breaches of the layout:\n{}", found.len(), found.join("\n"));
}

/// Asserts that one file is blamed once, with a text that contains all of these.
#[track_caller]
fn blamed(path: &str, text: &str, expected: &[&str]) {
    let found = lint(&[(path, text)]);
    assert_eq!(found.len(), 1, "{path}: {found:#?}");
    for part in expected {
        assert!(found.iter().all(|line| line.contains(part)), "{part:?} is not in {found:?}");
    }
}

#[track_caller]
fn accepted(path: &str, text: &str) {
    assert_eq!(lint(&[(path, text)]), Vec::<String>::new(), "{path}");
}

#[test]
fn blames_imports_of_siblings_and_of_higher_layers() {
    blamed(
        "dispatch.rs",
        "\nuse crate::sip::Message;\nuse crate::probe::Prober;",
        &["src/dispatch.rs:3", "probe"],
    );
    blamed("sip/edit.rs", "use crate::proxy::Core;", &["sip must not import proxy"]);
    blamed("facts.rs", "use crate::{\n    sip::{a, b},\n};", &["facts must not import sip"]);
    blamed("net/udp.rs", "use crate::{facts::Hop, telemetry};", &["net must not import telemetry"]);
    blamed("admin.rs", "fn f() { crate::config::load() }", &["admin must not import config"]);
    blamed("probe.rs", "use super::dispatch;", &["probe must not import dispatch"]);
    blamed("proxy/plan.rs", "use super::super::net;", &["proxy must not import net"]);
    blamed("runtime/reload.rs", "use crate::cli::run;", &["runtime must not import cli"]);
    blamed("proxy.rs", "use crate::helpers::x;", &["crate::helpers has no layer"]);
    blamed("helpers.rs", "", &["has no layer"]);
}

#[test]
fn accepts_children_parents_and_lower_layers() {
    accepted(
        "proxy.rs",
        "mod plan; use crate::{dispatch, facts::Hop, probe, sip, transaction}; use crate::proxy::plan;",
    );
    accepted("proxy/plan.rs", "use super::Settings; use super::settings::Route; use crate::words;");
    accepted("dispatch/algorithm/hash.rs", "use super::super::set::Set; use super::Key;");
    accepted("cli/run.rs", "use crate::{admin::client, config, runtime, telemetry};");
    accepted("lib.rs", "pub mod admin;");
    accepted(
        "sip.rs",
        "// use crate::net;\n/* crate::net /* nested */ */ const A: &str = \"crate::net::x\"; const B: &str = r#\"crate::net\"#;",
    );
    accepted(
        "facts.rs",
        "pub(crate) fn f<'a>(x: &'a str) -> char { '\"' }\n#[cfg(test)]\nmod tests { use crate::net::x; }",
    );
}

#[test]
fn blames_a_crate_that_comes_in_by_another_door() {
    blamed("sip/header.rs", "use rsip::Uri;", &["src/sip/header.rs:1", "rsip only in sip/model"]);
    blamed("net.rs", "fn f() { tracing::info!(\"x\") }", &["tracing only in telemetry*"]);
    blamed("net.rs", "use prometheus;", &["prometheus"]);
    blamed("telemetry/metrics.rs", "use hyper::Request;", &["hyper only in admin*, telemetry/otlp*"]);
    blamed("runtime.rs", "use serde_yaml::Value;", &["serde_yaml"]);
    blamed("proxy.rs", "use tokio::sync::mpsc;", &["tokio"]);
    blamed("dispatch.rs", "use ::anyhow::Result;", &["anyhow"]);
    accepted("sip/model.rs", "use rsip::Uri;");
    accepted("telemetry/otlp.rs", "use hyper::Request; use tracing::info;");
    accepted("telemetry/otlp/client.rs", "use hyper_util::rt::TokioExecutor;");
    blamed("telemetry/otlp_like.rs", "use hyper::Request;", &["hyper"]);
    accepted("admin/client.rs", "use hyper_util::client::legacy::Client;");
    accepted("sip.rs", "mod rsip_like; use crate::sip::rsip::X; fn tokio() {}");
}

#[test]
fn blames_clocks_chance_locks_and_waiting_below_the_sockets() {
    blamed("proxy.rs", "fn f() { let now = Instant::now(); }", &["Instant::now"]);
    blamed("facts/names.rs", "fn f() { SystemTime::now(); }", &["SystemTime"]);
    blamed("transaction.rs", "fn f(x: Instant) { x.elapsed(); }", &[".elapsed()"]);
    blamed("dispatch/set.rs", "fn f() { rand::thread_rng(); }", &["thread_rng"]);
    blamed("sip.rs", "fn f() { getrandom::fill(b); }", &["getrandom"]);
    blamed("probe.rs", "async fn f() {}", &["async fn"]);
    blamed("proxy.rs", "struct A { x: Mutex<u8> }", &["Mutex"]);
    accepted("net.rs", "fn f() { Instant::now(); getrandom::fill(b); }");
    accepted("proxy.rs", "fn f() {}\n#[cfg(test)]\nmod tests {\n    fn g() { Instant::now(); }\n}\n");
    blamed("proxy.rs", "#[cfg(test)]\nuse a::b;\nfn f() { Instant::now(); }", &["src/proxy.rs:3"]);
}

#[test]
fn blames_debris_and_printing_below_the_commands() {
    blamed("cli/list.rs", "fn f() { dbg!(1); }", &["dbg!"]);
    blamed("main.rs", "fn f() { todo!() }", &["todo!"]);
    blamed("sip.rs", "#[cfg(test)]\nmod tests { fn f() { dbg!(1); } }", &["dbg!"]);
    blamed("telemetry.rs", "fn f() { println!(\"\"); }", &["println!"]);
    blamed("runtime.rs", "fn f() { std::process::exit(1); }", &["only main"]);
    accepted("cli/list.rs", "fn f() { println!(\"\"); writeln!(f, \"\"); }");
    accepted("net.rs", "fn f() { writeln!(f, \"println! 1\"); }");
}

#[test]
fn blames_mod_rs_and_files_that_are_too_long() {
    blamed("sip/mod.rs", "", &["src/sip/mod.rs:1", "mod.rs"]);
    let long = "const A: u8 = 0;\n".repeat(MAX_LINES + 1);
    blamed("sip.rs", &long, &["601 lines"]);
    let with_tests = format!(
        "{}#[cfg(test)]\nmod tests {{\n{}}}\n",
        "fn f() {}\n".repeat(MAX_LINES),
        "fn g() {}\n".repeat(90)
    );
    accepted("sip.rs", &with_tests);
}

#[test]
fn test_files_of_their_own_are_not_product_code() {
    let declared = ("proxy.rs", "#[cfg(test)]\nmod tests;\n");
    let tests = ("proxy/tests.rs", "use crate::net::x; fn f() { Instant::now(); }");
    assert_eq!(lint(&[declared, tests]), Vec::<String>::new());
    assert_eq!(lint(&[("proxy.rs", "mod tests;"), tests]).len(), 2);
}
