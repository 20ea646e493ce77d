//! The row *Process*.

use crate::build::kinds::lines;
use crate::build::panel::Panel;
use crate::build::query::{ours, quantile};

pub fn cpu() -> Panel {
    lines("CPU", "Processor time by second: 100 % is one core. workers says how many cores calls can use.")
        .unit("percentunit")
        .query("{{instance}}", &ours("rate(process_cpu_seconds_total{P}[R])"))
}

pub fn memory() -> Panel {
    lines("Memory", "Resident memory; virtual memory tells little and is here for completeness.")
        .unit("bytes")
        .query("{{instance}} resident", &ours("process_resident_memory_bytes{P}"))
        .query("{{instance}} virtual", &ours("process_virtual_memory_bytes{P}"))
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
    .query("{{instance}}", &ours("process_open_fds{P} / process_max_fds{P}"))
}

pub fn lag() -> Panel {
    lines(
        "Tick lag",
        "How late a timer of 100 ms fires. Above 0.1 s everything is late: retransmissions, probes, \
         failover (SipwardenRuntimeLag).",
    )
    .unit("s")
    .limit(&[(0.1, "red")])
    .query("{{instance}} p99", &quantile("0.99", "instance", "sipwarden_runtime_tick_lag_seconds_bucket{P}"))
    .query("{{instance}} p50", &quantile("0.5", "instance", "sipwarden_runtime_tick_lag_seconds_bucket{P}"))
}

pub fn busy() -> Panel {
    lines(
        "Busy workers",
        "Share of the time that each thread has work. One at 100 % and the others idle: one source sends it \
         all, or one Call-ID.",
    )
    .unit("percentunit")
    .up_to(1.0)
    .query(
        "{{instance}} {{worker}}",
        "sum by (instance, worker) (rate(sipwarden_runtime_worker_busy_seconds_total{P}[R]))",
    )
}

pub fn tasks() -> Panel {
    lines(
        "Tasks and threads",
        "Tasks alive, tasks that wait for any thread, worker threads, threads of the process.",
    )
    .unit("none")
    .query("{{instance}} tasks", "sipwarden_runtime_tasks_alive{P}")
    .query("{{instance}} waiting", "sipwarden_runtime_global_queue_depth{P}")
    .query("{{instance}} workers", "sipwarden_runtime_workers{P}")
    .query("{{instance}} threads", &ours("process_threads{P}"))
}
