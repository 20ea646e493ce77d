//! `sipwarden healthcheck`: exit 0 if the running sipwarden is ready, for container health checks.

use super::remote::Remote;
use super::term;
use std::process::ExitCode;

/// Options of `healthcheck`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the running sipwarden is.
    #[command(flatten)]
    pub remote: Remote,
}

/// Runs the command.
pub fn run(args: Args) -> ExitCode {
    args.remote.run(|client| async move {
        client.get_text("/-/ready").await?;
        let _ = term::put("ready\n");
        Ok(ExitCode::SUCCESS)
    })
}
