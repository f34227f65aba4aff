//! Ends a claim: one statement for each transition, fenced by the attempt.

use std::time::Duration;

use super::claim::claimed;
use super::core::Txn;
use super::order::{self, Order};
use super::row::{self, StoredTask, json, outputs_text, recording, task_columns};
use super::{journal, notice, prune, turn, wait, waiting};
use crate::model::failure::Failure;
use crate::model::plan::Turn;
use crate::model::recording::RecordingId;
use crate::model::task::{Attempt, TaskState};
use crate::model::time::Timestamp;
use crate::model::transition::{Hold, NextStep, Transition};
use crate::model::wait::WaitsFor;
use crate::store::task_key::TaskKey;
use crate::store::{Claim, Settlement};

/// How long a task waits that waits only for its lane.
const WAIT_MS: i64 = 5_000;

const FIRST: Attempt = 1;

pub(super) enum Written {
    Settled,
    Continues(Box<Claim>),
    /// The claim is not the newest any more: nothing was written.
    Lost,
}

struct Held {
    seq: TaskKey,
    turn: Option<RecordingId>,
    order: Option<Order>,
    /// The record of its first attempt, which is a column.
    tried: Option<String>,
}

/// How a task waits for its next try.
struct Again<'a> {
    now: i64,
    /// Milliseconds from `now`.
    wait: i64,
    /// What it waits for outside itself, instead of a time; as stored.
    waits_for: Option<String>,
    /// Tries to give back.
    refund: i64,
    why: Option<&'a Failure>,
    note: Option<&'a str>,
    /// What it dies of once its copies are removed.
    given_up: Option<&'a Failure>,
}

pub(super) fn apply(
    txn: &mut Txn<'_>,
    seq: TaskKey,
    attempt: Attempt,
    settlement: &Settlement,
    now: Timestamp,
) -> rusqlite::Result<Written> {
    let Some(mut held) = held(txn, seq, attempt)? else {
        return Ok(Written::Lost);
    };
    let record = settlement.attempt.as_ref().map(row::attempt_text);
    match (record, attempt) {
        (Some(record), FIRST) => held.tried = Some(record),
        (Some(record), _) => log(txn, seq, attempt, &record)?,
        (None, _) => {}
    }
    let written = end(txn, &held, settlement, now)?;
    // Only tasks that touch recordings hold keys.
    if held.turn.is_some() {
        journal::release_keys(txn, seq, &settlement.transition, now)?;
    }
    Ok(written)
}

fn end(
    txn: &mut Txn<'_>,
    held: &Held,
    settlement: &Settlement,
    now: Timestamp,
) -> rusqlite::Result<Written> {
    let handed_back = Again {
        now: now.millis(),
        wait: 0,
        waits_for: None,
        refund: 1,
        why: None,
        note: None,
        given_up: None,
    };
    match &settlement.transition {
        Transition::Advance(next) => return advance(txn, held, next, settlement, now),
        Transition::Finish => settle(txn, held, settlement, TaskState::Done, None, now)?,
        Transition::Bury { why, notice } => {
            settle(txn, held, settlement, TaskState::Dead, Some(why), now)?;
            if let Some(lane) = notice {
                notice::notify(txn, held.seq, lane, why, now)?;
            }
        }
        Transition::Cancel => settle(txn, held, settlement, TaskState::Cancelled, None, now)?,
        Transition::RetryAfter { wait, why } | Transition::Await { wait, why } => {
            let is_refunded = matches!(settlement.transition, Transition::Await { .. });
            let again = Again {
                wait: millis(*wait),
                refund: i64::from(is_refunded),
                why: Some(why),
                ..handed_back
            };
            ready(txn, held, settlement, &again)?;
            give_up_turn(txn, held, false, now)?;
        }
        Transition::Wait { on, why } => {
            let wait = match on {
                WaitsFor::ItsLane => WAIT_MS,
                WaitsFor::Until(until) => millis(until.since(now)),
                WaitsFor::Keys(_) | WaitsFor::Outside(_) => 0,
            };
            let waits_for = wait::text(txn.conn, on)?;
            let again = Again {
                wait,
                waits_for,
                note: Some(why),
                ..handed_back
            };
            ready(txn, held, settlement, &again)?;
            give_up_turn(txn, held, false, now)?;
        }
        Transition::Undo { wait, given_up } => {
            let again = Again {
                wait: millis(*wait),
                given_up: given_up.as_ref(),
                ..handed_back
            };
            ready(txn, held, settlement, &again)?;
            give_up_turn(txn, held, false, now)?;
        }
        Transition::HandBack => {
            ready(txn, held, settlement, &handed_back)?;
            give_up_turn(txn, held, true, now)?;
        }
    }
    Ok(Written::Settled)
}

fn millis(wait: Duration) -> i64 {
    i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn is_held(txn: &Txn<'_>, seq: TaskKey, attempt: Attempt) -> rusqlite::Result<bool> {
    Ok(held(txn, seq, attempt)?.is_some())
}

fn held(txn: &Txn<'_>, seq: TaskKey, attempt: Attempt) -> rusqlite::Result<Option<Held>> {
    let mut statement = txn.conn.prepare_cached(
        "SELECT CASE needs_turn WHEN 1 THEN recording END AS turn, order_key, order_blocks FROM tasks \
         WHERE seq = ?1 AND attempt = ?2 AND state = 1",
    )?;
    let mut rows = statement.query((seq, attempt))?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    Ok(Some(Held {
        seq,
        turn: recording(row.get("turn")?),
        order: Order::read(row)?,
        tried: None,
    }))
}

fn log(txn: &Txn<'_>, seq: TaskKey, attempt: Attempt, record: &str) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached("INSERT INTO attempts (task, attempt, record) VALUES (?1, ?2, ?3)")?
        .execute((seq, attempt, record))?;
    Ok(())
}

fn ready(
    txn: &mut Txn<'_>,
    held: &Held,
    settlement: &Settlement,
    again: &Again<'_>,
) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached(
            "UPDATE tasks SET state = 0, due = iif(?10 IS NULL, ?2, due), wait = ?3, tries = max(tries - ?4, 0), \
             failure = coalesce(?5, failure), note = ?6, outputs = ?7, given_up = coalesce(?8, given_up), \
             leaves = coalesce(?9, leaves), waits_for = ?10, tried = coalesce(?11, tried) WHERE seq = ?1",
        )?
        .execute((
            held.seq,
            again.now.saturating_add(again.wait),
            again.wait,
            again.refund,
            again.why.map(json),
            again.note,
            outputs_text(&settlement.outputs),
            again.given_up.map(json),
            &settlement.leaves,
            &again.waits_for,
            &held.tried,
        ))?;
    txn.leaves(TaskState::Running);
    txn.enters(TaskState::Ready);
    Ok(())
}

/// Passes the turn on, unless a move is half done.
fn give_up_turn(
    txn: &Txn<'_>,
    held: &Held,
    competes: bool,
    now: Timestamp,
) -> rusqlite::Result<()> {
    if let Some(recording) = held.turn
        && !turn::is_unfinished(txn, held.seq)?
    {
        turn::pass_on(txn, held.seq, recording, competes, now)?;
    }
    Ok(())
}

fn settle(
    txn: &mut Txn<'_>,
    held: &Held,
    settlement: &Settlement,
    state: TaskState,
    why: Option<&Failure>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached(
            "UPDATE tasks SET state = ?2, at = ?3, failure = ?4, outputs = ?5, given_up = NULL, leaves = ?6, \
             tried = coalesce(?7, tried) WHERE seq = ?1",
        )?
        .execute((
            held.seq,
            state,
            now.millis(),
            why.map(json),
            outputs_text(&settlement.outputs),
            &settlement.leaves,
            &held.tried,
        ))?;
    if state != TaskState::Dead {
        prune::settled(txn, held.seq, now)?;
    }
    if let Some(recording) = held.turn {
        turn::pass_on(txn, held.seq, recording, false, now)?;
    }
    if let Some(order) = &held.order
        && (state != TaskState::Dead || !order.dead_blocks)
    {
        order::leave(txn, held.seq, &order.key, now)?;
    }
    txn.leaves(TaskState::Running);
    txn.enters(state);
    Ok(())
}

fn advance(
    txn: &mut Txn<'_>,
    held: &Held,
    next: &NextStep,
    settlement: &Settlement,
    now: Timestamp,
) -> rusqlite::Result<Written> {
    go_to(txn, held, next, settlement, now)?;
    let has_turn = match (held.turn, next.turn) {
        (Some(recording), turn) => {
            turn::pass_on(txn, held.seq, recording, turn == Turn::Needed, now)?
        }
        (None, _) => false,
    };
    let blocked = next.turn == Turn::Needed && !has_turn && wait_for_turn(txn, held)?;
    if next.hold == Hold::Leave || blocked {
        txn.leaves(TaskState::Running);
        txn.enters(TaskState::Ready);
        return Ok(Written::Settled);
    }
    txn.conn
        .prepare_cached(
            "UPDATE tasks SET state = 1, tries = 1, attempt = attempt + 1 WHERE seq = ?1",
        )?
        .execute([held.seq])?;
    let row = txn
        .conn
        .prepare_cached(concat!(
            "SELECT ",
            task_columns!(),
            " FROM tasks WHERE seq = ?1"
        ))?
        .query_row([held.seq], StoredTask::read)?;
    Ok(claimed(txn, row)?.map_or(Written::Settled, |claim| {
        Written::Continues(Box::new(claim))
    }))
}

fn go_to(
    txn: &Txn<'_>,
    held: &Held,
    next: &NextStep,
    settlement: &Settlement,
    now: Timestamp,
) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached(
            "UPDATE tasks SET step = ?2, lane = ?3, needs_turn = ?4, tries = 0, state = 0, due = ?5, wait = 0, \
             failure = NULL, outputs = ?6, given_up = NULL, leaves = ?7, tried = coalesce(?8, tried) WHERE seq = ?1",
        )?
        .execute((
            held.seq,
            next.step,
            next.lane.to_string(),
            next.turn == Turn::Needed,
            now.millis(),
            outputs_text(&settlement.outputs),
            &settlement.leaves,
            &held.tried,
        ))?;
    Ok(())
}

/// Takes the turn for the task's new step; answers whether it has to wait for it.
fn wait_for_turn(txn: &Txn<'_>, held: &Held) -> rusqlite::Result<bool> {
    let needed: Option<[u8; 16]> = txn
        .conn
        .prepare_cached("SELECT recording FROM tasks WHERE seq = ?1")?
        .query_row([held.seq], |row| row.get(0))?;
    let Some(needed) = recording(needed) else {
        return Ok(false);
    };
    let has_turn = turn::take(txn, held.seq, needed)?;
    if !has_turn {
        waiting::wait(txn, held.seq, needed.as_bytes())?;
    }
    Ok(!has_turn)
}
