//! What commands have in common that change much at once: their flags, who acts, what was
//! refused, and how far they came.

use std::collections::{BTreeMap, HashSet};
use std::fmt::{Display, Write};
use std::hash::Hash;

use serde::{Serialize, Serializer};

use super::args::{Parsed, filled};
use super::exit::{Exit, Stop};
use super::store;
use super::table::one_line;
use crate::clock::Stopwatch;
use crate::config::Environment;
use crate::model::intervention::{By, Mode};
use crate::store::Unavailable;
use crate::store::operator::STEP;

/// Shown of what a dry run would change.
pub(super) const SAMPLE: usize = 5;

/// Reasons that a text tells; a document tells all.
const REASONS: usize = 10;

/// How long a command rests after a piece of its work, in times of what that took: its part of
/// the disk and of the store's lock is a third, however slow they are.
const REST: u32 = 2;

/// How a command goes about much at once.
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

impl BulkFlags {
    /// Who acts: under `sudo` the person who called it.
    pub(super) fn by(&self) -> By {
        let names = ["SUDO_USER", "USER", "LOGNAME"].into_iter();
        let mut names = names.filter_map(|name| Environment.get(name));
        By {
            person: names.find(|name| !name.is_empty()),
            why: self.why.clone(),
        }
    }

    pub(super) fn mode<'a>(&self, by: &'a By) -> Mode<'a> {
        if self.dry_run {
            Mode::DryRun
        } else {
            Mode::Real(by)
        }
    }

    /// Whether to ask first: everything would be changed, and nobody said so.
    pub(super) fn needs_yes(&self) -> bool {
        !self.dry_run && !self.yes
    }
}

/// Does `work` to these, a few at a time in a transaction each, and rests in between: a service
/// beside it commits what came meanwhile. Calls `heard` for each few once they are done.
pub(super) fn in_steps<T, C>(
    all: &[T],
    mode: Mode<'_>,
    mut work: impl FnMut(&[T]) -> Result<C, Unavailable>,
    mut heard: impl FnMut(&[T], C),
) -> Result<(), Unavailable> {
    for few in all.chunks(STEP) {
        let mut pace = Pace::start();
        heard(few, work(few)?);
        if let Mode::Real(_) = mode
            && all.len() > STEP
        {
            pace.rest();
        }
    }
    Ok(())
}

/// Lets a service beside a command have the disk and the processor in between.
#[derive(Debug)]
pub(super) struct Pace(Stopwatch);

impl Pace {
    /// Work begins.
    pub(super) fn start() -> Self {
        Self(Stopwatch::start())
    }

    /// Rests after a piece of the work, before the next one.
    pub(super) fn rest(&mut self) {
        std::thread::sleep(self.0.elapsed().saturating_mul(REST));
        *self = Self::start();
    }
}

/// Why some could not be changed: how many for each reason, and one of them.
#[derive(Debug)]
pub(super) struct Refusals<Id>(BTreeMap<String, (usize, Id)>);

impl<Id> Default for Refusals<Id> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

#[derive(Serialize)]
struct Refusal<'a, Id> {
    reason: &'a str,
    count: usize,
    example: &'a Id,
}

impl<Id: Display> Refusals<Id> {
    pub(super) fn add(&mut self, reason: &str, id: Id) {
        match self.0.get_mut(reason) {
            Some((count, _)) => *count += 1,
            None => {
                self.0.insert(reason.to_owned(), (1, id));
            }
        }
    }

    /// How the command ends for it.
    pub(super) fn exit(&self) -> Exit {
        if self.0.is_empty() {
            Exit::Fine
        } else {
            Exit::Failed
        }
    }

    /// One line for each reason.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (reason, (count, id)) in self.0.iter().take(REASONS) {
            let such = if *count > 1 {
                format!("{count}, such as {id}")
            } else {
                id.to_string()
            };
            let _ = writeln!(text, "left alone: {such} {}", one_line(reason));
        }
        let more = self.0.len().saturating_sub(REASONS);
        if more > 0 {
            let _ = writeln!(text, "left alone for {more} other reasons: see --json");
        }
        text
    }
}

impl<Id: Serialize> Serialize for Refusals<Id> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let refusals = self.0.iter().map(|(reason, (count, example))| Refusal {
            reason,
            count: *count,
            example,
        });
        serializer.collect_seq(refusals)
    }
}

/// Refuses to do to everything what `would` tells.
pub(super) fn refuse_everything(would: &str, filters: &str) -> Stop {
    let sentence = format!("this would {would}; narrow it with {filters}, or say --yes");
    Stop::say(Exit::Usage, sentence)
}

/// Refuses ids together with a filter.
pub(super) fn refuse_both(things: &str) -> Stop {
    Stop::say(
        Exit::Usage,
        format!("name {things} or give a filter, not both"),
    )
}

/// Each id once, where it comes first.
pub(super) fn unique<Id: Copy + Eq + Hash>(ids: &[Id]) -> Vec<Id> {
    let mut seen = HashSet::new();
    let new = ids.iter().filter(|id| seen.insert(**id));
    new.copied().collect()
}

/// `1 task`, `2 tasks`.
pub(super) fn counted(count: usize, thing: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{s}")
}

/// Stopped on its way by the store. `rest` says how the rest is done.
pub(super) fn stopped(done: &str, rest: &str, error: Unavailable) -> Stop {
    let told = format!("stopped after {done}, which stand; {rest}");
    let exit = store::exit_of_use(&error);
    Stop::new(exit, anyhow::Error::new(error).context(told))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_by_reason_with_an_example_each() {
        let mut refusals = Refusals::default();
        assert_eq!(refusals.exit(), Exit::Fine);
        for number in 1..4 {
            refusals.add("is too old", number);
        }
        refusals.add("is done", 4);
        assert_eq!(refusals.exit(), Exit::Failed);
        assert_eq!(
            refusals.text(),
            "left alone: 4 is done\nleft alone: 3, such as 1 is too old\n"
        );
        assert_eq!(
            serde_json::to_value(&refusals).unwrap()[1],
            serde_json::json!({ "reason": "is too old", "count": 3, "example": 1 })
        );
    }

    #[test]
    fn many_reasons_do_not_flood_the_text() {
        let mut refusals = Refusals::default();
        for number in 0..12 {
            refusals.add(&format!("reason {number}"), number);
        }
        let text = refusals.text();
        assert_eq!(text.lines().count(), 11);
        assert!(
            text.ends_with("left alone for 2 other reasons: see --json\n"),
            "{text}"
        );
    }

    #[test]
    fn id_that_is_named_twice_counts_once() {
        assert_eq!(unique(&[3, 1, 3, 2, 1]), [3, 1, 2]);
    }

    #[test]
    fn many_are_changed_in_order_by_small_steps_up_to_the_one_that_fails() {
        let error = || Unavailable::new("a.db".as_ref(), "database is locked");
        let all: Vec<usize> = (0..=STEP * 2).collect();
        let (mut steps, mut heard) = (Vec::new(), Vec::new());
        let work = |few: &[usize]| {
            steps.push(few.len());
            if few.contains(&(STEP * 2)) {
                return Err(error());
            }
            Ok(few.iter().map(|number| number * 2).collect::<Vec<_>>())
        };
        let take = |few: &[usize], done: Vec<usize>| {
            heard.extend(few.iter().copied().zip(done));
        };
        assert!(in_steps(&all, Mode::Real(&By::default()), work, take).is_err());
        assert_eq!(steps, [STEP, STEP, 1]);
        let expected: Vec<_> = (0..STEP * 2).map(|number| (number, number * 2)).collect();
        assert_eq!(heard, expected);
    }

    #[test]
    fn command_that_was_stopped_says_how_far_it_came() {
        let error = Unavailable::new("a.db".as_ref(), "database is locked");
        assert_eq!(
            stopped("40 tasks", "the same command goes on", error).to_string(),
            "error: stopped after 40 tasks, which stand; the same command goes on: \
             store a.db: database is locked"
        );
    }
}
