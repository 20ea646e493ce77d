//! The runtime's threads, and the export of spans.

rows! {
    RuntimeWorkers = gauge "runtime_workers" Process State []
        "Worker threads of the tokio runtime.",
        "start; those that carry SIP and those of the control plane together",
        "children", "server.concurrency";
    RuntimeTasks = gauge "runtime_tasks_alive" Process State []
        "Tasks alive.", "scrape",
        "-", "-";
    RuntimeQueue = gauge "runtime_global_queue_depth" Process State []
        "Tasks in the global queue of the runtime.", "scrape",
        "-", "-";
    RuntimeBusy = counter "runtime_worker_busy_seconds_total" Process State [worker: "name of the thread"]
        "Time each worker thread was busy.", "scrape",
        "core.psx load", "worker_*.watchdog_miss";
    TickLag = histogram LAG "runtime_tick_lag_seconds" Process Event []
        "How late a 100 ms timer fires.",
        "ten times a second on each worker and on the control plane",
        "-", "dispatcher.poll_delay_us";
    SpansExported = counter "otlp_spans_exported_total" Process Event []
        "Spans handed to the collector.", "export accepted",
        "-", "tracing.*.spans_sent";
    SpansDropped = counter "otlp_spans_dropped_total" Process Event [reason: LOSSES]
        "Spans lost before or at export.", "a full queue, a failed export, shutting down",
        "-", "tracing.*.spans_dropped";
    Exports = counter "otlp_exports_total" Process Event [result: EXPORT_RESULTS]
        "Export requests; result ok error timeout.", "export",
        "-", "-";
    ExportSuccess = gauge "otlp_last_success_timestamp_seconds" Process State []
        "Unix time of the last accepted export (0: none).", "export accepted",
        "-", "-";
    Traces = counter "traces_total" Process Event [decision: DECISIONS]
        "Traces by tail decision.", "end of a trace, if spans are exported at all",
        "-", "tracing.*";
}
