//! How lanes stand: written by the service as it learns, and by a person's commands.
//!
//! The service writes what changed and nothing else, so that it never undoes a pause that it
//! has not heard of yet.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension};

use super::core::Txn;
use super::operator::SqliteOperator;
use super::read;
use super::row::json;
use crate::model::breaker::{LaneChange, LaneState, Pause};
use crate::model::task::Lane;
use crate::model::time::Timestamp;
use crate::store::Unavailable;

/// A lane in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneRow {
    pub lane: Lane,
    pub state: LaneState,
    /// Tasks that wait for it, or for a time; not those that wait for a turn, or for something
    /// else outside them.
    pub waiting: u64,
}

/// What came of pausing or resuming a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneOutcome {
    Changed,
    /// It was so already.
    Unchanged,
    /// Neither a rules file in force nor a task names it.
    Unknown,
}

pub(super) fn change(txn: &Txn<'_>, lane: &Lane, change: &LaneChange) -> rusqlite::Result<()> {
    match change {
        LaneChange::Opened(opening) => set_open(txn, lane, Some(json(opening))),
        LaneChange::Closed => set_open(txn, lane, None),
        LaneChange::Paused(pause) => set_paused(txn, lane, pause),
    }
}

fn set_open(txn: &Txn<'_>, lane: &Lane, open: Option<String>) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached(
            "INSERT INTO lane_states (lane, open) VALUES (?1, ?2) ON CONFLICT (lane) DO UPDATE SET open = ?2",
        )?
        .execute((lane.to_string(), open))?;
    Ok(())
}

fn set_paused(txn: &Txn<'_>, lane: &Lane, pause: &Pause) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached(
            "INSERT INTO lane_states (lane, paused) VALUES (?1, ?2) \
             ON CONFLICT (lane) DO UPDATE SET \
             paused = coalesce(paused, ?2), heard = CASE WHEN paused IS NULL THEN 0 ELSE heard END",
        )?
        .execute((lane.to_string(), json(pause)))?;
    Ok(())
}

/// The service goes by these pauses. One that was made since is another.
pub(super) fn heard(txn: &Txn<'_>, paused: &[(Lane, Pause)]) -> rusqlite::Result<()> {
    let mut update = txn.conn.prepare_cached(
        "UPDATE lane_states SET heard = 1 WHERE lane = ?1 AND paused = ?2 AND heard = 0",
    )?;
    for (lane, pause) in paused {
        update.execute((lane.to_string(), json(pause)))?;
    }
    Ok(())
}

/// The lanes that have a row, in order of their names.
pub(super) fn states(conn: &Connection) -> rusqlite::Result<Vec<(Lane, LaneState)>> {
    let rows: Vec<(String, Option<String>, Option<String>)> = conn
        .prepare_cached("SELECT lane, paused, open FROM lane_states")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let read = |(lane, paused, open): (String, Option<String>, Option<String>)| {
        let state = LaneState {
            paused: paused.and_then(|text| serde_json::from_str(&text).ok()),
            open: open.and_then(|text| serde_json::from_str(&text).ok()),
        };
        Some((lane.parse().ok()?, state))
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

impl SqliteOperator {
    /// Every lane of the rules file that was last served, and every other one that tasks wait
    /// in or that does not let everything through, in order of their names.
    pub fn lanes(&self) -> Result<Vec<LaneRow>, Unavailable> {
        self.lane_rows().map_err(self.unavailable())
    }

    /// Lets nothing of the lane through until it is resumed.
    pub fn pause(
        &mut self,
        lane: &Lane,
        why: &str,
        now: Timestamp,
    ) -> Result<LaneOutcome, Unavailable> {
        let (lanes, why) = (self.lanes()?, why.to_owned());
        let pause = Pause { since: now, why };
        self.decide(
            &lanes,
            lane,
            |state| state.paused.is_none(),
            |txn| set_paused(txn, lane, &pause),
        )
    }

    /// Whether the lane's pause holds: the service has heard of it, or there is none.
    pub fn holds(&self, lane: &Lane) -> Result<bool, Unavailable> {
        let heard = self
            .conn()
            .prepare_cached("SELECT heard FROM lane_states WHERE lane = ?1")
            .and_then(|mut select| {
                let row = select.query_row([lane.to_string()], |row| row.get(0));
                row.optional()
            });
        // Somebody else may have resumed it meanwhile.
        let heard = heard.map_err(self.unavailable())?.unwrap_or(true);
        Ok(heard || !self.is_served())
    }

    /// Ends the lane's pause, and closes its breaker: whoever resumes a lane wants it tried.
    pub fn resume(&mut self, lane: &Lane) -> Result<LaneOutcome, Unavailable> {
        let lanes = self.lanes()?;
        self.decide(
            &lanes,
            lane,
            |state| *state != LaneState::default(),
            |txn| {
                txn.conn
                    .prepare_cached("DELETE FROM lane_states WHERE lane = ?1")?
                    .execute([lane.to_string()])
                    .map(drop)
            },
        )
    }

    fn decide(
        &mut self,
        lanes: &[LaneRow],
        lane: &Lane,
        changes: impl FnOnce(&LaneState) -> bool,
        write: impl FnOnce(&mut Txn<'_>) -> rusqlite::Result<()>,
    ) -> Result<LaneOutcome, Unavailable> {
        match lanes.iter().find(|row| row.lane == *lane) {
            None => Ok(LaneOutcome::Unknown),
            Some(row) if !changes(&row.state) => Ok(LaneOutcome::Unchanged),
            Some(_) => self.write(write).map(|()| LaneOutcome::Changed),
        }
    }

    fn lane_rows(&self) -> rusqlite::Result<Vec<LaneRow>> {
        let states = states(self.conn())?;
        let served: Vec<String> = self
            .conn()
            .prepare_cached("SELECT name FROM lanes")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let names = served.into_iter().chain(read::lanes(self.conn())?);
        let names = names.filter_map(|name| name.parse().ok());
        let names = names.chain(states.iter().map(|(lane, _)| lane.clone()));
        let names: BTreeSet<Lane> = names.collect();
        let row = |lane: Lane| {
            let state = states.iter().find(|(name, _)| *name == lane);
            Ok(LaneRow {
                waiting: self.waiting(&lane)?,
                state: state.map(|(_, state)| state.clone()).unwrap_or_default(),
                lane,
            })
        };
        names.into_iter().map(row).collect()
    }

    fn waiting(&self, lane: &Lane) -> rusqlite::Result<u64> {
        self.conn()
            .prepare_cached(
                "SELECT count(*) FROM tasks INDEXED BY tasks_due \
                 WHERE lane = ?1 AND state = 0 AND blocked_by IS NULL AND waits_for IS NULL",
            )?
            .query_row([lane.to_string()], |row| row.get(0))
    }
}
