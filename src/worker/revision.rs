//! The rules that each task was planned under.
//!
//! A task keeps the rules in force when its event arrived. Those that are no longer in
//! force are read back from the store and parsed once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::task::RevisionId;
use crate::rules::file::Revision;
use crate::store::{Store, Unavailable};

/// Parses a kept revision's text with the environment and names in force.
pub type Parse = Box<dyn Fn(&str) -> Result<Revision, String> + Send + Sync>;

/// Rules by revision.
pub struct Revisions {
    parse: Parse,
    known: Mutex<HashMap<RevisionId, Arc<Revision>>>,
    /// Held while one is read: after a reload every running task asks for the same one.
    reading: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Revisions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Revisions").finish_non_exhaustive()
    }
}

/// Why a revision's rules cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum NoRules {
    /// They cannot be used now: the task waits with this reason.
    #[error("rules {0}, which are no longer in force: {1}")]
    Unusable(RevisionId, String),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Revisions {
    /// Revisions of which `current` is in force.
    pub fn new(current: Arc<Revision>, parse: Parse) -> Self {
        Self {
            parse,
            known: Mutex::new(HashMap::from([(current.rules.revision, current)])),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// The rules of this revision.
    pub async fn get(&self, id: RevisionId, store: &dyn Store) -> Result<Arc<Revision>, NoRules> {
        if let Some(rules) = self.known(id) {
            return Ok(rules);
        }
        let _alone = self.reading.lock().await;
        if let Some(rules) = self.known(id) {
            return Ok(rules);
        }
        let text = store.revision(id).await?;
        let text =
            text.ok_or_else(|| NoRules::Unusable(id, "their text is not in the store".into()))?;
        let rules = (self.parse)(&text).map_err(|reason| NoRules::Unusable(id, reason))?;
        let rules = Arc::new(rules);
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, Arc::clone(&rules));
        Ok(rules)
    }

    fn known(&self, id: RevisionId) -> Option<Arc<Revision>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&id).cloned()
    }
}
