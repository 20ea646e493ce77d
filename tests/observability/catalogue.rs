//! The metrics that exist, as `docs/metrics.md` lists them.

use std::collections::BTreeSet;
use std::path::Path;

/// What others expose and we may use: Prometheus itself, and the process collector.
const FOREIGN: [&str; 9] = [
    "ALERTS",
    "up",
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_threads",
    "process_virtual_memory_bytes",
];

/// The names that may be used; `None` as long as no metric is exposed and none is documented.
pub fn load() -> Option<BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    match std::fs::read_to_string(root.join("docs/metrics.md")) {
        Ok(text) => Some(parse(&text)),
        Err(error) => {
            let exposed = root.join("src/telemetry/metrics.rs").exists();
            assert!(!exposed, "docs/metrics.md: {error}: it lists the metrics, see CONTRIBUTING.md");
            None
        }
    }
}

/// The names in back-ticks that carry our prefix, and the foreign ones.
pub fn parse(text: &str) -> BTreeSet<String> {
    let quoted = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let name =
        |word: &str| word.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().map(str::to_owned);
    quoted
        .filter(|word| word.starts_with("sipwarden_"))
        .filter_map(name)
        .chain(FOREIGN.map(str::to_owned))
        .collect()
}

#[test]
fn reads_names_in_back_ticks() {
    let known = parse("| `sipwarden_up{set}` | gauge |\nsipwarden_prose `sipwarden_x_total`, `other`");
    assert!(
        known.contains("sipwarden_up") && known.contains("sipwarden_x_total") && known.contains("ALERTS")
    );
    assert!(!known.contains("sipwarden_prose") && !known.contains("other"));
}
