//! Messages on the wire, sockets, connections, queues, names.

rows! {
    Messages = counter "messages_total" Process Event
        [transport: TRANSPORTS, direction: DIRECTIONS, kind: KINDS]
        "SIP messages; direction received or sent, kind request or response.",
        "each message with retransmissions",
        "core rcv/fwd_requests, replies", "-";
    MessageBytes = counter "message_bytes_total" Process Event [transport: TRANSPORTS, direction: DIRECTIONS]
        "Bytes of SIP messages.", "each message",
        "-", "upstream_cx_rx/tx_bytes_total";
    ParseErrors = counter "parse_errors_total" Process Event [transport: TRANSPORTS, reason: PARSE_REASONS]
        "Messages that could not be parsed.", "each such message",
        "core bad_URIs, bad_msg_hdr, err_requests", "downstream_cx_protocol_error";
    Dropped = counter "dropped_messages_total" Process Event [direction: DIRECTIONS, reason: DROP_REASONS]
        "Messages dropped on purpose.", "each such message",
        "core drop_requests, drop_replies", "overload manager";
    ForwardDelay = histogram FORWARD "forward_delay_seconds" Process Event [kind: KINDS]
        "Time a message spends inside the process, from receipt to transmission.",
        "each forwarded message; exemplars are those of responses",
        "-", "-";
    Connections = gauge "transport_connections" Process State
        [transport: ["tcp"], role: CONNECTION_ROLES]
        "Open stream connections; role inbound or outbound.", "open, close",
        "core.tcp_info opened_connections", "upstream_cx_active";
    Connects = counter "transport_connects_total" Process Event
        [transport: ["tcp"], role: CONNECTION_ROLES, result: CONNECT_RESULTS]
        "Stream connections opened; result ok refused timeout error.", "open, or failure to",
        "tcp:connect_failed...", "upstream_cx_connect_fail";
    TransportErrors = counter "transport_errors_total" Process Event
        [transport: TRANSPORTS, operation: OPERATIONS, reason: TRANSPORT_REASONS]
        "Errors of send and receive calls.", "each error",
        "tcp:*", "upstream_cx_protocol_error";
    UdpDrops = counter "udp_receive_drops_total" Listener State []
        "Datagrams the kernel dropped because the receive buffer was full.",
        "read at scrape from /proc/net/udp; UDP listeners only",
        "-", "downstream_rx_datagram_dropped";
    UdpQueue = gauge "udp_receive_queue_bytes" Listener State []
        "Bytes waiting in the kernel's receive buffer.",
        "read at scrape, the sum over the workers' sockets; UDP listeners only",
        "-", "-";
    QueueDepth = gauge "queue_depth" Process State [queue: QUEUES]
        "Entries in an internal queue.",
        "read at scrape; of several of a kind the fullest",
        "-", "-";
    QueueCapacity = gauge "queue_capacity" Process State [queue: QUEUES]
        "Capacity of an internal queue.", "start (0: there is no such queue)",
        "-", "-";
    Handovers = counter "worker_handover_total" Process Event [result: HANDOVERS]
        "Datagrams that arrived at a worker which does not own them; result ok (handed over) or full (dropped).",
        "each such datagram",
        "-", "-";
    Resolutions = counter "dns_resolutions_total" Process Event [result: DNS_RESULTS]
        "DNS resolutions; result ok nxdomain timeout error.", "resolution",
        "dns:failed_dns_request", "dns_cache.*";
    ResolutionTime = histogram WAIT "dns_resolution_seconds" Process Event []
        "Time a DNS resolution takes.", "resolution",
        "-", "-";
}
