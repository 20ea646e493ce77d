//! One destination as Kamailio knows it, whether it stood in a file or in a table.

use super::place::{Place, shown};

/// A line of `dispatcher.list`, or a row of the table `dispatcher`.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// Where it stands.
    pub(super) place: Place,
    /// The number of its set.
    pub(super) set: u32,
    /// Its URI, with a scheme.
    pub(super) uri: String,
    /// Its flags, as in [`flag`].
    pub(super) flags: u32,
    /// Its priority; Kamailio tries the highest first.
    pub(super) priority: i32,
    /// Its attributes, in their order.
    pub(super) attrs: Vec<(String, String)>,
    /// What the table says about it in words; a file has no such column.
    pub(super) description: String,
}

/// Bits of the flags of a destination.
pub(super) mod flag {
    /// Not selected until it is known to work.
    pub(crate) const INACTIVE: u32 = 1;
    /// Failing, but selected.
    pub(crate) const TRYING: u32 = 2;
    /// Taken out by an administrator.
    pub(crate) const DISABLED: u32 = 4;
    /// To be pinged.
    pub(crate) const PROBING: u32 = 8;
    /// Name not to be looked up.
    pub(crate) const NO_DNS: u32 = 16;
    /// Never pinged (Kamailio 6.0 and later).
    pub(crate) const NO_PING: u32 = 32;
    /// All of them.
    pub(crate) const ALL: u32 = INACTIVE | TRYING | DISABLED | PROBING | NO_DNS | NO_PING;
}

/// The fields of a row as they are written; an empty one counts as left out.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fields<'a> {
    /// The number of the set.
    pub(super) set: &'a str,
    /// The URI.
    pub(super) uri: &'a str,
    /// Decimal, or hexadecimal after `0x`.
    pub(super) flags: &'a str,
    /// A whole number.
    pub(super) priority: &'a str,
    /// `name=value;name=value`.
    pub(super) attrs: &'a str,
    /// Words about it.
    pub(super) description: &'a str,
}

impl Row {
    /// Reads the fields; what is wrong with them comes back in words.
    pub(super) fn new(place: Place, fields: Fields<'_>) -> Result<Self, String> {
        let set = fields.set.parse::<u32>().ok().filter(|set| i32::try_from(*set).is_ok());
        let set = set.ok_or_else(|| {
            format!("expected the number of a set, 0 or above, found `{}`", shown(fields.set))
        })?;
        if fields.uri.is_empty() {
            return Err("the URI of the destination is missing".into());
        }
        let flags = number(fields.flags)
            .ok_or_else(|| format!("expected flags such as 0 or 0x08, found `{}`", shown(fields.flags)))?;
        let priority = if fields.priority.is_empty() { Ok(0) } else { fields.priority.parse() };
        let priority = priority.map_err(|_| {
            format!("expected a whole number as priority, found `{}`", shown(fields.priority))
        })?;
        Ok(Self {
            place,
            set,
            uri: with_scheme(fields.uri),
            flags,
            priority,
            attrs: attributes(fields.attrs),
            description: fields.description.trim().to_owned(),
        })
    }

    /// The value of an attribute that is written and not empty.
    pub(super) fn attr(&self, name: &str) -> Option<&str> {
        let found = self.attrs.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None if text.is_empty() => Some(0),
        None => text.parse().ok(),
    }
}

/// Kamailio takes a URI without scheme for `sip:`.
fn with_scheme(uri: &str) -> String {
    let lower = uri.to_ascii_lowercase();
    let known = lower.starts_with("sip:") || lower.starts_with("sips:");
    if known { uri.to_owned() } else { format!("sip:{uri}") }
}

fn attributes(text: &str) -> Vec<(String, String)> {
    let pairs = text.split(';').map(str::trim).filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: Fields<'_>) -> Result<Row, String> {
        Row::new(Place { file: "x".into(), line: 1 }, fields)
    }

    #[test]
    fn reads_flags_in_both_notations_and_takes_what_is_left_out_for_zero() {
        let row =
            read(Fields { set: "1", uri: "10.0.0.1:5060", flags: "0x0A", ..Fields::default() }).unwrap();
        assert_eq!((row.flags, row.priority, row.uri.as_str()), (10, 0, "sip:10.0.0.1:5060"));
        assert!(row.attrs.is_empty());
    }

    #[test]
    fn reads_attributes_in_their_order() {
        let attrs = "weight=50;;duid = a ; cc";
        let row = read(Fields { set: "1", uri: "sips:h", attrs, ..Fields::default() }).unwrap();
        assert_eq!(row.attr("weight"), Some("50"));
        assert_eq!(row.attr("duid"), Some("a"));
        assert_eq!(row.attr("cc"), None);
        assert_eq!(row.attrs.len(), 3);
    }

    #[test]
    fn says_which_field_is_wrong() {
        let fields = Fields { set: "1", uri: "sip:h", ..Fields::default() };
        assert!(read(Fields { set: "-1", ..fields }).unwrap_err().contains("number of a set"));
        assert!(read(Fields { set: "3000000000", ..fields }).unwrap_err().contains("number of a set"));
        assert!(read(Fields { uri: "", ..fields }).unwrap_err().contains("URI"));
        assert!(read(Fields { flags: "8x", ..fields }).unwrap_err().contains("flags"));
        assert!(read(Fields { priority: "high", ..fields }).unwrap_err().contains("priority"));
    }
}
