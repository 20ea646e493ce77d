//! Where in a configuration a value belongs: the keys and list positions that lead to it.

use figment::value::Value;
use std::fmt;

const SEPARATOR: char = '\u{1f}';
/// Marks a list position, so that a key `0` and the first item stay apart.
const ITEM: char = '\u{1e}';

/// The way from the root to one value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(super) struct KeyPath(String);

impl KeyPath {
    /// The whole configuration.
    pub(super) fn root() -> Self {
        Self::default()
    }

    /// The value under a key.
    pub(super) fn key(&self, key: &str) -> Self {
        let mut text = String::with_capacity(self.0.len() + key.len() + 1);
        text.push_str(&self.0);
        text.push(SEPARATOR);
        text.push_str(key);
        Self(text)
    }

    /// An item of the list.
    pub(super) fn item(&self, index: usize) -> Self {
        Self(format!("{}{SEPARATOR}{ITEM}{index}", self.0))
    }

    /// What holds this value; `None` for the root.
    pub(super) fn parent(&self) -> Option<Self> {
        self.0.rfind(SEPARATOR).and_then(|at| self.0.get(..at)).map(|parent| Self(parent.to_owned()))
    }

    /// Whether this is `other` or inside it.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.0.strip_prefix(&other.0).is_some_and(|rest| rest.is_empty() || rest.starts_with(SEPARATOR))
    }

    /// What stands here in a tree.
    pub(super) fn look_up<'a>(&self, tree: &'a Value) -> Option<&'a Value> {
        self.0.split(SEPARATOR).skip(1).try_fold(tree, |at, segment| match segment.strip_prefix(ITEM) {
            Some(index) => at.as_array()?.get(index.parse::<usize>().ok()?),
            None => at.as_dict()?.get(segment),
        })
    }

    /// Whether this is the whole configuration.
    pub(super) fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.split(SEPARATOR).skip(1).enumerate() {
            match segment.strip_prefix(ITEM) {
                Some(index) => write!(f, "[{index}]")?,
                None if position == 0 => write!(f, "{}", segment.escape_debug())?,
                None => write!(f, ".{}", segment.escape_debug())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_the_file() {
        let path = KeyPath::root().key("sets").key("pbx").key("destinations").item(2).key("weight");
        assert_eq!(path.to_string(), "sets.pbx.destinations[2].weight");
        assert_eq!(path.parent().unwrap().to_string(), "sets.pbx.destinations[2]");
    }

    #[test]
    fn is_within_whole_segments_only() {
        let drain = KeyPath::root().key("drain");
        assert!(drain.key("timeout").is_within(&drain));
        assert!(!KeyPath::root().key("drained").is_within(&drain));
    }
}
