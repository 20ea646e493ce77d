//! The binary: reads the command line and exits with what the command says.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    sipwarden::cli::run(sipwarden::cli::Cli::parse())
}
