//! Flags, actor and output that all bulk commands share.

use std::fmt::{Display, Write};

use super::args::{Parsed, filled};
use super::exit::{Exit, Stop};
use super::store;
use super::table::one_line;
use crate::config::Environment;
use crate::model::intervention::{By, Mode};
use crate::operate::bulk::{Consent, Refusals};
use crate::store::Unavailable;

/// Reasons shown as text; JSON has all of them.
const REASONS: usize = 10;

#[derive(Debug, clap::Args)]
pub(super) struct BulkFlags {
    /// Count what would be changed and show the first of it; change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Go ahead although no filter narrows the choice
    #[arg(long)]
    pub yes: bool,
    /// A note for the history, such as the number of a ticket
    #[arg(long, value_name = "TEXT", value_parser = Parsed::by(filled))]
    pub why: Option<String>,
}

/// The person who acts: under `sudo`, the one who called it.
pub(super) fn by(why: Option<String>) -> By {
    let names = ["SUDO_USER", "USER", "LOGNAME"].into_iter();
    let mut names = names.filter_map(|name| Environment.get(name));
    By {
        person: names.find(|name| !name.is_empty()),
        why,
    }
}

impl BulkFlags {
    pub(super) fn by(&self) -> By {
        by(self.why.clone())
    }

    pub(super) fn mode<'a>(&self, by: &'a By) -> Mode<'a> {
        if self.dry_run {
            Mode::DryRun
        } else {
            Mode::Real(by)
        }
    }

    pub(super) fn consent(&self) -> Consent {
        if self.yes {
            Consent::Given
        } else {
            Consent::Missing
        }
    }
}

pub(super) fn exit_of<Id>(refusals: &Refusals<Id>) -> Exit {
    if refusals.is_empty() {
        Exit::Fine
    } else {
        Exit::Failed
    }
}

pub(super) fn refusals_text<Id: Display>(refusals: &Refusals<Id>) -> String {
    let mut text = String::new();
    for (reason, count, id) in refusals.reasons().take(REASONS) {
        let such = if count > 1 {
            format!("{count}, such as {id}")
        } else {
            id.to_string()
        };
        let _ = writeln!(text, "left alone: {such} {}", one_line(reason));
    }
    let more = refusals.reasons().len().saturating_sub(REASONS);
    if more > 0 {
        let _ = writeln!(text, "left alone for {more} other reasons: see --json");
    }
    text
}

pub(super) fn refuse_everything(would: &str, filters: &str) -> Stop {
    let sentence = format!("this would {would}; narrow it with {filters}, or say --yes");
    Stop::with_message(Exit::Usage, sentence)
}

pub(super) fn refuse_both(things: &str) -> Stop {
    Stop::with_message(
        Exit::Usage,
        format!("name {things} or give a filter, not both"),
    )
}

/// `1 task`, `2 tasks`.
pub(super) fn counted(count: usize, thing: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{s}")
}

/// The store failed in the middle. `rest` says how to do the rest.
pub(super) fn stopped(done: &str, rest: &str, error: Unavailable) -> Stop {
    let stopped = format!("stopped after {done}; {rest}");
    let exit = store::exit_of_use(&error);
    Stop::new(exit, anyhow::Error::new(error).context(stopped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_shown_by_reason_with_an_example_each() {
        let mut refusals = Refusals::default();
        assert_eq!(exit_of(&refusals), Exit::Fine);
        for number in 1..4 {
            refusals.add("is too old", number);
        }
        refusals.add("is done", 4);
        assert_eq!(exit_of(&refusals), Exit::Failed);
        assert_eq!(
            refusals_text(&refusals),
            "left alone: 4 is done\nleft alone: 3, such as 1 is too old\n"
        );
    }

    #[test]
    fn many_reasons_do_not_flood_the_text() {
        let mut refusals = Refusals::default();
        for number in 0..12 {
            refusals.add(&format!("reason {number}"), number);
        }
        let text = refusals_text(&refusals);
        assert_eq!(text.lines().count(), 11);
        assert!(
            text.ends_with("left alone for 2 other reasons: see --json\n"),
            "{text}"
        );
    }

    #[test]
    fn command_that_was_stopped_says_how_far_it_came() {
        let error = Unavailable::new("a.db".as_ref(), "database is locked");
        assert_eq!(
            stopped("40 tasks", "run the same command again", error).to_string(),
            "error: stopped after 40 tasks; run the same command again: \
             store a.db: database is locked"
        );
    }
}
