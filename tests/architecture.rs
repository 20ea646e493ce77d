//! `docs/ARCHITECTURE.md` names files, types, functions and tests; each of them exists. So does every
//! file that a page links to.

use std::path::Path;

/// A source: its path from the root of the repository and its text.
type Source<'a> = (&'a str, &'a str);

/// Everything that a page names and the sources do not have.
fn missing(page: &str, sources: &[Source<'_>]) -> Vec<String> {
    let named = code_spans(page).into_iter().chain(charts(page));
    let mut found: Vec<String> = named.flat_map(tokens).filter(|token| !exists(token, sources)).collect();
    found.sort();
    found.dedup();
    found
}

/// The texts in back-ticks within a line.
fn code_spans(page: &str) -> Vec<&str> {
    let lines = page.lines().filter(|line| !line.starts_with("```"));
    lines.flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// The lines of the charts.
fn charts(page: &str) -> Vec<&str> {
    let blocks = page.split("```mermaid").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(str::lines).collect()
}

/// Paths of Rust files and `a::b` of any kind in a text; a text that is one type's name is one, too.
fn tokens(text: &str) -> Vec<String> {
    if text.starts_with(char::is_uppercase) && text.chars().all(char::is_alphanumeric) && text.len() > 1 {
        return vec![text.to_owned()];
    }
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '/' | '.');
    let words = text.split(|c| !is_part(c)).map(|word| word.trim_matches(['.', ':', '/']));
    words.filter(|word| word.ends_with(".rs") || word.contains("::")).map(str::to_owned).collect()
}

fn exists(token: &str, sources: &[Source<'_>]) -> bool {
    let file = |path: &str| sources.iter().find(|(known, _)| *known == path).map(|(_, text)| *text);
    match token.rsplit_once("::") {
        None if token.ends_with(".rs") => file(token).is_some(),
        None => sources.iter().any(|(path, text)| path.starts_with("src/") && defines_type(text, token)),
        Some((path, name)) if path.ends_with(".rs") => {
            file(path).is_some_and(|text| has_function(text, name))
        }
        Some((owner, name)) if owner.starts_with(char::is_uppercase) => {
            sources.iter().any(|(path, text)| path.starts_with("src/") && has_member(text, owner, name))
        }
        Some((module, name)) => {
            let suffix = format!("/{module}.rs");
            sources.iter().any(|(path, text)| path.ends_with(&suffix) && has_function(text, name))
        }
    }
}

/// Whether a word stands by itself in a text.
fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

fn has_function(text: &str, name: &str) -> bool {
    text.lines().any(|line| defines_function(line, name))
}

fn defines_function(line: &str, name: &str) -> bool {
    let after = line.split_once("fn ").and_then(|(_, rest)| rest.strip_prefix(name));
    after.is_some_and(|rest| rest.starts_with(['(', '<']))
}

fn defines_type(text: &str, name: &str) -> bool {
    text.contains(name)
        && text.lines().map(str::trim_start).any(|line| {
            let kinds = ["struct ", "enum ", "trait ", "type "];
            let is_declared = kinds.iter().any(|kind| {
                let after = line.split_once(kind).and_then(|(_, rest)| rest.strip_prefix(name));
                after.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
            });
            is_declared || line.strip_prefix(name).is_some_and(|rest| rest == " {")
        })
}

/// Whether a block about `owner` (`impl`, `trait`, `struct`, `enum`, or an enum of `words!`) has a
/// function, a variant or a field of this name.
fn has_member(text: &str, owner: &str, name: &str) -> bool {
    if !text.contains(owner) || !text.contains(name) {
        return false;
    }
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let head = line.trim_start();
        if !head.ends_with('{') || !has_word(head, owner) {
            continue;
        }
        let is_block = ["impl", "trait", "struct", "enum"].iter().any(|word| has_word(head, word));
        let is_words = head.strip_prefix(owner).is_some_and(|rest| rest == " {");
        if !is_block && !is_words {
            continue;
        }
        let indent = line.len() - head.len();
        let end = format!("{}}}", " ".repeat(indent));
        if lines.by_ref().take_while(|line| *line != end).any(|line| is_member(line, name)) {
            return true;
        }
    }
    false
}

fn is_member(line: &str, name: &str) -> bool {
    let line = line.trim_start();
    let bare = line.strip_prefix("pub ").unwrap_or(line);
    let is_listed = bare.strip_prefix(name).is_some_and(|rest| {
        rest.is_empty()
            || rest.starts_with([',', '(', ':'])
            || rest.starts_with(" {")
            || rest.starts_with(" =>")
    });
    is_listed || defines_function(line, name)
}

fn collect(root: &Path, folder: &str, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(root.join(folder)).expect("a folder of sources can be listed") {
        let path = entry.expect("a folder of sources can be listed").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("file names are UTF-8");
        let below = format!("{folder}/{name}");
        if path.is_dir() {
            collect(root, &below, found);
        } else if name.ends_with(".rs") {
            found.push((below, std::fs::read_to_string(&path).expect("a source can be read")));
        }
    }
}

#[test]
fn what_the_page_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(root, "src", &mut files);
    collect(root, "tests", &mut files);
    let sources: Vec<Source<'_>> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let page = std::fs::read_to_string(root.join("docs/ARCHITECTURE.md")).expect("the page can be read");
    let named: usize =
        code_spans(&page).into_iter().chain(charts(&page)).map(|text| tokens(text).len()).sum();
    assert!(named > 100, "only {named} names were found");
    let missing = missing(&page, &sources);
    assert!(missing.is_empty(), "docs/ARCHITECTURE.md names what does not exist:\n{}", missing.join("\n"));
}

/// The files that a page links to, as written.
fn links(page: &str) -> Vec<&str> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://"))
        .map(|target| target.split('#').next().unwrap_or(target))
        .collect()
}

#[test]
fn every_link_of_a_page_leads_to_a_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for folder in ["", "docs", "docs/runbooks", "alerts"] {
        for entry in std::fs::read_dir(root.join(folder)).expect("a folder of pages can be listed") {
            let path = entry.expect("a folder of pages can be listed").path();
            if path.extension().is_none_or(|extension| extension != "md") {
                continue;
            }
            let page = std::fs::read_to_string(&path).expect("a page can be read");
            for link in links(&page) {
                count += 1;
                let leads_to = path.with_file_name(link);
                assert!(leads_to.exists(), "{} links to {link}, which is not there", path.display());
            }
        }
    }
    assert!(count > 20, "only {count} links were found");
}

#[test]
fn names_that_are_gone_are_blamed() {
    let sources = [
        (
            "src/a.rs",
            "pub enum Kind {\n    One,\n    Two(u8),\n}\nimpl Kind {\n    fn go(self) {}\n}\nfn alone() {}\n",
        ),
        (
            "src/b/c.rs",
            "words! {\n    Word {\n        First => \"first\",\n    }\n}\nimpl Show for Thing<u8> {\n    fn show(&self) {}\n}\n",
        ),
        ("tests/d.rs", "#[test]\nfn it_works() {}\n"),
    ];
    let there = "`src/a.rs`, `Kind::One` or `Kind::Two`, `Kind::go(x)`, `Kind`, `Word`, `a::alone`, `Word::First`, `Thing::show`, `tests/d.rs::it_works`\n\
                 ```mermaid\n  A->>B: Kind::go → Thing::show.\n```\n";
    assert_eq!(missing(there, &sources), Vec::<String>::new());
    let gone = "`src/z.rs` `Kind::Three` `Kind::alone` `Kin` `a::gone` `Word::Second` `Nobody::show` `tests/d.rs::it`\n\
                ```mermaid\n  A->>B: Kind::stop\n```\n";
    let expected = [
        "Kin",
        "Kind::Three",
        "Kind::alone",
        "Kind::stop",
        "Nobody::show",
        "Word::Second",
        "a::gone",
        "src/z.rs",
        "tests/d.rs::it",
    ];
    assert_eq!(missing(gone, &sources), expected);
}
