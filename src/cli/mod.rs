//! The command line: reads flags, makes one call of [`operate`](crate::operate), prints its answer.
//!
//! `out` prints an answer as text or as JSON. An error is one message on standard error; each kind
//! of ending has its exit code.

mod args;
mod backup;
mod bulk;
mod demo;
mod destinations;
mod doctor;
mod events;
mod exit;
mod load;
mod out;
mod restore;
mod rules;
mod serve;
mod store;
mod table;
mod tasks;
mod time_flags;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

pub use self::exit::{Exit, Stop};
use crate::app::crash;

/// Acts on finished recordings: renames, tags and announces them by YAML rules
///
/// Aftertake receives the callbacks of Huawei Cloud SparkRTC, stores each one durably before it
/// answers, and carries out the rules of a YAML file on the finished recording: rename it, tag it
/// by room, notify webhooks, with retries.
#[derive(Debug, Parser)]
#[command(
    name = "aftertake",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = START,
    after_long_help = format!("{START}\n\n{ENVIRONMENT}\n\n{}", exit::HELP)
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const START: &str = "\
Start here:
  aftertake demo                                see it work, with nothing to set up
  aftertake rules check rules.yaml              is the file right?
  aftertake rules try rules.yaml callback.json  what would it do with this callback?
  aftertake doctor --rules rules.yaml           do buckets and destinations answer?
  aftertake serve --rules rules.yaml            do it
  aftertake tasks list --state dead             what waits for a person?
  aftertake tasks show task_…                   what happened, and why?";

const ENVIRONMENT: &str = "\
Every flag that a service needs has a twin in the environment, such as AFTERTAKE_STORE for
--store. The flag beats its twin.";

#[derive(Debug, clap::Subcommand)]
enum Command {
    Serve(Box<serve::Serve>),
    Demo(demo::Demo),
    #[command(subcommand)]
    Rules(rules::Rules),
    #[command(subcommand)]
    Tasks(tasks::Tasks),
    #[command(subcommand)]
    Events(events::Events),
    #[command(subcommand)]
    Destinations(destinations::Destinations),
    Doctor(doctor::Doctor),
    Backup(backup::Backup),
    Restore(restore::Restore),
}

/// Runs the command that `args` name; the first argument is the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    crash::tell_places_only();
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe is no error.
            let _ = error.print();
            return u8::try_from(error.exit_code()).map_or(Exit::Usage.into(), ExitCode::from);
        }
    };
    cli.command
        .run()
        .unwrap_or_else(|stop| {
            out::print_progress(&stop.to_string());
            stop.exit
        })
        .into()
}

impl Command {
    fn run(self) -> Result<Exit, Stop> {
        match self {
            Self::Serve(serve) => serve.run(),
            Self::Demo(demo) => demo.run(),
            Self::Rules(rules) => rules.run(),
            Self::Tasks(tasks) => tasks.run(),
            Self::Events(events) => events.run(),
            Self::Destinations(destinations) => destinations.run(),
            Self::Doctor(doctor) => doctor.run(),
            Self::Backup(backup) => backup.run(),
            Self::Restore(restore) => restore.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn every(command: &clap::Command, check: &mut impl FnMut(&clap::Command)) {
        check(command);
        command.get_subcommands().for_each(|sub| every(sub, check));
    }

    #[test]
    fn arguments_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_never_shows_what_the_environment_holds() {
        every(&Cli::command(), &mut |command| {
            for arg in command
                .get_arguments()
                .filter(|arg| arg.get_env().is_some())
            {
                assert!(arg.is_hide_env_values_set(), "{} {arg}", command.get_name());
            }
        });
    }

    #[test]
    fn twin_in_the_environment_is_named_after_its_flag() {
        every(&Cli::command(), &mut |command| {
            for arg in command.get_arguments() {
                if let (Some(env), Some(long)) = (arg.get_env(), arg.get_long()) {
                    let twin = long.to_ascii_uppercase().replace('-', "_");
                    assert_eq!(env.to_str(), Some(format!("AFTERTAKE_{twin}").as_str()));
                }
            }
        });
    }

    #[test]
    fn every_command_has_an_example() {
        every(&Cli::command(), &mut |command| {
            let help = command.get_after_help().map(ToString::to_string);
            let shown = help.is_some_and(|help| help.contains("  aftertake "));
            assert!(shown || command.has_subcommands(), "{}", command.get_name());
        });
    }
}
