//! States of lanes, written by the service and by people's commands.
//!
//! The service writes only what it changed, so that it never undoes a pause that it does not know
//! yet.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension};

use super::core::Txn;
use super::row::json;
use super::service_reads;
use crate::model::breaker::{LaneChange, LaneState, Pause};
use crate::model::task::Lane;
use crate::store::lists::LaneRow;
use crate::store::operator::LaneOutcome;

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

/// The service obeys these pauses. A newer pause of the same lane is not confirmed.
pub(super) fn heard(txn: &Txn<'_>, paused: &[(Lane, Pause)]) -> rusqlite::Result<()> {
    let mut update = txn.conn.prepare_cached(
        "UPDATE lane_states SET heard = 1 WHERE lane = ?1 AND paused = ?2 AND heard = 0",
    )?;
    for (lane, pause) in paused {
        update.execute((lane.to_string(), json(pause)))?;
    }
    Ok(())
}

/// The lanes that have a row, sorted by name.
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

/// Stores which lanes exist; answers the others in which tasks wait. Their tasks are not marked,
/// because that would touch a whole backlog: lists derive the reason.
pub(super) fn mark_unknown(txn: &Txn<'_>, known: &[Lane]) -> rusqlite::Result<Vec<Lane>> {
    txn.conn.prepare_cached("DELETE FROM lanes")?.execute([])?;
    let mut insert = txn
        .conn
        .prepare_cached("INSERT INTO lanes (name) VALUES (?1)")?;
    for lane in known {
        insert.execute([lane.to_string()])?;
    }
    let waiting = service_reads::lanes(txn.conn)?.into_iter();
    Ok(waiting
        .filter_map(|lane| lane.parse().ok())
        .filter(|lane| !known.contains(lane))
        .collect())
}

pub(super) fn rows(conn: &Connection) -> rusqlite::Result<Vec<LaneRow>> {
    let served = served(conn)?;
    let row = |(lane, state): (Lane, LaneState)| {
        Ok(LaneRow {
            waiting: waiting(conn, &lane)?,
            is_served: served.contains(&lane.to_string()),
            state,
            lane,
        })
    };
    listed(conn)?.into_iter().map(row).collect()
}

/// The lanes of the rules file that was last served, and all others in which tasks wait or that
/// have a row.
fn listed(conn: &Connection) -> rusqlite::Result<BTreeMap<Lane, LaneState>> {
    let names = served(conn)?.into_iter().chain(service_reads::lanes(conn)?);
    let names = names.filter_map(|name| name.parse().ok());
    let mut listed: BTreeMap<Lane, LaneState> =
        names.map(|lane| (lane, LaneState::default())).collect();
    listed.extend(states(conn)?);
    Ok(listed)
}

/// The names of the lanes of the rules file that was last served.
pub(super) fn served(conn: &Connection) -> rusqlite::Result<BTreeSet<String>> {
    conn.prepare_cached("SELECT name FROM lanes")?
        .query_map([], |row| row.get(0))?
        .collect()
}

fn waiting(conn: &Connection, lane: &Lane) -> rusqlite::Result<u64> {
    conn.prepare_cached(
        "SELECT count(*) FROM tasks INDEXED BY tasks_due \
         WHERE lane = ?1 AND state = 0 AND blocked_by IS NULL AND waits_for IS NULL",
    )?
    .query_row([lane.to_string()], |row| row.get(0))
}

pub(super) fn pause(txn: &Txn<'_>, lane: &Lane, pause: &Pause) -> rusqlite::Result<LaneOutcome> {
    match listed(txn.conn)?.get(lane) {
        None => Ok(LaneOutcome::Unknown),
        Some(state) if state.paused.is_some() => Ok(LaneOutcome::Unchanged),
        Some(_) => set_paused(txn, lane, pause).map(|()| LaneOutcome::Changed),
    }
}

/// Whether the service knows the lane's pause; `None` when there is none, for example because
/// somebody has resumed it.
pub(super) fn is_heard(conn: &Connection, lane: &Lane) -> rusqlite::Result<Option<bool>> {
    conn.prepare_cached("SELECT heard FROM lane_states WHERE lane = ?1")?
        .query_row([lane.to_string()], |row| row.get(0))
        .optional()
}

pub(super) fn resume(txn: &Txn<'_>, lane: &Lane) -> rusqlite::Result<LaneOutcome> {
    match listed(txn.conn)?.get(lane) {
        None => Ok(LaneOutcome::Unknown),
        Some(state) if *state == LaneState::default() => Ok(LaneOutcome::Unchanged),
        Some(_) => {
            txn.conn
                .prepare_cached("DELETE FROM lane_states WHERE lane = ?1")?
                .execute([lane.to_string()])?;
            Ok(LaneOutcome::Changed)
        }
    }
}
