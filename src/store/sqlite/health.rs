//! Whether the store can be trusted with a callback now, and why not.
//!
//! One value, shared by everything that notices trouble: the writer sets it when a commit
//! fails and clears it when one succeeds; a check that finds the file damaged or gone sets
//! it, too. `Store::ready` shows it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::error;
use crate::store::Unavailable;

/// Bytes that a probe writes: as many as the largest callback has.
const PROBE: usize = 64 * 1024;

/// Why the store cannot be trusted, if so. Clones share one value.
#[derive(Debug, Clone)]
pub(super) struct Health {
    path: PathBuf,
    trouble: Arc<Mutex<Option<Trouble>>>,
}

/// Why the store cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) reason: String,
    pub(super) lasts: Lasts,
}

/// How trouble ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lasts {
    /// A write that succeeds shows that it is over.
    UntilAWrite,
    /// Only a start of the service can show it: the writer has ended.
    UntilAStart,
    /// The file is damaged; somebody has to put another in its place, and start the service.
    WhileDamaged,
}

impl Health {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            trouble: Arc::default(),
        }
    }

    /// The store cannot be trusted from now on. Trouble that lasts longer stays as it is.
    pub(super) fn failed(&self, trouble: Trouble) {
        let mut present = self.present();
        if present
            .as_ref()
            .is_none_or(|now| now.lasts <= trouble.lasts)
        {
            *present = Some(trouble);
        }
    }

    /// A write has reached the disk.
    pub(super) fn wrote(&self) {
        let mut present = self.present();
        if present
            .as_ref()
            .is_some_and(|now| now.lasts == Lasts::UntilAWrite)
        {
            *present = None;
        }
    }

    /// Fails with the trouble, if there is any.
    pub(super) fn check(&self) -> Result<(), Unavailable> {
        match &*self.present() {
            None => Ok(()),
            Some(trouble) => Err(self.caused_by(trouble)),
        }
    }

    /// What a caller gets whose call failed for this reason.
    pub(super) fn unavailable(&self, reason: String) -> Unavailable {
        Unavailable::new(&self.path, reason)
    }

    /// What a caller gets whose call failed by this trouble.
    pub(super) fn caused_by(&self, trouble: &Trouble) -> Unavailable {
        Unavailable {
            is_malformed: trouble.lasts == Lasts::WhileDamaged,
            ..self.unavailable(trouble.reason.clone())
        }
    }

    fn present(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        let lasts = if error::is_damage(&error) {
            Lasts::WhileDamaged
        } else {
            Lasts::UntilAWrite
        };
        Self {
            reason: error::reason(&error),
            lasts,
        }
    }
}

/// Writes what a callback needs. The pages that this takes are free again after
/// [`clear_probe`], so that the next probe finds out whether there is room, too.
pub(super) fn probe(conn: &Connection) -> rusqlite::Result<()> {
    write(conn, PROBE)
}

pub(super) fn clear_probe(conn: &Connection) -> rusqlite::Result<()> {
    write(conn, 0)
}

fn write(conn: &Connection, bytes: usize) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE probe SET written = zeroblob(?1)")?
        .execute([bytes])
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(reason: &str, lasts: Lasts) -> Trouble {
        Trouble {
            reason: reason.to_owned(),
            lasts,
        }
    }

    fn shown(health: &Health) -> Option<String> {
        health.check().err().map(|error| error.reason)
    }

    #[test]
    fn trouble_that_passes_ends_with_a_write_and_the_latest_is_shown() {
        let health = Health::new("a.db".into());
        assert_eq!(shown(&health), None);
        for reason in ["full", "failing"] {
            health.failed(trouble(reason, Lasts::UntilAWrite));
            assert_eq!(shown(&health).as_deref(), Some(reason));
        }
        health.clone().wrote();
        assert_eq!(shown(&health), None);
    }

    #[test]
    fn damage_is_shown_until_the_next_start() {
        let health = Health::new("a.db".into());
        health.failed(trouble("full", Lasts::UntilAWrite));
        health.failed(trouble("malformed", Lasts::WhileDamaged));
        health.failed(trouble("full", Lasts::UntilAWrite));
        health.wrote();
        assert_eq!(shown(&health).as_deref(), Some("malformed"));
    }
}
