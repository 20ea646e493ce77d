//! *Runtime*: is the dispatcher itself well?

#[path = "runtime/process.rs"]
mod process;
#[path = "runtime/queues.rs"]
mod queues;
#[path = "runtime/telemetry.rs"]
mod telemetry;
#[path = "runtime/version.rs"]
mod version;

use crate::build::frame::{Page, Scope};
use serde_json::Value;

/// The dashboard.
pub fn page() -> (String, Value) {
    let description = "Is sipwarden itself well: version, configuration, process, queues, telemetry?";
    Page::new("sipwarden-self", "Runtime", description, Scope::Processes)
        .row("Version and configuration")
        .line(
            4,
            [
                (4, version::up()),
                (4, version::uptime()),
                (4, version::accepted()),
                (4, version::age()),
                (4, version::drift()),
                (4, version::panics()),
            ],
        )
        .line(6, [(12, version::builds()), (12, version::reloads())])
        .row("Process")
        .line(7, [(8, process::cpu()), (8, process::memory()), (8, process::descriptors())])
        .line(7, [(8, process::lag()), (8, process::busy()), (8, process::tasks())])
        .row("Queues and sockets")
        .line(7, [(8, queues::fill()), (8, queues::receive_buffer()), (8, queues::handovers())])
        .line(7, [(8, queues::linger()), (8, queues::probes()), (8, queues::resolutions())])
        .row("Telemetry")
        .line(7, [(8, telemetry::spans()), (8, telemetry::exports()), (8, telemetry::decisions())])
        .line(7, [(8, telemetry::series()), (8, telemetry::scrape()), (8, telemetry::logs())])
        .done()
}
