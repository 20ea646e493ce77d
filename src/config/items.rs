//! Values that can be written short or long: listeners, destinations, routes, hash keys, sets.

use super::cursor::{Cursor, Field, Problems, Scalar};
use super::keys::{Destination, Listen, Probe, Route, Set};
use super::path::KeyPath;
use crate::dispatch::HashPart;
use figment::value::{Num, Value};
use serde_yaml::Value as Yaml;

/// A listener as written, and where.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ListenerItem {
    pub(super) keys: Listen,
    pub(super) path: KeyPath,
    /// Written as a text alone.
    pub(super) short: bool,
}

impl ListenerItem {
    /// UDP and TCP on port 5060 of every IPv4 address.
    pub(super) fn defaults() -> Vec<Self> {
        let bind = |bind: &str| Listen { bind: Some(bind.into()), ..Listen::default() };
        let path = KeyPath::root().key("listen");
        let item = |text| Self { keys: bind(text), path: path.clone(), short: true };
        vec![item("udp://0.0.0.0:5060"), item("tcp://0.0.0.0:5060")]
    }
}

impl Scalar for ListenerItem {
    fn kind() -> String {
        "listeners such as udp://0.0.0.0:5060".into()
    }
    fn parse(cursor: &Cursor<'_>) -> Option<Self> {
        let short = cursor.text().is_some();
        let keys = match cursor.text() {
            Some(text) => Listen { bind: Some(text.to_owned()), ..Listen::default() },
            None => Listen::read(cursor, Listen::default()),
        };
        Some(Self { keys, path: cursor.path.clone(), short })
    }
    fn show(&self) -> Yaml {
        match &self.keys {
            Listen { bind: Some(bind), advertise: None, name: None, local } if local.is_empty() => {
                bind.as_str().into()
            }
            keys => keys.show(),
        }
    }
}

/// A destination as written, and where.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DestinationItem {
    pub(super) keys: Destination,
    pub(super) path: KeyPath,
    /// Written as a text alone.
    pub(super) short: bool,
}

impl Scalar for DestinationItem {
    fn kind() -> String {
        "destinations such as sip:10.0.0.1:5060".into()
    }
    fn parse(cursor: &Cursor<'_>) -> Option<Self> {
        let short = cursor.text().is_some();
        let keys = match cursor.text() {
            Some(text) => Destination { uri: Some(text.to_owned()), ..Destination::default() },
            None => Destination::read(cursor, Destination::default()),
        };
        Some(Self { keys, path: cursor.path.clone(), short })
    }
    fn show(&self) -> Yaml {
        self.keys.show()
    }
}

/// A route as written, and where.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RouteItem {
    pub(super) keys: Route,
    pub(super) path: KeyPath,
}

impl Scalar for RouteItem {
    fn kind() -> String {
        "routes such as {methods: [INVITE], set: NAME}".into()
    }
    fn parse(cursor: &Cursor<'_>) -> Option<Self> {
        Some(Self { keys: Route::read(cursor, Route::default()), path: cursor.path.clone() })
    }
    fn show(&self) -> Yaml {
        self.keys.show()
    }
}

/// The part of a destination's `probe` that is written, read on top of its set's.
#[derive(Debug, Clone, Default)]
pub(super) struct Overrides(Option<(Value, KeyPath)>);

impl PartialEq for Overrides {
    fn eq(&self, other: &Self) -> bool {
        Scalar::show(self) == Scalar::show(other)
    }
}

impl Overrides {
    /// The probe of this destination, given its set's.
    pub(super) fn apply(&self, set: &Probe, problems: &Problems) -> Probe {
        match &self.0 {
            None => set.clone(),
            Some((value, path)) => Probe::read(&Cursor { value, path: path.clone(), problems }, set.clone()),
        }
    }
}

impl Scalar for Overrides {
    fn kind() -> String {
        "keys of sets.NAME.probe".into()
    }
    fn parse(cursor: &Cursor<'_>) -> Option<Self> {
        Some(Self(Some((cursor.value.clone(), cursor.path.clone()))))
    }
    fn show(&self) -> Yaml {
        self.0.as_ref().map_or(Yaml::Null, |(value, _)| yaml(value))
    }
}

fn yaml(value: &Value) -> Yaml {
    match value {
        Value::String(_, text) => text.as_str().into(),
        Value::Char(_, c) => c.to_string().into(),
        Value::Bool(_, value) => (*value).into(),
        Value::Num(_, Num::F64(number)) => (*number).into(),
        Value::Num(_, number) => {
            number.to_i128().and_then(|number| i64::try_from(number).ok()).map_or(Yaml::Null, Yaml::from)
        }
        Value::Empty(..) => Yaml::Null,
        Value::Dict(_, dict) => {
            let entries = dict.iter().map(|(key, value)| (Yaml::from(key.as_str()), yaml(value)));
            Yaml::Mapping(entries.collect())
        }
        Value::Array(_, items) => Yaml::Sequence(items.iter().map(yaml).collect()),
    }
}

impl Probe {
    /// A timeout and a fast interval that are not written here follow a short interval.
    pub(super) fn settle(mut self, cursor: &Cursor<'_>) -> Self {
        if cursor.get("timeout").is_none() && self.timeout >= self.interval {
            self.timeout = self.interval / 2;
        }
        if cursor.get("fast_interval").is_none() && self.fast_interval > self.interval {
            self.fast_interval = self.interval;
        }
        self
    }
}

/// One part of a hash key.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HashKey(pub(super) HashPart);

impl HashKey {
    pub(super) fn defaults() -> Vec<Self> {
        vec![Self(HashPart::CallId)]
    }
}

impl Scalar for HashKey {
    fn kind() -> String {
        "call_id, from, to, ruri, ruri_user, auth_user, source_ip or header:NAME".into()
    }
    fn parse(cursor: &Cursor<'_>) -> Option<Self> {
        let text = cursor.text().unwrap_or_default();
        let is_token = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b))
        };
        let part = match text {
            "call_id" => HashPart::CallId,
            "from" => HashPart::From,
            "to" => HashPart::To,
            "ruri" => HashPart::Ruri,
            "ruri_user" => HashPart::RuriUser,
            "auth_user" => HashPart::AuthUser,
            "source_ip" => HashPart::SourceIp,
            _ => match text.strip_prefix("header:").map(str::trim).filter(|name| is_token(name)) {
                Some(name) => HashPart::Header(name.into()),
                None => {
                    cursor.expected(<Self as Scalar>::kind());
                    return None;
                }
            },
        };
        Some(Self(part))
    }
    fn show(&self) -> Yaml {
        match &self.0 {
            HashPart::Header(name) => format!("header:{name}").into(),
            part => part.as_str().into(),
        }
    }
}

/// The sets by name.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Sets(pub(super) Vec<(String, Set)>);

impl Scalar for Sets {
    fn kind() -> String {
        "sets by name".into()
    }
    fn parse(cursor: &Cursor<'_>) -> Option<Self> {
        let dict = match cursor.value {
            Value::Dict(_, dict) => dict,
            Value::Empty(..) => return Some(Self::default()),
            _ => {
                cursor.expected("sets by name, as in {pbx: {destinations: [sip:10.0.0.1:5060]}}");
                return None;
            }
        };
        let read = |name: &String| {
            let cursor = cursor.get(name)?;
            Some((name.clone(), Set::read(&cursor, Set::default())))
        };
        Some(Self(dict.keys().filter_map(read).collect()))
    }
    fn show(&self) -> Yaml {
        Yaml::Mapping(self.0.iter().map(|(name, set)| (name.as_str().into(), set.show())).collect())
    }
}
