//! Commands: one file each, thin; they call the layers below or the HTTP interface.

pub mod completions;
pub mod demo;
pub mod healthcheck;
pub mod list;
pub mod reload;
mod remote;
pub mod set_state;
mod term;

/// The command line.
#[derive(Debug, clap::Parser)]
#[command(name = "sipwarden", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show sets and destinations of a running sipwarden
    List(list::Args),
    /// Enable, drain or disable a destination
    SetState(set_state::Args),
    /// Read the configuration again
    Reload(reload::Args),
    /// Exit 0 if the running sipwarden is ready
    Healthcheck(healthcheck::Args),
    /// Watch it work: real calls over loopback, failures and recovery
    Demo(demo::Args),
    /// Print a shell completion script
    Completions(completions::Args),
}
