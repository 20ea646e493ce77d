//! Configuration, build, log, scrape and the process itself.

rows! {
    ReloadSuccessful = gauge "config_last_reload_successful" Process State []
        "Whether the last reload (or the start) accepted its configuration.", "reload",
        "-", "lds/cds update_rejected";
    ReloadTimestamp = gauge "config_last_reload_success_timestamp_seconds" Process State []
        "Unix time of the last accepted configuration.", "reload",
        "-", "cds.update_time";
    Reloads = counter "config_reloads_total" Process Event [trigger: RELOAD_TRIGGERS, result: RELOAD_RESULTS]
        "Reloads; trigger signal file api; result ok invalid unchanged.", "reload",
        "dispatcher.reload", "cds.update_*";
    ConfigHash = gauge "config_hash" Process State []
        "First 48 bits of the SHA-256 of the effective configuration.", "start, reload",
        "-", "cds.version";
    BuildInfo = gauge "build_info" Process State
        [version: "of the release", revision: "commit it was built from", rustc: "compiler version", features: "cargo features"]
        "Constant 1 with the build as labels.", "start",
        "core.info", "server.version";
    LogEvents = counter "log_events_total" Process Event [level: LEVELS]
        "Log events at level warn and error.", "each event",
        "-", "-";
    Panics = counter "panics_total" Process State []
        "Panics of any thread; each is a defect.", "a thread or task panics",
        "-", "-";
    Series = gauge "metric_series" Process State []
        "Series exposed at the last scrape.", "scrape",
        "-", "-";
    SeriesDropped = counter "metric_series_dropped_total" Process Event [family: FOLDABLE]
        "Label sets folded into 'other' because the limit of series was reached.",
        "each scrape that folds, by the label sets that it folded",
        "-", "-";
    ScrapeTime = histogram SCRAPE "scrape_duration_seconds" Process Event []
        "Time to build the answer to a scrape.", "scrape (seen by the next one)",
        "-", "-";
    ProcessCpu = counter "process_cpu_seconds_total" Process State []
        "Total user and system CPU time spent in seconds.", "scrape",
        "core.psx / core.uptime", "server.*";
    ProcessResident = gauge "process_resident_memory_bytes" Process State []
        "Resident memory size in bytes.", "scrape",
        "core.psx / core.uptime", "server.*";
    ProcessVirtual = gauge "process_virtual_memory_bytes" Process State []
        "Virtual memory size in bytes.", "scrape",
        "core.psx / core.uptime", "server.*";
    ProcessFds = gauge "process_open_fds" Process State []
        "Number of open file descriptors.", "scrape",
        "core.psx / core.uptime", "server.*";
    ProcessMaxFds = gauge "process_max_fds" Process State []
        "Maximum number of open file descriptors.", "scrape",
        "core.psx / core.uptime", "server.*";
    ProcessThreads = gauge "process_threads" Process State []
        "Number of OS threads in the process.", "scrape",
        "core.psx / core.uptime", "server.*";
    ProcessStart = gauge "process_start_time_seconds" Process State []
        "Start time of the process since unix epoch in seconds.", "start",
        "core.psx / core.uptime", "server.*";
}
