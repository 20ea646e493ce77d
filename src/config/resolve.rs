//! From what is written to settings that cannot be wrong: the rules that hold between keys.

mod listen;
mod routes;
mod sets;
mod traces;

use super::cursor::Problems;
use super::error::Problem;
use super::fields::show_duration;
use super::keys::Root;
use super::path::KeyPath;
use crate::facts::ListenerId;
use crate::{admin, net, proxy, telemetry, transaction};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Fewest bytes a secret can have.
const MIN_SECRET: usize = 16;
/// How to make one.
const MAKE_SECRET: &str = "make one: head -c 32 /dev/urandom | base64 > FILE";
/// Most bytes of a secret or token file read.
const MAX_SECRET: u64 = 64 * 1024;

/// Settings of each owner.
pub(super) struct Resolved {
    pub(super) proxy: proxy::Settings,
    pub(super) net: net::Settings,
    pub(super) telemetry: telemetry::Settings,
    pub(super) admin: admin::Settings,
    pub(super) secret: Option<[u8; 16]>,
    pub(super) state_file: Option<PathBuf>,
}

/// Checks everything that is written, and fills in the ids it implies. What it returns is of use
/// only if no problem was noted.
pub(super) fn resolve(root: &mut Root, directory: &Path, problems: &Problems) -> Resolved {
    let at = KeyPath::root();
    let listeners = listen::resolve(&root.listen, problems);
    let timers = timers(root, &at.key("sip"), problems);
    let sets = sets::resolve(&mut root.sets, &listeners, &timers, &root.sip, problems);
    let routes = routes::resolve(&root.routes, &sets, &listeners, problems);
    if root.dns.min_ttl > root.dns.max_ttl {
        let path = at.key("dns").key("min_ttl");
        let (min, max) = (show_duration(root.dns.min_ttl), show_duration(root.dns.max_ttl));
        problems.add(Problem::value(&path, format!("{min} is longer than `dns.max_ttl`, {max}")));
    }
    let secret_path = at.key("sip").key("secret_file");
    let secret = root.sip.secret_file.as_deref().and_then(|name| {
        let content = read_secret(name, directory, &secret_path, problems)?;
        check_length(&content, name, &secret_path, problems);
        Sha256::digest(&content).first_chunk::<16>().copied()
    });
    let admin = admin_settings(root, directory, problems);
    let state_file = root.state_file.as_deref().map(|name| state_file(name, directory, problems));
    Resolved {
        net: net_settings(root, &listeners),
        telemetry: traces::telemetry(root, problems),
        admin,
        secret,
        state_file,
        proxy: proxy::Settings {
            listeners,
            sets,
            routes,
            timers,
            timer_c: root.sip.timer_c,
            record_route: root.sip.record_route,
            path: root.sip.path,
            mtu: usize::try_from(root.sip.mtu).unwrap_or(usize::MAX),
            options_reply: root.sip.options_reply,
            user_agent: text_line(&root.sip.user_agent, &at.key("sip").key("user_agent"), problems),
            max_transactions: root.limits.transactions,
            max_call_age: root.limits.max_call_age,
            expand: root.dns.expand,
            tracing: traces::joined(root, directory, problems),
            hash: 0,
        },
    }
}

fn timers(root: &Root, path: &KeyPath, problems: &Problems) -> transaction::Settings {
    if root.sip.t2 < root.sip.t1 {
        let (t1, t2) = (show_duration(root.sip.t1), show_duration(root.sip.t2));
        problems.add(Problem::value(&path.key("t2"), format!("{t2} is shorter than `sip.t1`, {t1}")));
    }
    if root.sip.timer_c <= std::time::Duration::from_secs(180) {
        let message = "expected more than 180s; RFC 3261 §16.6 wants a longer ringing to be possible";
        problems.add(Problem::value(&path.key("timer_c"), message));
    }
    let linger = usize::try_from(root.limits.linger.0).unwrap_or(usize::MAX);
    transaction::Settings { t1: root.sip.t1, t2: root.sip.t2, linger, ..transaction::Settings::default() }
}

fn text_line(text: &str, path: &KeyPath, problems: &Problems) -> std::sync::Arc<str> {
    let printable = text.chars().all(|c| !c.is_control());
    if !printable || text.trim().is_empty() || text.len() > 128 {
        problems.add(Problem::value(path, "expected one line of at most 128 bytes"));
    }
    text.into()
}

fn net_settings(root: &Root, listeners: &[proxy::Listener]) -> net::Settings {
    let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    net::Settings {
        listeners: listeners
            .iter()
            .map(|listener| net::Bind { transport: listener.transport, address: listener.bind })
            .collect(),
        max_message: size(root.sip.max_message),
        connections: size(root.limits.connections),
        connections_per_source: size(root.limits.connections_per_source),
        message_deadline: root.limits.message_deadline,
        idle_timeout: root.limits.idle_timeout,
        dns: net::DnsSettings {
            min_ttl: root.dns.min_ttl,
            max_ttl: root.dns.max_ttl,
            family: root.dns.family,
            max_endpoints: size(root.dns.max_endpoints),
        },
    }
}

fn admin_settings(root: &Root, directory: &Path, problems: &Problems) -> admin::Settings {
    let path = KeyPath::root().key("http");
    let listen: Option<SocketAddr> = root.http.listen.parse().ok();
    if listen.is_none() {
        let message = format!("expected ADDRESS:PORT such as 127.0.0.1:9360, found `{}`", root.http.listen);
        problems.add(Problem::value(&path.key("listen"), message));
    }
    let path = path.key("token_file");
    let token = root.http.token_file.as_deref().and_then(|name| {
        let content = read_secret(name, directory, &path, problems)?;
        let token = String::from_utf8_lossy(&content).trim().to_owned();
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            let message = format!("the file `{name}` does not hold one word of printable characters");
            problems.add(Problem::value(&path, message));
        }
        Some(token.into_boxed_str())
    });
    admin::Settings { listen: listen.unwrap_or_else(|| ([127, 0, 0, 1], 9360).into()), token }
}

/// Where states are kept; what cannot become a file there is noted.
fn state_file(name: &str, directory: &Path, problems: &Problems) -> PathBuf {
    let path = KeyPath::root().key("state_file");
    let file = directory.join(name);
    let holder = file.parent().map_or(Path::new("."), |holder| match holder.as_os_str().is_empty() {
        true => Path::new("."),
        false => holder,
    });
    if name.is_empty() || file.is_dir() {
        problems.add(Problem::value(&path, "expected the name of a file"));
    } else if !holder.is_dir() {
        let message = format!("there is no directory `{}`", holder.display());
        problems.add(
            Problem::value(&path, message).help("make it, writable for the user that sipwarden runs as"),
        );
    }
    file
}

/// Notes a secret that is too short to be one.
fn check_length(content: &[u8], name: &str, path: &KeyPath, problems: &Problems) {
    if content.trim_ascii().len() < MIN_SECRET {
        let message = format!("the file `{name}` holds fewer than {MIN_SECRET} bytes");
        problems.add(Problem::value(path, message).help(MAKE_SECRET));
    }
}

/// Reads a small file named in the configuration, relative to the configuration's directory.
fn read_secret(name: &str, directory: &Path, path: &KeyPath, problems: &Problems) -> Option<Vec<u8>> {
    use std::io::Read;
    let file: PathBuf = directory.join(name);
    let mut content = vec![];
    let read = std::fs::File::open(&file).and_then(|open| open.take(MAX_SECRET).read_to_end(&mut content));
    let message = match read {
        Err(error) => format!("cannot read the file `{name}`: {}", reason(&error)),
        Ok(_) if content.trim_ascii().is_empty() => format!("the file `{name}` is empty"),
        Ok(_) => return Some(content),
    };
    problems.add(Problem::value(path, message));
    None
}

/// An I/O error in words, without the number of the operating system.
pub(super) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = words.chars();
    chars.next().map_or(String::new(), |first| first.to_lowercase().chain(chars).collect())
}

/// The listener of a name, or the problem noted.
fn listener_named(
    name: &str,
    path: &KeyPath,
    listeners: &[proxy::Listener],
    problems: &Problems,
) -> Option<ListenerId> {
    let position = listeners.iter().position(|listener| *listener.name == *name);
    if position.is_none() {
        let names = listeners.iter().map(|listener| &*listener.name);
        problems.add(no_such("listener", name, names, path));
    }
    position.and_then(|position| u8::try_from(position).ok()).map(ListenerId::new)
}

/// A name that nothing in the configuration has.
fn no_such<'a>(
    what: &str,
    name: &str,
    names: impl Iterator<Item = &'a str> + Clone,
    path: &KeyPath,
) -> Problem {
    let listed: Vec<_> = names.clone().take(8).collect();
    let more = if names.clone().nth(8).is_some() { ", …" } else { "" };
    let listed = if listed.is_empty() { "none".into() } else { listed.join(", ") };
    let problem = Problem::value(
        path,
        format!("no {what} is named `{}`; there are: {listed}{more}", name.escape_debug()),
    );
    match super::near::nearest(name, names) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem,
    }
}

/// What ids of destinations and names of sets and listeners are made of.
fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:@[]-".contains(&b))
}

/// What [`is_id`] wants, in words.
const ID_RULE: &str = "expected 1 to 64 letters, digits and . _ : @ [ ] -";
