//! Which format of metrics a request asks for (RFC 9110 §12.5.1).

use super::MetricsFormat;
use hyper::HeaderMap;
use hyper::header;

/// OpenMetrics if that is asked for by name, in a version that is spoken here, and not less than plain
/// text; everybody else gets plain text.
pub fn format(headers: &HeaderMap) -> MetricsFormat {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (mut open, mut plain) = (0.0_f32, 0.0_f32);
    for range in values.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let (mut quality, mut version) = (1.0, "1.0.0");
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => quality = value.trim().parse().unwrap_or(0.0),
                "version" => version = value.trim().trim_matches('"'),
                _ => {}
            }
        }
        if media.eq_ignore_ascii_case("application/openmetrics-text") && version == "1.0.0" {
            open = open.max(quality);
        } else if media.eq_ignore_ascii_case("text/plain") {
            plain = plain.max(quality);
        }
    }
    if open > 0.0 && open >= plain { MetricsFormat::OpenMetrics } else { MetricsFormat::Text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it_by_name() {
        let asked = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            format(&headers)
        };
        for accept in [
            // What Prometheus 2.42 sends.
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; Version=\"1.0.0\"; Q=0.9, text/plain;q=0.9",
        ] {
            assert_eq!(asked(accept), MetricsFormat::OpenMetrics, "{accept}");
        }
        for accept in [
            "*/*",
            "text/plain",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "application/openmetrics-text;version=2.0.0",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0.4, text/plain;q=0.5",
            "application/openmetrics-text;q=x",
            "",
        ] {
            assert_eq!(asked(accept), MetricsFormat::Text, "{accept}");
        }
        assert_eq!(format(&HeaderMap::new()), MetricsFormat::Text);
    }
}
