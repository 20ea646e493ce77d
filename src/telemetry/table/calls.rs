//! Calls and registrations: the figures of RFC 6076, dialogs, load.

rows! {
    SetupDelay = histogram SRD "session_request_delay_seconds" Destination Event [result: SETUP_RESULTS]
        "RFC 6076 SRD: INVITE to the first indication of success (18x, 200) or of failure.",
        "end of an initial INVITE; not for 3xx, 401, 402, 407 and calls cancelled before",
        "-", "-";
    DisconnectDelay = histogram WAIT "session_disconnect_delay_seconds" Destination Event
        [result: SETUP_RESULTS]
        "RFC 6076 SDD: BYE to its final response.",
        "end of a BYE sent to the destination; failure: any answer but a 2xx, or none",
        "-", "-";
    SessionDuration = histogram DURATION "session_duration_seconds" Destination Event []
        "RFC 6076 SDT: answer to BYE.", "a BYE of either side ends a dialog of the destination",
        "dialog lifetime", "upstream_cx_length_ms";
    RegistrationDelay = histogram WAIT "registration_request_delay_seconds" Destination Event []
        "RFC 6076 RRD: REGISTER to its 2xx.", "2xx of the destination to a REGISTER",
        "-", "-";
    DestinationCalls = gauge "destination_calls" Destination State []
        "Calls on the destination, as the load algorithm counts them.",
        "INVITE outside a dialog sent; failure, BYE or expiry",
        "call load (alg 10) ds_load", "upstream_cx_active";
    DestinationCallsLimit = gauge "destination_calls_limit" Destination State []
        "Configured maximum of calls of the destination (0: none).", "reload",
        "maxload", "circuit_breakers max_requests";
    Dialogs = gauge "dialogs" Set State [state: DIALOG_STATES]
        "Dialogs known; state early or confirmed.",
        "dialog change; early: an INVITE outside a dialog that has had a 101 to 199 with a To tag",
        "dlg.stats_active", "-";
    DialogsExpired = counter "dialogs_expired_total" Set Event []
        "Dialogs dropped without a BYE.",
        "limits.max_call_age reached, or a 2xx opens a dialog that cannot be remembered",
        "dialog expired_dialogs", "-";
}
