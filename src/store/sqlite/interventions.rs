//! What people did to tasks: rows of their history.

use rusqlite::Connection;

use super::core::Txn;
use super::row::json;
use crate::model::id::TaskId;
use crate::model::intervention::Intervention;
use crate::store::task_key::TaskKey;

pub(super) fn log(
    txn: &Txn<'_>,
    seq: TaskKey,
    intervention: &Intervention,
) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached(
            "INSERT INTO interventions (task, number, record) VALUES \
             (?1, (SELECT coalesce(max(number) + 1, 0) FROM interventions WHERE task = ?1), ?2)",
        )?
        .execute((seq, json(intervention)))?;
    Ok(())
}

/// The interventions of the tasks with keys from `first` to before `end`, oldest first within a
/// task.
pub(super) fn of(
    conn: &Connection,
    first: TaskKey,
    end: TaskKey,
) -> rusqlite::Result<Vec<(TaskId, Intervention)>> {
    let rows: Vec<([u8; 16], String)> = conn
        .prepare_cached(
            "SELECT t.id, i.record FROM interventions i JOIN tasks t ON t.seq = i.task \
             WHERE i.task >= ?1 AND i.task < ?2 ORDER BY i.task, i.number",
        )?
        .query_map((first, end), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let read = |(id, text): ([u8; 16], String)| {
        let intervention = serde_json::from_str(&text).ok()?;
        Some((TaskId::from_bytes(id), intervention))
    };
    Ok(rows.into_iter().filter_map(read).collect())
}
