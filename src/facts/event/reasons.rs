//! The reasons, results and kinds of events: closed lists, because they become labels.

use crate::words;

words! {
    /// Which way a message travels.
    Direction {
        /// Towards us.
        Received => "received",
        /// From us.
        Sent => "sent",
    }
}
words! {
    /// Request or response.
    MessageKind {
        /// A request.
        Request => "request",
        /// A response.
        Response => "response",
    }
}
words! {
    /// The side of a transaction that we play.
    Role {
        /// We answer it.
        Server => "server",
        /// We sent it.
        Client => "client",
    }
}
words! {
    /// Who made a final response.
    Origin {
        /// We did.
        Local => "local",
        /// A destination or the peer did, and we relayed it.
        Upstream => "upstream",
    }
}
words! {
    /// Why a message could not be parsed.
    ParseReason {
        /// The first line is neither a request nor a status line.
        StartLine => "start_line",
        /// A header line is not one, or there are too many.
        Header => "header",
        /// Via is missing or broken.
        Via => "via",
        /// CSeq is missing, broken, doubled or does not match the method.
        Cseq => "cseq",
        /// Call-ID is missing, broken or doubled.
        CallId => "call_id",
        /// From or To is missing, broken or doubled.
        FromTo => "from_to",
        /// A URI that a proxy needs is broken.
        Uri => "uri",
        /// Content-Length is broken, doubled or larger than what came.
        ContentLength => "content_length",
        /// The message exceeds a limit of size or count.
        TooLarge => "too_large",
        /// A byte that must not stand where it stands (bare CR, NUL in a name).
        Encoding => "encoding",
        /// Anything else.
        Other => "other",
    }
}
words! {
    /// Why a message was dropped on purpose.
    DropReason {
        /// The peer may not talk to us.
        Acl => "acl",
        /// The peer sends too much.
        RateLimit => "rate_limit",
        /// A bounded queue was full.
        QueueFull => "queue_full",
        /// A response, ACK or CANCEL that belongs to nothing we know.
        Stray => "stray_response",
        /// A request that came round in a circle.
        Loop => "loop",
        /// We are shutting down.
        Shutdown => "shutdown",
        /// It could not be parsed and must not be answered.
        Malformed => "malformed",
        /// Its next hop is not one that the sender may reach (an ACK; other requests get 403).
        Forbidden => "forbidden",
        /// Its next hop has no address that we can send to.
        Unroutable => "unroutable",
    }
}
words! {
    /// Why we refused a request ourselves.
    Refusal {
        /// No destination of the set is usable: 503.
        NoneUsable => "none_usable",
        /// Every usable destination is full: 503.
        AllFull => "all_full",
        /// No route matches: 404.
        NoRoute => "no_route",
        /// Shutting down: 503.
        ShuttingDown => "shutting_down",
        /// A limit of our own is reached: 503.
        Overload => "overload",
        /// The peer sends too much: 503.
        RateLimited => "rate_limited",
        /// The sender may not reach that next hop: 403.
        Forbidden => "forbidden",
        /// Not a request that a proxy may pass on: 400, 416, 420, 483, 505, 481.
        BadRequest => "bad_request",
        /// It came round in a circle: 482.
        Loop => "loop",
    }
}
words! {
    /// Why a destination was selected.
    SelectionReason {
        /// The first choice for a new request.
        Primary => "primary",
        /// The next one after a failed attempt.
        Failover => "failover",
        /// The destination that challenged this request before, so that digest can succeed.
        Affinity => "affinity",
        /// From the fallback set.
        FallbackSet => "fallback_set",
        /// Although it is not usable, because nobody is: `when_all_down: try_anyway`.
        TryAnyway => "try_anyway",
    }
}
words! {
    /// Why no destination could be selected.
    SelectionFailure {
        /// The set has no destinations.
        Empty => "empty",
        /// No destination is usable.
        NoneUsable => "none_usable",
        /// Every usable destination has been tried for this request.
        AllTried => "all_tried",
        /// Every usable destination is full.
        AllFull => "all_full",
    }
}
words! {
    /// Why a candidate was passed over.
    SkipReason {
        /// Disabled or draining.
        Admin => "admin",
        /// Its probes fail.
        Down => "down",
        /// Set aside on evidence of traffic.
        Ejected => "ejected",
        /// It asked for a pause.
        Throttled => "throttled",
        /// Not probed yet while another member is known up.
        Unknown => "unknown",
        /// Its name has not been resolved.
        Unresolved => "unresolved",
        /// Tried before for this request.
        Tried => "tried",
        /// At its limit of calls or rate.
        Full => "full",
    }
}
words! {
    /// Why an attempt was given up.
    Cause {
        /// Answered 408.
        Code408 => "408",
        /// Answered 500.
        Code500 => "500",
        /// Answered 502.
        Code502 => "502",
        /// Answered 503.
        Code503 => "503",
        /// Answered 504.
        Code504 => "504",
        /// Answered another configured code.
        OtherCode => "other",
        /// No response, or no progress, in time.
        Timeout => "timeout",
        /// The transport could not deliver.
        TransportError => "transport_error",
    }
}

impl Cause {
    /// The cause that a final status code stands for.
    pub const fn of_code(code: u16) -> Self {
        match code {
            408 => Self::Code408,
            500 => Self::Code500,
            502 => Self::Code502,
            503 => Self::Code503,
            504 => Self::Code504,
            _ => Self::OtherCode,
        }
    }
}

words! {
    /// A timer that ended a client transaction.
    FatalTimer {
        /// RFC 3261 Timer B: no final (or, before a provisional, no) response to an INVITE.
        B => "B",
        /// RFC 3261 Timer C: no final response after a provisional.
        C => "C",
        /// RFC 3261 Timer F: no final response to a non-INVITE.
        F => "F",
    }
}
words! {
    /// What a socket reported.
    TransportReason {
        /// ICMP destination unreachable.
        Icmp => "icmp_unreachable",
        /// The datagram exceeds what the path takes.
        TooLarge => "too_large",
        /// The send queue is full.
        WouldBlock => "would_block",
        /// The connection was refused.
        Refused => "refused",
        /// The connection could not be opened in time.
        ConnectTimeout => "connect_timeout",
        /// The connection broke.
        Closed => "closed",
        /// Anything else.
        Other => "other",
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// Still open.
    Pending,
    /// A final response came.
    Answered,
    /// Given up without a final response: `no_response_after` or `no_progress_after` ran out.
    GivenUp,
    /// A timer of RFC 3261 ended it.
    TimedOut(FatalTimer),
    /// The transport could not deliver it.
    Transport(TransportReason),
}

words! {
    /// How a probe ended, as counted.
    ProbeResult {
        /// An accepted final response.
        Success => "success",
        /// No final response in time.
        Timeout => "timeout",
        /// A final response with a code that is not accepted.
        Rejected => "rejected",
        /// The transport could not deliver it (ICMP, refused, broken connection).
        TransportError => "transport_error",
        /// The destination's name has no address.
        DnsError => "dns_error",
        /// A response that could not be understood.
        Malformed => "malformed",
    }
}

/// How a probe ended, with the detail that API, log and span show. A failed request to a destination is
/// told in the same words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// A final response with an accepted code.
    Accepted(u16),
    /// A final response with a code that is not accepted.
    Rejected(u16),
    /// No final response within `probe.timeout`.
    Timeout,
    /// The transport could not deliver it.
    Transport(TransportReason),
    /// The destination's name has no address.
    Dns,
    /// A response that could not be understood.
    Malformed,
}

impl ProbeOutcome {
    /// The counted result.
    pub const fn result(self) -> ProbeResult {
        match self {
            Self::Accepted(_) => ProbeResult::Success,
            Self::Rejected(_) => ProbeResult::Rejected,
            Self::Timeout => ProbeResult::Timeout,
            Self::Transport(_) => ProbeResult::TransportError,
            Self::Dns => ProbeResult::DnsError,
            Self::Malformed => ProbeResult::Malformed,
        }
    }
    /// The status code received, 0 if none.
    pub const fn code(self) -> u16 {
        match self {
            Self::Accepted(code) | Self::Rejected(code) => code,
            Self::Timeout | Self::Transport(_) | Self::Dns | Self::Malformed => 0,
        }
    }
    /// Whether it counts as a success.
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Accepted(_))
    }
}

impl std::fmt::Display for ProbeOutcome {
    /// The word of the detail: `timeout`, `icmp`, `refused`, `dns`, `code NNN`, `malformed`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Accepted(code) | Self::Rejected(code) => write!(f, "code {code}"),
            Self::Timeout => f.write_str("timeout"),
            Self::Transport(TransportReason::Icmp) => f.write_str("icmp"),
            Self::Transport(reason) => f.write_str(reason.as_str()),
            Self::Dns => f.write_str("dns"),
            Self::Malformed => f.write_str("malformed"),
        }
    }
}

words! {
    /// Why a destination changed its state.
    ChangeReason {
        /// First verdict after a start.
        Start => "start",
        /// A probe.
        Probe => "probe",
        /// Evidence of real traffic.
        Passive => "passive",
        /// The ejection ended.
        EjectionExpired => "ejection_expired",
        /// Retry-After of a 503, or the end of the pause it asked for.
        RetryAfter => "retry_after",
        /// Ejections and pauses were lifted because nothing else was usable.
        LastResort => "last_resort",
        /// Its name resolves to something else, or to nothing.
        Dns => "dns",
        /// An administrator.
        Admin => "admin",
        /// A reload.
        Reload => "reload",
        /// Restored from the state file.
        Restored => "restored",
    }
}
words! {
    /// Why a state file is ignored.
    StateProblem {
        /// It cannot be read.
        Unreadable => "unreadable",
        /// It does not hold what a state file holds.
        Broken => "broken",
        /// It was written in another format.
        OtherVersion => "other_version",
        /// It was written too long ago to say how things are.
        Old => "old",
    }
}
words! {
    /// What asked for a reload.
    ReloadTrigger {
        /// SIGHUP.
        Signal => "signal",
        /// The file's content changed.
        File => "file",
        /// `POST /-/reload`.
        Api => "api",
    }
}
words! {
    /// How a reload ended.
    ReloadResult {
        /// Applied.
        Ok => "ok",
        /// Refused; the old configuration runs on.
        Invalid => "invalid",
        /// Nothing in it had changed.
        Unchanged => "unchanged",
    }
}
words! {
    /// How a name resolution ended.
    DnsResult {
        /// At least one address.
        Ok => "ok",
        /// The name does not exist, or has no address.
        NxDomain => "nxdomain",
        /// No answer in time.
        Timeout => "timeout",
        /// Anything else.
        Error => "error",
    }
}
words! {
    /// The side that opened a stream connection.
    ConnectionRole {
        /// The peer.
        Inbound => "inbound",
        /// We.
        Outbound => "outbound",
    }
}
words! {
    /// How opening a stream connection ended.
    ConnectResult {
        /// Open.
        Ok => "ok",
        /// Refused by the peer.
        Refused => "refused",
        /// Not in time.
        Timeout => "timeout",
        /// Anything else.
        Error => "error",
    }
}
words! {
    /// What became of a message that belongs to another worker.
    HandoverResult {
        /// It is in that worker's queue.
        Ok => "ok",
        /// The queue is full: a datagram is dropped.
        Full => "full",
    }
}
words! {
    /// What was let go of because finished transactions took too much memory.
    LingerKind {
        /// A stored response; the key of its transaction is kept.
        Response => "response",
        /// A client transaction that had its final response.
        Client => "client",
        /// The key of a finished transaction: a repetition will be taken for a new request.
        Tombstone => "tombstone",
        /// The same of an INVITE.
        InviteTombstone => "invite_tombstone",
    }
}
words! {
    /// What a socket was doing when it failed.
    SocketOperation {
        /// Sending.
        Send => "send",
        /// Receiving.
        Recv => "recv",
    }
}
words! {
    /// An internal queue. There is none of events: whoever has one records it at once.
    Queue {
        /// Messages, errors and evidence on their way to a worker.
        Ingress => "ingress",
        /// Messages waiting to be written to a stream connection.
        Egress => "egress",
        /// What the control plane asks of a worker.
        Commands => "commands",
        /// Batches of spans on their way to the collector.
        Traces => "traces",
    }
}
