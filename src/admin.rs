//! The HTTP server: metrics, health, and the few calls that look at or change the running process.
//!
//! | route | does |
//! |---|---|
//! | `GET /` | this table and every destination, for a person |
//! | `GET /metrics` | metrics: Prometheus text format 0.0.4, or OpenMetrics 1.0 if that is asked for |
//! | `GET /-/healthy` | 200 while the process runs |
//! | `GET /-/ready` | 200 once configured and bound, 503 before and while draining; not a matter of destinations |
//! | `POST /-/reload` | reads the configuration again and applies it whole, or not at all (`?reset=true` also forgets states and wishes) |
//! | `GET /api/v1/destinations` | sets and destinations with state, probes and history (`?history=false` leaves it out) |
//! | `GET /api/v1/config` | the configuration in force with every default, secrets cut, and its hash |
//! | `POST /api/v1/destinations/{set}/{id}/state` | sets what the administrator wants: `{"state": "enabled\|draining\|disabled"}` |
//! | `POST /api/v1/probe/{set}` | probes every destination of a set now |
//! | `POST /api/v1/probe/{set}/{id}` | probes one destination now |
//! | `GET /api/v1/explain` | where a request would go: `?set=`, and what it holds: `call_id=`, `from=`, `to=`, `ruri=`, `source=`, `header=NAME: VALUE` |
//!
//! A GET never changes anything. Whoever asks, a request has a bounded size and a bounded life, and
//! every error is `{error, hint}`. Knows the process through [`Control`] only; never a core, a
//! socket of SIP or the configuration.

mod accept;
mod answer;
mod auth;
pub mod client;
mod control;
pub mod destinations;
pub mod explain;
mod page;
pub mod probes;
mod settings;

pub use crate::facts::clock::Clock;
pub use control::{
    Control, Effective, MetricsFormat, NotExplained, NotSet, Pieces, ReloadReport, Reset, Unavailable,
};
pub use settings::Settings;

use crate::facts::Admin;
use crate::facts::snapshot::{Detail, Snapshot};
use answer::Answer;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// The routes as told by `/`: method, path, purpose. The module header repeats them.
const ROUTES: &[(&str, &str, &str)] = &[
    ("GET", "/", "this table and every destination, for a person"),
    ("GET", "/metrics", "metrics: Prometheus text format 0.0.4, or OpenMetrics 1.0 if that is asked for"),
    ("GET", "/-/healthy", "200 while the process runs"),
    (
        "GET",
        "/-/ready",
        "200 once configured and bound, 503 before and while draining; not a matter of destinations",
    ),
    (
        "POST",
        "/-/reload",
        "reads the configuration again and applies it whole, or not at all (`?reset=true` also forgets states and wishes)",
    ),
    (
        "GET",
        "/api/v1/destinations",
        "sets and destinations with state, probes and history (`?history=false` leaves it out)",
    ),
    ("GET", "/api/v1/config", "the configuration in force with every default, secrets cut, and its hash"),
    (
        "POST",
        "/api/v1/destinations/{set}/{id}/state",
        r#"sets what the administrator wants: `{"state": "enabled|draining|disabled"}`"#,
    ),
    ("POST", "/api/v1/probe/{set}", "probes every destination of a set now"),
    ("POST", "/api/v1/probe/{set}/{id}", "probes one destination now"),
    (
        "GET",
        "/api/v1/explain",
        "where a request would go: `?set=`, and what it holds: `call_id=`, `from=`, `to=`, `ruri=`, `source=`, `header=NAME: VALUE`",
    ),
];

/// Connections served at once; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 64;
/// Bytes of a request's head, and of its body.
const MAX_BYTES: usize = 64 * 1024;
/// Time for the head of a request to arrive.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// Time from the head of a request to its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Life of a connection, which serves one request: the two above and the time to take the answer.
const CONNECTION_WITHIN: Duration = Duration::from_secs(25);
/// Where the names are that a wish may carry.
const WHAT_THERE_IS: &str = "sipwarden list, or GET /api/v1/destinations, shows what there is";
/// Pause after the system could not accept a connection (no file descriptors, for one).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be bound.
    #[error("cannot listen for HTTP on {address}: {}", why_not_bound(source))]
    Bind {
        /// The configured address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bound socket cannot be used.
    #[error("HTTP socket: {0}")]
    Socket(std::io::Error),
}

fn why_not_bound(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => "port in use: another process, perhaps a second sipwarden, has it; \
             stop that process or change `http.listen`"
            .to_owned(),
        _ => error.to_string(),
    }
}

/// A socket that is bound but not served yet.
#[derive(Debug)]
pub struct BoundListener {
    listener: TcpListener,
    address: SocketAddr,
}

impl BoundListener {
    /// The address actually bound.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Binds the configured address, so that a port in use is known before anything starts.
pub fn bind(settings: &Settings) -> Result<BoundListener, Error> {
    let failed = |source| Error::Bind { address: settings.listen, source };
    let listener = TcpListener::bind(settings.listen).map_err(failed)?;
    listener.set_nonblocking(true).map_err(Error::Socket)?;
    let address = listener.local_addr().map_err(Error::Socket)?;
    Ok(BoundListener { listener, address })
}

/// Serves until the future is dropped, which also ends every connection.
pub async fn serve(bound: BoundListener, settings: Settings, control: Arc<dyn Control>) -> Result<(), Error> {
    let listener = tokio::net::TcpListener::from_std(bound.listener).map_err(Error::Socket)?;
    let server = Arc::new(Server { settings, control });
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let permit = Arc::clone(&permits).acquire_owned().await.expect("the semaphore is never closed");
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, peer)) => {
                let server = Arc::clone(&server);
                connections.spawn(async move {
                    let _ = tokio::time::timeout(CONNECTION_WITHIN, connection(stream, peer, server)).await;
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Serves one request of a connection. Nobody is told of its errors but the peer: they are its own.
async fn connection(stream: TcpStream, peer: SocketAddr, server: Arc<Server>) {
    let service = service_fn(move |request| {
        let server = Arc::clone(&server);
        async move {
            let answered = tokio::time::timeout(ANSWER_WITHIN, server.answer(request, peer)).await;
            let answer = answered.unwrap_or_else(|_| {
                let hint = "the process is busy or stuck; look at its log";
                Answer::error(StatusCode::SERVICE_UNAVAILABLE, "no answer in time", hint)
            });
            Ok::<_, Infallible>(answer.into_response())
        }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .keep_alive(false)
        .max_buf_size(MAX_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

struct Server {
    settings: Settings,
    control: Arc<dyn Control>,
}

/// What a path stands for.
enum Resource<'a> {
    Page,
    Metrics,
    Healthy,
    Ready,
    Reload,
    Destinations,
    Config,
    State { set: &'a str, id: &'a str },
    Probe { set: &'a str, id: Option<&'a str> },
    Explain,
}

impl<'a> Resource<'a> {
    fn of(path: &'a str) -> Option<Self> {
        match path {
            "/" => Some(Self::Page),
            "/metrics" => Some(Self::Metrics),
            "/-/healthy" => Some(Self::Healthy),
            "/-/ready" => Some(Self::Ready),
            "/-/reload" => Some(Self::Reload),
            "/api/v1/destinations" => Some(Self::Destinations),
            "/api/v1/config" => Some(Self::Config),
            "/api/v1/explain" => Some(Self::Explain),
            _ if path.starts_with("/api/v1/probe/") => {
                let inner = path.strip_prefix("/api/v1/probe/")?;
                let (set, id) = match inner.split_once('/') {
                    Some((set, id)) => (set, Some(id)),
                    None => (inner, None),
                };
                let is_segment = |text: &str| !text.is_empty() && !text.contains('/');
                (is_segment(set) && id.is_none_or(is_segment)).then_some(Self::Probe { set, id })
            }
            _ => {
                let inner = path.strip_prefix("/api/v1/destinations/")?.strip_suffix("/state")?;
                let (set, id) = inner.split_once('/')?;
                (!set.is_empty() && !id.is_empty() && !id.contains('/')).then_some(Self::State { set, id })
            }
        }
    }

    const fn is_change(&self) -> bool {
        match self {
            Self::Reload | Self::State { .. } | Self::Probe { .. } => true,
            Self::Page
            | Self::Metrics
            | Self::Healthy
            | Self::Ready
            | Self::Destinations
            | Self::Config
            | Self::Explain => false,
        }
    }
}

impl Server {
    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Answer {
        let (head, body) = request.into_parts();
        let Some(resource) = Resource::of(head.uri.path()) else {
            return Answer::error(StatusCode::NOT_FOUND, "no such route", "GET / lists the routes");
        };
        let (fits, allow) = match resource.is_change() {
            true => (head.method == Method::POST, "POST"),
            false => (head.method == Method::GET || head.method == Method::HEAD, "GET, HEAD"),
        };
        if !fits {
            return Answer::error(StatusCode::METHOD_NOT_ALLOWED, "wrong method", &format!("use {allow}"))
                .with(header::ALLOW, allow);
        }
        if resource.is_change()
            && let Some(refused) = auth::refuse(&self.settings, peer.ip(), &head.headers)
        {
            return refused;
        }
        match resource {
            Resource::Page => self.page().await,
            Resource::Metrics => self.metrics(accept::format(&head.headers)).await,
            Resource::Healthy => Answer::text("text/plain; charset=utf-8", "healthy\n".to_owned()),
            Resource::Ready if self.control.is_ready() => {
                Answer::text("text/plain; charset=utf-8", "ready\n".to_owned())
            }
            Resource::Ready => {
                let hint = "it is starting or draining; the state of destinations does not matter here";
                Answer::error(StatusCode::SERVICE_UNAVAILABLE, "not ready", hint)
            }
            Resource::Reload => self.reload(head.uri.query()).await,
            Resource::Destinations => self.destinations(head.uri.query()).await,
            Resource::Config => {
                let Effective { hash, json } = self.control.config().await;
                Answer::text("application/json", format!("{{\"hash\":{hash},\"config\":{json}}}\n"))
            }
            Resource::State { set, id } => match read(body).await {
                Ok(body) => self.set_admin(set, id, &body).await,
                Err(refused) => refused,
            },
            Resource::Probe { set, id } => self.probe(set, id).await,
            Resource::Explain => self.explain(head.uri.query()).await,
        }
    }

    async fn metrics(&self, format: MetricsFormat) -> Answer {
        let content_type = match format {
            MetricsFormat::Text => "text/plain; version=0.0.4; charset=utf-8",
            MetricsFormat::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        };
        match self.control.metrics(format).await {
            Ok(pieces) => Answer::pieces(content_type, pieces).with(header::VARY, "Accept"),
            Err(unavailable) => Answer::unavailable(unavailable),
        }
    }

    async fn page(&self) -> Answer {
        match self.control.snapshots(Detail::Metrics).await {
            Ok(snapshots) => {
                let listing = self.listing(&snapshots);
                Answer::html(page::render(ROUTES, &listing, self.control.is_ready()))
            }
            Err(unavailable) => Answer::unavailable(unavailable),
        }
    }

    async fn destinations(&self, query: Option<&str>) -> Answer {
        let detail = match query {
            None | Some("" | "history=true") => Detail::Full,
            Some("history=false") => Detail::Metrics,
            Some(_) => {
                let hint = "the only parameter is history=true or history=false";
                return Answer::error(StatusCode::BAD_REQUEST, "unknown parameter", hint);
            }
        };
        match self.control.snapshots(detail).await {
            Ok(snapshots) => Answer::json(StatusCode::OK, &self.listing(&snapshots)),
            Err(unavailable) => Answer::unavailable(unavailable),
        }
    }

    fn listing(&self, snapshots: &[Snapshot]) -> destinations::Listing {
        destinations::Listing::new(snapshots, &self.control.clock())
    }

    /// A reload runs to its end even if whoever asked for it has gone.
    async fn reload(&self, query: Option<&str>) -> Answer {
        let reset = match query {
            None | Some("" | "reset=false") => Reset::No,
            Some("reset=true") => Reset::Yes,
            Some(_) => {
                let hint = "the only parameter is reset=true or reset=false";
                return Answer::error(StatusCode::BAD_REQUEST, "unknown parameter", hint);
            }
        };
        let control = Arc::clone(&self.control);
        match tokio::spawn(async move { control.reload(reset).await }).await {
            Ok(Ok(report)) => Answer::json(StatusCode::OK, &report),
            Ok(Err(text)) => {
                let hint = "nothing has changed; correct the file and reload again";
                Answer::error(StatusCode::BAD_REQUEST, &text, hint)
            }
            Err(_) => {
                let hint = "the reload ended early; look at the log";
                Answer::error(StatusCode::INTERNAL_SERVER_ERROR, "the reload failed", hint)
            }
        }
    }

    async fn set_admin(&self, set: &str, id: &str, body: &[u8]) -> Answer {
        let (Some(set), Some(id)) = (destinations::decode(set), destinations::decode(id)) else {
            return not_encoded();
        };
        let admin = match destinations::parse_state(body) {
            Ok(admin) => admin,
            Err(error) => {
                let hint = r#"send {"state": "enabled"}, {"state": "draining"} or {"state": "disabled"}"#;
                return Answer::error(StatusCode::BAD_REQUEST, &error, hint);
            }
        };
        let control = Arc::clone(&self.control);
        let wish = {
            let (set, id) = (set.clone(), id.clone());
            tokio::spawn(async move { control.set_admin(&set, &id, admin).await })
        };
        match wish.await {
            Ok(Ok(())) => Answer::json(StatusCode::OK, &Wished { set: &set, id: &id, admin }),
            Ok(Err(error)) => not_set(error, &set, &id),
            Err(_) => Answer::error(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the state could not be set",
                "look at the log",
            ),
        }
    }

    async fn probe(&self, set: &str, id: Option<&str>) -> Answer {
        let Some(set) = destinations::decode(set) else { return not_encoded() };
        let id = match id.map(|id| destinations::decode(id).ok_or(())) {
            None => None,
            Some(Ok(id)) => Some(id),
            Some(Err(())) => return not_encoded(),
        };
        match self.control.probe(&set, id.as_deref()).await {
            Ok(probing) if probing.probing.is_empty() => {
                let what = id.map_or(set.clone(), |id| format!("{set} {id}"));
                let hint = "probe.enabled is false for it in the configuration";
                Answer::error(StatusCode::CONFLICT, &format!("{what} is not probed"), hint)
            }
            Ok(probing) => {
                let view = probes::ProbingView::new(&set, probing, &self.control.clock());
                Answer::json(StatusCode::ACCEPTED, &view)
            }
            Err(error) => not_set(error, &set, id.as_deref().unwrap_or_default()),
        }
    }

    async fn explain(&self, query: Option<&str>) -> Answer {
        let hint = "ask ?set=SET&call_id=…&from=…&to=…&ruri=…&source=IP&header=NAME:VALUE, percent-encoded";
        let (set, question) = match explain::parse_query(query) {
            Ok(asked) => asked,
            Err(error) => return Answer::error(StatusCode::BAD_REQUEST, &error, hint),
        };
        match self.control.explain(&set, &question).await {
            Ok(explanation) => Answer::json(StatusCode::OK, &explanation),
            Err(NotExplained::NoSet) => {
                Answer::error(StatusCode::NOT_FOUND, &format!("no set {set:?}"), WHAT_THERE_IS)
            }
            Err(NotExplained::Question(error)) => Answer::error(StatusCode::BAD_REQUEST, error, hint),
            Err(NotExplained::Unavailable(error)) => Answer::unavailable(error),
        }
    }
}

fn not_encoded() -> Answer {
    let hint = "write bytes outside A-Z a-z 0-9 . _ : @ - as %XX, in UTF-8";
    Answer::error(StatusCode::BAD_REQUEST, "the path is not percent-encoded", hint)
}

fn not_set(error: NotSet, set: &str, id: &str) -> Answer {
    match error {
        NotSet::NoSet => Answer::error(StatusCode::NOT_FOUND, &format!("no set {set:?}"), WHAT_THERE_IS),
        NotSet::NoDestination => Answer::error(
            StatusCode::NOT_FOUND,
            &format!("no destination {id:?} in set {set:?}"),
            WHAT_THERE_IS,
        ),
        NotSet::OneOfSeveral => Answer::error(
            StatusCode::CONFLICT,
            &format!("{id:?} is one of several addresses of a destination"),
            "the state belongs to the configured id, the part before the last @, and is for all of its addresses",
        ),
        NotSet::Unavailable(error) => Answer::unavailable(error),
    }
}

#[derive(serde::Serialize)]
struct Wished<'a> {
    set: &'a str,
    id: &'a str,
    admin: Admin,
}

/// Reads a body of at most [`MAX_BYTES`].
async fn read(body: Incoming) -> Result<Bytes, Answer> {
    let too_large = || {
        let hint = format!("at most {MAX_BYTES} bytes");
        Answer::error(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large", &hint)
    };
    if body.size_hint().lower() > MAX_BYTES as u64 {
        return Err(too_large());
    }
    match Limited::new(body, MAX_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Answer::error(StatusCode::BAD_REQUEST, "the body broke off", "send it whole")),
    }
}

#[cfg(test)]
mod tests;
