//! `aftertake destinations …`: lists, pauses and resumes destinations.
//!
//! Uses its own connection to the store. A running service notices a change within a second, and a
//! pause waits for that. Buckets have the same states: they are listed as `bucket/NAME` when
//! something is wrong.

use serde::Serialize;

use super::args::{Parsed, StoreFlag};
use super::bulk;
use super::exit::{Exit, Stop};
use super::out::{self, Answer, OutFlags};
use super::store;
use super::table::Table;
use crate::clock;
use crate::model::task::Lane;
use crate::model::time::Timestamp;
use crate::operate::lanes::{self, KNOWN_WITHIN, LaneChange, LaneLine};
use crate::store::Unavailable;

/// List, pause and resume destinations
#[derive(Debug, clap::Subcommand)]
pub(super) enum Destinations {
    /// List destinations and their states
    ///
    /// closed: everything that is due is sent. open: it failed several times in a row, and nothing
    /// is sent until the next probe. probing: one request checks whether it works again. paused: a
    /// person paused it, or it answered 410 Gone; nothing is sent until it is resumed. missing:
    /// tasks wait for it, and it is not in the rules file. Waiting tasks spend no tries.
    ///
    /// With --json, an array of objects with `name`, `state`, `since`, `why`, `waiting` (number of
    /// tasks that wait for it or for a time) and `next_probe`; what does not apply is null.
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
    /// Running requests finish; no new one starts after this command has returned.
    #[command(after_help = "Example:\n  aftertake destinations pause lms")]
    Pause(#[command(flatten)] Which),
    /// Send again to a destination that was paused, or that is open after failures
    #[command(after_help = "Example:\n  aftertake destinations resume lms")]
    Resume(#[command(flatten)] Which),
}

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
        let now = clock::now();
        match self {
            Self::List { store, out } => {
                let lanes = lanes::list(&*store::operator(&store.store)?, now);
                let lanes = lanes.map_err(store::unavailable)?;
                out.print(&Listed { lanes, now })?;
                Ok(Exit::Fine)
            }
            Self::Pause(which) => {
                let mut store = store::operator(&which.store.store)?;
                which.print(lanes::pause(&mut *store, &which.lane, &bulk::by(None), now))
            }
            Self::Resume(which) => {
                let mut store = store::operator(&which.store.store)?;
                which.print(lanes::resume(&mut *store, &which.lane))
            }
        }
    }
}

impl Which {
    fn print(&self, change: Result<Option<LaneChange>, Unavailable>) -> Result<Exit, Stop> {
        let Some(change) = change.map_err(store::unavailable)? else {
            let sentence = format!(
                "{} is not in the store; `aftertake destinations list` shows those that are",
                self.lane
            );
            return Err(Stop::with_message(Exit::Failed, sentence));
        };
        if !change.is_known {
            out::print_progress(&format!(
                "the service has not taken notice within {} s: it may still send to {}; \
                 is its store too slow, or the service?",
                KNOWN_WITHIN.as_secs(),
                self.lane,
            ));
        }
        self.out.print(&change)?;
        Ok(Exit::Fine)
    }
}

impl Answer for LaneChange {
    fn text(&self, _: Option<usize>) -> String {
        let state = match (self.changed, self.state) {
            (true, "closed") => "resumed".to_owned(),
            (true, state) => state.to_owned(),
            (false, state) => format!("{state} already"),
        };
        format!("{} is {state}\n", self.name)
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Listed {
    lanes: Vec<LaneLine>,
    #[serde(skip)]
    now: Timestamp,
}

impl Answer for Listed {
    fn text(&self, width: Option<usize>) -> String {
        let headings = ["NAME", "STATE", "WAITING", "SINCE", "NEXT PROBE", "WHY"];
        let mut table = Table::new(&headings);
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
        let probe = |at: Option<Timestamp>| match at {
            // The lane's next task is the probe.
            Some(at) if at <= self.now => "now".to_owned(),
            at => time(at),
        };
        for lane in &self.lanes {
            table.row([
                lane.name.clone(),
                lane.state.to_owned(),
                lane.waiting.to_string(),
                time(lane.since),
                probe(lane.next_probe),
                lane.why.clone().unwrap_or_default(),
            ]);
        }
        table.text(width)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the form that Parsed takes")]
fn lane(text: &str) -> Result<Lane, String> {
    let lane = text.parse();
    Ok(lane.unwrap_or_else(|_| Lane::Destination(text.to_owned())))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn probe_that_is_due_is_shown_as_now() {
        let now = Timestamp::from_millis(1_772_413_200_000);
        let lane = |probe_at| LaneLine {
            name: "lms".to_owned(),
            state: "open",
            since: Some(now),
            why: Some("w".to_owned()),
            waiting: 1,
            next_probe: Some(probe_at),
        };
        let (past, later) = (
            now.minus(Duration::from_secs(5)),
            now.plus(Duration::from_secs(5)),
        );
        let lanes = vec![lane(past), lane(now), lane(later)];
        let text = Listed { lanes, now }.text(None);
        let shown: Vec<&str> = text
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().nth(4).unwrap())
            .collect();
        assert_eq!(shown, ["now", "now", "2026-03-02T01:00:05Z"]);
    }
}
