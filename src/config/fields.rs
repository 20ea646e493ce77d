//! The types a key can have, apart from sections: how each is read, and how it is written.

use super::cursor::{Cursor, Field, Scalar};
use super::near::nearest;
use crate::dispatch::HashCompat;
use crate::facts::{Admin, Algorithm, WhenAllDown};
use crate::net::Family;
use crate::proxy::{CaptureUris, OptionsReply, Propagation, TraceIdFrom};
use crate::telemetry::{LogFormat, MetricsDetail, OtlpProtocol};
use figment::value::Value;
use serde_yaml::Value as Yaml;
use std::net::IpAddr;
use std::time::Duration;

/// Notes a value outside its bounds.
pub(super) fn bound<T: PartialOrd + Field>(cursor: &Cursor<'_>, value: &T, low: &T, high: &T) {
    if value < low || value > high {
        cursor.expected(format!("{} {}", T::kind(), bounds(low, high)));
    }
}

/// Bounds in words.
pub(super) fn bounds<T: Field>(low: &T, high: &T) -> String {
    format!("from {} to {}", plain(&low.show()), plain(&high.show()))
}

/// A value as it would stand in a line of YAML.
pub(super) fn plain(value: &Yaml) -> String {
    match value {
        Yaml::Null => "null".into(),
        Yaml::Bool(value) => value.to_string(),
        Yaml::Number(number) => number.to_string(),
        Yaml::String(text) => text.clone(),
        Yaml::Sequence(items) => format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(", ")),
        Yaml::Mapping(_) | Yaml::Tagged(_) => "{…}".into(),
    }
}

impl Scalar for bool {
    fn kind() -> String {
        "true or false".into()
    }
    fn parse(cursor: &Cursor<'_>) -> Option<Self> {
        let value = cursor.boolean();
        if value.is_none() {
            cursor.expected(<Self as Scalar>::kind());
        }
        value
    }
    fn show(&self) -> Yaml {
        (*self).into()
    }
}

impl Scalar for u32 {
    fn kind() -> String {
        "a whole number".into()
    }
    fn parse(cursor: &Cursor<'_>) -> Option<Self> {
        let Some(number) = cursor.integer() else {
            cursor.expected(<Self as Scalar>::kind());
            return None;
        };
        // A number out of range is judged by the key's own bounds.
        Some(Self::try_from(number).unwrap_or(Self::MAX))
    }
    fn show(&self) -> Yaml {
        (*self).into()
    }
}

impl Scalar for f64 {
    fn kind() -> String {
        "a number".into()
    }
    fn parse(cursor: &Cursor<'_>) -> Option<Self> {
        let number = cursor.number().filter(|number| number.is_finite());
        if number.is_none() {
            cursor.expected(<Self as Scalar>::kind());
        }
        number
    }
    fn show(&self) -> Yaml {
        (*self).into()
    }
}

impl Scalar for String {
    fn kind() -> String {
        "a text".into()
    }
    fn parse(cursor: &Cursor<'_>) -> Option<Self> {
        let text = match cursor.value {
            Value::String(_, text) => Some(text.clone()),
            // An id such as 1 or 2.
            Value::Num(..) => cursor.integer().map(|number| number.to_string()),
            _ => None,
        };
        if text.is_none() {
            cursor.expected(<Self as Scalar>::kind());
        }
        text
    }
    fn show(&self) -> Yaml {
        self.as_str().into()
    }
}

impl Scalar for Duration {
    fn kind() -> String {
        "a duration".into()
    }
    fn parse(cursor: &Cursor<'_>) -> Option<Self> {
        let text = cursor.text().map(str::trim);
        let duration = text.and_then(|text| humantime::parse_duration(text).ok());
        match duration {
            // `0` alone is the one number that the library takes without a unit.
            Some(duration) if text != Some("0") => Some(duration),
            Some(_) | None => {
                cursor.expected("a duration with its unit, such as 500ms, 10s or 5m");
                None
            }
        }
    }
    fn show(&self) -> Yaml {
        show_duration(*self).into()
    }
}

/// A duration in its largest whole unit.
pub(super) fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    if !duration.subsec_nanos().is_multiple_of(1_000_000) {
        return humantime::format_duration(duration).to_string();
    }
    match ms {
        0 => "0s".into(),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        _ => format!("{ms}ms"),
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size(pub(super) u64);

const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Size {
    pub(super) const fn mebibytes(count: u64) -> Self {
        Self(count << 20)
    }

    fn read(text: &str) -> Option<Self> {
        let (digits, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit())?);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
        digits.parse::<u64>().ok()?.checked_mul(*factor).map(Self)
    }
}

impl Scalar for Size {
    fn kind() -> String {
        "a size".into()
    }
    fn parse(cursor: &Cursor<'_>) -> Option<Self> {
        let size = cursor.text().and_then(|text| Self::read(text.trim()));
        if size.is_none() {
            cursor.expected("a size with its unit, such as 64MiB or 1GiB");
        }
        size
    }
    fn show(&self) -> Yaml {
        let (unit, factor) =
            UNITS.iter().find(|(_, factor)| self.0.is_multiple_of(*factor)).unwrap_or(&("B", 1));
        format!("{}{unit}", self.0 / factor).into()
    }
}

impl<T: Scalar> Scalar for Option<T> {
    fn kind() -> String {
        format!("{}, or null", <T as Scalar>::kind())
    }
    fn parse(cursor: &Cursor<'_>) -> Option<Self> {
        if cursor.is_null() { Some(None) } else { T::parse(cursor).map(Some) }
    }
    fn show(&self) -> Yaml {
        self.as_ref().map_or(Yaml::Null, Scalar::show)
    }
}

impl<T: Scalar> Scalar for Vec<T> {
    fn kind() -> String {
        format!("list of: {}", <T as Scalar>::kind())
    }
    fn parse(cursor: &Cursor<'_>) -> Option<Self> {
        let items = cursor.items(<T as Scalar>::kind())?;
        Some(items.iter().filter_map(|item| T::parse(item)).collect())
    }
    fn show(&self) -> Yaml {
        Yaml::Sequence(self.iter().map(Scalar::show).collect())
    }
}

/// Reads one of a list of words.
fn word<T: Copy>(
    cursor: &Cursor<'_>,
    all: &[T],
    as_str: fn(T) -> &'static str,
    hint: fn(&str) -> Option<String>,
) -> Option<T> {
    let listed = || all.iter().map(|word| as_str(*word)).collect::<Vec<_>>().join(", ");
    let written = match cursor.value {
        Value::String(_, text) => text.clone(),
        _ => cursor.integer().map(|number| number.to_string()).unwrap_or_default(),
    };
    if let Some(found) = all.iter().find(|word| as_str(**word) == written) {
        return Some(*found);
    }
    let found = super::cursor::describe(cursor.value);
    let problem =
        super::error::Problem::value(&cursor.path, format!("expected one of {}, found {found}", listed()));
    let near = nearest(&written, all.iter().map(|word| as_str(*word)));
    let help = hint(&written).or_else(|| near.map(|near| format!("did you mean `{near}`?")));
    cursor.problems.add(match help {
        Some(help) => problem.help(help),
        None => problem,
    });
    None
}

macro_rules! words_field {
    ($type:ty, $hint:expr) => {
        impl Scalar for $type {
            fn kind() -> String {
                Self::ALL.iter().map(|word| word.as_str()).collect::<Vec<_>>().join(", ")
            }
            fn parse(cursor: &Cursor<'_>) -> Option<Self> {
                word(cursor, Self::ALL, Self::as_str, $hint)
            }
            fn show(&self) -> Yaml {
                self.as_str().into()
            }
        }
    };
}

words_field!(Algorithm, kamailio_algorithm);
words_field!(HashCompat, |_| None);
words_field!(WhenAllDown, |_| None);
words_field!(Admin, kamailio_state);
words_field!(Family, |_| None);
words_field!(OtlpProtocol, |_| None);
words_field!(MetricsDetail, |_| None);
words_field!(LogFormat, |_| None);
words_field!(OptionsReply, |_| None);
words_field!(Propagation, |_| None);
words_field!(CaptureUris, |_| None);
words_field!(TraceIdFrom, |_| None);

/// What the algorithm numbers of Kamailio's `ds_select_dst` are called here.
fn kamailio_algorithm(written: &str) -> Option<String> {
    let name = match written {
        "0" => "`hash` with `hash: {key: [call_id]}`",
        "1" => "`hash` with `hash: {key: [from]}`",
        "2" => "`hash` with `hash: {key: [to]}`",
        "3" => "`hash` with `hash: {key: [ruri]}`",
        "4" => "`round_robin`",
        "5" => "`hash` with `hash: {key: [auth_user]}`",
        "6" => "`random`",
        "7" => "`hash` with `hash: {key: [\"header:NAME\"]}`",
        "8" => "`priority`",
        "9" | "11" => "`weighted_round_robin`",
        "10" => "`least_calls`",
        "12" => "parallel forking, which has no counterpart",
        "13" => "`latency`",
        "14" => "`round_robin` with a `priority` for each destination",
        "15" => "`weighted_round_robin` with a `priority` for each destination",
        _ => return None,
    };
    Some(format!("algorithms have names here; Kamailio's algorithm {written} is {name}"))
}

fn kamailio_state(written: &str) -> Option<String> {
    match written {
        "active" | "up" => Some("did you mean `enabled`? whether it is up is found out by probing".into()),
        "inactive" | "down" => Some("did you mean `disabled`?".into()),
        _ => None,
    }
}

/// A share in percent.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(super) struct Percent(pub(super) u8);

impl Scalar for Percent {
    fn kind() -> String {
        "a percentage".into()
    }
    fn parse(cursor: &Cursor<'_>) -> Option<Self> {
        let number = cursor.text().and_then(|text| text.trim().strip_suffix('%')?.trim_end().parse().ok());
        if number.is_none() {
            cursor.expected("a percentage, such as 10%");
        }
        number.map(Self)
    }
    fn show(&self) -> Yaml {
        format!("{}%", self.0).into()
    }
}

/// Data-plane threads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Workers {
    /// As many as there are processors.
    Auto,
    /// So many.
    Fixed(u8),
}

/// Threads at most.
const MAX_WORKERS: u8 = 64;

impl Workers {
    pub(super) fn count(self) -> u8 {
        match self {
            Self::Fixed(count) => count,
            Self::Auto => std::thread::available_parallelism()
                .map_or(1, |count| u8::try_from(count.get()).unwrap_or(MAX_WORKERS))
                .min(MAX_WORKERS),
        }
    }
}

impl Scalar for Workers {
    fn kind() -> String {
        format!("auto, or a number from 1 to {MAX_WORKERS}")
    }
    fn parse(cursor: &Cursor<'_>) -> Option<Self> {
        if cursor.text() == Some("auto") {
            return Some(Self::Auto);
        }
        let count = cursor.integer().and_then(|number| u8::try_from(number).ok());
        let count = count.filter(|count| (1..=MAX_WORKERS).contains(count));
        if count.is_none() {
            cursor.expected(<Self as Scalar>::kind());
        }
        count.map(Self::Fixed)
    }
    fn show(&self) -> Yaml {
        match self {
            Self::Auto => "auto".into(),
            Self::Fixed(count) => u32::from(*count).into(),
        }
    }
}

/// A network, or a single address.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Network(pub(super) ipnet::IpNet);

impl Scalar for Network {
    fn kind() -> String {
        "a network such as 10.0.0.0/8 or an address".into()
    }
    fn parse(cursor: &Cursor<'_>) -> Option<Self> {
        let text = cursor.text().unwrap_or_default();
        let network: Option<ipnet::IpNet> =
            text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(ipnet::IpNet::from));
        match network {
            None => cursor.expected(<Self as Scalar>::kind()),
            Some(network) if network.trunc().addr() != network.addr() => {
                let whole = network.trunc();
                cursor.expected(format!("a network whose host bits are zero, such as {whole}"));
            }
            Some(_) => {}
        }
        network.map(Self)
    }
    fn show(&self) -> Yaml {
        self.0.to_string().into()
    }
}

/// What makes us give up on a destination.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Eq, Ord)]
pub(super) enum Trigger {
    NoResponse,
    Transport,
    Code(u16),
}

impl Scalar for Trigger {
    fn kind() -> String {
        "no_response, transport, or a code from 300 to 699".into()
    }
    fn parse(cursor: &Cursor<'_>) -> Option<Self> {
        let code = cursor.integer().and_then(|number| u16::try_from(number).ok());
        let trigger = match cursor.text() {
            Some("no_response") => Some(Self::NoResponse),
            Some("transport") => Some(Self::Transport),
            Some(_) | None => code.filter(|code| (300..=699).contains(code)).map(Self::Code),
        };
        if trigger.is_none() {
            cursor.expected(<Self as Scalar>::kind());
        }
        trigger
    }
    fn show(&self) -> Yaml {
        match self {
            Self::NoResponse => "no_response".into(),
            Self::Transport => "transport".into(),
            Self::Code(code) => u32::from(*code).into(),
        }
    }
}

/// A status code or a range of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Codes(pub(super) u16, pub(super) u16);

impl Scalar for Codes {
    fn kind() -> String {
        "a code such as 404 or a range such as 200-499".into()
    }
    fn parse(cursor: &Cursor<'_>) -> Option<Self> {
        let pair = match (cursor.integer(), cursor.text()) {
            (Some(number), _) => u16::try_from(number).ok().map(|code| (code, code)),
            (None, Some(text)) => text
                .split_once('-')
                .and_then(|(low, high)| Some((low.trim().parse().ok()?, high.trim().parse().ok()?))),
            (None, None) => None,
        };
        let pair = pair.filter(|(low, high)| *low >= 200 && *high <= 699 && low <= high);
        if pair.is_none() {
            cursor.expected(format!("{}, within 200-699", <Self as Scalar>::kind()));
        }
        pair.map(|(low, high)| Self(low, high))
    }
    fn show(&self) -> Yaml {
        if self.0 == self.1 { u32::from(self.0).into() } else { format!("{}-{}", self.0, self.1).into() }
    }
}

/// A value with all its parts on one line, for comparing.
pub(super) fn exact(value: &Yaml) -> String {
    serde_yaml::to_string(value).unwrap_or_default()
}
