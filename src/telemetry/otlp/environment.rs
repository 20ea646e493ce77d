//! What the environment asks for: headers, such as a collector's credentials, and time for an export.

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use std::env;
use std::time::Duration;

/// Time for one export, as in the specification of OTLP exporters.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Those of `OTEL_EXPORTER_OTLP_HEADERS` and, before them, of `OTEL_EXPORTER_OTLP_TRACES_HEADERS`.
pub fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for variable in ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"] {
        headers.extend(parse(&env::var(variable).unwrap_or_default()));
    }
    headers
}

/// `OTEL_EXPORTER_OTLP_TRACES_TIMEOUT` or else `OTEL_EXPORTER_OTLP_TIMEOUT`, in milliseconds.
pub fn timeout() -> Duration {
    let set = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"].into_iter();
    let wanted = set.filter_map(|variable| millis(&env::var(variable).ok()?)).next();
    wanted.unwrap_or(TIMEOUT)
}

fn millis(text: &str) -> Option<Duration> {
    text.trim().parse().ok().filter(|millis| *millis > 0).map(Duration::from_millis)
}

/// `name=value,name=value`, with values percent-encoded; what is none of that is left out.
fn parse(text: &str) -> HeaderMap {
    let pairs = text.split(',').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
        let mut value = HeaderValue::from_bytes(&decoded(value.trim())).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    });
    pairs.collect()
}

fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..2).and_then(|digits| str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *first == b'%');
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_pairs_and_leaves_out_the_rest() {
        let headers = parse("Authorization=Basic%20YWJj%3D, x-scope = a=b%2,nothing,b d=1,evil=%0a");
        let value = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(value("authorization"), Some("Basic YWJj="));
        assert_eq!(value("x-scope"), Some("a=b%2"));
        assert_eq!(headers.len(), 2);
        assert!(parse("").is_empty());
    }

    #[test]
    fn a_time_is_a_whole_number_of_milliseconds() {
        assert_eq!(millis(" 500 "), Some(Duration::from_millis(500)));
        for wrong in ["", "0", "-1", "1.5", "10s"] {
            assert_eq!(millis(wrong), None, "{wrong}");
        }
    }
}
