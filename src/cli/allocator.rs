//! The allocator of the C library, told to give memory back after a burst of calls.
//!
//! glibc keeps freed blocks below its threshold for a mapping of their own scattered over its heap:
//! after 100,000 calls 100 MiB stayed. It reads the threshold from its environment, when a process
//! starts and never again, so the process starts itself once more, as the same process.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What glibc reads (mallopt(3)).
const THRESHOLD: &str = "MALLOC_MMAP_THRESHOLD_";
/// Below the size of a page of any table of the core (that of timers takes 14 KiB), which is what a
/// burst leaves free.
const BYTES: &str = "8192";

/// Starts the process again with a threshold, unless it has one or the C library is another.
pub fn give_memory_back() {
    if cfg!(not(target_env = "gnu")) || env::var_os(THRESHOLD).is_some() {
        return;
    }
    let mut arguments = env::args_os();
    let (Some(name), Ok(program)) = (arguments.next(), env::current_exe()) else { return };
    // It comes back only if that failed: then it serves all the same, and keeps more memory.
    let _ = Command::new(program).arg0(name).args(arguments).env(THRESHOLD, BYTES).exec();
}
