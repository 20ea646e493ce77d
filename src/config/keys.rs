//! Every key of the configuration: its place, type, default, bounds and meaning. The doc comments
//! of the fields are the manual; `docs/configuration.md` is printed from them.

use super::fields::{Codes, Network, Percent, Size, Trigger, Workers};
use super::items::{DestinationItem, HashKey, ListenerItem, Overrides, RouteItem, Sets};
use super::section::{Section, section};
use crate::dispatch::HashCompat;
use crate::facts::{Admin, Algorithm, WhenAllDown};
use crate::net::Family;
use crate::proxy::{CaptureUris, OptionsReply, Propagation, TraceIdFrom};
use crate::telemetry::{LogFormat, MetricsDetail, OtlpProtocol};
use crate::{dispatch, probe, transaction};
use std::time::Duration;

/// Every section, in the order of the manual.
pub(super) const SECTIONS: &[&Section] = &[
    &Root::SECTION,
    &Listen::SECTION,
    &Http::SECTION,
    &Set::SECTION,
    &Hash::SECTION,
    &Destination::SECTION,
    &Probe::SECTION,
    &Failover::SECTION,
    &Passive::SECTION,
    &RetryAfter::SECTION,
    &Route::SECTION,
    &Dns::SECTION,
    &Sip::SECTION,
    &Limits::SECTION,
    &Access::SECTION,
    &Drain::SECTION,
    &Tracing::SECTION,
    &Metrics::SECTION,
    &Log::SECTION,
];

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}
const fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}
const HOUR: Duration = secs(3600);
const WEEK: Duration = secs(7 * 86_400);

section! {
    /// The top level. Only `sets` must be written.
    Root at "" {
        /// Where SIP is received and sent from: `udp://ADDRESS:PORT`, `tcp://ADDRESS:PORT`, or the keys below.
        listen: Vec<ListenerItem> = ListenerItem::defaults(), kamailio "`listen`", restart true;
        /// Threads that carry SIP; `auto` is one per processor.
        workers: Workers = Workers::Auto, kamailio "`children`", restart true;
        /// Metrics, health and the API.
        http: Http = Http::default(), kamailio "`xhttp_prom`, `kamcmd`";
        /// The sets of destinations, by name.
        sets: Sets = Sets::default(), kamailio "`dispatcher.list`", required true;
        /// Which request goes to which set; the first match wins. Not needed with one set. With routes, a request that none matches gets 404.
        routes: Vec<RouteItem> = vec![], kamailio "`ds_select_dst` in `request_route`";
        /// Names of destinations. SRV, A and AAAA records are kept fresh in the background; a failed query keeps the last good answer.
        dns: Dns = Dns::default(), kamailio "`ds_dns_*`";
        /// SIP itself.
        sip: Sip = Sip::default();
        /// What keeps memory bounded.
        limits: Limits = Limits::default();
        /// Whom to believe.
        access: Access = Access::default();
        /// Shutting down.
        drain: Drain = Drain::default();
        /// A file in which states set with `set-state`, and what is down since when, survive a restart. Relative to the directory of this file; that of the file itself must exist and be writable.
        state_file: Option<String> = None, kamailio "none; OpenSIPS `persistent_state`", restart true;
        /// Spans.
        tracing: Tracing = Tracing::default();
        /// Metrics.
        metrics: Metrics = Metrics::default();
        /// Log lines.
        log: Log = Log::default();
    }
}

section! {
    /// One listener, instead of `udp://ADDRESS:PORT`.
    Listen at "listen[]" {
        /// `udp://` or `tcp://`, an address, and a port (5060 if left out; 0 lets the system choose).
        bind: Option<String> = None, kamailio "`listen`", restart true, required true;
        /// Host and port written into messages towards addresses outside `local`, such as the public address of a NAT.
        advertise: Option<String> = None, kamailio "`listen … advertise`", restart true;
        /// The listener's name, for routes and labels; `bind` if left out.
        name: Option<String> = None, kamailio "`listen … name`", restart true;
        /// Networks addressed from the local address even with `advertise`; empty: the directly connected ones.
        local: Vec<Network> = vec![], restart true;
    }
}

section! {
    /// The HTTP server: `/metrics`, `/-/ready`, `/-/reload`, `/api/v1/…`.
    Http at "http" {
        /// Address and port to listen on.
        listen: String = "127.0.0.1:9360".into(), restart true;
        /// File with the token that changing calls need; without one they are accepted from this machine only.
        token_file: Option<String> = None, restart true;
    }
}

section! {
    /// One set of destinations that can stand in for each other.
    Set at "sets.NAME" {
        /// How a destination is chosen among the usable ones of the best priority.
        algorithm: Algorithm = Algorithm::RoundRobin, kamailio "2nd parameter of `ds_select_dst`: 4 round_robin, 9 and 11 weighted_round_robin, 0 to 3, 5 and 7 hash, 6 random, 8 priority, 10 least_calls, 13 latency";
        /// What `algorithm: hash` looks at.
        hash: Hash = Hash::default(), kamailio "`hash_pvar`";
        /// What REGISTER, PUBLISH and SUBSCRIBE outside a dialog are spread by: one part as in `hash.key`, with a rendezvous hash whatever the algorithm and `hash.compat`.
        register_key: HashKey = HashKey(dispatch::HashPart::To), kamailio "algorithm 2";
        /// Share of calls that should be set up; exported for the alerts on its error budget.
        objective: f64 = 0.999, from 0.5 => 0.999_999;
        /// Value of Retry-After in a 503 of our own, in whole seconds.
        reject_retry_after: Duration = secs(5), from secs(1) => HOUR;
        /// Further networks whose requests count as coming from this set, such as a PBX that sends from another address.
        sources: Vec<Network> = vec![], kamailio "`ds_is_from_list`, `permissions`";
        /// Its destinations: URIs, or the keys below. Those of equal priority keep file order.
        destinations: Vec<DestinationItem> = vec![], kamailio "the lines of `dispatcher.list`", required true;
        /// Set that follows when none of its own destinations can be chosen, be they down, full or tried; that one's own fallback follows it. Its destinations are counted under its own name.
        fallback: Option<String> = None, kamailio "the list of `ds_select_routes`";
        /// What becomes of a new request when neither it nor its fallbacks have a usable destination: reject, or try_anyway, which tries enabled ones although they seem to be down.
        when_all_down: WhenAllDown = WhenAllDown::Reject, kamailio "`use_default`";
        /// Time over which a destination that was down, set aside or out of service, or has another address, gets more and more of its share; 0s: all of it at once.
        slow_start: Duration = Duration::ZERO, from Duration::ZERO => HOUR;
        /// How its destinations are probed.
        probe: Probe = Probe::default();
        /// When to give up on a destination and try the next.
        failover: Failover = Failover::default();
        /// Setting a destination aside because requests to it fail, whatever its probes say.
        passive: Passive = Passive::default(), kamailio "`ds_mark_dst` in `failure_route`";
        /// Leaving a destination alone for as long as it asks.
        retry_after: RetryAfter = RetryAfter::default(), kamailio "`blst_503`, `blst_503_max_timeout` of `tm`";
    }
}

section! {
    /// The key of `algorithm: hash`, a weighted rendezvous hash: when a destination goes down only its own share moves, to all the others.
    Hash at "sets.NAME.hash" {
        /// Parts of the request, hashed together. `from`, `to` and `ruri` are whole URIs, `ruri_user` the user part or the number of a `tel:` URI,
        /// `auth_user` the digest user name up to an `@`. A request with none of the parts goes in turn, by weight.
        key: Vec<HashKey> = HashKey::defaults(), kamailio "algorithm 0 call_id, 1 from, 2 to, 3 ruri (with `flags` 1 ruri_user), 5 auth_user, 7 `hash_pvar`";
        /// `kamailio`: each key goes where Kamailio's dispatcher sends it. One part alone, not `source_ip`; `from`, `to` and `ruri` are user, host and port as there.
        /// Every destination is a slot, by priority and then file order, whatever its weight; what a dead one had goes to the next.
        compat: Option<HashCompat> = None, kamailio "algorithms 0 to 3, 5, 7";
    }
}

section! {
    /// One destination, instead of its URI alone.
    Destination at "sets.NAME.destinations[]" {
        /// Its name in the set, in metrics and in the API; if left out `HOST:PORT`, with `-tcp` unless UDP. Letters, digits and `._:@[]-`, at most 64.
        id: Option<String> = None, kamailio "`duid` in `attrs`";
        /// `sip:HOST`, `sip:HOST:PORT`, with `;transport=tcp` if not UDP. A name is looked up as A/AAAA.
        uri: Option<String> = None, kamailio "`destination`", required true;
        /// Its share for `weighted_round_robin`, `hash`, `random`, `two_choices`, `least_calls` and `latency`. With 0 it gets no new requests whatever the algorithm, and is
        /// not counted among those of its set that are in service.
        weight: u32 = 1, from 0 => 65_535, kamailio "`weight`, `rweight` in `attrs`";
        /// Lower is tried first. Kamailio is the other way round.
        priority: u32 = 0, from 0 => 65_535, kamailio "`priority`, with the order turned round";
        /// What the administrator wants: enabled, draining (running dialogs only) or disabled (still probed). `set-state` wins until this value changes.
        state: Admin = Admin::Enabled, kamailio "`flags` 4, `dispatcher.set_state`";
        /// Name of the listener to send from; if left out the one that the request came in on, or for probes and
        /// where that does not fit the first of its transport and address family.
        listener: Option<String> = None, kamailio "`socket`, `sockname` in `attrs`";
        /// Largest request sent to it over UDP, in bytes; null: `sip.mtu`. 65535 keeps every request on UDP. A URI with `;transport=udp` does too, unless this is written.
        mtu: Option<u32> = None, kamailio "`udp_mtu`";
        /// Calls on it at a time, at most; null: no limit. Above it, others are tried; with none left 503. A call counts from its INVITE to its end. Needs `sip.record_route`.
        max_calls: Option<u32> = None, kamailio "`maxload` in `attrs`";
        /// New calls a second, at most, of which as many may come at once; null: no limit.
        max_cps: Option<u32> = None, kamailio "`pipelimit`, `ratelimit`";
        /// Keys that differ from the set's `probe`.
        probe: Overrides = Overrides::default(), kamailio "`ping_from` in `attrs`";
    }
}

section! {
    /// Probing with OPTIONS. A destination is down after `down_after` failures in a row; `sipwarden check` prints how long that takes at worst.
    Probe at "sets.NAME.probe" {
        /// Whether to probe; without, a destination counts as up.
        enabled: bool = probe::Settings::default().enabled, kamailio "`ds_ping_interval` > 0 with `ds_probing_mode` 1";
        /// Time between probes while the state is certain.
        interval: Duration = probe::Settings::default().interval, from ms(50) => HOUR, kamailio "`ds_ping_interval`";
        /// Time to the next probe while failing or recovering, and after a first verdict of down until `down_after` failures confirm it; not above `interval`.
        fast_interval: Duration = probe::Settings::default().fast_interval, from ms(10) => HOUR;
        /// Time to a final response; below `interval`. If left out and `interval` is short: half of it.
        timeout: Duration = probe::Settings::default().timeout, from ms(10) => secs(32), kamailio "`ds_ping_fr_timer`";
        /// Failures in a row that make it down.
        down_after: u32 = dispatch::Thresholds::default().down_after, from 1 => 100, kamailio "`ds_probing_threshold`", alias "ds_probing_threshold";
        /// Successes in a row that make it up again.
        up_after: u32 = dispatch::Thresholds::default().up_after, from 1 => 100, kamailio "`ds_inactive_threshold`", alias "ds_inactive_threshold";
        /// Random part of the interval.
        jitter: Percent = Percent(probe::Settings::default().jitter_percent), from Percent(0) => Percent(50);
        /// The method to probe with.
        method: String = "OPTIONS".into(), kamailio "`ds_ping_method`";
        /// The From URI; if left out `sip:sipwarden@` and the advertised address.
        from: Option<String> = None, kamailio "`ds_ping_from`";
        /// The value of Max-Forwards; 1 asks the destination itself, not what it would pass the request on to.
        max_forwards: u32 = u32::from(probe::Settings::default().max_forwards), from 1 => 255;
        /// The value of User-Agent; if left out `sip.user_agent`.
        user_agent: Option<String> = None, kamailio "`user_agent_header`";
        /// Codes that count as alive.
        accept: Vec<Codes> = vec![Codes(200, 499)], kamailio "`ds_ping_reply_codes`";
        /// Codes that do not, whatever `accept` says.
        reject: Vec<Codes> = vec![Codes(408, 408)];
    }
    settle settle
}

section! {
    /// Giving up on a destination for the next usable one. Never after a 2xx or a CANCEL, never twice to one destination.
    Failover at "sets.NAME.failover" {
        /// What makes us give up: no_response, transport, and final codes.
        on: Vec<Trigger> = Failover::default_on(), kamailio "the conditions in `failure_route`";
        /// Time from sending an INVITE to any response; below 64 × `sip.t1`.
        no_response_after: Duration = dispatch::FailoverSettings::default().no_response_after, from ms(10) => secs(60), kamailio "`fr_timer`";
        /// The same for REGISTER, SUBSCRIBE, OPTIONS and PUBLISH.
        no_response_after_non_invite: Duration = dispatch::FailoverSettings::default().no_response_after_non_invite, from ms(10) => secs(60), kamailio "`fr_timer`";
        /// Time from 100 Trying to 101–199 or a final response; null: no limit.
        no_progress_after: Option<Duration> = None;
        /// Destinations tried for one request at most.
        max_attempts: u32 = dispatch::FailoverSettings::default().max_attempts, from 1 => 100, kamailio "3rd parameter of `ds_select_dst`";
        /// No attempt starts later than this after the request came; a running one is never cut.
        total: Duration = dispatch::FailoverSettings::default().total, from ms(10) => HOUR;
        /// Whether to give up on a destination that was already ringing.
        after_18x: bool = dispatch::FailoverSettings::default().after_18x;
        /// What the caller gets when every attempt failed for one of `on`: this code, from 400 to 699 without 401, 407 and 408; null: the best of the
        /// responses (RFC 3261 §16.7), where a 503 of a destination becomes 500. To no response it is 408, to requests other than INVITE 504.
        final_code: Option<u32> = None, kamailio "`t_reply` in `failure_route`";
    }
}

section! {
    /// Ejection: a destination at which `consecutive_failures` requests in a row failed gets no new ones for a while. A failure is no response, a transport error, 500, 502, 503 or 504, before any 101–199, to a request that opens a dialog or stands alone; any other answer counts from 0 again, even 408. Probes neither count nor end it. The last usable destination of a set is never ejected; if all others fail, ejections are lifted.
    Passive at "sets.NAME.passive" {
        /// Whether destinations are ejected.
        enabled: bool = dispatch::PassiveSettings::default().enabled;
        /// Failures in a row that eject.
        consecutive_failures: u32 = dispatch::PassiveSettings::default().consecutive_failures, from 1 => 1_000;
        /// How long the first ejection lasts. Each further one lasts twice as long; each `base_ejection` that passes without one takes a doubling back.
        base_ejection: Duration = dispatch::PassiveSettings::default().base_ejection, from ms(100) => HOUR;
        /// How long an ejection lasts at most; not below `base_ejection`.
        max_ejection: Duration = dispatch::PassiveSettings::default().max_ejection, from ms(100) => HOUR;
        /// Share of the enabled destinations that may be ejected at a time, in percent, rounded down.
        max_ejected_percent: u32 = dispatch::PassiveSettings::default().max_ejected_percent, from 0 => 100;
    }
}

section! {
    /// Retry-After in a destination's 503 to a request that opens a dialog or stands alone: it gets no new ones for so long. Ignored where nobody else could serve.
    RetryAfter at "sets.NAME.retry_after" {
        /// Whether to do as it asks.
        honour: bool = dispatch::RetryAfterSettings::default().honour;
        /// For this long at most. FreeSWITCH always asks for 300s.
        max: Duration = dispatch::RetryAfterSettings::default().max, from secs(1) => HOUR;
    }
}

section! {
    /// One route. Every condition that is written must hold.
    Route at "routes[]" {
        /// Methods, as in [INVITE, REGISTER]; empty: all.
        methods: Vec<String> = vec![], kamailio "`is_method`";
        /// Regular expression searched in the user part of the Request-URI; anchor it with ^ and $.
        ruri_user: Option<String> = None, kamailio "`$rU =~ \"…\"`";
        /// Host of the Request-URI, compared without case.
        ruri_host: Option<String> = None, kamailio "`$rd == \"…\"`";
        /// Networks that the request comes from.
        source: Vec<Network> = vec![], kamailio "`$si`, `permissions`";
        /// Set that the request comes from; the only way to send a set's own requests on, even back into it.
        from_set: Option<String> = None, kamailio "`ds_is_from_list`";
        /// Name of the listener that it came in on.
        listener: Option<String> = None, kamailio "`$Ri`, `$Rp`";
        /// The set to choose a destination from.
        set: Option<String> = None, kamailio "1st parameter of `ds_select_dst`", required true;
    }
}

section! {
    /// How names of destinations are looked up.
    Dns at "dns" {
        /// Shortest time an answer is kept, whatever its TTL says.
        min_ttl: Duration = secs(5), from secs(1) => HOUR, kamailio "`ds_dns_ttl`", restart true;
        /// Longest time an answer is kept, whatever its TTL says; the DNS of Docker says ten minutes.
        max_ttl: Duration = secs(300), from secs(1) => WEEK, kamailio "`ds_dns_interval`", restart true;
        /// Whether a name with several addresses is a destination for each: `ID@ADDRESS:PORT`. `false`: one destination that uses one address.
        expand: bool = true;
        /// Addresses taken of one name at most; of more, those of better SRV priority, then the lower ones.
        max_endpoints: u32 = 16, from 1 => 256, kamailio "`ds_dns_mode` takes one", restart true;
        /// Addresses asked for: auto takes IPv4 if there is an A record and an IPv4 listener, else IPv6; both takes all.
        family: Family = Family::Auto, restart true;
    }
}

section! {
    /// Timers and headers of SIP.
    Sip at "sip" {
        /// Round-trip estimate T1; retransmissions and 64 × T1 follow from it.
        t1: Duration = transaction::Settings::default().t1, from ms(10) => secs(5), kamailio "`retr_timer1`";
        /// Longest time between retransmissions, T2; not below `t1`.
        t2: Duration = transaction::Settings::default().t2, from ms(10) => secs(60), kamailio "`retr_timer2`";
        /// Timer C: longest ringing without a new provisional response; above 180s (RFC 3261 §16.6).
        timer_c: Duration = secs(185), from secs(1) => HOUR, kamailio "`fr_inv_timer`";
        /// Whether to stay in the path of dialogs; without, their end is not seen.
        record_route: bool = true, kamailio "`record_route()`";
        /// Whether REGISTERs that come from no set get a Path, so that the destinations reach phones the way they registered, through NAT and over their own connection.
        path: bool = false, kamailio "`add_path_received()`";
        /// File with at least 16 bytes that sign our Record-Route and Path; the same for all instances behind one address. Without one, random at each start.
        secret_file: Option<String> = None, restart true;
        /// Largest request sent over UDP, in bytes; a larger one goes over TCP first (RFC 3261 §18.1.1), and over UDP if the peer takes no TCP connection. Needs a TCP listener. 65535 keeps every request on UDP.
        mtu: u32 = 1_300, from 512 => 65_535, kamailio "`udp_mtu`, `udp_mtu_try_proto`";
        /// Largest message accepted, in bytes.
        max_message: u32 = 65_535, from 1_500 => 65_535, restart true;
        /// When an OPTIONS to sipwarden itself gets 503 with Retry-After instead of 200: auto, while shutting down or while no destination of any set is usable; drain_only, while shutting down; always_200, never.
        options_reply: OptionsReply = OptionsReply::Auto, kamailio "`options_reply()` of `siputils`";
        /// Value of User-Agent and Server in messages of our own.
        user_agent: String = "sipwarden".into(), kamailio "`server_header`, `user_agent_header`";
    }
}

section! {
    /// What keeps memory bounded.
    Limits at "limits" {
        /// Unfinished transactions; above, new requests get 503. Requests inside a dialog may use an eighth more.
        transactions: u32 = 100_000, from 1 => 10_000_000;
        /// Memory of finished transactions, which are kept for retransmissions. Above it the oldest go early: first what they would repeat, so that a retransmission gets no answer; their keys stay, so that it does not become a new call. All workers together.
        linger: Size = Size::mebibytes(256), from Size::mebibytes(1) => Size::mebibytes(1 << 20);
        /// Age at which a call without BYE is forgotten.
        max_call_age: Duration = secs(12 * 3600), from secs(60) => WEEK, kamailio "`ds_hash_expire`";
        /// Stream connections.
        connections: u32 = 4_096, from 1 => 1_000_000, kamailio "`tcp_max_connections`", restart true;
        /// Stream connections from one address.
        connections_per_source: u32 = 64, from 1 => 1_000_000, restart true;
        /// Time for a whole message to arrive on a stream.
        message_deadline: Duration = secs(5), from ms(100) => HOUR, kamailio "`tcp_msg_read_timeout`", restart true;
        /// Time without traffic after which a stream is closed.
        idle_timeout: Duration = secs(120), from secs(1) => WEEK, kamailio "`tcp_connection_lifetime`", restart true;
    }
    later ["per_source"]
}

section! {
    /// Whom to believe.
    Access at "access" {
        /// Networks whose `Traceparent` and `Session-ID` are believed; see `tracing.propagation` and `tracing.trace_id_from`.
        trusted_peers: Vec<Network> = vec![];
    }
    later ["signalling"]
}

section! {
    /// Shutting down on SIGTERM: new calls get 503, running transactions are served.
    Drain at "drain" {
        /// Longest wait for them.
        timeout: Duration = secs(30), from ms(1) => HOUR;
    }
}

section! {
    /// Spans of calls and probes, sent over OTLP.
    Tracing at "tracing" {
        /// Collector, as in http://127.0.0.1:4317; null: no spans.
        otlp: Option<String> = None, restart true;
        /// grpc (usually port 4317) or http (usually port 4318).
        protocol: OtlpProtocol = OtlpProtocol::Grpc, restart true;
        /// Share of unremarkable calls kept. Errors, failovers and slow calls are always kept, up to 200 a second for each worker, and the first dozen of each destination.
        ratio: f64 = 1.0, from 0.0 => 1.0, restart true;
        /// The same for probes.
        probe_ratio: f64 = 0.01, from 0.0 => 1.0, restart true;
        /// A call set up slower than this is kept.
        slow: Duration = secs(2), from ms(1) => HOUR, restart true;
        /// What is done with `Traceparent` and `Tracestate` (W3C Trace Context) in requests. off: nothing, they go on as they came. inject: every
        /// request that goes on carries a Traceparent of ours in place of what came. accept: what comes from `access.trusted_peers` makes our spans part of
        /// their trace, and a trace that they record is kept; what comes from anybody else is removed. both: both.
        propagation: Propagation = Propagation::Off;
        /// Where trace ids come from. random: chance. session_id: `Session-ID` (RFC 7989) of a sender among `access.trusted_peers`, whose UUID becomes the trace id as it stands: then the
        /// requests of a call are one trace, and proxies in a row join without a header of ours; random where there is none. call_id: the first 16 bytes of SHA-256 over the key and the
        /// Call-ID: then all requests of a call are one trace, and the Call-ID in any log gives its id: `{ cat KEY_FILE; printf %s CALL_ID; } | sha256sum | head -c 32`. Two instances with
        /// one key join without a header.
        trace_id_from: TraceIdFrom = TraceIdFrom::Random;
        /// File with the key for `trace_id_from: call_id`, at least 16 bytes, taken as they are: who knows it can tell which trace a Call-ID has.
        trace_id_key_file: Option<String> = None;
        /// What spans of requests tell of the URIs of the request line, From and To: off, nothing; hashed, a hash keyed with `sip.secret_file`, so that calls of one party can be found without
        /// its name; plain, scheme, user, host and port.
        capture_uris: CaptureUris = CaptureUris::Off;
    }
}

section! {
    /// What `/metrics` tells. `sipwarden check` prints the detail in force and how many series it makes.
    Metrics at "metrics" {
        /// How much is told of each destination: full (about 450 series), basic (without exact status codes and four of its histograms, about 300), state (40: its state, probe results, selections,
        /// failovers, requests, responses by class, calls); auto is the richest that fits into `max_series`.
        detail: MetricsDetail = MetricsDetail::Auto, restart true;
        /// Series at most. Beyond it what requests and calls are counted by is summed up under `other` (`sipwarden_metric_series_dropped_total`); states, sets and probes never are.
        max_series: u32 = 50_000, from 1_000 => 10_000_000, restart true;
        /// Whether histograms and counters carry the ids of kept traces when OpenMetrics is asked for.
        exemplars: bool = true, restart true;
    }
}

section! {
    /// Log lines on standard error.
    Log at "log" {
        /// auto is human on a terminal, json elsewhere.
        format: LogFormat = LogFormat::Auto, kamailio "`log_prefix_mode`", restart true;
        /// error, warn, info, debug, trace or off; also by module, as in `info,sipwarden::net=debug`.
        level: String = "info".into(), kamailio "`debug`", restart true;
    }
}

impl Failover {
    fn default_on() -> Vec<Trigger> {
        let settings = dispatch::FailoverSettings::default();
        let words =
            [(settings.on_no_response, Trigger::NoResponse), (settings.on_transport, Trigger::Transport)];
        let words = words.into_iter().filter(|(on, _)| *on).map(|(_, trigger)| trigger);
        words.chain(settings.on_codes.into_iter().map(Trigger::Code)).collect()
    }
}
