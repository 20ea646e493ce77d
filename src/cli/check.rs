//! Stands in until the real one is merged.
use std::process::ExitCode;

/// Stands in.
#[derive(Debug, clap::Args)]
pub struct Args {}
/// Stands in.
pub fn run(_: Args) -> ExitCode {
    ExitCode::FAILURE
}
