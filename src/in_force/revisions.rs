//! The rules that each task was planned under.
//!
//! Rules that are no longer in force are read from the store and parsed once, also if they cannot
//! be used: what they lack comes only with a reload or a restart.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::task::RevisionId;
use crate::rules::file::Revision;
use crate::store::{Store, Unavailable};

/// Parses a stored revision with the current environment and names.
pub type Parse = Box<dyn Fn(&str) -> Result<Revision, String> + Send + Sync>;

pub struct Revisions {
    parse: Parse,
    known: Mutex<HashMap<RevisionId, Known>>,
    /// Held during a read: after a reload, all running tasks ask for the same revision.
    reading: tokio::sync::Mutex<()>,
}

type Known = Result<Arc<Revision>, String>;

impl std::fmt::Debug for Revisions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Revisions").finish_non_exhaustive()
    }
}

/// Why the rules of a revision are not available.
#[derive(Debug, thiserror::Error)]
pub enum NoRules {
    /// They cannot be used now: the task waits with this reason.
    #[error("rules {0}, which are no longer in force: {1}")]
    Unusable(RevisionId, String),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Revisions {
    pub fn new(current: Arc<Revision>, parse: Parse) -> Self {
        Self {
            parse,
            known: Mutex::new(HashMap::from([(current.rules.revision, Ok(current))])),
            reading: tokio::sync::Mutex::default(),
        }
    }

    pub async fn get(&self, id: RevisionId, store: &dyn Store) -> Result<Arc<Revision>, NoRules> {
        let known = match self.known(id) {
            Some(known) => known,
            None => self.read(id, store).await?,
        };
        known.map_err(|reason| NoRules::Unusable(id, reason))
    }

    /// Why this rule of the revision cannot be used; `None` when it can.
    pub async fn lacking(
        &self,
        id: RevisionId,
        rule: &str,
        store: &dyn Store,
    ) -> Result<Option<String>, Unavailable> {
        match self.get(id, store).await {
            Ok(revision) => Ok(revision.rule(rule).err()),
            Err(NoRules::Unavailable(error)) => Err(error),
            Err(unusable) => Ok(Some(unusable.to_string())),
        }
    }

    async fn read(&self, id: RevisionId, store: &dyn Store) -> Result<Known, Unavailable> {
        let _alone = self.reading.lock().await;
        if let Some(known) = self.known(id) {
            return Ok(known);
        }
        let text = store.revision(id).await?;
        let text = text.ok_or_else(|| "their text is not in the store".to_owned());
        let read = text.and_then(|text| (self.parse)(&text)).map(Arc::new);
        self.all().insert(id, read.clone());
        Ok(read)
    }

    fn known(&self, id: RevisionId) -> Option<Known> {
        self.all().get(&id).cloned()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<RevisionId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
