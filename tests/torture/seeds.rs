//! Two sets of malformed input that are not part of the project: the process survives them, does
//! not grow, answers in between, and sends nothing to anybody but caller and destination.
//!
//! The directory that SIPWARDEN_SEEDS names holds `protos-style` (single messages) and `framing` (streams,
//! `NAME.N.raw`, N the messages to be seen before an error). Without it a loud line says so.

use super::rig::{PROMPT, Rig, Way};
use std::path::{Path, PathBuf};

/// Growth of resident memory that a pass over a set may cause, in KiB.
const GROWTH: u64 = 1024;

/// Passes over a set. The first, in a process that has seen no request, may grow it no more than the
/// last, when tables and the allocator's pools have been filled; over UDP that is slow, because what
/// a pass leaves behind lives on into the next.
const fn passes(way: Way) -> u32 {
    match way {
        Way::Udp => 6,
        Way::Tcp => 3,
    }
}

/// The directory of material that is not part of the project: named by a variable, else beside
/// the working copy.
pub fn folder(variable: &str, name: &str, what: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join("shared").join("data").join(name);
    let found = std::env::var_os(variable).map_or(beside, PathBuf::from);
    if found.is_dir() {
        return Some(found);
    }
    eprintln!("━━━━ NOT TESTED: {what}: no directory in {variable} ━━━━");
    None
}

/// The files of a directory, by name.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<(String, Vec<u8>)> = entries
        .map(|entry| {
            let path = entry.expect("a directory can be read").path();
            let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            (name, std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        })
        .collect();
    files.sort();
    files
}

/// The message with every branch and Call-ID of this pass: else it would be a retransmission.
fn of_pass(message: &[u8], pass: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 64);
    let mut rest = message;
    let cookie = b"branch=z9hG4bK";
    while let Some(at) = super::table::find(rest, cookie) {
        let end = at + cookie.len();
        out.extend_from_slice(&rest[..end]);
        out.extend_from_slice(format!("-pass{pass}-").as_bytes());
        rest = &rest[end..];
    }
    out.extend_from_slice(rest);
    out
}

/// A figure of /proc/PID/status, in kB: VmRSS, or RssAnon, which leaves out the pages of the program.
fn resident(pid: u32, figure: &str) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process has a status");
    let line = status.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'));
    let line = line.expect("its status has the figure");
    line.trim().trim_end_matches(" kB").trim().parse().expect("it is a number of kB")
}

/// Series of `/metrics`, without their values.
fn series(rig: &Rig) -> Vec<String> {
    let answer = super::harness::http::get(rig.product.http, "/metrics").expect("/metrics answers");
    let lines = answer.body.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.rsplit_once(' ').map(|(series, _)| series.to_owned())).collect()
}

fn survive(way: Way, set: &str) {
    let Some(folder) = folder("SIPWARDEN_SEEDS", "seeds", "malformed input") else { return };
    let files = files(&folder.join(set));
    let lines = "sip: {t1: 10ms}\nlimits: {message_deadline: 150ms, connections_per_source: 4096}";
    let failover = "{no_response_after: 500ms, no_response_after_non_invite: 500ms}";
    let mut rig = Rig::start_with(&format!("seeds-{set}-{way:?}"), lines, failover);
    let pid = rig.product.process.pid();
    let (mut memory, mut known) = (Vec::new(), Vec::new());
    // Pages of the exporter and of the allocator's pools come with the first scrapes.
    for _ in 0..20 {
        series(&rig);
    }
    let cold = resident(pid, "RssAnon");
    for pass in 0..passes(way) {
        for (name, message) in &files {
            let outcome = rig.survive(way, &of_pass(message, pass));
            assert!(!outcome.contains('('), "{name} in pass {pass}: {outcome}");
        }
        if pass == 0 {
            let growth = resident(pid, "RssAnon").saturating_sub(cold);
            eprintln!("{set} over {way:?}: the first pass took {growth} kB");
            assert!(growth < GROWTH, "memory grew by {growth} kB in the first pass");
        }
        memory.push(resident(pid, "VmRSS"));
        let found = series(&rig);
        assert!(pass < 2 || found == known, "series appeared: {found:?}");
        assert!(!found.iter().any(|series| series.contains("Injected") || series.contains("z9hG4bK")));
        known = found;
    }
    eprintln!(
        "{set} over {way:?}: {} messages a pass, VmRSS after each pass {memory:?} kB, slowest OPTIONS {:?}, {} above {PROMPT:?}",
        files.len(),
        rig.slowest,
        rig.late
    );
    let growth = match memory[..] {
        [.., before, after] => after.saturating_sub(before),
        _ => unreachable!("there are at least three passes"),
    };
    assert!(growth < GROWTH, "resident memory grew by {growth} kB: {memory:?}");
    rig.finish();
}

#[test]
fn single_messages_are_survived_over_udp() {
    survive(Way::Udp, "protos-style");
}

#[test]
fn single_messages_are_survived_over_tcp() {
    survive(Way::Tcp, "protos-style");
}

#[test]
fn streams_are_cut_as_they_must_be() {
    let Some(folder) = folder("SIPWARDEN_SEEDS", "seeds", "malformed input") else { return };
    let mut rig = Rig::start("seeds-framing");
    for (name, bytes) in files(&folder.join("framing")) {
        let expected: usize =
            name.split('.').nth(1).and_then(|number| number.parse().ok()).expect("NAME.N.raw");
        let seen = rig.messages_seen(&bytes);
        assert_eq!(seen, expected, "{name}");
    }
    rig.finish();
}

#[test]
fn streams_are_survived_over_udp_and_tcp() {
    survive(Way::Tcp, "framing");
    survive(Way::Udp, "framing");
}
