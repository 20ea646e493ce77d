//! What the numbers of Kamailio's algorithms are called here.

/// An algorithm of `ds_select_dst`.
#[derive(Debug)]
pub(super) struct Algorithm {
    /// Its number in Kamailio.
    pub(super) number: u32,
    /// What Kamailio's manual says it does, in a few words.
    pub(super) name: &'static str,
    /// Its name here; `None` if it has no counterpart.
    pub(super) word: Option<&'static str>,
    /// The part of the request that is hashed, for `hash`.
    pub(super) key: Option<&'static str>,
    /// The attribute that holds the weight.
    pub(super) reads: Option<&'static str>,
    /// What differs; empty if nothing.
    pub(super) remark: &'static str,
}

const fn row(number: u32, name: &'static str, word: &'static str, remark: &'static str) -> Algorithm {
    Algorithm { number, name, word: Some(word), key: None, reads: None, remark }
}

const fn hash(number: u32, name: &'static str, key: &'static str, remark: &'static str) -> Algorithm {
    Algorithm { key: Some(key), ..row(number, name, "hash", remark) }
}

const fn weighted(number: u32, name: &'static str, reads: &'static str, remark: &'static str) -> Algorithm {
    Algorithm { reads: Some(reads), ..row(number, name, "weighted_round_robin", remark) }
}

/// Every algorithm of Kamailio up to 6.2.
pub(super) const ALGORITHMS: &[Algorithm] = &[
    hash(0, "hash of the Call-ID", "call_id", ""),
    hash(1, "hash of the From URI", "from", ""),
    hash(2, "hash of the To URI", "to", ""),
    hash(3, "hash of the Request-URI", "ruri", ""),
    row(4, "round robin, without weights", "round_robin", ""),
    hash(5, "hash of the digest user", "auth_user", "without credentials Kamailio took round robin instead"),
    row(6, "random", "random", ""),
    hash(7, "hash of hash_pvar", "call_id", ""),
    row(8, "the first by priority", "priority", ""),
    weighted(
        9,
        "weights in percent",
        "weight",
        "a dead destination's share went to its neighbour; here to all",
    ),
    row(10, "least calls", "least_calls", "calls are counted by sipwarden itself, not by the script"),
    weighted(11, "relative weights", "rweight", ""),
    Algorithm { word: None, ..row(12, "parallel forking", "", "not supported: one destination at a time") },
    row(13, "by latency", "latency", "latency is set against the set's median; priorities are tiers"),
    row(
        14,
        "round robin, or serial if priorities differ",
        "round_robin",
        "with two of one priority among others, these take turns",
    ),
    weighted(
        15,
        "priority and weight, as SRV",
        "weight",
        "lower was first there, too: priorities are not turned round",
    ),
    row(
        64,
        "round robin with overload control",
        "round_robin",
        "overload control by RFC 7339 is not supported",
    ),
];

/// The algorithm whose priorities are already the way they are here.
pub(super) const LOWEST_FIRST: u32 = 15;

/// The algorithm of a number.
pub(super) fn find(number: u32) -> Option<&'static Algorithm> {
    ALGORITHMS.iter().find(|algorithm| algorithm.number == number)
}

/// Whether Kamailio's algorithm goes by priority, rather than only beginning its list with it.
pub(super) const fn is_by_priority(number: u32) -> bool {
    matches!(number, 8 | 13 | 14 | 15)
}

/// Whether an algorithm of ours goes by weight.
pub(super) fn goes_by_weight(word: &str) -> bool {
    ["weighted_round_robin", "hash", "random", "two_choices", "least_calls", "latency"].contains(&word)
}

/// The key that a variable of `hash_pvar` stands for, if it has one here.
pub(super) fn key_of_variable(variable: &str) -> Option<String> {
    let simple = match variable {
        "ci" => "call_id",
        "fu" => "from",
        "tu" => "to",
        "ru" | "ou" => "ruri",
        "rU" | "oU" => "ruri_user",
        "au" => "auth_user",
        "si" => "source_ip",
        _ => "",
    };
    if !simple.is_empty() {
        return Some(simple.into());
    }
    let header = variable.strip_prefix("hdr(").and_then(|rest| rest.strip_suffix(')'))?;
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
    (!header.is_empty() && header.bytes().all(is_token)).then(|| format!("header:{header}"))
}
