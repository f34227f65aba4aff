//! What a person can ask and do: one function each, with one answer that serialises.
//!
//! The command line prints the answers; a page or an API would send the same. Knows no flag,
//! no terminal and no exit code. Who acts, the clock and what to do with progress are
//! arguments.

pub mod bulk;
pub mod doctor;
pub mod dry_run;
pub mod events;
pub mod lanes;
pub mod status;
pub mod tasks;

use std::fmt::Display;

use serde::Serialize;

use crate::store::Unavailable;
use crate::store::lists::{Cursor, Page};

/// A part of a list, the newest first.
#[derive(Debug, Serialize)]
pub struct List<Row> {
    pub rows: Vec<Row>,
    /// Whether there are older ones.
    pub more: bool,
}

/// Why nothing is listed.
#[derive(Debug, thiserror::Error)]
pub enum ListError<Id: Display> {
    /// The list was to go on after this one.
    #[error("{0} is not in the store")]
    Unknown(Id),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl<Row> List<Row> {
    /// The first `limit` of the rows that `read` reads.
    fn of(
        limit: usize,
        before: Option<Cursor>,
        read: impl FnOnce(Page) -> Result<Vec<Row>, Unavailable>,
    ) -> Result<Self, Unavailable> {
        let mut rows = read(Page {
            limit: limit.saturating_add(1),
            before,
        })?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        Ok(Self { rows, more })
    }
}

/// Where a list goes on that ended with `last`, if it ended.
fn cursor<Id: Copy + Display>(
    last: Option<Id>,
    find: impl FnOnce(Id) -> Result<Option<Cursor>, Unavailable>,
) -> Result<Option<Cursor>, ListError<Id>> {
    let Some(last) = last else {
        return Ok(None);
    };
    let found = find(last)?;
    found.map(Some).ok_or(ListError::Unknown(last))
}
