//! Which directories the folder buckets are: the ids that are in them.

use rusqlite::{Connection, OptionalExtension};

use super::core::Txn;

pub(super) fn noted(conn: &Connection, bucket: &str) -> rusqlite::Result<Option<String>> {
    conn.prepare_cached("SELECT id FROM bucket_ids WHERE bucket = ?1")?
        .query_row([bucket], |row| row.get(0))
        .optional()
}

/// Notes the id of a bucket that has none. Answers the noted one.
pub(super) fn note(txn: &Txn<'_>, bucket: &str, id: &str) -> rusqlite::Result<Option<String>> {
    txn.conn
        .prepare_cached("INSERT OR IGNORE INTO bucket_ids (bucket, id) VALUES (?1, ?2)")?
        .execute((bucket, id))?;
    noted(txn.conn, bucket)
}
