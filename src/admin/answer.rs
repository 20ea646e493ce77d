//! What the server says: a status, a type, a body, and the headers every answer carries.
//!
//! Owns the shape of answers and of errors (`{error, hint}`); never what they are about.

use super::{Pieces, Unavailable};
use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, Response, StatusCode};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// One answer.
pub struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Either<Full<Bytes>, Pieces>,
}

/// The body of every error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What went wrong.
    pub error: String,
    /// What to do about it.
    pub hint: String,
}

impl Answer {
    fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Self { status, headers, body: Either::Left(Full::new(body.into())) }
    }

    /// A text of some type.
    pub fn text(content_type: &'static str, text: String) -> Self {
        Self::new(StatusCode::OK, content_type, text)
    }

    /// A text of some type, made while it is sent.
    pub fn pieces(content_type: &'static str, pieces: Pieces) -> Self {
        let whole = Self::new(StatusCode::OK, content_type, Bytes::new());
        Self { body: Either::Right(pieces), ..whole }
    }

    /// A page that may run and load nothing.
    pub fn html(text: String) -> Self {
        Self::new(StatusCode::OK, "text/html; charset=utf-8", text).with(
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        )
    }

    /// A value as JSON.
    pub fn json(status: StatusCode, value: &impl Serialize) -> Self {
        let mut text = serde_json::to_vec(value).expect("answers have string keys and finite numbers");
        text.push(b'\n');
        Self::new(status, "application/json", text)
    }

    /// An error, and what to do about it.
    pub fn error(status: StatusCode, error: &str, hint: &str) -> Self {
        Self::json(status, &Problem { error: error.to_owned(), hint: hint.to_owned() })
    }

    /// A worker did not answer.
    pub fn unavailable(error: Unavailable) -> Self {
        let hint = "the process is busy or stuck; look at its log";
        Self::error(StatusCode::SERVICE_UNAVAILABLE, &error.to_string(), hint)
    }

    /// Adds a header.
    pub fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    /// The answer as hyper sends it.
    pub fn into_response(self) -> Response<Either<Full<Bytes>, Pieces>> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// The next piece is made when the connection has room for it.
impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        // A worker may wait for this core: with a long text it would for as long as the scheduler
        // lets one thread run.
        std::thread::yield_now();
        Poll::Ready(self.0.next().map(|piece| Ok(Frame::data(piece.into()))))
    }
}
