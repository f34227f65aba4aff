//! `aftertake rules status`: asks a running service which rules it uses.

use std::fmt::Write;
use std::path::PathBuf;

use url::Url;

use crate::cli::args::Parsed;
use crate::cli::exit::{Exit, Stop};
use crate::cli::out::{Answer, OutFlags};
use crate::cli::serve;
use crate::operate::status::{RefusedReload, RulesStatus, StatusError, ask};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Service {
    /// Where the service listens for operators
    #[arg(
        long,
        value_name = "URL",
        env = "AFTERTAKE_ADMIN",
        hide_env_values = true,
        default_value = "http://127.0.0.1:8081",
        value_parser = Parsed::by(admin)
    )]
    admin: Url,
    /// A file with the token that the service requires
    #[arg(
        long,
        value_name = "FILE",
        env = "AFTERTAKE_ADMIN_TOKEN_FILE",
        hide_env_values = true
    )]
    admin_token_file: Option<PathBuf>,
}

pub(super) fn run(service: &Service, out: OutFlags) -> Result<Exit, Stop> {
    let token = service.admin_token_file.as_deref().map(serve::read_token);
    let token = token.transpose()?;
    let status = serve::runtime()?.block_on(ask(&service.admin, token.as_deref()));
    let status = status.map_err(|error| Stop::new(exit_of(&error), error))?;
    out.print(&status)?;
    Ok(match status.reload_error {
        None => Exit::Fine,
        Some(_) => Exit::Failed,
    })
}

const fn exit_of(error: &StatusError) -> Exit {
    match error {
        StatusError::Silent { .. } | StatusError::Stranger(_) => Exit::Unavailable,
        StatusError::Token(_) => Exit::BadSettings,
    }
}

impl Answer for RulesStatus {
    fn text(&self, _: Option<usize>) -> String {
        let unknown = || "none".to_owned();
        let revision = self.revision.clone().unwrap_or_else(unknown);
        let loaded = self.loaded.clone().unwrap_or_else(unknown);
        let mut text = format!("{revision} is in force, loaded at {loaded}\n");
        if let Some(RefusedReload { at, reason }) = &self.reload_error {
            let _ = writeln!(text, "the reload at {at} was refused:\n{reason}");
        }
        text
    }
}

/// Adds `http://` to a bare address and port.
fn admin(text: &str) -> Result<Url, String> {
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    Url::parse(&whole)
        .ok()
        .filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host())
        .ok_or_else(|| "not a URL such as http://127.0.0.1:8081".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listener_is_named_by_its_url_or_its_address() {
        assert_eq!(admin("127.0.0.1:8081"), admin("http://127.0.0.1:8081"));
        assert!(admin("https://ops.example.com/at/").is_ok());
        for text in ["ftp://x", "", "file:///x"] {
            assert!(admin(text).is_err(), "{text}");
        }
    }
}
