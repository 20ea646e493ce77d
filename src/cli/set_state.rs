//! `sipwarden set-state`: what the administrator wants of one destination.

use super::remote::Remote;
use super::term;
use crate::admin::destinations;
use crate::facts::Admin;
use std::process::ExitCode;

/// Options of `set-state`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The set
    #[arg(value_name = "SET")]
    pub set: String,
    /// The destination's id within it
    #[arg(value_name = "DEST")]
    pub destination: String,
    /// In service, without new dialogs, or out of service
    #[arg(value_name = "STATE", value_parser = clap::builder::PossibleValuesParser::new(Admin::ALL.iter().map(|admin| admin.as_str())))]
    pub state: String,
    /// Where the running sipwarden is.
    #[command(flatten)]
    pub remote: Remote,
}

/// Runs the command.
pub fn run(args: Args) -> ExitCode {
    let Args { set, destination, state, remote } = args;
    let Some(admin) = Admin::from_word(&state) else {
        return term::fail(&format!("no state {state:?}"), Some("enabled, draining or disabled"));
    };
    remote.run(|client| async move {
        let path = destinations::state_path(&set, &destination);
        client.post::<serde_json::Value>(&path, Some(destinations::state_body(admin))).await?;
        let _ = term::put(&format!("{}\n", term::printable(&format!("{set} {destination} is {admin}"))));
        Ok(ExitCode::SUCCESS)
    })
}
