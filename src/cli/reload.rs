//! `sipwarden reload`: reads the configuration of a running sipwarden again.

use super::remote::Remote;
use super::term;
use crate::admin::ReloadReport;
use std::process::ExitCode;

/// Options of `reload`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Also forget what set-state and probes have brought about: every destination as after a start
    #[arg(long)]
    pub reset: bool,
    /// Where the running sipwarden is.
    #[command(flatten)]
    pub remote: Remote,
}

/// Runs the command.
pub fn run(args: Args) -> ExitCode {
    let path = if args.reset { "/-/reload?reset=true" } else { "/-/reload" };
    args.remote.run(|client| async move {
        let report: ReloadReport = client.post(path, None).await?;
        let _ = term::put(&sentence(&report));
        Ok(ExitCode::SUCCESS)
    })
}

fn sentence(report: &ReloadReport) -> String {
    if !report.changed {
        return match report.reset {
            true => "reset: states are forgotten; nothing in the configuration had changed\n".to_owned(),
            false => "reloaded: nothing had changed\n".to_owned(),
        };
    }
    let ReloadReport { added, removed, kept, needs_restart, .. } = report;
    let mut text = format!("reloaded: destinations {added} added, {removed} removed, {kept} kept\n");
    if report.reset {
        text.push_str("states are forgotten\n");
    }
    if !needs_restart.is_empty() {
        let keys = term::printable(&needs_restart.join(", "));
        text.push_str(&format!("these keys take effect after a restart: {keys}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_changed_and_what_waits_for_a_restart() {
        let mut report = ReloadReport::default();
        assert_eq!(sentence(&report), "reloaded: nothing had changed\n");
        let reset = sentence(&ReloadReport { reset: true, ..ReloadReport::default() });
        assert!(reset.starts_with("reset: "), "{reset}");
        report = ReloadReport {
            changed: true,
            added: 1,
            kept: 2,
            needs_restart: vec!["listen".to_owned()],
            ..report
        };
        assert_eq!(
            sentence(&report),
            "reloaded: destinations 1 added, 0 removed, 2 kept\nthese keys take effect after a restart: listen\n"
        );
    }
}
