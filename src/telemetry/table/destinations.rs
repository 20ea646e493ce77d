//! What a destination is and how it is.

rows! {
    DestinationState = gauge "destination_state" Destination State [state: STATES]
        "Whether the destination is in this state (exactly one state is 1).", "every transition",
        "dispatcher.list FLAGS A/T/I/D", "haproxy_server_status{state}";
    DestinationUp = gauge "destination_up" Destination State []
        "Whether new requests may be sent to the destination (1) or not (0).",
        "1 for up and failing, and for unknown while no member of the set is known up; always 0 with weight 0",
        "kamailio_dispatcher_list_target", "host healthy flag; haproxy_server_up";
    DestinationProbing = gauge "destination_probing" Destination State []
        "Whether the destination is being probed.", "start, reload",
        "FLAGS P/X", "-";
    DestinationInfo = gauge "destination_info" Destination State
        [uri: "URI without user part", transport: TRANSPORTS, priority: "configured tier", source: ["config"]]
        "Constant 1 with the configured properties as labels.", "set at load, removed at reload",
        "dispatcher.list URI, ATTRS", "/clusters host status";
    DestinationWeight = gauge "destination_weight" Destination State []
        "Configured weight of the destination.", "reload",
        "WEIGHT, RWEIGHT", "weight";
    DestinationAdded = gauge "destination_added_timestamp_seconds" Destination State []
        "Unix time at which the destination was loaded.", "load",
        "-", "-";
    DestinationChanged = gauge "destination_last_state_change_timestamp_seconds" Destination State []
        "Unix time of the last change of state (load time before the first).", "every transition",
        "- (only event_route dst-up/dst-down)", "haproxy_server_check_last_change_seconds";
    DestinationTransitions = counter "destination_transitions_total" Destination Event
        [to: STATES, reason: CHANGE_REASONS]
        "State transitions by new state and by what caused them.", "every transition",
        "event_route[dispatcher:dst-down/up]", "outlier_detection.ejections_*, membership_change; haproxy_server_check_up_down_total";
    DestinationAddresses = gauge "destination_addresses" Destination State []
        "IP addresses the destination currently resolves to.", "after each DNS resolution",
        "dns_mode", "cluster membership (strict DNS)";
    DestinationAddressChanges = counter "destination_address_changes_total" Destination Event []
        "Times the resolved address set of the destination changed.", "the DNS answer differs",
        "-", "update_success";
    DestinationDnsStale = gauge "destination_dns_stale" Destination State []
        "Whether the last DNS resolution failed, in whole or in part, and the addresses known are used (1) or not (0).",
        "after each DNS resolution",
        "-", "-";
    DestinationEjected = gauge "destination_ejected" Destination State []
        "Whether the destination is set aside because requests to it failed (1) or not (0).",
        "passive ejection, its end, last resort, reload",
        "-", "outlier_detection.ejections_active";
    DestinationRetryAfter = gauge "destination_retry_after_seconds" Destination State []
        "Time left of the pause that the destination asked for with Retry-After (0: none).",
        "503 with Retry-After to an initial request; counts down",
        "blst_503 of tm", "-";
    DestinationDamped = gauge "destination_damped" Destination State []
        "Whether the destination went down so often of late that it needs more good probes to come up (1).",
        "the third fall within ten minutes, until fewer are left",
        "-", "-";
    DestinationSlowStart = gauge "destination_slow_start_ratio" Destination State []
        "Part of its share that the destination gets while it starts slowly (1: all of it).",
        "grows over slow_start after the destination has come back",
        "-", "slow_start_config";
}
