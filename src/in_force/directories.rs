//! Remembers in the store which directories the folder buckets are.

use std::fmt;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;

use crate::model::failure::{Failure, FailureKind};
use crate::object::folder::Identities;
use crate::store::Store;

/// Buckets are opened before the store.
#[derive(Default)]
pub(super) struct Directories(OnceLock<Arc<dyn Store>>);

impl Directories {
    /// Uses this store from now on, if none is in use.
    pub(super) fn remember_in(&self, store: &Arc<dyn Store>) {
        self.0.get_or_init(|| Arc::clone(store));
    }
}

impl fmt::Debug for Directories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directories").finish_non_exhaustive()
    }
}

#[async_trait]
impl Identities for Directories {
    async fn noted(&self, bucket: &str, found: Option<&str>) -> Result<Option<String>, Failure> {
        let away = |why: &str| {
            let reason = format!("which directory bucket {bucket:?} is cannot be looked up: {why}");
            Failure::new(FailureKind::Away, reason)
        };
        let store = self.0.get().ok_or_else(|| away("the store is not open"))?;
        let noted = store.bucket_id(bucket.to_owned(), found.map(str::to_owned));
        noted.await.map_err(|error| away(&error.to_string()))
    }
}
