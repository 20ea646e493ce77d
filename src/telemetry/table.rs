//! The table of metric families: name, type, labels with their values, help, buckets.
//!
//! The one place that declares a metric. `metrics` counts what the rows marked [`Source::Event`]
//! declare, `state` fills those marked [`Source::State`], and `docs/metrics.md` is printed from it.

use super::values as v;

/// The prefix of every family but the standard `process_*` ones.
pub const NAMESPACE: &str = "sipwarden_";

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Says what is.
    Gauge,
    /// Counts observations up to each of these bounds.
    Histogram(&'static [f64]),
}

/// Whose series a family holds; decides its first labels and when its series appear and vanish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The process.
    Process,
    /// Each listener: label `listener`.
    Listener,
    /// Each configured set: label `set`.
    Set,
    /// Each configured set, and `set=""` for requests that belong to none.
    SetOrNone,
    /// Each configured destination: labels `set` and `destination`.
    Destination,
}

impl Scope {
    /// The labels that name the owner.
    pub const fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Process => &[],
            Self::Listener => &["listener"],
            Self::Set | Self::SetOrNone => &["set"],
            Self::Destination => &["set", "destination"],
        }
    }
}

/// Where the values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Pushed by events.
    Event,
    /// Built at scrape.
    State,
}

/// The values of a label.
#[derive(Debug, Clone, Copy)]
pub enum Values {
    /// One of these words.
    Closed(&'static [&'static str]),
    /// Taken from the configuration or the build, as described.
    Configured(&'static str),
}

/// One label.
#[derive(Debug, Clone, Copy)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its values.
    pub values: Values,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Its name without prefix.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Whose it is.
    pub scope: Scope,
    /// Where its values come from.
    pub source: Source,
    /// Its labels beyond those of the scope.
    pub labels: &'static [Label],
    /// Its help text.
    pub help: &'static str,
    /// When it changes.
    pub when: &'static str,
}

impl Spec {
    /// The name as exposed.
    pub fn full_name(&self) -> String {
        match self.name.starts_with("process_") {
            true => self.name.to_owned(),
            false => format!("{NAMESPACE}{}", self.name),
        }
    }

    /// How many label sets the closed labels make; 0 if one of them is not closed.
    pub const fn combinations(&self) -> usize {
        let mut product = 1;
        let mut rest = self.labels;
        while let [label, tail @ ..] = rest {
            product *= match label.values {
                Values::Closed(words) => words.len(),
                Values::Configured(_) => 0,
            };
            rest = tail;
        }
        product
    }

    /// How many numbers one label set takes: a counter one, a histogram one for each bucket, one
    /// for what lies above and one for the sum.
    pub const fn width(&self) -> usize {
        match self.kind {
            Kind::Counter | Kind::Gauge => 1,
            Kind::Histogram(bounds) => bounds.len() + 2,
        }
    }
}

const SRD: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 11.0, 16.0, 32.0];
const RTT: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0];
const LAG: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const SELECTION: &[f64] = &[1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 1e-3, 1e-2];
const ATTEMPTS: &[f64] = &[1.0, 2.0, 3.0, 4.0, 6.0, 8.0];
const WAIT: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0];
const FORWARD: &[f64] = &[5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 1e-1];
const SCRAPE: &[f64] =
    &[5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 1e-1, 0.25, 0.5, 1.0];

macro_rules! kind {
    (counter) => {
        Kind::Counter
    };
    (gauge) => {
        Kind::Gauge
    };
    (histogram $bounds:ident) => {
        Kind::Histogram($bounds)
    };
}
macro_rules! values {
    ($words:ident) => { Values::Closed(v::$words) };
    ($text:literal) => { Values::Configured($text) };
    ([$($word:literal)+]) => { Values::Closed(&[$($word),+]) };
}

/// Declares the families: an enum to name them in code and the table at the same positions.
macro_rules! families {
    ($($id:ident = $kind:ident $($bounds:ident)? $name:literal $scope:ident $source:ident
        [$($label:ident: $values:tt),*] $help:literal, $when:literal;)+) => {
        /// A family of the table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Family { $(#[doc = $help] $id),+ }

        impl Family {
            /// Every family, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$id),+];
        }

        /// The families, at the position of their [`Family`].
        pub const TABLE: &[Spec] = &[$(Spec {
            name: $name,
            kind: kind!($kind $($bounds)?),
            scope: Scope::$scope,
            source: Source::$source,
            labels: &[$(Label { name: stringify!($label), values: values!($values) }),*],
            help: $help,
            when: $when,
        }),+];
    };
}

families! {
    DestinationState = gauge "destination_state" Destination State [state: STATES]
        "Whether the destination is in this state (exactly one state is 1).", "every transition";
    DestinationUp = gauge "destination_up" Destination State []
        "Whether new requests may be sent to the destination (1) or not (0).",
        "1 for up and failing, and for unknown while no member of the set is known up";
    DestinationProbing = gauge "destination_probing" Destination State []
        "Whether the destination is being probed.", "start, reload";
    DestinationInfo = gauge "destination_info" Destination State
        [uri: "URI without user part", transport: TRANSPORTS, priority: "configured tier", source: ["config"]]
        "Constant 1 with the configured properties as labels.", "set at load, removed at reload";
    DestinationWeight = gauge "destination_weight" Destination State []
        "Configured weight of the destination.", "reload";
    DestinationAdded = gauge "destination_added_timestamp_seconds" Destination State []
        "Unix time at which the destination was loaded.", "load";
    DestinationChanged = gauge "destination_last_state_change_timestamp_seconds" Destination State []
        "Unix time of the last change of state (load time before the first).", "every transition";
    DestinationTransitions = counter "destination_transitions_total" Destination Event
        [to: STATES, reason: CHANGE_REASONS]
        "State transitions by new state and by what caused them.", "every transition";
    DestinationAddresses = gauge "destination_addresses" Destination State []
        "IP addresses the destination currently resolves to.", "after each DNS resolution";
    DestinationAddressChanges = counter "destination_address_changes_total" Destination Event []
        "Times the resolved address set of the destination changed.", "the DNS answer differs";
    DestinationDnsStale = gauge "destination_dns_stale" Destination State []
        "Whether the last DNS resolution failed and older addresses are kept (1) or not (0).",
        "after each DNS resolution";

    DestinationEjected = gauge "destination_ejected" Destination State []
        "Whether the destination is set aside because requests to it failed (1) or not (0).",
        "passive ejection, its end, last resort, reload";
    DestinationRetryAfter = gauge "destination_retry_after_seconds" Destination State []
        "Time left of the pause that the destination asked for with Retry-After (0: none).",
        "503 with Retry-After to an initial request; counts down";
    DestinationDamped = gauge "destination_damped" Destination State []
        "Whether the destination went down so often of late that it needs more good probes to come up (1).",
        "the third fall within ten minutes, until fewer are left";
    EvidenceDropped = counter "evidence_dropped_total" Process Event []
        "Outcomes of requests that the owner of states did not learn of, because its queue was full.",
        "more than 1024 wait for worker 0";

    SetAllDown = gauge "set_all_down" Set State []
        "1 if the set has destinations and none may take new requests, else 0.",
        "any transition, reload; never 1 before the first verdict after a start";
    SetDestinations = gauge "set_destinations" Set State [state: STATES]
        "Destinations of the set in each state.", "any transition, reload";
    SetConfigured = gauge "set_destinations_configured" Set State []
        "Destinations configured in the set.", "reload";
    SetEnabled = gauge "set_destinations_enabled" Set State []
        "Destinations of the set not disabled or drained by an administrator.", "admin, reload";
    SetAvailable = gauge "set_destinations_available" Set State []
        "Destinations of the set that may take new requests.", "any transition, reload";
    SetObjective = gauge "set_objective_ratio" Set State []
        "Configured objective for successful call setup, as a ratio.", "reload";
    SetInfo = gauge "set_info" Set State [algorithm: ALGORITHMS]
        "Constant 1 with the algorithm of the set as a label.", "reload";
    SetDetection = gauge "set_detection_seconds" Set State []
        "Worst-case time from the death of a destination of the set to its state down.", "reload";

    Probes = counter "probes_total" Destination Event [result: PROBE_RESULTS]
        "Probes finished, by result.", "probe end";
    ProbeRtt = histogram RTT "probe_rtt_seconds" Destination Event []
        "Round trip of answered probes, from the first transmission to the final response.",
        "answered probe";
    ProbeLastRtt = gauge "probe_last_rtt_seconds" Destination State []
        "Round trip of the last answered probe (NaN before the first).", "answered probe";
    ProbeEwma = gauge "probe_rtt_ewma_seconds" Destination State []
        "Smoothed round trip, as the latency algorithm uses it.",
        "accepted probe, first response to an INVITE (NaN before the first)";
    ProbeLastCode = gauge "probe_last_status_code" Destination State []
        "SIP status code of the last probe (0 if none was received).", "probe end";
    ProbeLast = gauge "probe_last_timestamp_seconds" Destination State []
        "Unix time at which the last probe finished; absent before the first.", "probe end";
    ProbeLastSuccess = gauge "probe_last_success_timestamp_seconds" Destination State []
        "Unix time of the last successful probe; absent before the first.", "successful probe";
    ProbeFailures = gauge "probe_consecutive_failures" Destination State []
        "Failed probes in a row (0 after a success).", "probe end";
    ProbeSuccesses = gauge "probe_consecutive_successes" Destination State []
        "Successful probes in a row (0 after a failure).", "probe end";
    ProbeInterval = gauge "probe_interval_seconds" Destination State []
        "Configured time between probes.", "reload";
    ProbeThreshold = gauge "probe_threshold" Destination State [kind: ["down" "up"]]
        "Configured number of probes in a row that changes the state.", "reload";
    ProbesInFlight = gauge "probes_in_flight" Set State []
        "Probes waiting for their response.", "probe start and end";
    ProbeLag = histogram LAG "probe_schedule_lag_seconds" Process Event []
        "Delay between the due time of a probe and its transmission.", "probe start";
    ProbeUnmatched = counter "probe_unmatched_total" Process Event []
        "Responses to probes that matched no probe under way.", "such a response, late ones included";

    Selections = counter "selections_total" Destination Event
        [algorithm: ALGORITHMS, reason: SELECTION_REASONS]
        "Selections of the destination, by algorithm and reason.", "each selection";
    SelectionFailures = counter "selection_failures_total" Set Event [reason: SELECTION_FAILURES]
        "Requests for which no destination could be selected.", "each failed selection";
    SelectionDuration = histogram SELECTION "selection_duration_seconds" Set Event [algorithm: ALGORITHMS]
        "Time a selection takes.", "each selection";
    Failovers = counter "failovers_total" Destination Event [cause: CAUSES]
        "Attempts at the destination that were given up in favour of another one, by cause.", "each failover";
    FailoverEdges = counter "failover_edges_total" Set Event
        [from: "id of a destination of the set", to: "id of another one; `other` in sets of more than 16, and for one of a fallback set"]
        "Failovers by the destination left and the one tried next.", "each failover";
    FailoversExhausted = counter "failovers_exhausted_total" Set Event []
        "Requests that failed on every destination they were tried at.", "last attempt failed";
    Attempts = histogram ATTEMPTS "attempts" Set Event [method: METHODS]
        "Destinations tried for one request.", "final response sent to a request that was dispatched";

    Requests = counter "requests_total" Listener Event [method: METHODS]
        "Requests received, without retransmissions and ACK for non-2xx.", "new server transaction";
    Transactions = counter "transactions_total" SetOrNone Event
        [method: METHODS, code: CODE_LABELS, origin: ORIGINS]
        "Server transactions finished, by final code sent and who made it.", "final response sent";
    InFlight = gauge "transactions_in_flight" Process State [role: ROLES, method: METHODS]
        "Transactions not finished; role server or client.", "start and end";
    DestinationRequests = counter "destination_requests_total" Destination Event [method: METHODS]
        "Requests sent to the destination, without retransmissions.", "attempt start";
    DestinationResponses = counter "destination_responses_total" Destination Event
        [method: METHODS, class: CLASSES]
        "Responses received from the destination by class.", "response";
    DestinationCodes = counter "destination_response_codes_total" Destination Event [code: CODE_LABELS]
        "Final responses received from the destination by code.", "final response";
    DestinationInFlight = gauge "destination_transactions_in_flight" Destination State []
        "Client transactions waiting for a final response of the destination.", "attempt start and end";
    FirstResponse = histogram WAIT "destination_first_response_seconds" Destination Event
        [method: FIRST_METHODS]
        "Time from the first transmission to the first response of any class.", "first response";
    TransactionTime = histogram WAIT "destination_transaction_seconds" Destination Event
        [method: OTHER_METHODS]
        "Time from the first transmission to the final response.", "final response, non-INVITE";
    Timeouts = counter "destination_timeouts_total" Destination Event [timer: TIMERS]
        "Client transactions ended by a timer.", "the timer of RFC 3261 fires";
    DestinationRetransmissions = counter "destination_retransmissions_total" Destination Event [kind: KINDS]
        "Retransmissions to and from the destination.",
        "request: sent by timers A, E; response: received again, 2xx included";
    ClientRetransmissions = counter "client_retransmissions_total" Listener Event [kind: KINDS]
        "Retransmissions on the caller's side.", "request: absorbed; response: sent by timer G";
    Rejections = counter "rejections_total" SetOrNone Event [reason: REFUSALS]
        "Requests refused by us, by reason; set is empty where none was chosen.", "our own refusal sent";

    SetupDelay = histogram SRD "session_request_delay_seconds" Destination Event [result: SETUP_RESULTS]
        "RFC 6076 SRD: INVITE to the first indication of success (18x, 200) or of failure.",
        "end of an initial INVITE; not for 3xx, 401, 402, 407 and calls cancelled before";
    DestinationCalls = gauge "destination_calls" Destination State []
        "Calls on the destination, as the load algorithm counts them.",
        "INVITE outside a dialog sent; failure, BYE or expiry";
    DestinationCallsLimit = gauge "destination_calls_limit" Destination State []
        "Configured maximum of calls of the destination (0: none).", "reload";
    DestinationSlowStart = gauge "destination_slow_start_ratio" Destination State []
        "Part of its share that the destination gets while it starts slowly (1: all of it).",
        "grows over slow_start after the destination has come back";
    Dialogs = gauge "dialogs" Set State [state: ["confirmed"]]
        "Dialogs known; state early or confirmed.", "dialog change; early ones are not counted";
    DialogsExpired = counter "dialogs_expired_total" Set Event []
        "Dialogs dropped without a BYE.",
        "limits.max_call_age reached, or a 2xx opens a dialog that cannot be remembered";

    Messages = counter "messages_total" Process Event
        [transport: TRANSPORTS, direction: DIRECTIONS, kind: KINDS]
        "SIP messages; direction received or sent, kind request or response.",
        "each message with retransmissions";
    MessageBytes = counter "message_bytes_total" Process Event [transport: TRANSPORTS, direction: DIRECTIONS]
        "Bytes of SIP messages.", "each message";
    ParseErrors = counter "parse_errors_total" Process Event [transport: TRANSPORTS, reason: PARSE_REASONS]
        "Messages that could not be parsed.", "each such message";
    Dropped = counter "dropped_messages_total" Process Event [direction: DIRECTIONS, reason: DROP_REASONS]
        "Messages dropped on purpose.", "each such message";
    ForwardDelay = histogram FORWARD "forward_delay_seconds" Process Event [kind: KINDS]
        "Time a message spends inside the process, from receipt to transmission.", "each forwarded message";
    Connections = gauge "transport_connections" Process State
        [transport: ["tcp"], role: CONNECTION_ROLES]
        "Open stream connections; role inbound or outbound.", "open, close";
    Connects = counter "transport_connects_total" Process Event
        [transport: ["tcp"], role: CONNECTION_ROLES, result: CONNECT_RESULTS]
        "Stream connections opened; result ok refused timeout error.", "open, or failure to";
    TransportErrors = counter "transport_errors_total" Process Event
        [transport: TRANSPORTS, operation: OPERATIONS, reason: TRANSPORT_REASONS]
        "Errors of send and receive calls.", "each error";
    Handovers = counter "worker_handover_total" Process Event [result: HANDOVERS]
        "Datagrams that arrived at a worker which does not own them; result ok (handed over) or full (dropped).",
        "each such datagram";
    LingerBytes = gauge "linger_bytes" Process State []
        "Memory of finished transactions, kept for retransmissions within limits.linger.", "scrape";
    LingerDropped = counter "linger_dropped_total" Process Event [kind: LINGER_KINDS]
        "What went before its time because of limits.linger; kind response client tombstone invite_tombstone.",
        "each one";
    Resolutions = counter "dns_resolutions_total" Process Event [result: DNS_RESULTS]
        "DNS resolutions; result ok nxdomain timeout error.", "resolution";
    ResolutionTime = histogram WAIT "dns_resolution_seconds" Process Event []
        "Time a DNS resolution takes.", "resolution";

    ReloadSuccessful = gauge "config_last_reload_successful" Process State []
        "Whether the last reload (or the start) accepted its configuration.", "reload";
    ReloadTimestamp = gauge "config_last_reload_success_timestamp_seconds" Process State []
        "Unix time of the last accepted configuration.", "reload";
    Reloads = counter "config_reloads_total" Process Event [trigger: RELOAD_TRIGGERS, result: RELOAD_RESULTS]
        "Reloads; trigger signal file api; result ok invalid unchanged.", "reload";
    ConfigHash = gauge "config_hash" Process State []
        "First 48 bits of the SHA-256 of the effective configuration.", "start, reload";
    BuildInfo = gauge "build_info" Process State
        [version: "of the release", revision: "commit it was built from", rustc: "compiler version", features: "cargo features"]
        "Constant 1 with the build as labels.", "start";
    LogEvents = counter "log_events_total" Process Event [level: LEVELS]
        "Log events at level warn and error.", "each event";
    Series = gauge "metric_series" Process State []
        "Series exposed at the last scrape.", "scrape";
    ScrapeTime = histogram SCRAPE "scrape_duration_seconds" Process Event []
        "Time to build the answer to a scrape.", "scrape (seen by the next one)";
    ProcessCpu = counter "process_cpu_seconds_total" Process State []
        "Total user and system CPU time spent in seconds.", "scrape";
    ProcessResident = gauge "process_resident_memory_bytes" Process State []
        "Resident memory size in bytes.", "scrape";
    ProcessVirtual = gauge "process_virtual_memory_bytes" Process State []
        "Virtual memory size in bytes.", "scrape";
    ProcessFds = gauge "process_open_fds" Process State []
        "Number of open file descriptors.", "scrape";
    ProcessMaxFds = gauge "process_max_fds" Process State []
        "Maximum number of open file descriptors.", "scrape";
    ProcessThreads = gauge "process_threads" Process State []
        "Number of OS threads in the process.", "scrape";
    ProcessStart = gauge "process_start_time_seconds" Process State []
        "Start time of the process since unix epoch in seconds.", "start";

    SpansExported = counter "otlp_spans_exported_total" Process Event []
        "Spans handed to the collector.", "export accepted";
    SpansDropped = counter "otlp_spans_dropped_total" Process Event [reason: LOSSES]
        "Spans lost before or at export.", "a full queue, a failed export, shutting down";
    Exports = counter "otlp_exports_total" Process Event [result: EXPORT_RESULTS]
        "Export requests; result ok error timeout.", "export";
    ExportSuccess = gauge "otlp_last_success_timestamp_seconds" Process State []
        "Unix time of the last accepted export (0: none).", "export accepted";
    Traces = counter "traces_total" Process Event [decision: DECISIONS]
        "Traces by tail decision.", "end of a trace, if spans are exported at all";
}

impl Family {
    /// The family's row.
    pub fn spec(self) -> &'static Spec {
        TABLE.get(self as usize).expect("the table has a row for each family")
    }
}

/// How many numbers the families of a scope need, and at which each begins.
#[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
const LAYOUT: ([usize; TABLE.len()], [usize; 4]) = {
    let mut offsets = [0; TABLE.len()];
    let mut ends = [0; 4];
    let mut index = 0;
    while index < TABLE.len() {
        let spec = &TABLE[index];
        let block = block_of(spec.scope) as usize;
        offsets[index] = ends[block];
        if matches!(spec.source, Source::Event) {
            ends[block] += spec.combinations() * spec.width();
        }
        index += 1;
    }
    (offsets, ends)
};

/// The blocks of numbers: one for the process, one for each listener, set and destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// The process's.
    Process,
    /// A listener's.
    Listener,
    /// A set's, or that of requests without a set.
    Set,
    /// A destination's.
    Destination,
}

/// The block that holds the numbers of a scope.
pub const fn block_of(scope: Scope) -> BlockKind {
    match scope {
        Scope::Process => BlockKind::Process,
        Scope::Listener => BlockKind::Listener,
        Scope::Set | Scope::SetOrNone => BlockKind::Set,
        Scope::Destination => BlockKind::Destination,
    }
}

/// The length of a block.
pub fn block_len(kind: BlockKind) -> usize {
    LAYOUT.1.get(kind as usize).copied().unwrap_or(0)
}

/// Where a family begins in its block.
pub fn offset(family: Family) -> usize {
    LAYOUT.0.get(family as usize).copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_follow_the_conventions() {
        let names: BTreeSet<_> = TABLE.iter().map(|spec| spec.name).collect();
        assert_eq!(names.len(), TABLE.len());
        for spec in TABLE {
            let counter = matches!(spec.kind, Kind::Counter);
            assert_eq!(counter, spec.name.ends_with("_total"), "{}", spec.name);
            assert!(spec.help.ends_with('.') && !spec.when.is_empty(), "{}", spec.name);
            assert!(spec.labels.len() <= 4, "{}", spec.name);
        }
    }

    #[test]
    fn bounds_ascend() {
        for spec in TABLE {
            if let Kind::Histogram(bounds) = spec.kind {
                assert!(bounds.is_sorted() && !bounds.is_empty(), "{}", spec.name);
            }
        }
    }
}
