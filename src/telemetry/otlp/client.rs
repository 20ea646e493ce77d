//! The client of a collector: hyper's, on the runtime that exports, over HTTP/1.1 or gRPC.

use super::environment;
use crate::telemetry::settings::OtlpProtocol;
use crate::telemetry::values::ExportResult;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, HeaderValue, TE, USER_AGENT};
use hyper::{HeaderMap, Method, Request, Uri};
use hyper_util::client::legacy::Client as Pooled;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::error::Error;
use std::time::Duration;
use tokio::time::timeout;

/// A collector's answer is a few bytes; more than this is not one.
const MAX_ANSWER: usize = 64 * 1024;
/// The method of OTLP over gRPC.
const EXPORT: &str = "opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// Statuses of gRPC.
const OK: &[u8] = b"0";
const DEADLINE_EXCEEDED: &[u8] = b"4";

/// Sends requests to one collector and keeps the connection.
#[derive(Debug)]
pub struct Client {
    pooled: Pooled<HttpConnector, Full<Bytes>>,
    uri: Uri,
    headers: HeaderMap,
    protocol: OtlpProtocol,
    timeout: Duration,
}

impl Client {
    /// A client for an endpoint as configured, or what is wrong with that; nothing is connected yet.
    pub fn new(endpoint: &str, protocol: OtlpProtocol) -> Result<Self, &'static str> {
        let uri: Uri = endpoint.parse().map_err(|_| "it is not a URL")?;
        if uri.scheme_str() != Some("http") || uri.host().is_none_or(str::is_empty) {
            return Err("it must be http://HOST:PORT (TLS is not supported in this version)");
        }
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let (url, content, is_grpc) = match protocol {
            OtlpProtocol::Grpc => (format!("http://{authority}/{EXPORT}"), "application/grpc", true),
            OtlpProtocol::Http if is_bare => {
                (format!("http://{authority}/v1/traces"), "application/x-protobuf", false)
            }
            OtlpProtocol::Http => (endpoint.into(), "application/x-protobuf", false),
        };
        let uri = url.parse().map_err(|_| "it is not a URL")?;
        let mut headers = environment::headers();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content));
        let agent = HeaderValue::from_static(concat!("sipwarden/", env!("CARGO_PKG_VERSION")));
        headers.insert(USER_AGENT, agent);
        if is_grpc {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let pooled = Pooled::builder(TokioExecutor::new()).http2_only(is_grpc).build(connector);
        Ok(Self { pooled, uri, headers, protocol, timeout: environment::timeout() })
    }

    /// Sends one request, framed as the protocol wants it.
    pub async fn send(&self, body: Bytes) -> ExportResult {
        match timeout(self.timeout, self.exchange(body)).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => ExportResult::Error,
            Err(_) => ExportResult::Timeout,
        }
    }

    async fn exchange(&self, body: Bytes) -> Result<ExportResult, Box<dyn Error + Send + Sync>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let (head, body) = self.pooled.request(request).await?.into_parts();
        let answer = Limited::new(body, MAX_ANSWER).collect().await?;
        if !head.status.is_success() {
            return Ok(ExportResult::Error);
        }
        Ok(match self.protocol {
            OtlpProtocol::Http => ExportResult::Ok,
            OtlpProtocol::Grpc => grpc_result(&head.headers, answer.trailers()),
        })
    }
}

/// The result is told behind the answer, or in front of it if there is none.
fn grpc_result(headers: &HeaderMap, trailers: Option<&HeaderMap>) -> ExportResult {
    let status = trailers.and_then(|trailers| trailers.get("grpc-status"));
    match status.or_else(|| headers.get("grpc-status")).map(HeaderValue::as_bytes) {
        Some(OK) => ExportResult::Ok,
        Some(DEADLINE_EXCEEDED) => ExportResult::Timeout,
        Some(_) | None => ExportResult::Error,
    }
}
