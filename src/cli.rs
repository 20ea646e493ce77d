//! Commands: one file each, thin; they call the layers below or the HTTP interface.

pub mod allocator;
mod changes;
mod check;
pub mod completions;
pub mod demo;
pub mod explain;
pub mod healthcheck;
pub mod import;
pub mod list;
pub mod probe;
pub mod reload;
mod remote;
pub mod run;
pub mod set_state;
mod term;

use std::process::ExitCode;

/// SIP dispatcher for Asterisk and FreeSWITCH, built for observability
#[derive(Debug, clap::Parser)]
#[command(name = "sipwarden", version, about, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; without a command it serves.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of `run`, the default command.
    #[command(flatten)]
    pub run: run::Args,
}

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Serve (the default command)
    Run(run::Args),
    /// Validate a configuration, print what it comes to and how fast failures are found
    Check(check::Args),
    /// Watch it work: real calls over loopback, failures and recovery
    Demo(demo::Args),
    /// Show sets and destinations of a running sipwarden
    List(list::Args),
    /// Enable, drain or disable a destination
    SetState(set_state::Args),
    /// Probe destinations now and show what they answer
    Probe(probe::Args),
    /// Read the configuration again
    Reload(reload::Args),
    /// Turn the configuration of another dispatcher into one of ours
    Import(import::Args),
    /// Show where a request would go, and why not elsewhere; nothing is sent
    Explain(explain::Args),
    /// Exit 0 if the running sipwarden is ready
    Healthcheck(healthcheck::Args),
    /// Print a shell completion script
    Completions(completions::Args),
}

/// Runs what the command line asks for: 0 is well, 1 is not; usage errors have ended with 2 before.
pub fn run(cli: Cli) -> ExitCode {
    match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::run(args),
        Command::Demo(args) => demo::run(args),
        Command::List(args) => list::run(args),
        Command::SetState(args) => set_state::run(args),
        Command::Probe(args) => probe::run(args),
        Command::Reload(args) => reload::run(args),
        Command::Import(args) => import::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Healthcheck(args) => healthcheck::run(args),
        Command::Completions(args) => completions::run(args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::path::Path;

    #[test]
    fn running_is_what_it_does_without_a_command() {
        let path = |args: &[&str]| match Cli::try_parse_from(args).unwrap() {
            Cli { command: None, run } | Cli { command: Some(Command::Run(run)), .. } => run.config,
            other => panic!("{other:?}"),
        };
        for args in [&["sipwarden", "-c", "x.yaml"][..], &["sipwarden", "run", "--config", "x.yaml"]] {
            assert_eq!(path(args).as_deref(), Some(Path::new("x.yaml")), "{args:?}");
        }
        assert_eq!(path(&["sipwarden"]), None);
    }

    #[test]
    fn a_mistyped_command_is_a_usage_error() {
        for args in [&["sipwarden", "runn"][..], &["sipwarden", "-c"], &["sipwarden", "list", "a", "b"]] {
            assert_eq!(Cli::try_parse_from(args).unwrap_err().exit_code(), 2, "{args:?}");
        }
    }
}
