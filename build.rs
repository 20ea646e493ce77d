//! Notes what the program is built from: the commit and the compiler, for `build_info`.
//!
//! Cargo also puts these variables into the environment of `cargo run` and `cargo test`, so their
//! names must not begin with `SIPWARDEN_`: the program would take them for configuration.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=BUILD_REVISION");
    // Cargo takes a missing file for a changed one, so it is named only in a clone.
    if Path::new(".git/logs/HEAD").exists() {
        println!("cargo:rerun-if-changed=.git/logs/HEAD");
    }
    let rustc = env::var("RUSTC").ok().and_then(|rustc| word(&rustc, &["--version"], 1));
    let revision = env::var("BUILD_REVISION").ok();
    let revision = revision.or_else(|| word("git", &["rev-parse", "--short=12", "HEAD"], 0));
    println!("cargo:rustc-env=BUILD_RUSTC={}", rustc.as_deref().unwrap_or("unknown"));
    println!("cargo:rustc-env=BUILD_REVISION={}", revision.as_deref().unwrap_or("unknown"));
}

fn word(program: &str, arguments: &[&str], position: usize) -> Option<String> {
    let output =
        Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.split_whitespace().nth(position)?.to_owned())
}
