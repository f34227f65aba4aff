//! The queue's figures and lanes.

use std::time::Duration;

use rusqlite::Connection;

use crate::model::time::Timestamp;
use crate::store::Figures;

/// Every lane that has due tasks, one index step each: a million rows are not walked.
pub(super) const LANES: &str = "
    WITH RECURSIVE lanes (lane) AS (
        SELECT (SELECT min(lane) FROM tasks WHERE running = 0 AND blocked_by IS NULL)
        UNION ALL
        SELECT (SELECT min(lane) FROM tasks WHERE running = 0 AND blocked_by IS NULL AND lane > lanes.lane)
        FROM lanes WHERE lanes.lane IS NOT NULL
    ) SELECT lane FROM lanes WHERE lane IS NOT NULL";

pub(super) fn lanes(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    conn.prepare_cached(LANES)?
        .query_map([], |row| row.get(0))?
        .collect()
}

pub(super) fn figures(conn: &Connection, now: Timestamp) -> rusqlite::Result<Figures> {
    let counts: Vec<i64> = conn
        .prepare_cached("SELECT tasks FROM counts ORDER BY state")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let count = |state: usize| {
        counts
            .get(state)
            .and_then(|count| u64::try_from(*count).ok())
            .unwrap_or(0)
    };
    let mut oldest: Option<i64> = None;
    for lane in lanes(conn)? {
        let due: Option<i64> = conn
            .prepare_cached(
                "SELECT min(due) FROM tasks WHERE lane = ?1 AND running = 0 AND blocked_by IS NULL",
            )?
            .query_row([lane], |row| row.get(0))?;
        oldest = [oldest, due].into_iter().flatten().min();
    }
    let age = oldest
        .map(|due| now.since(Timestamp::from_millis(due)))
        .filter(|age| *age > Duration::ZERO);
    Ok(Figures {
        ready: count(0),
        running: count(1),
        done: count(2),
        dead: count(3),
        cancelled: count(4),
        oldest_due: age,
    })
}
