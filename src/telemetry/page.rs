//! Samples as lines of text, in the two formats that Prometheus reads: text 0.0.4, and OpenMetrics
//! 1.0 with units and exemplars.
//!
//! A line is pushed piece by piece, and nothing is allocated for it. Bounds of buckets are written
//! the same in both, so that a series does not change its name with the format. `_created` is left
//! out, as OpenMetrics allows: it would double the series of every counter. Never decides what is told.

use super::exemplars::Exemplar;
use super::table::{Family, Kind, Spec, TABLE};
use std::fmt::Write;
use std::sync::LazyLock;

/// How the text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// Lines of samples, each family under its head.
#[derive(Debug)]
pub struct Page {
    format: Format,
    text: String,
    labels: String,
    /// The family that has its head.
    family: Option<Family>,
    series: u64,
}

impl Page {
    /// An empty page.
    pub const fn new(format: Format) -> Self {
        Self { format, text: String::new(), labels: String::new(), family: None, series: 0 }
    }

    /// Whether exemplars are written.
    pub fn has_exemplars(&self) -> bool {
        self.format == Format::OpenMetrics
    }

    /// Bytes written since they were last taken.
    pub const fn len(&self) -> usize {
        self.text.len()
    }

    /// Samples written since the start.
    pub const fn series(&self) -> u64 {
        self.series
    }

    /// Takes what is written, and makes room for as much as is said.
    pub fn take(&mut self, room: usize) -> String {
        std::mem::replace(&mut self.text, String::with_capacity(room))
    }

    /// Writes what stands behind the last sample.
    pub fn end(&mut self) {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
    }

    /// Writes a gauge, or a counter that is read as one number. `owner` holds labels as they are
    /// written, see [`owner`].
    pub fn number(&mut self, family: Family, owner: &str, labels: &[(&str, &str)], value: f64) {
        let spec = self.begin(family, owner, labels);
        self.sample(spec.full_name(), "", None);
        push_float(&mut self.text, value);
        self.text.push('\n');
    }

    /// Writes a counter, with its exemplar if it has one.
    pub fn count(
        &mut self,
        family: Family,
        owner: &str,
        labels: &[(&str, &str)],
        count: u64,
        exemplar: Option<&Exemplar>,
    ) {
        let spec = self.begin(family, owner, labels);
        self.sample(spec.full_name(), "", None);
        self.text.push_str(itoa::Buffer::new().format(count));
        self.exemplar(exemplar);
        self.text.push('\n');
    }

    /// Writes a histogram from its numbers: one for each bucket, one for what lies above, and the sum
    /// in billionths. Each of the buckets may have an exemplar.
    pub fn histogram(
        &mut self,
        family: Family,
        owner: &str,
        labels: &[(&str, &str)],
        numbers: &[u64],
        exemplars: &[Exemplar],
    ) {
        let name = self.begin(family, owner, labels).full_name();
        let bounds: &[String] = BOUNDS.get(family as usize).map_or(&[], Vec::as_slice);
        let mut total = 0;
        let bounds = bounds.iter().map(String::as_str).chain(["+Inf"]);
        for (position, (bound, count)) in bounds.zip(numbers).enumerate() {
            total += count;
            self.sample(name, "_bucket", Some(bound));
            self.text.push_str(itoa::Buffer::new().format(total));
            self.exemplar(exemplars.get(position));
            self.text.push('\n');
        }
        self.sample(name, "_sum", None);
        #[expect(clippy::cast_precision_loss, reason = "samples are floating-point by the format")]
        let sum = numbers.last().copied().unwrap_or(0) as f64 / 1e9;
        push_float(&mut self.text, sum);
        self.text.push('\n');
        self.sample(name, "_count", None);
        self.text.push_str(itoa::Buffer::new().format(total));
        self.text.push('\n');
    }

    /// Writes the head of a family that has none yet, and keeps the labels of a sample.
    fn begin(&mut self, family: Family, owner: &str, labels: &[(&str, &str)]) -> &'static Spec {
        let spec = family.spec();
        if self.family != Some(family) {
            self.family = Some(family);
            self.head(spec);
        }
        self.labels.clear();
        self.labels.push_str(owner);
        push_labels(&mut self.labels, labels);
        spec
    }

    fn head(&mut self, spec: &Spec) {
        let (name, kind) = (spec.full_name(), spec.kind.word());
        let Self { format, text, .. } = self;
        let _ = match format {
            Format::Text => writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind}", spec.help),
            Format::OpenMetrics => {
                let name = name.strip_suffix("_total").unwrap_or(name);
                let _ = writeln!(text, "# TYPE {name} {kind}");
                let _ = spec.unit().map_or(Ok(()), |unit| writeln!(text, "# UNIT {name} {unit}"));
                writeln!(text, "# HELP {name} {}", spec.help)
            }
        };
    }

    /// Writes a line up to its value.
    fn sample(&mut self, name: &str, suffix: &str, bound: Option<&str>) {
        self.series += 1;
        let Self { text, labels, .. } = self;
        text.push_str(name);
        text.push_str(suffix);
        if let Some(bound) = bound {
            text.push('{');
            text.push_str(labels);
            text.push_str(if labels.is_empty() { "le=\"" } else { ",le=\"" });
            text.push_str(bound);
            text.push_str("\"}");
        } else if !labels.is_empty() {
            text.push('{');
            text.push_str(labels);
            text.push('}');
        }
        text.push(' ');
    }

    fn exemplar(&mut self, exemplar: Option<&Exemplar>) {
        if let Some(exemplar) = exemplar.filter(|exemplar| self.has_exemplars() && exemplar.is_set()) {
            exemplar.write(&mut self.text);
        }
    }
}

/// Labels as they are written, to be kept by those whose labels do not change.
pub fn owner(labels: &[(&str, &str)]) -> String {
    let mut text = String::new();
    push_labels(&mut text, labels);
    text
}

fn push_labels(text: &mut String, labels: &[(&str, &str)]) {
    for (name, value) in labels {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        if value.contains(['\\', '"', '\n']) {
            text.push_str(&value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n"));
        } else {
            text.push_str(value);
        }
        text.push('"');
    }
}

fn push_float(text: &mut String, value: f64) {
    // Most gauges are whole, and whole numbers are written many times faster.
    if value.fract() == 0.0 && value.abs() < 1e15 {
        #[expect(clippy::cast_possible_truncation, reason = "whole, and small enough")]
        let whole = value as i64;
        text.push_str(itoa::Buffer::new().format(whole));
    } else if value.is_infinite() {
        text.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        let _ = write!(text, "{value}");
    }
}

/// The bounds of every histogram as they are written.
static BOUNDS: LazyLock<Vec<Vec<String>>> = LazyLock::new(|| {
    let bounds = |spec: &Spec| match spec.kind {
        Kind::Histogram(bounds) => bounds.iter().copied().map(bound).collect(),
        Kind::Counter | Kind::Gauge => Vec::new(),
    };
    TABLE.iter().map(bounds).collect()
});

/// A bound in the canonical form of OpenMetrics: `1.0`, `0.0001`, `5e-05`.
fn bound(value: f64) -> String {
    if value >= 1e-4 {
        return format!("{value:?}");
    }
    let text = format!("{value:e}");
    match text.split_once("e-") {
        Some((digits, power)) => format!("{digits}e-{power:0>2}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(format: Format, write: impl FnOnce(&mut Page)) -> String {
        let mut page = Page::new(format);
        write(&mut page);
        page.end();
        page.take(0)
    }

    fn example(page: &mut Page) {
        let own = owner(&[("set", "p\"b\\x\n"), ("destination", "a")]);
        page.number(Family::DestinationWeight, &own, &[], 1.5);
        page.number(Family::ProbeLastRtt, &own, &[], f64::NAN);
        let exemplar = Exemplar::new(0xabc, 0x12, 1.0, 1_700_000_000.25);
        page.count(Family::Failovers, &own, &[("cause", "503")], 7, Some(&exemplar));
        let none = Exemplar::default();
        let mut exemplars = [none; 10];
        exemplars[0] = Exemplar::new(1, 2, 0.000_000_5, 3.0);
        page.histogram(
            Family::SelectionDuration,
            "",
            &[("set", "s")],
            &[1, 0, 2, 0, 0, 0, 0, 0, 0, 4, 2_500_000_000],
            &exemplars,
        );
    }

    #[test]
    fn text_is_as_the_crate_of_prometheus_writes_it() {
        let text = page(Format::Text, example);
        let mut family = prometheus::proto::MetricFamily::default();
        family.set_name("sipwarden_destination_weight".into());
        family.set_help("Configured weight of the destination.".into());
        family.set_field_type(prometheus::proto::MetricType::GAUGE);
        let pair = |name: &str, value: &str| {
            let mut pair = prometheus::proto::LabelPair::default();
            pair.set_name(name.into());
            pair.set_value(value.into());
            pair
        };
        let mut metric =
            prometheus::proto::Metric::from_label(vec![pair("set", "p\"b\\x\n"), pair("destination", "a")]);
        let mut gauge = prometheus::proto::Gauge::default();
        gauge.set_value(1.5);
        metric.set_gauge(gauge);
        family.set_metric(vec![metric]);
        let theirs = prometheus::TextEncoder::new().encode_to_string(&[family]).unwrap();
        assert!(text.starts_with(&theirs), "{text}\n{theirs}");
        for line in [
            r#"sipwarden_probe_last_rtt_seconds{set="p\"b\\x\n",destination="a"} NaN"#,
            r#"sipwarden_failovers_total{set="p\"b\\x\n",destination="a",cause="503"} 7"#,
            r#"sipwarden_selection_duration_seconds_bucket{set="s",le="1e-06"} 1"#,
            r#"sipwarden_selection_duration_seconds_bucket{set="s",le="5e-06"} 3"#,
            r#"sipwarden_selection_duration_seconds_bucket{set="s",le="+Inf"} 7"#,
            r#"sipwarden_selection_duration_seconds_sum{set="s"} 2.5"#,
            r#"sipwarden_selection_duration_seconds_count{set="s"} 7"#,
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
        assert!(!text.contains("trace_id") && !text.contains("# EOF"));
    }

    #[test]
    fn openmetrics_has_units_exemplars_and_an_end_and_names_counters_without_total_in_the_head() {
        let text = page(Format::OpenMetrics, example);
        assert!(text.ends_with("\n# EOF\n"));
        for line in [
            "# TYPE sipwarden_failovers counter",
            "# UNIT sipwarden_selection_duration_seconds seconds",
            r#"sipwarden_failovers_total{set="p\"b\\x\n",destination="a",cause="503"} 7 # {trace_id="00000000000000000000000000000abc",span_id="0000000000000012"} 1 1700000000.25"#,
            r#"sipwarden_selection_duration_seconds_bucket{set="s",le="1e-06"} 1 # {trace_id="00000000000000000000000000000001",span_id="0000000000000002"} 0.0000005 3"#,
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
        assert_eq!(text.matches("trace_id").count(), 2);
    }

    #[test]
    fn bounds_are_canonical() {
        let written = [1e-6, 2.5e-6, 5e-5, 1e-4, 0.001, 0.5, 1.0, 32.0, 14_400.0].map(bound);
        let expected = ["1e-06", "2.5e-06", "5e-05", "0.0001", "0.001", "0.5", "1.0", "32.0", "14400.0"];
        assert_eq!(written, expected);
    }

    #[test]
    fn nothing_in_the_table_needs_to_be_escaped() {
        for spec in TABLE {
            assert!(!spec.help.contains(['"', '\\', '\n']), "{}", spec.name);
        }
    }
}
