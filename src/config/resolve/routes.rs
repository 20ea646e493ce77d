//! The rules of routes.

use super::super::cursor::Problems;
use super::super::error::Problem;
use super::super::items::RouteItem;
use super::super::path::KeyPath;
use super::{listener_named, no_such};
use crate::facts::Method;
use crate::proxy::{Listener, MethodName, Route, Set};
use regex::bytes::{Regex, RegexBuilder};
use std::sync::Arc;

/// Bytes of compiled expression at most.
const MAX_REGEX: usize = 1 << 20;

pub(super) fn resolve(
    items: &[RouteItem],
    sets: &[Set],
    listeners: &[Listener],
    problems: &Problems,
) -> Vec<Route> {
    if items.is_empty() && sets.len() > 1 {
        let names: Vec<_> = sets.iter().take(3).map(|set| &*set.dispatch.name).collect();
        let message =
            format!("{} sets and no `routes`; add routes that say which request goes where", sets.len());
        let help = format!(
            "for example: routes: [{{from_set: {}, set: {}}}, {{set: {}}}]",
            names.first().unwrap_or(&"a"),
            names.get(1).unwrap_or(&"b"),
            names.first().unwrap_or(&"a"),
        );
        problems.add(Problem::key(&KeyPath::root().key("sets"), message).help(help));
    }
    items.iter().filter_map(|item| route(item, sets, listeners, problems)).collect()
}

fn route(item: &RouteItem, sets: &[Set], listeners: &[Listener], problems: &Problems) -> Option<Route> {
    let keys = &item.keys;
    let known = |name: &Option<String>, key: &str| -> Option<Arc<str>> {
        let name = name.as_deref()?;
        let found = sets.iter().find(|set| *set.dispatch.name == *name);
        if found.is_none() {
            let names = sets.iter().map(|set| &*set.dispatch.name);
            problems.add(no_such("set", name, names, &item.path.key(key)));
        }
        found.map(|set| Arc::clone(&set.dispatch.name))
    };
    if keys.set.is_none() {
        problems.add(Problem::value(&item.path, "a route needs `set`: where its requests go"));
    }
    let set = known(&keys.set, "set");
    let from_set = known(&keys.from_set, "from_set");
    let listener = keys
        .listener
        .as_deref()
        .and_then(|name| listener_named(name, &item.path.key("listener"), listeners, problems));
    Some(Route {
        methods: methods(item, problems),
        ruri_user: keys.ruri_user.as_deref().and_then(|text| regex(text, item, problems)),
        ruri_host: keys.ruri_host.as_deref().map(|host| {
            let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            bare.to_ascii_lowercase().into()
        }),
        source: keys.source.iter().map(|network| network.0).collect(),
        from_set,
        listener,
        set: set?,
    })
}

fn methods(item: &RouteItem, problems: &Problems) -> Vec<MethodName> {
    let mut methods = vec![];
    for (index, token) in item.keys.methods.iter().enumerate() {
        let path = item.path.key("methods").item(index);
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
        let capitals = token.to_ascii_uppercase();
        let is_known = |token: &str| Method::from_token(token.as_bytes()) != Method::Other;
        if token.is_empty() || !token.bytes().all(is_token) {
            problems.add(Problem::value(&path, "expected a method such as INVITE"));
        } else if !is_known(token) && is_known(&capitals) {
            problems.add(Problem::value(&path, format!("methods are written in capitals: {capitals}")));
        } else if let Some(near) = misspelt(token) {
            let message = format!("no method is named `{token}`");
            problems.add(Problem::value(&path, message).help(format!("did you mean `{near}`?")));
        }
        let method = Method::from_token(token.as_bytes());
        methods.push(MethodName { method, token: token.as_str().into() });
    }
    methods
}

/// The IANA method that an unknown token is one slip away from.
fn misspelt(token: &str) -> Option<&'static str> {
    let known = Method::ALL.iter().filter(|method| **method != Method::Other).map(|method| method.as_str());
    if known.clone().any(|known| known == token) {
        return None;
    }
    let lower: Vec<String> = known.clone().map(str::to_ascii_lowercase).collect();
    let near = super::super::near::nearest(token, lower.iter().map(String::as_str))?;
    known.clone().find(|known| known.eq_ignore_ascii_case(near))
}

fn regex(text: &str, item: &RouteItem, problems: &Problems) -> Option<Regex> {
    match RegexBuilder::new(text).size_limit(MAX_REGEX).build() {
        Ok(regex) => Some(regex),
        Err(error) => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            let reason = last.strip_prefix("error: ").unwrap_or(last);
            let path = item.path.key("ruri_user");
            problems.add(Problem::value(&path, format!("not a regular expression: {reason}")));
            None
        }
    }
}
