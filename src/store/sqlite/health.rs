//! Whether the store can take a callback now, and why not.
//!
//! One value, shared by everything that detects trouble: the writer sets it when a commit fails and
//! clears it when one succeeds; checks set it when the file is damaged or gone. `Store::ready`
//! reads it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::error;
use crate::store::Unavailable;

/// Bytes that a probe writes: the size of the largest callback.
const PROBE: usize = 64 * 1024;

/// The current trouble, if any. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Health {
    path: PathBuf,
    trouble: Arc<Mutex<Option<Trouble>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) reason: String,
    pub(super) lasts: Lasts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lasts {
    /// The next successful write ends it.
    UntilAWrite,
    /// The writer has ended; a restart of the service ends it.
    UntilAStart,
    /// The file is damaged; a person has to replace it and restart the service.
    WhileDamaged,
}

impl Health {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            trouble: Arc::default(),
        }
    }

    /// Sets the trouble, unless there is trouble that lasts longer.
    pub(super) fn failed(&self, trouble: Trouble) {
        let mut present = self.present();
        if present
            .as_ref()
            .is_none_or(|now| now.lasts <= trouble.lasts)
        {
            *present = Some(trouble);
        }
    }

    pub(super) fn wrote(&self) {
        let mut present = self.present();
        if present
            .as_ref()
            .is_some_and(|now| now.lasts == Lasts::UntilAWrite)
        {
            *present = None;
        }
    }

    pub(super) fn check(&self) -> Result<(), Unavailable> {
        match &*self.present() {
            None => Ok(()),
            Some(trouble) => Err(self.caused_by(trouble)),
        }
    }

    pub(super) fn unavailable(&self, reason: String) -> Unavailable {
        Unavailable::new(&self.path, reason)
    }

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

/// Writes as much as a callback needs. [`clear_probe`] frees the pages again, so that the next
/// probe needs space, too.
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
