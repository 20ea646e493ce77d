//! What probes show, and how they are made.

rows! {
    Probes = counter "probes_total" Destination Event [result: PROBE_RESULTS]
        "Probes finished, by result.", "probe end",
        "-", "health_check.attempt/success/failure/network_failure";
    ProbeRtt = histogram RTT "probe_rtt_seconds" Destination Event []
        "Round trip of answered probes, from the first transmission to the final response.",
        "answered probe",
        "LATENCY AVG/STD/MAX", "-";
    ProbeLastRtt = gauge "probe_last_rtt_seconds" Destination State []
        "Round trip of the last answered probe (NaN before the first).", "answered probe",
        "-", "haproxy_server_check_duration_seconds";
    ProbeEwma = gauge "probe_rtt_ewma_seconds" Destination State []
        "Smoothed round trip, as the latency algorithm uses it.",
        "accepted probe, first response to an INVITE (NaN before the first)",
        "LATENCY EST", "-";
    ProbeLastCode = gauge "probe_last_status_code" Destination State []
        "SIP status code of the last probe (0 if none was received).", "probe end",
        "-", "haproxy_server_check_code";
    ProbeLast = gauge "probe_last_timestamp_seconds" Destination State []
        "Unix time at which the last probe finished; absent before the first.", "probe end",
        "-", "-";
    ProbeLastSuccess = gauge "probe_last_success_timestamp_seconds" Destination State []
        "Unix time of the last successful probe; absent before the first.", "successful probe",
        "-", "-";
    ProbeFailures = gauge "probe_consecutive_failures" Destination State []
        "Failed probes in a row (0 after a success).", "probe end",
        "message_count (internal)", "haproxy check fall counter";
    ProbeSuccesses = gauge "probe_consecutive_successes" Destination State []
        "Successful probes in a row (0 after a failure).", "probe end",
        "message_count (internal)", "haproxy check rise counter";
    ProbeInterval = gauge "probe_interval_seconds" Destination State []
        "Configured time between probes.", "reload",
        "ds_ping_interval", "interval";
    ProbeThreshold = gauge "probe_threshold" Destination State [kind: ["down" "up"]]
        "Configured number of probes in a row that changes the state.", "reload",
        "ds_inactive/probing_threshold", "unhealthy/healthy_threshold";
    ProbesInFlight = gauge "probes_in_flight" Set State []
        "Probes waiting for their response.", "probe start and end",
        "-", "-";
    ProbeLag = histogram LAG "probe_schedule_lag_seconds" Process Event []
        "Delay between the due time of a probe and its transmission.", "probe start",
        "- (timer process)", "-";
    ProbeUnmatched = counter "probe_unmatched_total" Process Event []
        "Responses to probes that matched no probe under way.", "such a response, late ones included",
        "-", "-";
}
