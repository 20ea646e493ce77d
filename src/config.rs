//! Configuration: YAML and environment into settings that cannot be wrong.
//!
//! A file is read into a tree (`tree`), merged with the environment (`layers`, figment), read key
//! by key (`keys` holds every key; `section`, `fields` and `items` how they are declared and
//! read), and checked across sections (`resolve`). Every problem is noted with its path and only
//! then looked up in the text (`error`). A configuration is either whole or refused; nothing here
//! opens a socket or starts anything.

mod cursor;
mod error;
mod fields;
mod items;
mod keys;
mod layers;
mod manual;
mod near;
mod path;
mod resolve;
mod section;
mod tree;

pub use error::Error;
pub use manual::manual;

use crate::{admin, net, proxy, telemetry};
use cursor::{Cursor, Field, Problems};
use error::{Problem, Source};
use keys::Root;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where a configuration is looked for, in this order.
pub const PLACES: [&str; 2] = ["sipwarden.yaml", "/etc/sipwarden/sipwarden.yaml"];
/// Bytes of a file at most.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// With more problems than this in single values, rules between values are not judged.
const MAX_FIRST: usize = 200;

/// A whole configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// For the core.
    pub proxy: proxy::Settings,
    /// For the sockets and the resolver.
    pub net: net::Settings,
    /// For spans and logs.
    pub telemetry: telemetry::Settings,
    /// For the HTTP server.
    pub admin: admin::Settings,
    /// Data-plane threads, at least one.
    pub workers: u8,
    /// Longest wait for running transactions at shutdown.
    pub drain_timeout: Duration,
    /// Key of our tokens, from `sip.secret_file`; `None`: to be made at random.
    pub secret: Option<[u8; 16]>,
    /// Where states survive a restart, from `state_file`.
    pub state_file: Option<PathBuf>,
    /// What is in force, with every default, as JSON (which is YAML); secrets are cut.
    pub effective: Arc<str>,
    fixed: Vec<(String, String)>,
}

impl Config {
    /// What is in force, with every default, as a file to read; secrets are cut.
    pub fn effective_yaml(&self) -> String {
        let shown: serde_yaml::Value = serde_yaml::from_str(&self.effective).unwrap_or_default();
        serde_yaml::to_string(&shown).unwrap_or_default()
    }
}

/// Finds the file to load: the one named, else the first of [`PLACES`].
pub fn find(explicit: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(path) = explicit {
        return Ok(path.to_owned());
    }
    let found = PLACES.iter().map(Path::new).find(|path| path.exists());
    found.map(Path::to_owned).ok_or_else(|| {
        Error::unreadable(format!(
            "no configuration: looked for {} in the working directory, then {}\n  help: name one with \
             -c FILE; the least that works:\n    sets: {{pbx: {{destinations: [sip:10.0.0.1:5060]}}}}",
            PLACES[0], PLACES[1]
        ))
    })
}

/// Loads a file, with the environment given.
pub fn load(path: &Path, env: &BTreeMap<String, String>) -> Result<Config, Error> {
    let name = path.display().to_string();
    let mut bytes = vec![];
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        let help = match error.kind() {
            std::io::ErrorKind::NotFound => "\n  help: name an existing file with -c FILE",
            std::io::ErrorKind::PermissionDenied => "\n  help: make it readable for this user",
            _ => "",
        };
        return Err(Error::unreadable(format!("{name}: cannot be read: {}{help}", resolve::reason(&error))));
    }
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_BYTES) {
        return Err(Error::unreadable(format!("{name}: larger than 16 MiB, so not a configuration")));
    }
    match String::from_utf8(bytes) {
        Ok(text) => from_str(&text, &name, env),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let before = error.as_bytes().get(..valid).unwrap_or_default();
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            Err(Error::unreadable(format!("{name}:{line}:1: not UTF-8 text")))
        }
    }
}

/// Loads a text under a name; files named in it are looked for beside that name.
pub fn from_str(text: &str, name: &str, env: &BTreeMap<String, String>) -> Result<Config, Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let bare = Source { name, text, overrides: &[], env };
    let file = match tree::parse(text) {
        Ok(node @ tree::Node::Map(_)) => node,
        Ok(tree::Node::Null) => tree::Node::Map(vec![]),
        Ok(_) => {
            let start = error::Position { line: 1, column: 1 };
            let message = "expected keys and values, such as `sets:`, at the top level";
            return Err(bare.error(vec![Problem::at(start, message)]));
        }
        Err(problem) => return Err(bare.error(vec![problem])),
    };
    let mut layers = layers::merge(file, env);
    let source = Source { name, text, overrides: &layers.overrides, env };
    let problems = Problems::default();
    let cursor = Cursor { value: &layers.value, path: path::KeyPath::root(), problems: &problems };
    let mut root = Root::read(&cursor, Root::default());
    let order: std::collections::HashMap<&str, usize> =
        layers.sets.iter().enumerate().map(|(position, name)| (name.as_str(), position)).collect();
    root.sets.0.sort_by_key(|(name, _)| order.get(name.as_str()).copied());
    let directory = Path::new(name).parent().unwrap_or(Path::new(""));
    let mut found = std::mem::take(&mut layers.problems);
    found.extend(problems.take());
    let resolved = resolve::resolve(&mut root, directory, &problems);
    add_independent(&mut found, problems.take(), &layers.value);
    if !found.is_empty() {
        return Err(source.error(found));
    }
    Ok(finish(&root, resolved))
}

/// Adds the problems of the second step that do not merely follow from those of the first.
fn add_independent(found: &mut Vec<Problem>, later: Vec<Problem>, value: &figment::value::Value) {
    if found.len() > MAX_FIRST {
        return;
    }
    let first: Vec<path::KeyPath> = found.iter().filter_map(|problem| problem.path().cloned()).collect();
    for mut problem in later {
        if let Some(path) = problem.path() {
            let is_written = path.look_up(value).is_some();
            let around = if is_written { Some(path.clone()) } else { path.parent() };
            let follows = |other: &path::KeyPath| {
                path.is_within(other) || around.as_ref().is_some_and(|around| other.is_within(around))
            };
            if first.iter().any(follows) {
                continue;
            }
            if !is_written {
                problem.about_default();
            }
        }
        found.push(problem);
    }
}

fn finish(root: &Root, resolved: resolve::Resolved) -> Config {
    let mut shown = root.show();
    cut_secrets(&mut shown);
    let effective = serde_json::to_string(&shown).unwrap_or_default();
    let digest = Sha256::digest(effective.as_bytes());
    let mut proxy = resolved.proxy;
    proxy.hash = digest.iter().take(6).fold(0, |hash, byte| hash << 8 | u64::from(*byte));
    Config {
        proxy,
        fixed: fixed(&shown),
        net: resolved.net,
        telemetry: resolved.telemetry,
        admin: resolved.admin,
        workers: root.workers.count(),
        drain_timeout: root.drain.timeout,
        secret: resolved.secret,
        state_file: resolved.state_file,
        effective: effective.into(),
    }
}

/// A collector's URL may carry a user and a password.
fn cut_secrets(shown: &mut serde_yaml::Value) {
    let Some(url) = shown.get_mut("tracing").and_then(|tracing| tracing.get_mut("otlp")) else { return };
    let cut = url.as_str().and_then(|text| {
        let (scheme, rest) = text.split_once("://")?;
        let (_, host) = rest.rsplit_once('@')?;
        Some(format!("{scheme}://…@{host}"))
    });
    if let Some(cut) = cut {
        *url = cut.into();
    }
}

/// The values of keys that take effect only at start.
fn fixed(shown: &serde_yaml::Value) -> Vec<(String, String)> {
    let mut fixed = vec![];
    for section in section::all().iter().filter(|section| !section.path.contains(['.', '['])) {
        let holder = if section.path.is_empty() { Some(shown) } else { shown.get(section.path) };
        for key in section.keys.iter().filter(|key| key.restart) {
            let name = if section.path.is_empty() {
                key.name.into()
            } else {
                format!("{}.{}", section.path, key.name)
            };
            let value = holder.and_then(|holder| holder.get(key.name)).map(fields::exact).unwrap_or_default();
            fixed.push((name, value));
        }
    }
    fixed
}

/// The keys that differ between two configurations but take effect only after a restart.
pub fn restart_keys(old: &Config, new: &Config) -> Vec<String> {
    let pairs = old.fixed.iter().zip(&new.fixed);
    let mut keys: Vec<String> =
        pairs.filter(|(old, new)| old.1 != new.1).map(|(_, (name, _))| name.clone()).collect();
    let contents = [
        ("sip.secret_file", old.secret != new.secret),
        ("http.token_file", old.admin.token != new.admin.token),
        ("workers", old.workers != new.workers),
    ];
    for (name, _) in contents.iter().filter(|(_, differs)| *differs) {
        if !keys.iter().any(|key| key == name) {
            keys.push((*name).to_owned());
        }
    }
    keys
}

/// Every key as (section, name), in the order of the manual; a section is a path such as
/// `sets.NAME.destinations[]`.
pub fn keys() -> impl Iterator<Item = (&'static str, &'static str)> {
    section::all().iter().flat_map(|section| section.keys.iter().map(|key| (section.path, key.name)))
}
