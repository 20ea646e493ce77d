//! What every command that talks to a running sipwarden shares: its address, the token, a runtime.

use super::term;
use crate::admin::client::{Client, DEFAULT_URL, Error};
use std::path::PathBuf;
use std::process::ExitCode;

/// Where the running sipwarden is.
#[derive(Debug, Clone, clap::Args)]
pub struct Remote {
    /// URL of the running sipwarden's HTTP server
    #[arg(long, env = "SIPWARDEN_URL", value_name = "URL", default_value = DEFAULT_URL)]
    pub url: String,
    /// File with the token that changing calls need, if one is configured
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

impl Remote {
    /// Runs a command against the running sipwarden.
    pub fn run<F>(&self, command: impl FnOnce(Client) -> F) -> ExitCode
    where
        F: Future<Output = Result<ExitCode, Error>>,
    {
        let token = match self.token_file.as_ref().map(|path| (path, std::fs::read_to_string(path))) {
            Some((_, Ok(token))) => Some(token.trim().to_owned()),
            Some((path, Err(error))) => {
                let error = format!("cannot read the token file {}: {error}", path.display());
                return term::fail(&error, None);
            }
            None => None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return term::fail(&format!("cannot start: {error}"), None),
        };
        let outcome =
            Client::new(&self.url, token.as_deref()).and_then(|client| runtime.block_on(command(client)));
        outcome.unwrap_or_else(|error| term::fail(&error, error.hint()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_token_file_is_an_error_before_anything_is_asked() {
        let remote =
            Remote { url: DEFAULT_URL.to_owned(), token_file: Some(PathBuf::from("/does/not/exist")) };
        let code = remote.run(|_| async { Ok(ExitCode::SUCCESS) });
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::FAILURE));
    }
}
