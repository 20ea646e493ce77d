//! The standard `process_*` facts, by the collector of the `prometheus` crate, read at scrape.
//!
//! Absent where there is no `/proc`. Never cached.

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;

/// What the kernel says about this process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProcessUsage {
    /// CPU seconds used, user and system; whole ones.
    pub cpu: f64,
    /// Resident memory in bytes.
    pub resident: f64,
    /// Virtual memory in bytes.
    pub virtual_memory: f64,
    /// Open file descriptors.
    pub fds: f64,
    /// Limit of file descriptors; infinite without one.
    pub max_fds: f64,
    /// Threads.
    pub threads: f64,
    /// Unix time of the start.
    pub started: f64,
}

/// Reads the facts, if there is a `/proc` that has them.
pub fn read() -> Option<ProcessUsage> {
    let families = ProcessCollector::for_self().collect();
    let metric = |name: &str| families.iter().find(|family| family.name() == name)?.get_metric().first();
    let gauge = |name: &str| Some(metric(name)?.get_gauge().get_value());
    let limit = gauge("process_max_fds")?;
    Some(ProcessUsage {
        cpu: metric("process_cpu_seconds_total")?.get_counter().get_value(),
        resident: gauge("process_resident_memory_bytes")?,
        virtual_memory: gauge("process_virtual_memory_bytes")?,
        fds: gauge("process_open_fds")?,
        // The crate says nothing of a limit that there is not.
        max_fds: if limit > 0.0 { limit } else { f64::INFINITY },
        threads: gauge("process_threads")?,
        started: gauge("process_start_time_seconds")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn reads_this_process() {
        let usage = read().unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(usage.started > now - 86_400.0 && usage.started <= now + 2.0);
        assert!(usage.resident > 0.0 && usage.virtual_memory >= usage.resident);
        assert!(usage.fds > 0.0 && usage.fds <= usage.max_fds && usage.threads >= 1.0);
    }
}
