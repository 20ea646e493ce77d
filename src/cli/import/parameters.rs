//! The parameters of Kamailio's dispatcher, and the keys that take their place.

/// What is done with the value of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Seconds between probes; 0: none.
    Interval,
    /// Milliseconds to a final response to a probe.
    Timeout,
    /// Failures in a row.
    DownAfter,
    /// Successes in a row.
    UpAfter,
    /// Codes that count as alive.
    Codes,
    /// The method to probe with.
    Method,
    /// The From URI of probes.
    From,
    /// Who is probed.
    Mode,
    /// Bits: 1 hashes only the user of a URI, 2 allows failover.
    Flags,
    /// What algorithm 7 hashes.
    HashVariable,
    /// Whether the last destination is kept for when no other works.
    UseDefault,
    /// Where the destinations are.
    ListFile,
    /// What a table or column is called.
    TableName,
    /// Nothing: the remark says why.
    Remark,
}

/// A parameter of the module.
#[derive(Debug)]
pub(super) struct Row {
    /// Its name.
    pub(super) name: &'static str,
    /// What becomes of its value.
    pub(super) meaning: Meaning,
    /// The key that takes its place; empty if there is none.
    pub(super) key: &'static str,
    /// What there is instead, or what to know; empty if nothing.
    pub(super) remark: &'static str,
}

const fn mapped(name: &'static str, meaning: Meaning, key: &'static str) -> Row {
    Row { name, meaning, key, remark: "" }
}

const fn remark(name: &'static str, remark: &'static str) -> Row {
    Row { name, meaning: Meaning::Remark, key: "", remark }
}

const OUTPUT: &str = "no equal: there is no script to read it; see the spans, and `sipwarden explain`";
const COUNTS: &str =
    "not needed: calls are counted by sipwarden itself (`limits.max_call_age` forgets lost ones)";
const LATENCY: &str = "not needed: round trips are always measured, and kept over a reload";
const GONE: &str = "gone since Kamailio 5.2, and without an equal: there is no script to read it";
const LISTENER: &str = "no equal: name the listener of each destination, `listener: NAME`";

/// Every parameter, those of the past included.
pub(super) const PARAMETERS: &[Row] = &[
    mapped("ds_ping_interval", Meaning::Interval, "probe.interval"),
    mapped("ds_ping_fr_timer", Meaning::Timeout, "probe.timeout"),
    mapped("ds_ping_fr_timeout", Meaning::Timeout, "probe.timeout"),
    mapped("ds_probing_threshold", Meaning::DownAfter, "probe.down_after"),
    mapped("ds_inactive_threshold", Meaning::UpAfter, "probe.up_after"),
    mapped("ds_ping_reply_codes", Meaning::Codes, "probe.accept"),
    mapped("ds_ping_method", Meaning::Method, "probe.method"),
    mapped("ds_ping_from", Meaning::From, "probe.from"),
    mapped("ds_probing_mode", Meaning::Mode, "probe.enabled"),
    mapped("flags", Meaning::Flags, "failover.max_attempts"),
    mapped("hash_pvar", Meaning::HashVariable, "hash.key"),
    mapped("use_default", Meaning::UseDefault, "priority"),
    mapped("list_file", Meaning::ListFile, "sets"),
    mapped("table_name", Meaning::TableName, "sets"),
    mapped("setid_col", Meaning::TableName, "sets"),
    mapped("destination_col", Meaning::TableName, "sets"),
    mapped("flags_col", Meaning::TableName, "sets"),
    mapped("priority_col", Meaning::TableName, "sets"),
    mapped("attrs_col", Meaning::TableName, "sets"),
    remark("db_url", "not read: give the table `dispatcher` as CSV or as SQL dump"),
    remark("ds_db_extra_attrs", "further columns of the CSV or SQL count as attributes anyway"),
    remark("force_dst", "no equal: a request either goes to a set or along its Route, never both"),
    remark("xavp_dst", OUTPUT),
    remark("xavp_dst_mode", OUTPUT),
    remark("xavp_ctx", OUTPUT),
    remark("xavp_ctx_mode", OUTPUT),
    remark("setid_pvname", OUTPUT),
    remark("attrs_pvname", OUTPUT),
    remark("ds_attrs_none", OUTPUT),
    remark("ds_ping_latency_stats", LATENCY),
    remark("ds_retain_latency_stats", LATENCY),
    remark("ds_latency_estimator_alpha", "no equal: the weight of the newest round trip is fixed"),
    remark("ds_hash_size", COUNTS),
    remark("ds_hash_expire", COUNTS),
    remark("ds_hash_initexpire", COUNTS),
    remark("ds_hash_check_interval", COUNTS),
    remark("outbound_proxy", "no equal: probes go straight to the destination, as calls do"),
    remark("ds_default_socket", LISTENER),
    remark("ds_default_sockname", LISTENER),
    remark("ds_ping_socket", "no equal: probes leave from where calls leave"),
    remark("ds_timer_mode", "not needed: probes have timers of their own"),
    remark(
        "event_callback",
        "each change of state is a log line, a span and a metric; alerts come with sipwarden",
    ),
    remark(
        "event_callback_mode",
        "each change of state is a log line, a span and a metric, the first one included",
    ),
    remark("ds_load_mode", "a file with a mistake is refused as a whole, always"),
    remark("reload_delta", "not needed: reloads come one after the other and keep the state"),
    remark(
        "ds_dns_mode",
        "names are always kept fresh, by their TTL within `dns.min_ttl` and `dns.max_ttl`; SRV without a port",
    ),
    remark("ds_dns_interval", "names are kept fresh by their TTL, within `dns.min_ttl` and `dns.max_ttl`"),
    remark("ds_dns_ttl", "names are kept fresh by their TTL, within `dns.min_ttl` and `dns.max_ttl`"),
    remark("ds_dns_match_all", "not needed: every address of a name counts as the destination"),
    remark("dst_avp", GONE),
    remark("grp_avp", GONE),
    remark("cnt_avp", GONE),
    remark("sock_avp", GONE),
    remark("attrs_avp", GONE),
    remark("dstid_avp", GONE),
];

impl Row {
    /// The last part of the key.
    pub(super) fn leaf(&self) -> &'static str {
        self.key.rsplit('.').next().unwrap_or_default()
    }
}

/// The row of a parameter.
pub(super) fn find(name: &str) -> Option<&'static Row> {
    PARAMETERS.iter().find(|row| row.name == name)
}

/// The attributes of a destination that Kamailio knows, the key that takes the place of each, and
/// what there is to know about it.
pub(super) const ATTRIBUTES: &[(&str, &str, &str)] = &[
    ("duid", "id", ""),
    ("maxload", "max_calls", ""),
    ("weight", "weight", ""),
    ("rweight", "weight", ""),
    ("socket", "listener", ""),
    ("sockname", "listener", ""),
    ("ping_from", "probe.from", ""),
    ("cc", "", "congestion control is `algorithm: latency` here"),
    ("ping_socket", "", "no equal: probes leave from where calls leave"),
    ("obproxy", "", "no equal: probes go straight to the destination, as calls do"),
    ("latency", "", "not needed: the round trip is measured from the first probe on"),
    ("ocrate", "", "no equal: overload control by RFC 7339 is not supported"),
    ("ocmin", "", "no equal: overload control by RFC 7339 is not supported"),
    ("ocmax", "", "no equal: overload control by RFC 7339 is not supported"),
];
