//! What a set is and how it is.

rows! {
    SetAllDown = gauge "set_all_down" Set State []
        "1 if the set has destinations in service and none may take new requests, else 0.",
        "any transition, reload; never 1 before the first verdict after a start",
        "-", "membership_healthy == 0; haproxy_backend_status";
    SetDestinations = gauge "set_destinations" Set State [state: STATES]
        "Destinations of the set in each state.", "any transition, reload",
        "-", "haproxy_backend_agg_server_status";
    SetConfigured = gauge "set_destinations_configured" Set State []
        "Destinations configured in the set.", "reload",
        "NRSETS/TARGETS", "membership_total";
    SetEnabled = gauge "set_destinations_enabled" Set State []
        "Destinations of the set in service: not disabled or drained by an administrator, and of a weight above 0.", "admin, reload",
        "-", "membership_total - excluded";
    SetAvailable = gauge "set_destinations_available" Set State []
        "Destinations of the set that may take new requests.", "any transition, reload",
        "-", "membership_healthy; haproxy_backend_active_servers";
    SetObjective = gauge "set_objective_ratio" Set State []
        "Configured objective for successful call setup, as a ratio.", "reload",
        "-", "-";
    SetInfo = gauge "set_info" Set State [algorithm: ALGORITHMS]
        "Constant 1 with the algorithm of the set as a label.", "reload",
        "ds_select_dst alg", "lb_policy";
    SetDetection = gauge "set_detection_seconds" Set State []
        "Worst-case time from the death of a destination of the set to its state down.", "reload",
        "-", "-";
}
