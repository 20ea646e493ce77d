//! What the parameters of the modules come to, for all sets alike.

use super::algorithms::key_of_variable;
use super::parameters::{Meaning, find};
use super::place::shown;
use super::script::{Parameter, Script};
use super::yaml::quoted;
use crate::sip::model::parse_destination;

/// Keys for every set, and what the script leaves open.
#[derive(Debug, Default)]
pub(super) struct Common {
    /// Keys of `probe`.
    pub(super) probe: Vec<(&'static str, String)>,
    /// Keys of `failover`.
    pub(super) failover: Vec<(&'static str, String)>,
    /// What is to be said about the parameters.
    pub(super) comments: Vec<String>,
    /// The file with the destinations, if a script names one that was not given.
    pub(super) missing: Option<String>,
    /// Whether the last destination of a set is its last resort.
    pub(super) use_default: bool,
    /// Whether only the user part of URIs was hashed.
    pub(super) user_only: bool,
    /// The keys of algorithm 7, and what there is to say about them.
    pub(super) hash_keys: Option<(Vec<String>, Option<String>)>,
    /// Whether Kamailio pings a destination that has the flag; `None` if nobody said.
    pub(super) pings_flagged: Option<bool>,
    /// The same for one without it.
    pub(super) pings_all: Option<bool>,
}

const DISPATCHER: &str = "dispatcher";
/// Seconds; the longest time between probes.
const MAX_INTERVAL: u32 = 3_600;
/// Milliseconds of a time-out of a probe.
const TIMEOUT: std::ops::RangeInclusive<u32> = 10..=32_000;
/// Milliseconds of a wait for a first response; 64 × T1 is the end of any wait.
const NO_RESPONSE: std::ops::Range<u32> = 10..32_000;
/// Results in a row.
const THRESHOLD: std::ops::RangeInclusive<u32> = 1..=100;
/// Seconds between probes if nothing is said.
const DEFAULT_INTERVAL: u32 = 10;

impl Common {
    /// Reads the parameters; the last value of each counts.
    pub(super) fn new(script: &Script, files: &[&str]) -> Self {
        let mut common = Self::default();
        if !script.is_read {
            return common;
        }
        let mut seen: Vec<&str> = vec![];
        for parameter in script.parameters.iter().filter(|parameter| parameter.module == DISPATCHER) {
            if !seen.contains(&parameter.name.as_str()) {
                seen.push(&parameter.name);
                let last = script.parameter_named(DISPATCHER, &parameter.name).unwrap_or(parameter);
                common.parameter(last, files);
            }
        }
        common.timeout(script);
        common.silence(script);
        common.what_was_not_said(script);
        common
    }

    fn say(&mut self, parameter: &Parameter, text: &str) {
        let (name, value) = (&parameter.name, shown(&parameter.value));
        self.comments.push(format!("{}: {name} = {value}: {text}", parameter.place));
    }

    fn parameter(&mut self, parameter: &Parameter, files: &[&str]) {
        let Some(row) = find(&parameter.name) else {
            return self.say(parameter, "not known to this importer");
        };
        let value = parameter.value.trim();
        match row.meaning {
            // In `timeout`, once the interval is known.
            Meaning::Timeout => {}
            Meaning::Interval => self.interval(parameter, row.leaf()),
            Meaning::DownAfter | Meaning::UpAfter => self.threshold(parameter, row.leaf()),
            Meaning::Codes => self.codes(parameter, row.leaf()),
            Meaning::Method => self.method(parameter, row.leaf()),
            Meaning::From => match parse_destination(value) {
                Ok(_) => self.probe.push((row.leaf(), quoted(value))),
                Err(error) => self.say(parameter, &format!("left out: {error}")),
            },
            Meaning::Mode => self.mode(parameter),
            Meaning::Flags => self.flags(parameter),
            Meaning::HashVariable => self.hash_keys = Some(hash_keys(parameter)),
            Meaning::UseDefault => self.use_default = value != "0",
            Meaning::ListFile => {
                let name = value.rsplit('/').next().unwrap_or_default();
                if !files.iter().any(|file| file.rsplit('/').next() == Some(name)) {
                    let place = &parameter.place;
                    self.missing =
                        Some(format!("{place}: the list_file {} is not among the files given", shown(value)));
                }
            }
            Meaning::TableName => {}
            Meaning::Remark => self.say(parameter, row.remark),
        }
    }

    fn interval(&mut self, parameter: &Parameter, key: &'static str) {
        match parameter.value.trim().parse::<u32>() {
            Ok(0) => {
                self.probe.push(("enabled", "false".into()));
                self.say(parameter, "nothing was pinged; without probes every destination counts as up");
            }
            Ok(seconds) => {
                if seconds > MAX_INTERVAL {
                    self.say(parameter, "more than an hour; an hour is the longest there is");
                }
                self.probe.push((key, format!("{}s", seconds.min(MAX_INTERVAL))));
            }
            Err(_) => self.say(parameter, "left out: not a number of seconds"),
        }
    }

    fn timeout(&mut self, script: &Script) {
        let names = ["ds_ping_fr_timer", "ds_ping_fr_timeout"];
        let Some(parameter) = names.iter().find_map(|name| script.parameter_named(DISPATCHER, name)) else {
            return;
        };
        let interval = script.parameter_named(DISPATCHER, "ds_ping_interval");
        let interval = interval.and_then(|interval| interval.value.trim().parse().ok());
        let interval = interval.filter(|seconds| *seconds > 0).unwrap_or(DEFAULT_INTERVAL).min(MAX_INTERVAL);
        match parameter.value.trim().parse::<u32>() {
            Ok(0) => self.say(parameter, "left out: it stood for fr_timer; the time-out here is 2s"),
            Ok(time) if TIMEOUT.contains(&time) && time < interval * 1_000 => {
                self.probe.push(("timeout", milliseconds(time)));
            }
            Ok(_) => self.say(parameter, "left out: expected 10 ms to 32 s, and less than the interval"),
            Err(_) => self.say(parameter, "left out: not a number of milliseconds"),
        }
    }

    fn threshold(&mut self, parameter: &Parameter, key: &'static str) {
        match parameter.value.trim().parse::<u32>() {
            Ok(count) if THRESHOLD.contains(&count) => self.probe.push((key, count.to_string())),
            Ok(_) | Err(_) => self.say(parameter, "left out: expected 1 to 100"),
        }
    }

    fn codes(&mut self, parameter: &Parameter, key: &'static str) {
        let mut accept = vec!["200-299".to_owned()];
        for item in parameter.value.split(';').map(str::trim).filter(|item| !item.is_empty()) {
            let (kind, number) = item.split_once('=').unwrap_or((item, ""));
            let number = number.trim().parse::<u16>().ok();
            match (kind.trim(), number) {
                ("class", Some(2)) => {}
                ("class", Some(class @ (1 | 3..=6))) => accept.push(format!("{class}00-{class}99")),
                ("code", Some(code @ 100..=699)) => accept.push(code.to_string()),
                (_, _) => self.say(parameter, &format!("`{}` is left out, as Kamailio did", shown(item))),
            }
        }
        // A provisional response ends no probe.
        accept.retain(|codes| !codes.starts_with('1'));
        if accept.iter().any(|codes| codes == "408" || codes == "400-499") {
            self.say(
                parameter,
                "408 stays rejected (`reject: [408]`): Kamailio made it itself when a ping went unanswered, so that \
                 a dead host was up",
            );
            accept.retain(|codes| codes != "408");
        }
        self.probe.push((key, format!("[{}]", accept.join(", "))));
    }

    fn method(&mut self, parameter: &Parameter, key: &'static str) {
        let method = parameter.value.trim();
        let is_token = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b"-_.".contains(&b);
        let unfit = ["", "INVITE", "ACK", "CANCEL", "BYE"];
        if !method.bytes().all(is_token) || unfit.contains(&method) {
            self.say(parameter, "left out: not a method that can stand alone");
        } else if method != "OPTIONS" {
            self.probe.push((key, quoted(method)));
        }
    }

    fn mode(&mut self, parameter: &Parameter) {
        let was = match parameter.value.trim() {
            "0" => "only destinations with flag 8 were pinged, once",
            "1" => return,
            "2" => "only inactive destinations with flag 8 were pinged",
            "3" => "only destinations with flag 8 were pinged",
            _ => "an unknown mode",
        };
        self.say(parameter, &format!("{was}; here every destination is, and always"));
    }

    fn flags(&mut self, parameter: &Parameter) {
        match parameter.value.trim().parse::<u32>() {
            Ok(flags) => {
                self.user_only = flags & 1 != 0;
                if flags & 2 == 0 {
                    self.say(parameter, NO_FAILOVER);
                }
            }
            Err(_) => self.say(parameter, "left out: not a number"),
        }
    }

    /// The time to wait for a destination's first response is a parameter of tm.
    fn silence(&mut self, script: &Script) {
        let Some(parameter) = script.parameter_named("tm", "fr_timer") else { return };
        match parameter.value.trim().parse::<u32>() {
            Ok(time) if NO_RESPONSE.contains(&time) => {
                self.failover.push(("no_response_after", milliseconds(time)));
            }
            Ok(_) | Err(_) => {
                self.say(parameter, "left out: expected 10 ms to less than 32 s; 2s is in force");
            }
        }
    }

    fn what_was_not_said(&mut self, script: &Script) {
        let value = |name| script.parameter_named(DISPATCHER, name);
        let interval =
            value("ds_ping_interval").and_then(|interval| interval.value.trim().parse::<u32>().ok());
        let mode = value("ds_probing_mode").map_or("0", |mode| mode.value.trim());
        let is_pinging = interval.unwrap_or(0) > 0;
        self.pings_all = Some(is_pinging && mode == "1");
        self.pings_flagged = Some(is_pinging);
        if interval.is_none() {
            self.comments.push(
                "ds_ping_interval is not set, so Kamailio pinged nothing; here every destination is probed \
                 (`probe: {enabled: false}` would end that)"
                    .into(),
            );
        } else if is_pinging {
            if value("ds_probing_mode").is_none() {
                let text = "ds_probing_mode is not set, so Kamailio pinged only destinations with flag 8; here every one";
                self.comments.push(text.into());
            }
            if value("ds_probing_threshold").is_none() {
                let text = "ds_probing_threshold is not set: Kamailio took 1 failure for down, here it takes 3 (`down_after`)";
                self.comments.push(text.into());
            }
            if value("ds_ping_reply_codes").is_none() {
                let text = "ds_ping_reply_codes is not set: Kamailio took only 2xx for alive, here 200 to 499 but 408 \
                            count (`accept`)";
                self.comments.push(text.into());
            }
        }
        if value("flags").is_none() {
            self.comments.push(format!("flags is not set: {NO_FAILOVER}"));
        }
    }
}

const NO_FAILOVER: &str = "without 2 in it Kamailio did not fail over; here up to 3 destinations are tried \
                           (`failover: {max_attempts: 1}` would end that)";

fn milliseconds(time: u32) -> String {
    if time.is_multiple_of(1_000) { format!("{}s", time / 1_000) } else { format!("{time}ms") }
}

/// The keys of `hash_pvar`, a row of variables.
fn hash_keys(parameter: &Parameter) -> (Vec<String>, Option<String>) {
    let mut keys = vec![];
    let mut unknown = vec![];
    let value = parameter.value.trim();
    let mut parts = value.split('$');
    unknown.extend(parts.next().filter(|text| !text.trim().is_empty()).map(str::to_owned));
    for part in parts {
        let part = part.trim();
        match key_of_variable(part) {
            Some(key) => keys.push(key),
            None => unknown.push(format!("${part}")),
        }
    }
    let place = &parameter.place;
    let comment = if unknown.is_empty() && !keys.is_empty() {
        None
    } else {
        let named = unknown.iter().map(|text| format!("`{}`", shown(text))).collect::<Vec<_>>().join(", ");
        Some(format!("{place}: hash_pvar = {}: no key for {named} here; choose one by hand", shown(value)))
    };
    if keys.is_empty() {
        keys.push("call_id".into());
    }
    (keys, comment)
}
