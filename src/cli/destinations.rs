//! `aftertake destinations …`: which destinations get what waits for them, and which do not.
//!
//! Reads and writes through a connection of its own, beside the service, which notices within
//! a second; a pause waits for that. Buckets have the same states; they are listed where something is amiss, and
//! named `bucket/NAME`.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::args::{Parsed, StoreFlag};
use super::exit::{Exit, Stop};
use super::out::{self, Answer, OutFlags};
use super::store;
use super::table::Table;
use crate::clock::{self, Stopwatch};
use crate::model::breaker::LaneState;
use crate::model::task::Lane;
use crate::model::time::Timestamp;
use crate::store::lists::LaneRow;
use crate::store::operator::{LaneOutcome, Operator};

/// How long a pause waits for the service, which looks every second for what others wrote.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

/// Between two looks whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// List, pause and resume destinations
#[derive(Debug, clap::Subcommand)]
pub(super) enum Destinations {
    /// List destinations and how they stand
    ///
    /// closed: everything that is due is sent. open: it failed several times in a row and is
    /// left alone until its next probe. probing: one request finds out whether it is well
    /// again. paused: a person paused it, or it answered 410 Gone; nothing is sent until it
    /// is resumed. Tasks that wait meanwhile spend no tries.
    ///
    /// With --json, an array of objects with `name`, `state`, `since`, `why`, `waiting` (tasks
    /// that wait for it or for a time) and `next_probe`; what does not apply is null.
    #[command(after_help = "Examples:\n  aftertake destinations list\n  \
                      aftertake destinations list --json | jq -r '.[] | select(.state != \"closed\") | .name'")]
    List {
        #[command(flatten)]
        store: StoreFlag,
        #[command(flatten)]
        out: OutFlags,
    },
    /// Send nothing to a destination until it is resumed
    ///
    /// Requests under way come to their end; no other begins once the command has answered.
    #[command(after_help = "Example:\n  aftertake destinations pause lms")]
    Pause(#[command(flatten)] Which),
    /// Send what waits for a destination, be it paused or left alone after failures
    #[command(after_help = "Example:\n  aftertake destinations resume lms")]
    Resume(#[command(flatten)] Which),
}

/// The destination to change.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// The destination, or bucket/NAME
    #[arg(value_name = "NAME", value_parser = Parsed::by(lane))]
    lane: Lane,
    #[command(flatten)]
    store: StoreFlag,
    #[command(flatten)]
    out: OutFlags,
}

impl Destinations {
    pub(super) fn run(self) -> Result<Exit, Stop> {
        match self {
            Self::List { store, out } => {
                let rows = store::operator(&store.store)?.lanes();
                let rows = rows.map_err(store::unavailable)?.into_iter();
                let rows = rows.filter(is_listed).collect();
                let now = clock::now();
                out.print(&Listed { rows, now })?;
                Ok(Exit::Fine)
            }
            Self::Pause(which) => {
                let mut operator = store::operator(&which.store.store)?;
                let outcome = operator.pause(&which.lane, "a person paused it", clock::now());
                let outcome = outcome.map_err(store::unavailable)?;
                if outcome == LaneOutcome::Changed && !hears(&*operator, &which.lane)? {
                    out::tell(&format!(
                        "the service has not taken notice within {} s: it may still send to {}; \
                         is its store too slow, or the service?",
                        HEARD_WITHIN.as_secs(),
                        which.lane,
                    ));
                }
                which.told(outcome, "paused", "paused")
            }
            Self::Resume(which) => {
                let mut operator = store::operator(&which.store.store)?;
                let outcome = operator.resume(&which.lane);
                which.told(outcome.map_err(store::unavailable)?, "resumed", "closed")
            }
        }
    }
}

/// Waits until the pause holds; whether it does.
fn hears(operator: &dyn Operator, lane: &Lane) -> Result<bool, Stop> {
    let waits = Stopwatch::start();
    while !operator.holds(lane).map_err(store::unavailable)? {
        if waits.elapsed() > HEARD_WITHIN {
            return Ok(false);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(true)
}

impl Which {
    fn told(
        &self,
        outcome: LaneOutcome,
        done: &'static str,
        state: &'static str,
    ) -> Result<Exit, Stop> {
        let name = name(&self.lane);
        if outcome == LaneOutcome::Unknown {
            let sentence = format!(
                "{} is not in the store; `aftertake destinations list` shows those that are",
                self.lane
            );
            return Err(Stop::say(Exit::Failed, sentence));
        }
        let changed = outcome == LaneOutcome::Changed;
        self.out.print(&Change {
            name,
            changed,
            state,
            told: if changed { done } else { state },
        })?;
        Ok(Exit::Fine)
    }
}

/// What became of a destination.
#[derive(Debug, Serialize)]
struct Change {
    name: String,
    changed: bool,
    state: &'static str,
    #[serde(skip)]
    told: &'static str,
}

impl Answer for Change {
    fn text(&self, _: Option<usize>) -> String {
        let already = if self.changed { "" } else { " already" };
        format!("{} is {}{already}\n", self.name, self.told)
    }
}

struct Listed {
    rows: Vec<LaneRow>,
    now: Timestamp,
}

/// A destination in a document. Keys may be added to it, never renamed or removed.
#[derive(Debug, Serialize)]
struct Line<'a> {
    name: String,
    state: &'static str,
    since: Option<Timestamp>,
    why: Option<&'a str>,
    waiting: u64,
    next_probe: Option<Timestamp>,
}

impl<'a> Line<'a> {
    fn of(row: &'a LaneRow, now: Timestamp) -> Self {
        let LaneState { paused, open } = &row.state;
        let paused = paused.as_ref().map(|one| (one.since, one.why.as_str()));
        let opened = open.as_ref().map(|one| (one.since, one.why.as_str()));
        let (since, why) = paused.or(opened).unzip();
        let probe = open.as_ref().filter(|_| paused.is_none());
        Self {
            name: name(&row.lane),
            state: row.state.name(now),
            since,
            why,
            waiting: row.waiting,
            next_probe: probe.map(|open| open.probe_at),
        }
    }
}

impl Serialize for Listed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.rows.iter().map(|row| Line::of(row, self.now)))
    }
}

impl Answer for Listed {
    fn text(&self, width: Option<usize>) -> String {
        let headings = ["NAME", "STATE", "WAITING", "SINCE", "NEXT PROBE", "WHY"];
        let mut table = Table::new(&headings);
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
        let probe = |at: Option<Timestamp>| match at {
            // The next task of the lane makes it.
            Some(at) if at <= self.now => "now".to_owned(),
            at => time(at),
        };
        for row in &self.rows {
            let line = Line::of(row, self.now);
            table.row([
                line.name.clone(),
                line.state.to_owned(),
                line.waiting.to_string(),
                time(line.since),
                probe(line.next_probe),
                line.why.unwrap_or_default().to_owned(),
            ]);
        }
        table.text(width)
    }
}

fn is_listed(row: &LaneRow) -> bool {
    matches!(row.lane, Lane::Destination(_)) || row.state != LaneState::default()
}

/// Destinations are called by their names, buckets by those of their lanes.
fn name(lane: &Lane) -> String {
    match lane {
        Lane::Destination(name) => name.clone(),
        Lane::Bucket(_) => lane.to_string(),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the form that Parsed takes")]
fn lane(text: &str) -> Result<Lane, String> {
    let lane = text.parse();
    Ok(lane.unwrap_or_else(|_| Lane::Destination(text.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::breaker::Opening;

    #[test]
    fn probe_that_is_due_is_not_told_by_a_time_of_the_past() {
        let now = Timestamp::from_millis(1_772_413_200_000);
        let row = |probe_at| LaneRow {
            lane: Lane::Destination("lms".to_owned()),
            state: LaneState {
                paused: None,
                open: Some(Opening {
                    since: now,
                    why: "w".to_owned(),
                    waits: 1,
                    probe_at,
                    wait: Duration::from_secs(1),
                }),
            },
            waiting: 1,
        };
        let (past, later) = (
            now.minus(Duration::from_secs(5)),
            now.plus(Duration::from_secs(5)),
        );
        let rows = vec![row(past), row(now), row(later)];
        let text = Listed { rows, now }.text(None);
        let shown: Vec<&str> = text
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().nth(4).unwrap())
            .collect();
        assert_eq!(shown, ["now", "now", "2026-03-02T01:00:05Z"]);
    }
}
