//! What probing can be told: the `probe` section of a set.

use std::sync::Arc;
use std::time::Duration;

/// How a destination is probed. Destinations with an equal endpoint and equal settings share one
/// probe.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Whether to probe; without, the destination counts as up. Default true.
    pub enabled: bool,
    /// Time between probes while the state is certain. Default 10 s.
    pub interval: Duration,
    /// Time to the next probe while failing or recovering, and while a first verdict of down is not
    /// confirmed by `down_after` failures. Default 1 s.
    pub fast_interval: Duration,
    /// Time to a final response; below `interval`. Default 2 s.
    pub timeout: Duration,
    /// Random part of the interval in percent, 0 to 50. Default 10.
    pub jitter_percent: u8,
    /// The method to probe with. Default OPTIONS.
    pub method: Arc<str>,
    /// The From URI; `None` makes it `sip:sipwarden@<advertised>`.
    pub from: Option<Arc<str>>,
    /// The value of Max-Forwards, 1 to 255. Default 70 (RFC 3261 §8.1.1.6).
    pub max_forwards: u8,
    /// The value of User-Agent; `None` makes it that of everything we send.
    pub user_agent: Option<Arc<str>>,
    /// Accepted final codes. Default 200–499 without 408.
    pub accept: CodeRanges,
}

/// A set of status codes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CodeRanges {
    /// Inclusive ranges that belong to it.
    pub include: Vec<(u16, u16)>,
    /// Inclusive ranges that do not, whatever `include` says.
    pub exclude: Vec<(u16, u16)>,
}

impl CodeRanges {
    /// Whether a code belongs to the set.
    pub fn contains(&self, code: u16) -> bool {
        let within = |ranges: &[(u16, u16)]| ranges.iter().any(|(low, high)| (*low..=*high).contains(&code));
        within(&self.include) && !within(&self.exclude)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(10),
            fast_interval: Duration::from_secs(1),
            timeout: Duration::from_secs(2),
            jitter_percent: 10,
            method: "OPTIONS".into(),
            from: None,
            max_forwards: 70,
            user_agent: None,
            accept: CodeRanges { include: vec![(200, 499)], exclude: vec![(408, 408)] },
        }
    }
}

impl Settings {
    /// The worst-case time from the death of a destination to the verdict that it is down after
    /// `down_after` failures: the whole jittered interval just begun, then that many timeouts with
    /// `fast_interval` between them.
    pub fn detection(&self, down_after: u32) -> Duration {
        let jitter = self.interval * u32::from(self.jitter_percent) / 100;
        self.interval + jitter + self.timeout * down_after + self.fast_interval * down_after.saturating_sub(1)
    }
}
