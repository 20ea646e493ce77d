//! The row *Process*.

use crate::build::kinds::lines;
use crate::build::panel::Panel;

pub fn cpu() -> Panel {
    lines("CPU", "Processor time by second: 100 % is one core. workers says how many cores calls can use.")
        .unit("percentunit")
        .query("{{instance}}", "rate(process_cpu_seconds_total{P}[R])")
}

pub fn memory() -> Panel {
    lines("Memory", "Resident memory; virtual memory tells little and is here for completeness.")
        .unit("bytes")
        .query("{{instance}} resident", "process_resident_memory_bytes{P}")
        .query("{{instance}} virtual", "process_virtual_memory_bytes{P}")
        .matching(
            "/ virtual$/",
            &[("custom.hideFrom", serde_json::json!({"legend": false, "tooltip": false, "viz": true}))],
        )
}

pub fn descriptors() -> Panel {
    lines(
        "File descriptors",
        "Used of those allowed: sockets, mostly connections. At 80 %: SipwardenFileDescriptorsHigh.",
    )
    .unit("percentunit")
    .up_to(1.0)
    .limit(&[(0.8, "orange")])
    .query("{{instance}}", "process_open_fds{P} / process_max_fds{P}")
}

pub fn threads() -> Panel {
    lines("Threads", "Threads of the process.").unit("none").query("{{instance}}", "process_threads{P}")
}
