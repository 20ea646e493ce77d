//! Choosing a destination, failing over to the next, refusing.

rows! {
    Selections = counter "selections_total" Destination Event
        [algorithm: ALGORITHMS, reason: SELECTION_REASONS]
        "Selections of the destination, by algorithm and reason.", "each selection",
        "-", "lb_* and upstream_rq_total per host";
    SelectionFailures = counter "selection_failures_total" Set Event [reason: SELECTION_FAILURES]
        "Requests for which no destination could be selected.", "each failed selection",
        "ds_select_dst false", "upstream_cx_none_healthy";
    SelectionDuration = histogram SELECTION "selection_duration_seconds" Set Event [algorithm: ALGORITHMS]
        "Time a selection takes.", "each selection",
        "-", "-";
    Failovers = counter "failovers_total" Destination Event [cause: CAUSES]
        "Attempts at the destination that were given up in favour of another one, by cause.", "each failover",
        "ds_next_dst in failure_route", "upstream_rq_retry; haproxy redispatch_warnings_total";
    FailoverEdges = counter "failover_edges_total" Set Event
        [from: "id of a destination of the set", to: "id of another one; `other` in sets of more than 16, and for one of a fallback set"]
        "Failovers by the destination left and the one tried next.", "each failover",
        "-", "-";
    FailoversExhausted = counter "failovers_exhausted_total" Set Event []
        "Requests that failed on every destination they were tried at.", "last attempt failed",
        "ds_next_dst false", "upstream_rq_retry_limit_exceeded";
    Attempts = histogram ATTEMPTS "attempts" Set Event [method: METHODS]
        "Destinations tried for one request.", "final response sent to a request that was dispatched",
        "-", "-";
    Rejections = counter "rejections_total" SetOrNone Event [reason: REFUSALS]
        "Requests refused by us, by reason; set is empty where none was chosen.", "our own refusal sent",
        "sl.stats 503, 404, 403", "upstream_cx_none_healthy, no_route";
    EvidenceDropped = counter "evidence_dropped_total" Process Event []
        "Outcomes of requests that the owner of states did not learn of, because its queue was full.",
        "more than 1024 wait for worker 0",
        "-", "-";
}
