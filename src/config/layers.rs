//! The layers of a configuration, later ones winning: the file with its `${NAME}`s filled in, then
//! the environment variables `SIPWARDEN_A__B`. figment merges them.

use super::error::Problem;
use super::path::KeyPath;
use super::tree::{self, Node};
use figment::value::{Dict, Empty, Map, Num, Tag, Value};
use figment::{Figment, Metadata, Profile, Provider};
use std::cell::Cell;
use std::collections::BTreeMap;

/// What a variable that sets a key begins with.
const PREFIX: &str = "SIPWARDEN_";
/// Variables of the commands, not of the configuration.
const OF_COMMANDS: [&str; 1] = ["SIPWARDEN_URL"];
/// What Kubernetes sets in every pod beside a Service named `sipwarden`.
const OF_KUBERNETES: [&str; 2] = ["SIPWARDEN_PORT", "SIPWARDEN_SERVICE_"];

/// File and environment as one tree.
pub(super) struct Layers {
    /// The merged tree.
    pub(super) value: Value,
    /// The names of the sets in file order, then those only the environment has.
    pub(super) sets: Vec<String>,
    /// Which variable set which value.
    pub(super) overrides: Vec<(KeyPath, String)>,
    /// What is wrong so far.
    pub(super) problems: Vec<Problem>,
}

/// Merges a file's tree with the environment.
pub(super) fn merge(mut file: Node, env: &BTreeMap<String, String>) -> Layers {
    let mut problems = vec![];
    for path in tree::duplicates(&file) {
        problems.push(duplicate(&path));
    }
    if has_placeholder(&file) {
        interpolate(&mut file, &KeyPath::root(), env, &mut problems);
    }
    let mut overrides = vec![];
    let environment = environment(&file, env, &mut overrides, &mut problems);
    let mut sets = names_of_sets(&file);
    let figment = Figment::new()
        .merge(Layer { name: "file", dict: Cell::new(dict(file)) })
        .merge(Layer { name: "environment", dict: Cell::new(environment) });
    let value = figment.find_value("").unwrap_or_else(|_| Value::Dict(Tag::Default, Dict::new()));
    if let Some(all) = value.find_ref("sets").and_then(Value::as_dict) {
        let known: std::collections::HashSet<String> = sets.iter().cloned().collect();
        sets.extend(all.keys().filter(|name| !known.contains(*name)).cloned());
    }
    Layers { value, sets, overrides, problems }
}

fn duplicate(path: &KeyPath) -> Problem {
    use super::error::Mark;
    Problem::key(path, "written twice; the first is").mark(Mark::SecondKey).other(path, Mark::Key)
}

fn names_of_sets(file: &Node) -> Vec<String> {
    let Node::Map(entries) = file else { return vec![] };
    let mut seen = std::collections::HashSet::new();
    let sets = entries.iter().filter(|(key, _)| key == "sets").filter_map(|(_, value)| match value {
        Node::Map(sets) => Some(sets),
        Node::Null | Node::Bool(_) | Node::Integer(_) | Node::Float(_) | Node::Text(_) | Node::List(_) => {
            None
        }
    });
    let names = sets.flatten().map(|(name, _)| name);
    names.filter(|name| seen.insert(name.as_str())).cloned().collect()
}

/// One layer for figment.
struct Layer {
    name: &'static str,
    /// Given away when it is merged, which is once.
    dict: Cell<Dict>,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }
    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.dict.take())]))
    }
}

fn dict(node: Node) -> Dict {
    match value(node) {
        Value::Dict(_, dict) => dict,
        _ => Dict::new(),
    }
}

fn value(node: Node) -> Value {
    let tag = Tag::Default;
    match node {
        Node::Null => Value::Empty(tag, Empty::Unit),
        Node::Bool(value) => Value::Bool(tag, value),
        Node::Integer(number) => Value::Num(tag, Num::I128(number)),
        Node::Float(number) => Value::Num(tag, Num::F64(number)),
        Node::Text(text) => Value::String(tag, text),
        Node::List(items) => Value::Array(tag, items.into_iter().map(value).collect()),
        Node::Map(entries) => {
            Value::Dict(tag, entries.into_iter().map(|(key, node)| (key, value(node))).collect())
        }
    }
}

/// Whether there is anything to fill in, which is seldom and told without paths.
fn has_placeholder(node: &Node) -> bool {
    match node {
        Node::Text(text) => text.contains("${"),
        Node::List(items) => items.iter().any(has_placeholder),
        Node::Map(entries) => entries.iter().any(|(_, value)| has_placeholder(value)),
        Node::Null | Node::Bool(_) | Node::Integer(_) | Node::Float(_) => false,
    }
}

fn interpolate(node: &mut Node, path: &KeyPath, env: &BTreeMap<String, String>, problems: &mut Vec<Problem>) {
    match node {
        Node::Text(text) => {
            if text.contains("${") {
                match fill(text, env) {
                    Ok(filled) => *text = filled,
                    Err(message) => problems.push(Problem::value(path, message)),
                }
            }
        }
        Node::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                interpolate(item, &path.item(index), env, problems);
            }
        }
        Node::Map(entries) => {
            for (key, value) in entries {
                interpolate(value, &path.key(key), env, problems);
            }
        }
        Node::Null | Node::Bool(_) | Node::Integer(_) | Node::Float(_) => {}
    }
}

/// Fills in `${NAME}` and `${NAME:-default}`; `$${` stands for a literal `${`.
fn fill(text: &str, env: &BTreeMap<String, String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let Some((inside, tail)) = after.split_once('}') else {
            return Err("`${` without `}`; write `$${` for a literal `${`".into());
        };
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.bytes().next().is_none_or(|b| b.is_ascii_digit());
        if !is_name {
            return Err(format!(
                "`${{{}}}` does not name an environment variable; expected ${{NAME}} or ${{NAME:-default}}",
                inside.escape_debug()
            ));
        }
        match (env.get(name), default) {
            (Some(value), None) => out.push_str(value),
            (Some(value), Some(_)) if !value.is_empty() => out.push_str(value),
            (_, Some(default)) => out.push_str(default),
            (None, None) => {
                return Err(format!(
                    "the environment variable {name} is not set; set it, or give a default: ${{{name}:-…}}"
                ));
            }
        }
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

/// The variables that set keys, as a tree.
fn environment(
    file: &Node,
    env: &BTreeMap<String, String>,
    overrides: &mut Vec<(KeyPath, String)>,
    problems: &mut Vec<Problem>,
) -> Dict {
    let mut root = Dict::new();
    for (name, text) in env {
        let Some(keys) = name.strip_prefix(PREFIX) else { continue };
        let foreign = OF_COMMANDS.contains(&name.as_str())
            || OF_KUBERNETES.iter().any(|prefix| name.starts_with(prefix) && !keys.contains("__"));
        // Compose hands a variable on as empty where it is not set.
        if foreign || text.is_empty() {
            continue;
        }
        let node = match tree::parse(text) {
            Ok(node) => node,
            Err(_) => {
                let message = "not a YAML value; put text with special characters in quotes";
                problems.push(Problem::variable(name, message));
                continue;
            }
        };
        if !tree::duplicates(&node).is_empty() {
            problems.push(Problem::variable(name, "a key is written twice"));
        }
        match place(file, keys) {
            Ok(path) => {
                let known = path.iter().fold(KeyPath::root(), |at, key| at.key(key));
                overrides.push((known, name.clone()));
                insert(&mut root, &path, value(node));
            }
            Err(list) => problems.push(Problem::variable(
                name,
                format!("`{list}` is a list; a variable can only set all of it"),
            )),
        }
    }
    root
}

/// Spells a variable's keys as the file does, whose case and dashes a variable cannot carry.
fn place(file: &Node, keys: &str) -> Result<Vec<String>, String> {
    let mut at = Some(file);
    let mut path: Vec<String> = vec![];
    for key in keys.split("__") {
        let key = key.to_ascii_lowercase();
        let entry = match at {
            Some(Node::List(_)) => return Err(path.join(".")),
            Some(Node::Map(entries)) => entries.iter().find(|(name, _)| plain(name) == key),
            Some(Node::Null | Node::Bool(_) | Node::Integer(_) | Node::Float(_) | Node::Text(_)) | None => {
                None
            }
        };
        at = entry.map(|(_, node)| node);
        path.push(entry.map_or(key, |(name, _)| name.clone()));
    }
    Ok(path)
}

fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}

fn insert(dict: &mut Dict, path: &[String], value: Value) {
    let Some((key, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        dict.insert(key.clone(), value);
        return;
    }
    let inner = dict.entry(key.clone()).or_insert_with(|| Value::Dict(Tag::Default, Dict::new()));
    if !matches!(inner, Value::Dict(..)) {
        *inner = Value::Dict(Tag::Default, Dict::new());
    }
    if let Value::Dict(_, inner) = inner {
        insert(inner, rest, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn fills_in_variables_and_defaults() {
        let env = env(&[("HOST", "10.0.0.1"), ("EMPTY", "")]);
        assert_eq!(fill("sip:${HOST}:${PORT:-5060}", &env).unwrap(), "sip:10.0.0.1:5060");
        assert_eq!(fill("${EMPTY:-x}${EMPTY}", &env).unwrap(), "x");
        assert_eq!(fill("$${HOST}", &env).unwrap(), "${HOST}");
        assert_eq!(fill("^\\+49$", &env).unwrap(), "^\\+49$");
        assert!(fill("${MISSING}", &env).unwrap_err().contains("MISSING is not set"));
        assert!(fill("${HOST", &env).is_err());
        assert!(fill("${a b}", &env).is_err());
    }

    #[test]
    fn environment_wins_over_the_file() {
        let file = tree::parse("workers: 1\nsets: {Main-PBX: {algorithm: hash}}\n").unwrap();
        let env = env(&[("SIPWARDEN_WORKERS", "2"), ("SIPWARDEN_SETS__MAIN_PBX__ALGORITHM", "random")]);
        let layers = merge(file, &env);
        assert_eq!(layers.value.find_ref("workers").unwrap().to_i128(), Some(2));
        assert_eq!(layers.value.find_ref("sets.Main-PBX.algorithm").unwrap().as_str(), Some("random"));
        assert!(layers.problems.is_empty());
    }

    #[test]
    fn ignores_what_kubernetes_and_the_commands_set() {
        let env = env(&[
            ("SIPWARDEN_PORT_9360_TCP_ADDR", "10.1.2.3"),
            ("SIPWARDEN_SERVICE_HOST", "10.1.2.3"),
            ("SIPWARDEN_URL", "http://127.0.0.1:9360"),
        ]);
        assert!(merge(Node::Map(vec![]), &env).overrides.is_empty());
    }
}
