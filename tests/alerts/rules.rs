//! The rules of `alerts/*.yml` and the promtool tests of `alerts/tests`, as they stand in the files.

#![allow(dead_code, reason = "each test file uses its own part")]

use serde_yaml::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A rule: an alert or a recorded series.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The file's name in `alerts`.
    pub file: String,
    /// Its group in the file.
    pub group: usize,
    /// Its place in the group.
    pub place: usize,
    /// The whole rule.
    pub body: Value,
}

impl Rule {
    /// Whether it is an alert.
    pub fn is_alert(&self) -> bool {
        self.body.get("alert").is_some()
    }

    /// The name of the alert or of the recorded series.
    pub fn name(&self) -> &str {
        if self.is_alert() { text(&self.body, &["alert"]) } else { text(&self.body, &["record"]) }
    }

    /// Its expression.
    pub fn expr(&self) -> &str {
        text(&self.body, &["expr"])
    }

    /// Its name and, where several rules share one, the window that tells them apart.
    pub fn title(&self) -> String {
        match text(&self.body, &["labels", "window"]) {
            "" => self.name().to_owned(),
            window => format!("{} ({window})", self.name()),
        }
    }
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file.
pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of the files with an extension, sorted; `X.example.yml` is no file of rules.
pub fn files(folder: &str, extension: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).expect("the folder is part of the repository");
    let paths = entries.map(|entry| entry.expect("a folder can be listed").path());
    let mut names: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .filter_map(|path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned))
        .filter(|name| !name.contains(".example."))
        .collect();
    names.sort();
    names
}

/// A file of the repository as YAML.
pub fn yaml(path: &str) -> Value {
    serde_yaml::from_str(&read(&root().join(path))).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The list under a key; empty without one.
pub fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_sequence).map_or(&[], Vec::as_slice)
}

/// The text under a path of keys; empty without one.
pub fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    path.iter().try_fold(value, |value, key| value.get(key)).and_then(Value::as_str).unwrap_or("")
}

/// Every rule of every file, in order.
pub fn rules() -> Vec<Rule> {
    let mut found = Vec::new();
    for file in files("alerts", "yml") {
        for (group, body) in list(&yaml(&format!("alerts/{file}")), "groups").iter().enumerate() {
            for (place, body) in list(body, "rules").iter().enumerate() {
                found.push(Rule { file: file.clone(), group, place, body: body.clone() });
            }
        }
    }
    assert!(found.len() >= 40, "only {} rules were found", found.len());
    found
}

/// Every alert.
pub fn alerts() -> Vec<Rule> {
    rules().into_iter().filter(Rule::is_alert).collect()
}

/// The files of tests, each with its content.
pub fn tests() -> Vec<(String, Value)> {
    let names = files("alerts/tests", "yml");
    names.into_iter().map(|name| (name.clone(), yaml(&format!("alerts/tests/{name}")))).collect()
}

/// Runs promtool in a folder; its exit status and what it printed.
pub fn promtool(folder: &Path, arguments: &[String]) -> (bool, String) {
    let run = Command::new("promtool").args(arguments).current_dir(folder).output();
    let output = run.unwrap_or_else(|error| {
        panic!("promtool cannot be run ({error}): it checks the alerts; install it with `apt-get install prometheus`")
    });
    let printed = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&printed).into_owned())
}

/// A folder of a test's own below `target/tmp`, empty.
pub fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the target folder can be written");
    folder
}
