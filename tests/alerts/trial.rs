//! Tries mutants against the promtool tests: a few of promtool's runs for all of them.

#![expect(
    clippy::indexing_slicing,
    reason = "numbers are those of the mutants at hand; a test fails by panicking"
)]

use super::mutants::Mutant;
use super::rules::{self, Rule, list, promtool, text};
use serde_yaml::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;

/// Mutants of one promtool run, so that a run neither takes long nor is one of a thousand.
const TOGETHER: usize = 24;

/// What is done to the control.
const UNBROKEN: &str = "nothing";

/// What is tried of one rule: the tests that speak of it, and the rules that they need.
struct Bench<'a> {
    rule: &'a Rule,
    /// The file of the rule, with the broken one left to be put in.
    needed: Vec<&'a Rule>,
    /// Each test as a file of its own.
    tests: Vec<Value>,
}

/// The mutants that no test notices, as `rule: what was done`.
pub fn survivors(rules: &[Rule], mutants_of: impl Fn(&Rule) -> Vec<Mutant>) -> (usize, Vec<String>) {
    let tests = rules::tests();
    let folder = rules::folder("mutants");
    let mut batches = Vec::new();
    let benches: Vec<_> = rules.iter().map(|rule| Bench::new(rule, rules, &tests)).collect();
    let mut count = 0;
    for bench in &benches {
        let mutants = mutants_of(bench.rule);
        count += mutants.len();
        let control = Mutant { what: UNBROKEN.to_owned(), body: bench.rule.body.clone() };
        let tried: Vec<_> = [control].into_iter().chain(mutants).collect();
        for (number, some) in tried.chunks(TOGETHER).enumerate() {
            let name = format!("{}-{}-{}-{number}", bench.rule.file, bench.rule.group, bench.rule.place);
            batches.push((folder.join(name), bench, some.to_vec()));
        }
    }
    let (queue, found) = (Mutex::new(batches.into_iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no thread panics while it holds it").next();
                    let Some((folder, bench, mutants)) = next else { break };
                    let survived = bench.run(&folder, &mutants);
                    found.lock().expect("no thread panics while it holds it").extend(survived);
                }
            });
        }
    });
    _ = std::fs::remove_dir_all(&folder);
    let mut found = found.into_inner().expect("no thread has panicked");
    let unbroken: Vec<_> =
        found.extract_if(.., |(_, what)| what == UNBROKEN).map(|(title, _)| title).collect();
    let failing: Vec<_> = rules.iter().map(Rule::title).filter(|title| !unbroken.contains(title)).collect();
    assert!(failing.is_empty(), "the tests fail with these as they are: {failing:?}");
    let mut survivors: Vec<_> = found.into_iter().map(|(title, what)| format!("{title}: {what}")).collect();
    survivors.sort();
    (count, survivors)
}

impl<'a> Bench<'a> {
    fn new(rule: &'a Rule, rules: &'a [Rule], tests: &[(String, Value)]) -> Self {
        let window = text(&rule.body, &["labels", "window"]);
        let about = |test: &Value| {
            let test = serde_yaml::to_string(test).expect("a test is YAML");
            mentions(&test, rule.name())
        };
        let speaks = |content: &Value| {
            let content = serde_yaml::to_string(content).expect("a test is YAML");
            window.is_empty() || content.contains(&format!("window: {window}"))
        };
        let mut chosen = Vec::new();
        for (_, content) in tests.iter().filter(|(_, content)| speaks(content)) {
            for test in list(content, "tests").iter().filter(|test| about(test)) {
                let mut content = content.clone();
                *content.get_mut("tests").expect("it was listed") = Value::Sequence(vec![test.clone()]);
                chosen.push(content);
            }
        }
        assert!(!chosen.is_empty(), "no test speaks of {}", rule.title());
        let said: String = chosen.iter().filter_map(|test| serde_yaml::to_string(test).ok()).collect();
        let needed = needed(rule, &said, rules);
        Self { rule, needed, tests: chosen }
    }

    /// Tries the mutants against one test after the other, each only until a test notices it; what was
    /// done to those that pass all.
    fn run(&self, folder: &Path, mutants: &[Mutant]) -> Vec<(String, String)> {
        let title = self.rule.title();
        for (number, mutant) in mutants.iter().enumerate() {
            self.write(&folder.join(number.to_string()), mutant);
        }
        let check = (0..mutants.len()).map(|number| format!("{number}/{}", self.rule.file));
        let (loads, printed) = promtool(folder, &arguments("check", check));
        assert!(loads, "{title}: a mutant must load, or it proves nothing: {printed}");
        let mut alive: Vec<_> = (0..mutants.len()).collect();
        for test in 0..self.tests.len() {
            let files = alive.iter().map(|number| format!("{number}/tests/{test}.yml"));
            let (_, printed) = promtool(folder, &arguments("test", files));
            assert_eq!(printed.matches("Unit Testing:").count(), alive.len(), "{title}: {printed}");
            let parts = printed.split("Unit Testing:").skip(1).filter(|part| part.contains("SUCCESS"));
            let passed: BTreeSet<_> = parts.filter_map(|part| part.trim_start().split('/').next()).collect();
            alive.retain(|number| passed.contains(number.to_string().as_str()));
        }
        _ = std::fs::remove_dir_all(folder);
        alive.into_iter().map(|number| (title.clone(), mutants[number].what.clone())).collect()
    }

    /// Writes the rule files and the tests of one mutant. Of the rule's own file only what is needed.
    fn write(&self, folder: &Path, mutant: &Mutant) {
        std::fs::create_dir_all(folder.join("tests")).expect("the target folder can be written");
        let write = |name: &str, content: &Value| {
            let text = serde_yaml::to_string(content).expect("rules and tests are YAML");
            std::fs::write(folder.join(name), text).expect("the target folder can be written");
        };
        let mut own = rules::yaml(&format!("alerts/{}", self.rule.file));
        let groups = own.get_mut("groups").and_then(Value::as_sequence_mut).expect("the rule is in a group");
        for (group, body) in groups.iter_mut().enumerate() {
            let rules = body.get_mut("rules").and_then(Value::as_sequence_mut).expect("a group has rules");
            let mut kept = Vec::new();
            for (place, rule) in rules.drain(..).enumerate() {
                let here = |other: &Rule| (other.group, other.place) == (group, place);
                if here(self.rule) {
                    kept.push(mutant.body.clone());
                } else if self.needed.iter().any(|other| other.file == self.rule.file && here(other)) {
                    kept.push(rule);
                }
            }
            *rules = kept;
        }
        write(&self.rule.file, &own);
        for (number, content) in self.tests.iter().enumerate() {
            write(&format!("tests/{number}.yml"), content);
            for other in list(content, "rule_files").iter().filter_map(Value::as_str) {
                let other = other.trim_start_matches("../");
                if other != self.rule.file {
                    write(other, &rules::yaml(&format!("alerts/{other}")));
                }
            }
        }
    }
}

fn arguments(command: &str, files: impl Iterator<Item = String>) -> Vec<String> {
    [command.to_owned(), "rules".to_owned()].into_iter().chain(files).collect()
}

/// The other rules that a rule and what its tests say make use of, and those that these use.
fn needed<'a>(rule: &Rule, said: &str, rules: &'a [Rule]) -> Vec<&'a Rule> {
    let others = || rules.iter().filter(|other| other.name() != rule.name());
    let mut needed: Vec<&Rule> = Vec::new();
    let mut open = vec![rule.expr(), said];
    while let Some(text) = open.pop() {
        let used = others().filter(|other| mentions(text, other.name()));
        let used: Vec<_> = used.filter(|other| !needed.iter().any(|known| same(known, other))).collect();
        open.extend(used.iter().map(|other| other.expr()));
        needed.extend(used);
    }
    needed
}

fn same(a: &Rule, b: &Rule) -> bool {
    (&a.file, a.group, a.place) == (&b.file, b.group, b.place)
}

/// Whether a name stands in a text, and not as a part of a longer one.
fn mentions(text: &str, name: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    text.match_indices(name)
        .any(|(at, _)| !text[..at].ends_with(is_name) && !text[at + name.len()..].starts_with(is_name))
}
