//! What the rules file puts in force, replaced as one snapshot.
//!
//! A callback or a step takes the snapshot once, when it begins, and keeps it: so it never mixes
//! callers, rules, buckets and destinations of two files.

mod directories;
mod reach;
mod revisions;

use std::sync::{Arc, PoisonError, RwLock};

use self::directories::Directories;
pub use self::revisions::{NoRules, Parse, Revisions};
use crate::action::Reach;
use crate::model::failure::Failure;
use crate::model::secret::Mask;
use crate::model::task::{Lane, RevisionId};
use crate::model::time::Timestamp;
use crate::object::folder::Identities;
use crate::recorder::Callers;
use crate::rules::file::{Lookup, Revision, RulesFile, parse_revision};
use crate::store::{Store, Unavailable};

#[derive(Debug)]
pub struct Snapshot {
    pub callers: Callers,
    /// Its rules, with a mask for the secrets of this file and of all before it.
    pub rules: Arc<Revision>,
    pub reach: Reach,
    /// The rules of this file and of those before it.
    pub revisions: Revisions,
    pub loaded: Timestamp,
    directories: Arc<Directories>,
}

/// The snapshot in force. Clones share it.
#[derive(Debug, Clone)]
pub struct Current(Arc<RwLock<Arc<Snapshot>>>);

impl Snapshot {
    /// Opens the buckets and destinations of `file`. Masks `hidden` in addition to its own secrets.
    /// Fails if a bucket cannot work as configured. Folder buckets can be used after
    /// [`Self::keep`].
    pub fn open(
        file: RulesFile,
        lookup: Arc<dyn Lookup + Send + Sync>,
        hidden: &Mask,
        loaded: Timestamp,
    ) -> Result<Self, Failure> {
        let mask = file.mask.and(hidden);
        let directories = Arc::new(Directories::default());
        let identities = Arc::clone(&directories) as Arc<dyn Identities>;
        let reach = reach::open(file.buckets, file.destinations, &identities);
        let reach = reach.map_err(|failure| Failure {
            reason: mask.apply(&failure.reason).into_owned(),
            ..failure
        })?;
        let parse = parser(&reach, mask.clone(), lookup);
        let rules = Arc::new(Revision::in_force(file.rules, mask));
        Ok(Self {
            directories,
            ..Self::new(file.callers, rules, reach, parse, loaded)
        })
    }

    /// A snapshot of these parts; `parse` reads rules of earlier files.
    pub fn new(
        callers: Callers,
        rules: Arc<Revision>,
        reach: Reach,
        parse: Parse,
        loaded: Timestamp,
    ) -> Self {
        Self {
            callers,
            revisions: Revisions::new(Arc::clone(&rules), parse),
            rules,
            reach,
            loaded,
            directories: Arc::default(),
        }
    }

    /// Stores what the first callback needs: the text of the rules, and which lanes there are. The
    /// store remembers from now on which directories the folder buckets are.
    pub async fn keep(&self, store: &Arc<dyn Store>) -> Result<(), Unavailable> {
        self.directories.remember_in(store);
        let rules = &self.rules.rules;
        store
            .keep_revision(rules.revision, rules.text.clone())
            .await?;
        let known = self.reach.lanes().collect();
        for lane in store.mark_unknown_lanes(known).await? {
            tracing::warn!(%lane, "tasks wait: the name is not in the rules file");
        }
        Ok(())
    }

    pub fn revision(&self) -> RevisionId {
        self.rules.rules.revision
    }

    /// Why no task can run in this lane; `None` if the file has it.
    pub fn lacks(&self, lane: &Lane) -> Option<String> {
        (!self.reach.has(lane)).then(|| format!("{lane} is not in the rules file"))
    }
}

impl Current {
    pub fn new(first: Snapshot) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(first))))
    }

    pub fn get(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn replace(&self, next: Arc<Snapshot>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = next;
    }
}

/// Reads rules that are no longer in force. Masks what the current file masks, and the environment
/// variables of the old rules.
fn parser(reach: &Reach, mask: Mask, lookup: Arc<dyn Lookup + Send + Sync>) -> Parse {
    let buckets = reach.buckets.keys().cloned().collect();
    Box::new(move |text| {
        let revision =
            parse_revision(text, &buckets, &*lookup).map_err(|error| error.to_string())?;
        let mask = mask.and(&revision.mask);
        Ok(Revision { mask, ..revision })
    })
}
