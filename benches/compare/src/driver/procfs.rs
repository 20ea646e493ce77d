//! What /proc says about processes, cores and sockets.

use std::fs;

/// A process and its descendants.
pub fn family(pid: u32) -> Vec<u32> {
    let (mut family, mut next) = (vec![pid], 0);
    while let Some(&pid) = family.get(next) {
        next += 1;
        for task in tasks(pid) {
            let children = fs::read_to_string(format!("{task}/children")).unwrap_or_default();
            family.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    family
}

fn tasks(pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().display().to_string()).collect()
}

/// What a family has used until this moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Nanoseconds on a processor, of all tasks.
    pub cpu_ns: u64,
    /// Context switches, of all tasks.
    pub switches: u64,
}

/// CPU time from schedstat, which is exact, and context switches.
pub fn usage(pid: u32) -> Usage {
    let mut usage = Usage::default();
    for task in family(pid).into_iter().flat_map(tasks) {
        let schedstat = fs::read_to_string(format!("{task}/schedstat")).unwrap_or_default();
        usage.cpu_ns += number(schedstat.split_whitespace().next());
        let status = fs::read_to_string(format!("{task}/status")).unwrap_or_default();
        usage.switches += status
            .lines()
            .filter(|line| line.contains("ctxt_switches:"))
            .map(|line| number(line.split_whitespace().nth(1)))
            .sum::<u64>();
    }
    usage
}

/// PSS and RSS of a family in MiB. PSS counts a page that n processes share as 1/n in each.
pub fn memory(pid: u32) -> (f64, f64) {
    let (mut pss, mut rss) = (0, 0);
    for pid in family(pid) {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let field = |name: &str| {
            number(
                rollup
                    .lines()
                    .find(|line| line.starts_with(name))
                    .and_then(|line| line.split_whitespace().nth(1)),
            )
        };
        pss += field("Pss:");
        rss += field("Rss:");
    }
    (pss as f64 / 1024.0, rss as f64 / 1024.0)
}

/// Seconds that a core was busy, and that the hypervisor took from it, since boot.
pub fn core(core: usize) -> (f64, f64) {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().find_map(|line| line.strip_prefix(&format!("cpu{core} ")));
    let fields: Vec<f64> =
        line.into_iter().flat_map(str::split_whitespace).filter_map(|field| field.parse().ok()).collect();
    let at = |index: usize| fields.get(index).copied().unwrap_or(0.0) / 100.0;
    // user nice system idle iowait irq softirq steal
    (at(0) + at(1) + at(2) + at(5) + at(6), at(7))
}

/// Datagrams that found a full receive buffer, in this network namespace.
pub fn receive_errors() -> u64 {
    let snmp = fs::read_to_string("/proc/net/snmp").unwrap_or_default();
    let mut udp = snmp.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let column =
        udp.next().and_then(|names| names.split_whitespace().position(|name| name == "RcvbufErrors"));
    number(column.and_then(|column| udp.next()?.split_whitespace().nth(column)))
}

fn number(text: Option<&str>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_has_its_children_and_what_it_uses_grows() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let me = std::process::id();
        assert!(family(me).contains(&child.id()));
        let before = usage(me);
        let end = std::time::Instant::now() + std::time::Duration::from_millis(50);
        while std::time::Instant::now() < end {}
        assert!(usage(me).cpu_ns > before.cpu_ns);
        let (pss, rss) = memory(me);
        assert!(pss > 0.5 && rss >= pss, "{pss} {rss}");
        assert!(core(0).0 > 0.0);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
