//! Requests, responses and the transactions that they make.

rows! {
    Requests = counter "requests_total" Listener Event [method: METHODS]
        "Requests received, without retransmissions and ACK for non-2xx.", "new server transaction",
        "core:rcv_requests_*", "downstream_rq_total";
    Transactions = counter "transactions_total" SetOrNone Event
        [method: METHODS, code: CODE_LABELS, origin: ORIGINS]
        "Server transactions finished, by final code sent and who made it.", "final response sent",
        "tm.stats 2xx..6xx, sl.stats", "downstream_rq_xx";
    InFlight = gauge "transactions_in_flight" Process State [role: ROLES, method: METHODS]
        "Transactions not finished; role server or client.", "start and end",
        "tm.stats current, waiting", "downstream_rq_active";
    DestinationRequests = counter "destination_requests_total" Destination Event [method: METHODS]
        "Requests sent to the destination, without retransmissions.", "attempt start",
        "-", "upstream_rq_total";
    DestinationResponses = counter "destination_responses_total" Destination Event
        [method: METHODS, class: CLASSES]
        "Responses received from the destination by class.", "response",
        "-", "upstream_rq_xx";
    DestinationCodes = counter "destination_response_codes_total" Destination Event [code: CODE_LABELS]
        "Final responses received from the destination by code.", "final response",
        "core rcv_replies_* (not per destination)", "upstream_rq_<code>";
    DestinationInFlight = gauge "destination_transactions_in_flight" Destination State []
        "Client transactions waiting for a final response of the destination.", "attempt start and end",
        "-", "upstream_rq_active; haproxy_server_current_sessions";
    FirstResponse = histogram WAIT "destination_first_response_seconds" Destination Event
        [method: FIRST_METHODS]
        "Time from the first transmission to the first response of any class.", "first response",
        "-", "-";
    TransactionTime = histogram WAIT "destination_transaction_seconds" Destination Event
        [method: OTHER_METHODS]
        "Time from the first transmission to the final response.", "final response, non-INVITE",
        "-", "upstream_rq_time";
    Timeouts = counter "destination_timeouts_total" Destination Event [timer: TIMERS]
        "Client transactions ended by a timer.", "the timer of RFC 3261 fires",
        "tm fr_timer 408", "upstream_rq_timeout";
    DestinationRetransmissions = counter "destination_retransmissions_total" Destination Event [kind: KINDS]
        "Retransmissions to and from the destination.",
        "request: sent by timers A, E; response: received again, 2xx included",
        "tm.stats (rpl_generated)", "-";
    ClientRetransmissions = counter "client_retransmissions_total" Listener Event [kind: KINDS]
        "Retransmissions on the caller's side.", "request: absorbed; response: sent by timer G",
        "-", "-";
    LingerBytes = gauge "linger_bytes" Process State []
        "Memory of finished transactions, kept for retransmissions within limits.linger.", "scrape",
        "tm memory", "-";
    LingerDropped = counter "linger_dropped_total" Process Event [kind: LINGER_KINDS]
        "What went before its time because of limits.linger; kind response client tombstone invite_tombstone.",
        "each one",
        "-", "-";
}
