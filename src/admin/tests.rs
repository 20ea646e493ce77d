//! The server over a real socket, with a process behind it that is made up.

use super::client::{Client, Error as ClientError};
use super::*;
use crate::admin::explain::{CandidateView, Explanation};
use crate::admin::probes::{Probing, ProbingView};
use crate::facts::event::{ChangeReason, ProbeOutcome, StateChange};
use crate::facts::snapshot::{
    DestinationSnapshot, LoadSnapshot, ProbeExchange, ProbeNote, ProbeSnapshot, SetSnapshot,
};
use crate::facts::{Algorithm, SetId, State, Target, Transport, WorkerId};
use crate::proxy::Question;
use async_trait::async_trait;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Instant, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Fake {
    started: Instant,
    ready: AtomicBool,
    reloads: AtomicU32,
    stuck: bool,
    wishes: Mutex<Vec<(String, String, Admin)>>,
}

#[async_trait]
impl Control for Fake {
    async fn metrics(&self, _: MetricsFormat) -> Result<Pieces, Unavailable> {
        let pieces = ["# TYPE x gauge\n", "x 1\n"].map(str::to_owned);
        if self.stuck { Err(Unavailable) } else { Ok(Pieces::new(pieces.into_iter())) }
    }
    async fn snapshots(&self, detail: Detail) -> Result<Vec<Snapshot>, Unavailable> {
        if self.stuck { Err(Unavailable) } else { Ok(vec![snapshot(self.started, detail)]) }
    }
    async fn config(&self) -> Effective {
        Effective { hash: 7, json: r#"{"workers":1}"#.into() }
    }
    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }
    async fn reload(&self, reset: Reset) -> Result<ReloadReport, String> {
        if reset == Reset::Yes {
            return Ok(ReloadReport { reset: true, kept: 7, ..ReloadReport::default() });
        }
        match self.reloads.fetch_add(1, Ordering::Relaxed) {
            0 => Ok(ReloadReport { changed: true, added: 1, ..ReloadReport::default() }),
            _ => Err("sipwarden.yaml:3:5: unknown key `algoritm`".to_owned()),
        }
    }
    async fn probe(&self, set: &str, id: Option<&str>) -> Result<Probing, NotSet> {
        let probing = match (self.stuck, set, id) {
            (true, ..) => return Err(Unavailable.into()),
            (false, "pbx", Some("gone")) => return Err(NotSet::NoDestination),
            (false, "pbx", Some("quiet")) => vec![],
            (false, "pbx", Some(id)) => vec![id.to_owned()],
            (false, "pbx", None) => vec!["a".to_owned(), "b".to_owned()],
            (false, ..) => return Err(NotSet::NoSet),
        };
        Ok(Probing { at: self.started, probing, interval: Duration::from_secs(10) })
    }
    async fn explain(&self, set: &str, question: &Question) -> Result<Explanation, NotExplained> {
        match (self.stuck, set, question.call_id.as_deref()) {
            (true, ..) => return Err(Unavailable.into()),
            (false, "pbx", Some("impossible")) => return Err(NotExplained::Question("no request")),
            (false, "pbx", _) => {}
            (false, ..) => return Err(NotExplained::NoSet),
        }
        Ok(explanation(question.source.map(|source| source.to_string())))
    }
    async fn set_admin(&self, set: &str, id: &str, admin: Admin) -> Result<(), NotSet> {
        match (self.stuck, set, id) {
            (true, ..) => return Err(Unavailable.into()),
            (false, "pbx", "gone") => return Err(NotSet::NoDestination),
            (false, "pbx", _) => {}
            (false, ..) => return Err(NotSet::NoSet),
        }
        self.wishes.lock().unwrap().push((set.to_owned(), id.to_owned(), admin));
        Ok(())
    }
    fn clock(&self) -> Clock {
        Clock::new(self.started, SystemTime::UNIX_EPOCH + Duration::from_secs(1_000))
    }
}

fn snapshot(at: Instant, detail: Detail) -> Snapshot {
    let change = StateChange {
        target: Target::new(0),
        at,
        from: State::Unknown,
        to: State::Down,
        reason: ChangeReason::Probe,
        outcome: Some(ProbeOutcome::Timeout),
        span: None,
        admin: Admin::Enabled,
    };
    let full = detail == Detail::Full;
    let destination = DestinationSnapshot {
        target: Target::new(0),
        id: "<b>1".into(),
        uri: "sip:10.0.0.1:5060".into(),
        transport: Transport::Udp,
        address: Some(([10, 0, 0, 1], 5060).into()),
        addresses: vec![([10, 0, 0, 1], 5060).into()],
        name: Some("pbx.example".into()),
        resolved: Some(at),
        dns_stale: true,
        weight: 1,
        priority: 0,
        state: State::Down,
        usable: false,
        admin: Admin::Enabled,
        passive_failures: 2,
        ejected_until: Some(at + Duration::from_secs(30)),
        retry_after_until: None,
        added: at,
        since: at,
        last_change: Some(change),
        probe: ProbeSnapshot {
            enabled: true,
            interval: Duration::from_secs(10),
            down_after: 3,
            up_after: 1,
            up_needed: 1,
            consecutive_failures: 3,
            last_outcome: Some(ProbeOutcome::Timeout),
            last_finished: Some(at),
            ..ProbeSnapshot::default()
        },
        load: LoadSnapshot::default(),
        changes: if full { vec![change] } else { vec![] },
        probes: if full { vec![ProbeNote { at, outcome: ProbeOutcome::Timeout, rtt: None }] } else { vec![] },
        exchange: full.then(|| Arc::new(exchange(at))),
    };
    Snapshot {
        worker: WorkerId(0),
        at,
        in_flight: vec![],
        waiting: vec![],
        early: vec![],
        dialogs: vec![],
        linger: 0,
        probes_in_flight: vec![],
        sets: vec![SetSnapshot {
            id: SetId::new(0),
            name: "pbx".into(),
            algorithm: Algorithm::RoundRobin,
            objective: 0.999,
            all_down: true,
            detection: Duration::from_secs(19),
            destinations: vec![destination],
        }],
    }
}

fn explanation(skipped: Option<String>) -> Explanation {
    let candidate = CandidateView {
        set: "pbx".to_owned(),
        id: "a".to_owned(),
        uri: "sip:a".to_owned(),
        tier: 0,
        rank: Some(1),
        reason: Some("primary".to_owned()),
        skipped,
    };
    Explanation {
        set: "pbx".to_owned(),
        algorithm: "hash".to_owned(),
        missing: vec![],
        candidates: vec![candidate],
    }
}

fn exchange(at: Instant) -> ProbeExchange {
    ProbeExchange {
        started: at,
        ended: at,
        remote: Some(([10, 0, 0, 1], 5060).into()),
        request: b"OPTIONS sip:a SIP/2.0\r\n\r\n".as_slice().into(),
        response: b"SIP/2.0 200 \x1b[31m<b>\r\n\r\n".as_slice().into(),
    }
}

fn fake(stuck: bool) -> Arc<Fake> {
    Arc::new(Fake {
        started: Instant::now(),
        ready: AtomicBool::new(true),
        reloads: AtomicU32::new(0),
        stuck,
        wishes: Mutex::default(),
    })
}

fn serve_fake(token: Option<&str>, fake: &Arc<Fake>) -> SocketAddr {
    let settings = Settings { listen: ([127, 0, 0, 1], 0).into(), token: token.map(Into::into) };
    let bound = bind(&settings).unwrap();
    let address = bound.address();
    let control: Arc<dyn Control> = fake.clone();
    tokio::spawn(serve(bound, settings, control));
    address
}

fn client(address: SocketAddr, token: Option<&str>) -> Client {
    Client::new(&format!("http://{address}"), token).unwrap()
}

/// Sends bytes and returns all that comes back until the server closes.
async fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    read.expect("the server closes in time").unwrap();
    String::from_utf8(answer).unwrap()
}

async fn request(address: SocketAddr, method: &str, path: &str, rest: &str) -> String {
    raw(address, &format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{rest}\r\n")).await
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("")
}

#[test]
fn module_header_repeats_the_route_table() {
    let source = include_str!("../admin.rs");
    for (method, path, does) in ROUTES {
        let row = format!("//! | `{method} {path}` | {} |", does.replace('|', "\\|"));
        assert!(source.contains(&row), "{row}");
    }
}

#[tokio::test]
async fn every_listed_route_exists_and_refuses_other_methods() {
    let address = serve_fake(None, &fake(false));
    for (method, path, _) in ROUTES {
        let path = path.replace(['{', '}'], "");
        let (wrong, allow) = if *method == "GET" { ("POST", "GET, HEAD") } else { ("GET", "POST") };
        let answer = request(address, wrong, &path, "Content-Length: 0\r\n").await;
        assert_eq!(status(&answer), "405", "{wrong} {path}: {answer}");
        assert!(answer.contains(&format!("allow: {allow}\r\n")), "{answer}");
        let answer = request(address, method, &path, "Content-Length: 0\r\n").await;
        assert_ne!(status(&answer), "405", "{method} {path}");
    }
    for path in ["/metricsx", "/api/v1", "/api/v1/destinations/pbx/state", "/api/v1/destinations/a/b/c/state"]
    {
        assert_eq!(status(&request(address, "GET", path, "").await), "404", "{path}");
    }
    let head = request(address, "HEAD", "/metrics", "").await;
    assert!(status(&head) == "200" && head.ends_with("\r\n\r\n"), "{head}");
}

#[tokio::test]
async fn the_configuration_is_told_with_its_hash() {
    let address = serve_fake(None, &fake(false));
    let config: serde_json::Value = client(address, None).get("/api/v1/config").await.unwrap();
    assert_eq!(config, serde_json::json!({"hash": 7, "config": {"workers": 1}}));
}

#[tokio::test]
async fn metrics_health_and_readiness_answer_as_prometheus_tools_expect() {
    let fake = fake(false);
    let address = serve_fake(None, &fake);
    let metrics = request(address, "GET", "/metrics", "").await;
    assert!(metrics.contains("content-type: text/plain; version=0.0.4"), "{metrics}");
    assert!(metrics.contains("transfer-encoding: chunked"), "{metrics}");
    let text = client(address, None).get_text("/metrics").await.unwrap();
    assert_eq!(text, "# TYPE x gauge\nx 1\n");
    assert_eq!(status(&request(address, "GET", "/-/ready", "").await), "200");
    fake.ready.store(false, Ordering::Relaxed);
    assert_eq!(status(&request(address, "GET", "/-/ready", "").await), "503");
    assert_eq!(status(&request(address, "GET", "/-/healthy", "").await), "200");
}

#[tokio::test]
async fn a_stuck_worker_fails_the_scrape_and_not_the_health() {
    let address = serve_fake(None, &fake(true));
    for (path, code) in
        [("/metrics", "503"), ("/api/v1/destinations", "503"), ("/", "503"), ("/-/healthy", "200")]
    {
        assert_eq!(status(&request(address, "GET", path, "").await), code, "{path}");
    }
}

#[tokio::test]
async fn destinations_have_the_documented_shape() {
    let address = serve_fake(None, &fake(false));
    let listing: serde_json::Value = client(address, None).get("/api/v1/destinations").await.unwrap();
    let time = "1970-01-01T00:16:40.000Z";
    assert_eq!(
        listing,
        serde_json::json!({"sets": [{"name": "pbx", "algorithm": "round_robin", "all_down": true, "destinations": [{
            "id": "<b>1", "uri": "sip:10.0.0.1:5060", "address": "10.0.0.1:5060",
            "dns": {"name": "pbx.example", "addresses": ["10.0.0.1:5060"], "resolved": time, "stale": true},
            "state": "down", "since": time, "kamailio": "IP",
            "probe": {"enabled": true, "interval_seconds": 10.0, "down_after": 3, "up_after": 1,
                "up_needed": 1, "damped": false,
                "consecutive_failures": 3, "consecutive_successes": 0, "last_outcome": "timeout",
                "last_rtt_seconds": null, "rtt_seconds": null, "last_started": null, "last_finished": time, "last_success": null},
            "admin": "enabled", "passive_failures": 2, "ejected_until": "1970-01-01T00:17:10.000Z",
            "retry_after_until": null, "calls": 0,
            "max_calls": null, "weight": 1, "priority": 0,
            "changes": [{"at": time, "from": "unknown", "to": "down", "reason": "probe", "outcome": "timeout",
                "admin": "enabled"}],
            "probes": [{"at": time, "outcome": "timeout", "rtt_seconds": null}],
            "exchange": {"started": time, "ended": time, "remote": "10.0.0.1:5060",
                "request": "OPTIONS sip:a SIP/2.0\r\n\r\n", "response": "SIP/2.0 200 \\u{1b}[31m<b>\r\n\r\n"},
        }]}]})
    );
}

#[tokio::test]
async fn destinations_without_history_keep_the_last_change() {
    let address = serve_fake(None, &fake(false));
    let short: destinations::Listing =
        client(address, None).get("/api/v1/destinations?history=false").await.unwrap();
    let destination = &short.sets[0].destinations[0];
    assert_eq!((destination.changes.len(), destination.probes.len()), (1, 0));
    assert_eq!(status(&request(address, "GET", "/api/v1/destinations?histroy=false", "").await), "400");
}

#[tokio::test]
async fn the_page_lists_routes_and_destinations_escaped() {
    let address = serve_fake(None, &fake(false));
    let page = client(address, None).get_text("/").await.unwrap();
    for (_, path, _) in ROUTES {
        assert!(page.contains(path), "{path}");
    }
    assert!(page.contains("&lt;b&gt;1") && !page.contains("<b>1") && page.contains("all down"), "{page}");
    assert!(!page.contains("<script"), "{page}");
    assert!(
        page.contains("10.0.0.1:5060, resolved 1970-01-01T00:16:40.000Z") && page.contains("stale"),
        "{page}"
    );
}

#[tokio::test]
async fn a_wish_reaches_the_destination_named_in_the_path() {
    let fake = fake(false);
    let address = serve_fake(None, &fake);
    let client = client(address, None);
    let path = destinations::state_path("pbx", "[::1]:5060/x");
    let answer: serde_json::Value =
        client.post(&path, Some(destinations::state_body(Admin::Draining))).await.unwrap();
    assert_eq!(answer, serde_json::json!({"set": "pbx", "id": "[::1]:5060/x", "admin": "draining"}));
    let wishes = fake.wishes.lock().unwrap().clone();
    assert_eq!(wishes, [("pbx".to_owned(), "[::1]:5060/x".to_owned(), Admin::Draining)]);
}

#[tokio::test]
async fn wishes_that_make_no_sense_are_refused_with_a_hint() {
    let fake = fake(false);
    let address = serve_fake(None, &fake);
    for (path, body, code) in [
        ("/api/v1/destinations/carriers/x/state", r#"{"state":"enabled"}"#, "404"),
        ("/api/v1/destinations/pbx/x/state", r#"{"state":"down"}"#, "400"),
        ("/api/v1/destinations/pbx/x/state", r#"{"state":"asleep"}"#, "400"),
        ("/api/v1/destinations/pbx/x/state", "", "400"),
        ("/api/v1/destinations/pbx/%zz/state", r#"{"state":"enabled"}"#, "400"),
    ] {
        let rest = format!("Content-Length: {}\r\n", body.len());
        let answer = raw(address, &format!("POST {path} HTTP/1.1\r\nHost: x\r\n{rest}\r\n{body}")).await;
        assert_eq!(status(&answer), code, "{path} {body}: {answer}");
        assert!(answer.contains(r#"{"error":""#) && answer.contains(r#""hint":""#), "{answer}");
    }
    assert!(fake.wishes.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_wish_that_could_not_be_taken_says_what_was_missing() {
    let (known, stuck) = (serve_fake(None, &fake(false)), serve_fake(None, &fake(true)));
    for (address, set, id, code, words) in [
        (known, "carriers", "x", 404, "no set \"carriers\""),
        (known, "pbx", "gone", 404, "no destination \"gone\" in set \"pbx\""),
        (stuck, "pbx", "x", 503, "did not answer"),
    ] {
        let body = destinations::state_body(Admin::Draining);
        let answer = client(address, None)
            .post::<serde_json::Value>(&destinations::state_path(set, id), Some(body))
            .await;
        match answer {
            Err(ClientError::Refused { status, error, .. }) => {
                assert_eq!(status, code, "{error}");
                assert!(error.contains(words), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn the_last_probe_is_told_as_it_went_over_the_wire_but_harmless() {
    let client = client(serve_fake(None, &fake(false)), None);
    let full: destinations::Listing = client.get("/api/v1/destinations").await.unwrap();
    let exchange = full.sets[0].destinations[0].exchange.clone().unwrap();
    assert_eq!(exchange.request.as_deref(), Some("OPTIONS sip:a SIP/2.0\r\n\r\n"));
    assert_eq!(exchange.response.as_deref(), Some("SIP/2.0 200 \\u{1b}[31m<b>\r\n\r\n"));
    let short: destinations::Listing = client.get("/api/v1/destinations?history=false").await.unwrap();
    assert_eq!(short.sets[0].destinations[0].exchange, None);
}

#[tokio::test]
async fn probes_are_asked_for_by_set_and_by_destination() {
    let (known, stuck) = (serve_fake(None, &fake(false)), serve_fake(None, &fake(true)));
    let client_of = |address| client(address, None);
    let whole: ProbingView = client_of(known).post(&probes::path("pbx", None), None).await.unwrap();
    assert_eq!((whole.set.as_str(), &whole.probing[..]), ("pbx", &["a".to_owned(), "b".to_owned()][..]));
    assert_eq!((whole.at.as_str(), whole.within_seconds), ("1970-01-01T00:16:40.000Z", 22.0));
    let one: ProbingView = client_of(known).post(&probes::path("pbx", Some("x/y")), None).await.unwrap();
    assert_eq!(one.probing, ["x/y"]);
    for (address, set, id, code, words) in [
        (known, "carriers", None, 404, "no set \"carriers\""),
        (known, "pbx", Some("gone"), 404, "no destination \"gone\" in set \"pbx\""),
        (known, "pbx", Some("quiet"), 409, "pbx quiet is not probed"),
        (stuck, "pbx", None, 503, "did not answer"),
    ] {
        match client_of(address).post::<ProbingView>(&probes::path(set, id), None).await {
            Err(ClientError::Refused { status, error, .. }) => {
                assert_eq!(status, code, "{error}");
                assert!(error.contains(words), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_question_is_answered_or_what_is_wrong_with_it_named() {
    let (known, stuck) = (serve_fake(None, &fake(false)), serve_fake(None, &fake(true)));
    let answer: Explanation =
        client(known, None).get("/api/v1/explain?set=pbx&source=192.0.2.1").await.unwrap();
    assert_eq!(answer, explanation(Some("192.0.2.1".to_owned())));
    for (address, query, code, words) in [
        (known, "", "400", "set is missing"),
        (known, "?set=pbx&colour=red", "400", "colour"),
        (known, "?set=pbx&call_id=impossible", "400", "no request"),
        (known, "?set=carriers", "404", "carriers"),
        (stuck, "?set=pbx", "503", "did not answer"),
    ] {
        let answer = request(address, "GET", &format!("/api/v1/explain{query}"), "").await;
        assert_eq!(status(&answer), code, "{query}: {answer}");
        assert!(answer.contains(words) && answer.contains(r#""hint":""#), "{answer}");
    }
}

#[tokio::test]
async fn a_reload_resets_if_asked_to_and_refuses_what_it_does_not_know() {
    let fake = fake(false);
    let address = serve_fake(None, &fake);
    let report: ReloadReport = client(address, None).post("/-/reload?reset=true", None).await.unwrap();
    assert!(report.reset && report.kept == 7, "{report:?}");
    let answer = request(address, "POST", "/-/reload?resett=true", "Content-Length: 0\r\n").await;
    assert_eq!(status(&answer), "400", "{answer}");
    assert_eq!(fake.reloads.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_reload_reports_what_it_did_or_what_is_wrong() {
    let fake = fake(false);
    let client = client(serve_fake(None, &fake), None);
    let report: ReloadReport = client.post("/-/reload", None).await.unwrap();
    assert_eq!(report, ReloadReport { changed: true, added: 1, ..ReloadReport::default() });
    match client.post::<ReloadReport>("/-/reload", None).await {
        Err(ClientError::Refused { status: 400, error, hint }) => {
            assert_eq!(error, "sipwarden.yaml:3:5: unknown key `algoritm`");
            assert!(hint.contains("nothing has changed"), "{hint}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn changing_calls_need_the_configured_token_and_reading_does_not() {
    let fake = fake(false);
    let address = serve_fake(Some("s3cret"), &fake);
    for token in [None, Some("wrong")] {
        let refused = client(address, token).post::<ReloadReport>("/-/reload", None).await;
        assert!(matches!(refused, Err(ClientError::Refused { status: 401, .. })), "{refused:?}");
    }
    assert_eq!(fake.reloads.load(Ordering::Relaxed), 0);
    assert!(client(address, Some("s3cret")).post::<ReloadReport>("/-/reload", None).await.is_ok());
    assert!(client(address, None).get_text("/metrics").await.is_ok());
}

#[tokio::test]
async fn oversized_heads_and_bodies_are_refused() {
    let fake = fake(false);
    let address = serve_fake(None, &fake);
    let path = "/api/v1/destinations/pbx/x/state";
    let announced = request(address, "POST", path, "Content-Length: 70000\r\n").await;
    assert_eq!(status(&announced), "413", "{announced}");
    let chunk = format!("{:x}\r\n{}\r\n0\r\n\r\n", 66_000, "x".repeat(66_000));
    let chunked = format!("POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}");
    assert_eq!(status(&raw(address, &chunked).await), "413");
    let head = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(MAX_BYTES));
    assert_eq!(status(&raw(address, &head).await), "431");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let address = serve_fake(None, &fake(false));
    let mut idle = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    let client = client(address, None);
    let mut waiting = tokio::spawn(async move { client.get_text("/-/healthy").await });
    let served = tokio::time::timeout(Duration::from_millis(300), &mut waiting).await;
    assert!(served.is_err(), "served as connection {}", MAX_CONNECTIONS + 1);
    drop(idle);
    assert_eq!(waiting.await.unwrap().unwrap(), "healthy\n");
}

#[tokio::test]
async fn a_port_in_use_is_said_at_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let error = bind(&Settings { listen, token: None }).unwrap_err().to_string();
    assert!(error.contains(&listen.to_string()) && error.contains("port in use"), "{error}");
    assert!(error.contains("`http.listen`"), "{error}");
}
