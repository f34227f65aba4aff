//! What a person can ask and do: one function each, which returns one serialisable answer.
//!
//! Knows no flag, terminal or exit code. Who acts, the clock and a progress callback are arguments,
//! so that a web page or an API could call the same functions.

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

#[derive(Debug, Serialize)]
pub struct List<Row> {
    pub rows: Vec<Row>,
    /// Whether there are older rows.
    pub more: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ListError<Id: Display> {
    /// The row after which the list was to continue.
    #[error("{0} is not in the store")]
    Unknown(Id),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl<Row> List<Row> {
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

/// The place after which the next list continues, after `last`.
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
