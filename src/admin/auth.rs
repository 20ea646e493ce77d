//! Who may change things: the holder of the token, or without one whoever asks from this host.
//!
//! Decides from what it is given; never reads a file or a socket.

use super::Settings;
use super::answer::Answer;
use hyper::StatusCode;
use hyper::header::{self, HeaderMap};
use sha2::{Digest, Sha256};
use std::net::IpAddr;

/// Returns the refusal of a changing call, if it is refused.
pub fn refuse(settings: &Settings, peer: IpAddr, headers: &HeaderMap) -> Option<Answer> {
    match &settings.token {
        Some(token) => match bearer(headers) {
            Some(given) if is_equal(token.as_bytes(), given) => None,
            given => {
                let error = if given.is_some() { "wrong token" } else { "this call needs the token" };
                let hint = "send Authorization: Bearer TOKEN (sipwarden: --token-file FILE)";
                Some(
                    Answer::error(StatusCode::UNAUTHORIZED, error, hint)
                        .with(header::WWW_AUTHENTICATE, "Bearer"),
                )
            }
        },
        None if !peer.to_canonical().is_loopback() => Some(Answer::error(
            StatusCode::FORBIDDEN,
            "changing calls are accepted from this host only",
            "configure http.token_file to allow them from elsewhere",
        )),
        // A page of any site can make the browser of a person on this host send a POST here; it
        // cannot keep the browser from saying so.
        None if headers.contains_key(header::ORIGIN) => Some(Answer::error(
            StatusCode::FORBIDDEN,
            "changing calls are not accepted from web pages",
            "use sipwarden or curl, or configure http.token_file",
        )),
        None => None,
    }
}

/// The token of `Authorization: Bearer TOKEN`; the scheme's case does not matter (RFC 9110 §11.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// Compares in a time that tells nothing of where the two differ, or of their lengths.
fn is_equal(left: &[u8], right: &[u8]) -> bool {
    let pairs = Sha256::digest(left).into_iter().zip(Sha256::digest(right));
    pairs.fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn settings(token: Option<&str>) -> Settings {
        Settings { listen: ([127, 0, 0, 1], 0).into(), token: token.map(Into::into) }
    }

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn without_a_token_only_this_host_may_change_things() {
        let none = HeaderMap::new();
        for (peer, accepted) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("192.0.2.1", false),
            ("::ffff:192.0.2.1", false),
            ("2001:db8::1", false),
        ] {
            let peer = peer.parse().unwrap();
            assert_eq!(refuse(&settings(None), peer, &none).is_none(), accepted, "{peer}");
        }
        let page = headers(&[(header::ORIGIN, "https://example.org")]);
        assert!(refuse(&settings(None), "127.0.0.1".parse().unwrap(), &page).is_some());
    }

    #[test]
    fn with_a_token_only_its_holder_may_from_anywhere() {
        let settings = settings(Some("s3cret"));
        let peer = "192.0.2.1".parse().unwrap();
        for (value, accepted) in [
            ("Bearer s3cret", true),
            ("bearer s3cret", true),
            ("Bearer  s3cret ", true),
            ("Bearer s3cre", false),
            ("Bearer s3crett", false),
            ("Bearer ", false),
            ("Basic s3cret", false),
            ("", false),
        ] {
            let headers = headers(&[(header::AUTHORIZATION, value)]);
            assert_eq!(refuse(&settings, peer, &headers).is_none(), accepted, "{value:?}");
        }
        assert!(refuse(&settings, "127.0.0.1".parse().unwrap(), &HeaderMap::new()).is_some());
    }
}
