//! Each patch of `tests/mutations` applies to the sources as they are: `scripts/mutate.sh`, which takes
//! hours, is not where that shows first.

use std::path::Path;

/// What a patch changes: the file, the head of the hunk, its lines.
struct Hunk<'a> {
    file: &'a str,
    head: &'a str,
    lines: Vec<&'a str>,
}

fn hunks(patch: &str) -> Vec<Hunk<'_>> {
    let mut file = "";
    let mut found: Vec<Hunk<'_>> = Vec::new();
    for line in patch.lines() {
        if let Some(path) = line.strip_prefix("--- a/") {
            file = path;
        } else if line.starts_with("@@ ") {
            found.push(Hunk { file, head: line, lines: Vec::new() });
        } else if !line.starts_with("+++ b/")
            && let Some(hunk) = found.last_mut()
        {
            hunk.lines.push(line);
        }
    }
    found
}

impl Hunk<'_> {
    /// The lines before the change (`-`) or after it (`+`).
    fn side(&self, sign: char) -> Vec<&str> {
        self.lines.iter().filter_map(|line| line.strip_prefix([' ', sign])).collect()
    }

    /// How many lines the head promises, before or after the change.
    fn promised(&self, sign: char) -> Option<usize> {
        let range = self.head.split(' ').find_map(|word| word.strip_prefix(sign))?;
        range.split_once(',').map_or(Some(1), |(_, count)| count.parse().ok())
    }
}

/// Why a patch does not apply, given the texts of the files.
fn misfit(patch: &str, read: impl Fn(&str) -> Option<String>) -> Option<String> {
    let hunks = hunks(patch);
    if hunks.is_empty() {
        return Some("changes nothing".to_owned());
    }
    hunks.iter().find_map(|hunk| {
        let Hunk { file, head, .. } = hunk;
        let before = hunk.side('-');
        if hunk.promised('-') != Some(before.len()) || hunk.promised('+') != Some(hunk.side('+').len()) {
            return Some(format!("{head} does not count its lines"));
        }
        let Some(text) = read(file) else { return Some(format!("{file} is not there")) };
        // In two places, it would go to whichever the last change of the file moved closer.
        let lines: Vec<&str> = text.lines().collect();
        match lines.windows(before.len().max(1)).filter(|window| *window == before).count() {
            1 => None,
            places => Some(format!("{head} fits {places} places of {file}")),
        }
    })
}

#[test]
fn every_mutation_applies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut misfits = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(root.join("tests/mutations")).expect("the folder can be listed") {
        let path = entry.expect("the folder can be listed").path();
        let patch = std::fs::read_to_string(&path).expect("a patch can be read");
        let why = misfit(&patch, |file| std::fs::read_to_string(root.join(file)).ok());
        let name = path.strip_prefix(root).expect("it is below the root").display();
        misfits.extend(why.map(|why| format!("{name}: {why}")));
        count += 1;
    }
    assert!(count > 50, "only {count} mutations were found");
    misfits.sort();
    assert!(misfits.is_empty(), "port these to the sources:\n{}", misfits.join("\n"));
}

#[test]
fn patches_that_do_not_apply_are_blamed() {
    let patch =
        "Two is three.\n\n--- a/src/a.rs\n+++ b/src/a.rs\n@@ -1,3 +1,3 @@ fn f\n one\n-two\n+three\n \n";
    let with = |text: &str| misfit(patch, |file| (file == "src/a.rs").then(|| text.to_owned()));
    assert_eq!(with("zero\none\ntwo\n\nthree\n"), None);
    assert_eq!(with("one\n2\n\n").unwrap(), "@@ -1,3 +1,3 @@ fn f fits 0 places of src/a.rs");
    assert_eq!(with("one\ntwo\n\none\ntwo\n\n").unwrap(), "@@ -1,3 +1,3 @@ fn f fits 2 places of src/a.rs");
    assert_eq!(misfit(patch, |_| None).unwrap(), "src/a.rs is not there");
    assert_eq!(misfit("Nothing.\n", |_| None).unwrap(), "changes nothing");
    let short = patch.replace("-two\n", "");
    assert_eq!(misfit(&short, |_| None).unwrap(), "@@ -1,3 +1,3 @@ fn f does not count its lines");
}
