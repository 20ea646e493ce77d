//! `docs/requirements.md`: its numbers are complete, and every test it names exists.

use std::fs;
use std::path::Path;

const COUNT: usize = 41;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of the table, each in its columns.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.map(|row| row.trim_end_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    cells.filter(|row| row.first().is_some_and(|number| number.parse::<usize>().is_ok())).collect()
}

/// Whether a source file holds a test of that name.
fn has_test(source: &str, name: &str) -> bool {
    let mut lines = source.lines().peekable();
    while let Some(line) = lines.next() {
        let is_test = line.trim().starts_with("#[test]") || line.trim().starts_with("#[tokio::test");
        if is_test && lines.peek().is_some_and(|next| next.contains(&format!("fn {name}("))) {
            return true;
        }
    }
    false
}

#[test]
fn every_requirement_has_its_line_and_every_test_named_exists() {
    let text = read("docs/requirements.md");
    let rows = rows(&text);
    let numbers: Vec<usize> = rows.iter().filter_map(|row| row.first()?.parse().ok()).collect();
    assert_eq!(numbers, (1..=COUNT).collect::<Vec<_>>());
    for row in &rows {
        let [number, what, rfc, decided, shown] = row[..] else { panic!("five columns: {row:?}") };
        assert!(!what.is_empty() && !rfc.is_empty(), "{number} says nothing");
        let tests: Vec<&str> = shown.split('`').map(str::trim).filter(|name| !name.is_empty()).collect();
        assert!(!tests.is_empty() || decided.contains("not in this version"), "nothing shows {number}");
        for test in tests {
            let (file, name) = test.split_once("::").unwrap_or_else(|| panic!("{number}: {test}"));
            assert!(has_test(&read(file), name), "{number}: there is no test {test}");
        }
    }
}

#[test]
fn a_test_that_is_not_there_is_noticed() {
    assert!(has_test("    #[test]\n    fn there() {", "there"));
    assert!(!has_test("#[test]\nfn there_too() {", "there"));
    assert!(!has_test("fn there() {", "there"));
}
