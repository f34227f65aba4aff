//! `aftertake rules …`: checks a rules file, tries it, and asks a service which one it uses.

mod check;
mod dry_run;
mod schema;
mod status;

use std::path::PathBuf;

use super::args::RecorderFlag;
use super::exit::{Exit, Stop};
use super::out::OutFlags;

/// Check a rules file, try it on a callback, see what a service uses, or print the JSON Schema
#[derive(Debug, clap::Subcommand)]
pub(super) enum Rules {
    /// Check a rules file
    ///
    /// Prints what the file defines, what is probably a mistake, and what this version does not
    /// support yet. Errors are shown with line and column, and the exit code is 65.
    #[command(after_help = "Example:\n  aftertake rules check rules.yaml")]
    Check {
        /// The rules file
        file: PathBuf,
        #[command(flatten)]
        out: OutFlags,
    },
    /// Show what a rules file would do with a callback; nothing is executed
    ///
    /// Prints for every rule whether it matches, or which key failed with which value, and each
    /// step of a matching rule with its templates filled in. What is known only when a step runs is
    /// marked. The exit code is 0 also when no rule matches, and 1 when a step of a matching rule
    /// would fail.
    #[command(
        after_help = "Examples:\n  aftertake rules try rules.yaml callback.json\n  \
                      aftertake rules try rules.yaml callback.json --expect archive-classes"
    )]
    Try {
        /// The rules file
        rules: PathBuf,
        /// The callback's body as the recorder sends it; `-` for standard input
        event: PathBuf,
        #[command(flatten)]
        from: RecorderFlag,
        /// Exit with 1 when this rule does not match
        #[arg(long, value_name = "RULE")]
        expect: Option<String>,
        #[command(flatten)]
        out: OutFlags,
    },
    /// Show which rules a running service uses, and why it refused the last reload
    ///
    /// Asks the service's operator listener. The exit code is 1 when the last reload was refused,
    /// so that the earlier rules are still in force.
    #[command(after_help = "Example:\n  aftertake rules status --admin http://127.0.0.1:8081")]
    Status {
        #[command(flatten)]
        service: status::Service,
        #[command(flatten)]
        out: OutFlags,
    },
    /// Print the JSON Schema of rules files, for editors
    #[command(after_help = "Example:\n  aftertake rules schema > aftertake.schema.json")]
    Schema,
}

impl Rules {
    pub(super) fn run(self) -> Result<Exit, Stop> {
        match self {
            Self::Check { file, out } => check::run(&file, out),
            Self::Try {
                rules,
                event,
                from,
                expect,
                out,
            } => dry_run::run(&rules, (&event, from.recorder), expect.as_deref(), out),
            Self::Status { service, out } => status::run(&service, out),
            Self::Schema => schema::run(),
        }
    }
}
