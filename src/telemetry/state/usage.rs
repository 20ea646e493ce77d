//! The standard `process_*` facts, read from `/proc` at scrape.
//!
//! Absent where there is no `/proc`. Never cached.

use std::fs;
use std::time::Duration;

/// Ticks a second in `/proc`: `USER_HZ`, 100 on every architecture that Rust's Linux targets run on.
const TICKS: f64 = 100.0;

/// What the kernel says about this process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProcessUsage {
    /// CPU seconds used, user and system.
    pub cpu: f64,
    /// Resident memory in bytes.
    pub resident: f64,
    /// Virtual memory in bytes.
    pub virtual_memory: f64,
    /// Open file descriptors.
    pub fds: f64,
    /// Limit of file descriptors.
    pub max_fds: f64,
    /// Threads.
    pub threads: f64,
    /// Unix time of the start.
    pub started: f64,
}

/// Reads the facts, if there is a `/proc` that has them.
pub fn read() -> Option<ProcessUsage> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The command in parentheses may hold blanks; fields are counted from behind it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |index: usize| fields.get(index)?.parse::<f64>().ok();
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = |name: &str| Some(after(&status, name)?.parse::<f64>().ok()? * 1024.0);
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let max_fds = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let booted = after(&fs::read_to_string("/proc/stat").ok()?, "btime")?.parse::<f64>().ok()?;
    // Counting the descriptors opens one more.
    let fds = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    Some(ProcessUsage {
        cpu: (field(11)? + field(12)?) / TICKS,
        resident: kib("VmRSS:")?,
        virtual_memory: kib("VmSize:")?,
        fds: Duration::from_secs(u64::try_from(fds).ok()?).as_secs_f64(),
        max_fds: max_fds.split_whitespace().next()?.parse().unwrap_or(f64::INFINITY),
        threads: after(&status, "Threads:")?.parse().ok()?,
        started: booted + field(19)? / TICKS,
    })
}

fn after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()
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
