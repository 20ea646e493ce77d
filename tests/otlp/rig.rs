//! The two ends: records whose spans are exported, and collectors that get them.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use sipwarden::facts::directory::{Advertise, Directory, DirectoryListener, DirectorySet};
use sipwarden::facts::event::{
    AttemptOutcome, Cause, ChangeReason, Origin, ProbeOutcome, ProbeRecord, SelectionReason, SkipReason,
    StateChange,
};
use sipwarden::facts::names::Names;
use sipwarden::facts::record::{
    AttemptRecord, FailoverRecord, SelectionRecord, SessionId, TransactionRecord, WireText,
};
use sipwarden::facts::trace::SpanRef;
use sipwarden::facts::{Admin, Algorithm, ListenerId, Method, SetId, State, Target, Transport};
use sipwarden::telemetry::{LogFormat, MetricsSettings, OtlpProtocol, Settings, Telemetry};
use smallvec::smallvec;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// The trace of the call.
pub const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
/// How long anything may take.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The requests that a collector took.
pub type Exports = mpsc::UnboundedReceiver<ExportTraceServiceRequest>;

/// A collector of OTLP over HTTP that answers with `status`.
pub async fn http_collector(status: u16) -> (String, Exports) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (exports, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let exports = exports.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let exports = exports.clone();
                async move {
                    assert_eq!(request.uri().path(), "/v1/traces");
                    let body = request.into_body().collect().await?.to_bytes();
                    let _ = exports.send(ExportTraceServiceRequest::decode(body).unwrap());
                    let answer = Response::builder().status(status).body(Full::new(Bytes::new()));
                    Ok::<_, hyper::Error>(answer.unwrap())
                }
            });
            let connection = hyper::server::conn::http1::Builder::new();
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
        }
    });
    (endpoint, received)
}

/// A collector of OTLP over gRPC: one length-prefixed message in, an empty one out.
pub async fn grpc_collector() -> (String, Exports) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (exports, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let exports = exports.clone();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let exports = exports.clone();
                    tokio::spawn(async move {
                        let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
                        assert_eq!(request.uri().path(), path);
                        let mut body = request.into_body();
                        let mut bytes = Vec::new();
                        while let Some(Ok(chunk)) = body.data().await {
                            body.flow_control().release_capacity(chunk.len()).unwrap();
                            bytes.extend_from_slice(&chunk);
                        }
                        let _ = exports.send(ExportTraceServiceRequest::decode(&bytes[5..]).unwrap());
                        let head = Response::builder().header("content-type", "application/grpc");
                        let mut stream = respond.send_response(head.body(()).unwrap(), false).unwrap();
                        stream.send_data(Bytes::from_static(&[0; 5]), false).unwrap();
                        let mut trailers = HeaderMap::new();
                        trailers.insert("grpc-status", "0".parse().unwrap());
                        stream.send_trailers(trailers).unwrap();
                    });
                }
            });
        }
    });
    (endpoint, received)
}

/// Every trace is kept.
pub fn settings(endpoint: &str, protocol: OtlpProtocol) -> Settings {
    Settings {
        otlp: Some(endpoint.into()),
        protocol,
        ratio: 1.0,
        probe_ratio: 1.0,
        slow: Duration::from_secs(2),
        log_format: LogFormat::Json,
        log_level: "info".into(),
        metrics: MetricsSettings::default(),
    }
}

/// The set `pbx` of `a` and `b`, behind `main`, which is bound to every address and has a name outside.
pub fn directory() -> Arc<Directory> {
    let mut names = Names::default();
    let id = names.intern_set("pbx");
    let targets = ["a", "b"].map(|name| names.intern_target(id, name)).into();
    let sets = vec![DirectorySet { id, algorithm: Algorithm::RoundRobin, targets, has_fallback: false }];
    let loopback = "127.0.0.0/8".parse().unwrap();
    let main = DirectoryListener {
        name: "main".into(),
        inside: vec![(loopback, Advertise { host: "127.0.0.1".into(), port: 5060 })],
        outside: Advertise { host: "sip.example.net".into(), port: 5070 },
        own: vec![(loopback, "127.0.0.1".into())],
        address: "2001:db8::1".into(),
        port: 5060,
    };
    Arc::new(Directory { names, sets, listeners: vec![main] })
}

/// Telemetry that exports there.
pub fn start(endpoint: &str, protocol: OtlpProtocol) -> Telemetry {
    Telemetry::start(&settings(endpoint, protocol), directory(), Handle::current()).unwrap()
}

const SESSION: &str = "ab30317f1a784dc48ff824d0d3715d86;remote=47755a9de7794ba387653f2099600ef2";

/// A call that `a` left without an answer (given up after 2 s, open until the end) and `b` answered.
pub fn failed_over_call(began: Instant) -> TransactionRecord {
    let at = |millis| began + Duration::from_millis(millis);
    let selection = |millis, reason, target| SelectionRecord {
        at: at(millis),
        took: Duration::from_micros(250),
        set: SetId::new(0),
        algorithm: Algorithm::RoundRobin,
        reason,
        hash_key: None,
        destination: Some(Target::new(target)),
        candidates: 2,
        available: 2,
        skipped: smallvec![],
    };
    let attempt = |number, target, millis| AttemptRecord {
        number,
        target: Some(Target::new(target)),
        remote: format!("127.0.0.1:507{target}").parse().unwrap(),
        listener: ListenerId::new(0),
        transport: Transport::Udp,
        started: at(millis),
        ended: None,
        code: 0,
        outcome: AttemptOutcome::Pending,
        first_response: None,
        provisionals: smallvec![],
        retransmissions: 0,
        retransmitted: smallvec::smallvec![],
        fell_back: None,
    };
    let mut second = selection(2_000, SelectionReason::Failover, 1);
    second.skipped.push((Target::new(0), SkipReason::Tried));
    TransactionRecord {
        span: SpanRef::root(TRACE),
        parent: None,
        uris: None,
        method: Method::Invite,
        call_id: WireText::new(b"c1@caller"),
        session: SessionId::parse(SESSION.as_bytes()),
        cseq: 7,
        listener: ListenerId::new(0),
        transport: Transport::Udp,
        client: "127.0.0.1:5090".parse().unwrap(),
        set: Some(SetId::new(0)),
        in_dialog: false,
        dialog: None,
        started: began,
        ended: at(2_500),
        code: 200,
        origin: Origin::Upstream,
        refusal: None,
        cancelled_at: None,
        retransmissions_absorbed: 2,
        provisionals: smallvec![(at(0), 100), (at(2_100), 180)],
        selections: smallvec![selection(0, SelectionReason::Primary, 0), second],
        attempts: smallvec![
            AttemptRecord {
                ended: Some(at(2_000)),
                outcome: AttemptOutcome::GivenUp,
                retransmissions: 2,
                retransmitted: smallvec::smallvec![],
                ..attempt(1, 0, 1)
            },
            AttemptRecord {
                ended: Some(at(2_500)),
                code: 200,
                outcome: AttemptOutcome::Answered,
                provisionals: smallvec![(at(2_100), 180)],
                ..attempt(2, 1, 2_001)
            },
        ],
        failovers: smallvec![FailoverRecord {
            at: at(2_000),
            from: Target::new(0),
            to: Some(Target::new(1)),
            cause: Cause::Timeout,
            remaining: 1,
            passive_mark: true,
        }],
    }
}

/// A probe of `a`, 5 ms late, that changed the state of `a`.
pub fn probe(began: Instant, outcome: ProbeOutcome, from: State, to: State) -> ProbeRecord {
    let ended = began + Duration::from_millis(40);
    ProbeRecord {
        target: Target::new(0),
        span: SpanRef::root(TRACE + 1),
        scheduled: began,
        started: began + Duration::from_millis(5),
        ended,
        remote: Some("127.0.0.1:5070".parse().unwrap()),
        listener: Some(ListenerId::new(0)),
        transport: Transport::Udp,
        outcome,
        retransmissions: 1,
        consecutive_failures: 3,
        consecutive_successes: 0,
        change: Some(StateChange {
            target: Target::new(0),
            at: ended,
            from,
            to,
            reason: ChangeReason::Probe,
            outcome: Some(outcome),
            span: Some(SpanRef::root(TRACE + 1)),
            admin: Admin::Enabled,
        }),
    }
}

/// The spans of everything received up to now.
pub async fn spans(exports: &mut Exports, count: usize) -> Vec<Span> {
    let mut spans = Vec::new();
    while spans.len() < count {
        let export = timeout(DEADLINE, exports.recv()).await.expect("an export in time").unwrap();
        let scopes = export.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        spans.extend(scopes.flat_map(|scope| scope.spans));
    }
    spans
}
