//! A small HTTP client for the commands: one request a connection, bounded in time and size.
//!
//! Speaks plain HTTP/1.1 to one address; never follows, retries or caches anything.

use super::answer::Problem;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::net::TcpStream;

/// Where sipwarden listens unless told otherwise.
pub const DEFAULT_URL: &str = "http://127.0.0.1:9360";
/// Time for the connection to open.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Time from then to the whole answer; above the server's own limit, whose words say more.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// Bytes of an answer at most: a thousand destinations with their whole history.
const MAX_ANSWER: usize = 128 * 1024 * 1024;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL is not one that this client speaks to.
    #[error("{url:?} is not a URL of the form http://HOST:PORT")]
    Url {
        /// What was given.
        url: String,
    },
    /// The token cannot stand in a header.
    #[error("the token holds characters that cannot be sent")]
    Token,
    /// Nobody answers there.
    #[error("cannot reach sipwarden at {url}: {reason}")]
    Unreachable {
        /// Where.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// What answers is not, or not any more, an HTTP server.
    #[error("no usable answer from {url}: {reason}")]
    Broken {
        /// Where.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server says no.
    #[error("{error}")]
    Refused {
        /// The status code.
        status: u16,
        /// The server's words.
        error: String,
        /// The server's advice.
        hint: String,
    },
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Url { .. } => Some("for example http://127.0.0.1:9360; TLS is not supported"),
            Self::Token => Some("the token file should hold one line of printable ASCII"),
            Self::Unreachable { .. } => Some("is it running? set --url or SIPWARDEN_URL"),
            Self::Broken { .. } => {
                Some("is that address sipwarden's HTTP server? set --url or SIPWARDEN_URL")
            }
            Self::Refused { hint, .. } => Some(hint).filter(|hint| !hint.is_empty()).map(String::as_str),
        }
    }
}

/// Speaks to one server.
#[derive(Debug, Clone)]
pub struct Client {
    url: String,
    host: String,
    port: u16,
    authority: String,
    prefix: String,
    token: Option<header::HeaderValue>,
}

impl Client {
    /// Makes a client of a URL; connects to nothing yet.
    pub fn new(url: &str, token: Option<&str>) -> Result<Self, Error> {
        let bad = || Error::Url { url: url.to_owned() };
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let authority =
            uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(bad)?;
        if uri.scheme_str() != Some("http") || uri.query().is_some() {
            return Err(bad());
        }
        let bearer = |token: &str| header::HeaderValue::try_from(format!("Bearer {token}"));
        let mut token = token.map(bearer).transpose().map_err(|_| Error::Token)?;
        if let Some(value) = &mut token {
            value.set_sensitive(true);
        }
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authority: authority.to_string(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
            token,
        })
    }

    /// The URL it speaks to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Reads a route that answers in text.
    pub async fn get_text(&self, path: &str) -> Result<String, Error> {
        let body = self.call(Method::GET, path, None).await?;
        String::from_utf8(body.into()).map_err(|_| self.broken("it is not UTF-8"))
    }

    /// Reads a route that answers in JSON.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.parse(&self.call(Method::GET, path, None).await?)
    }

    /// Calls a route that changes something and answers in JSON.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, json: Option<String>) -> Result<T, Error> {
        self.parse(&self.call(Method::POST, path, Some(json.unwrap_or_default())).await?)
    }

    fn parse<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, Error> {
        serde_json::from_slice(body).map_err(|error| self.broken(&error.to_string()))
    }

    async fn call(&self, method: Method, path: &str, body: Option<String>) -> Result<Bytes, Error> {
        let target = (self.host.as_str(), self.port);
        let stream = match tokio::time::timeout(CONNECT_WITHIN, TcpStream::connect(target)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(self.unreachable(&error.to_string())),
            Err(_) => return Err(self.unreachable("no answer in time")),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.prefix))
            .header(header::HOST, &self.authority)
            .header(header::CONNECTION, "close");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .map_err(|_| Error::Url { url: self.url.clone() })?;
        match tokio::time::timeout(ANSWER_WITHIN, exchange(stream, request)).await {
            Ok(Ok((status, body))) if status.is_success() => Ok(body),
            Ok(Ok((status, body))) => Err(refusal(status, &body)),
            Ok(Err(reason)) => Err(self.broken(&reason)),
            Err(_) => Err(self.unreachable("it accepted the connection and did not answer in time")),
        }
    }

    fn unreachable(&self, reason: &str) -> Error {
        Error::Unreachable { url: self.url.clone(), reason: reason.to_owned() }
    }

    fn broken(&self, reason: &str) -> Error {
        Error::Broken { url: self.url.clone(), reason: reason.to_owned() }
    }
}

/// Sends a request and reads the whole answer.
async fn exchange(stream: TcpStream, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), String> {
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|error| error.to_string())?;
    let answered = async move {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
    };
    tokio::pin!(connection, answered);
    tokio::select! {
        biased;
        result = &mut answered => result,
        _ = &mut connection => answered.await,
    }
}

/// The server's words, or what its status says if it does not speak our way.
fn refusal(status: StatusCode, body: &[u8]) -> Error {
    let problem = serde_json::from_slice(body).unwrap_or_else(|_| Problem {
        error: format!("the server answers {status}"),
        hint: "is that address sipwarden's HTTP server?".to_owned(),
    });
    Error::Refused { status: status.as_u16(), error: problem.error, hint: problem.hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_no_plain_http_url() {
        for url in
            ["", "127.0.0.1:9360", "https://127.0.0.1", "http://", "http://u@h", "http://h/?q", "ftp://h"]
        {
            assert!(matches!(Client::new(url, None), Err(Error::Url { .. })), "{url}");
        }
        for url in ["http://127.0.0.1:9360", "http://[::1]:9360/", "http://proxy/sip/warden/"] {
            assert!(Client::new(url, None).is_ok(), "{url}");
        }
        assert!(matches!(Client::new(DEFAULT_URL, Some("a\nb")), Err(Error::Token)));
    }

    #[tokio::test]
    async fn says_where_nobody_answers_and_what_to_do() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let client = Client::new(&format!("http://{free}"), None).unwrap();
        let error = client.get_text("/-/ready").await.unwrap_err();
        assert!(
            error.to_string().starts_with(&format!("cannot reach sipwarden at http://{free}: ")),
            "{error}"
        );
        assert_eq!(error.hint(), Some("is it running? set --url or SIPWARDEN_URL"));
    }

    #[tokio::test]
    async fn says_when_what_answers_is_no_http_server() {
        use tokio::io::AsyncWriteExt;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(&format!("http://{}", listener.local_addr().unwrap()), None).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"SIP/2.0 400 Bad Request\r\n\r\n").await.unwrap();
        });
        let error = client.get_text("/-/ready").await.unwrap_err();
        assert!(matches!(error, Error::Broken { .. }), "{error}");
    }
}
