//! Takes the marks from the copies, once the recording is at its new place.
//!
//! A mark that may not be removed stays: it names a manifest that comes to its end, and no other
//! one looks for it. The move is complete without that, and says what it has left.

use std::collections::{BTreeMap, BTreeSet};

use crate::action::{OpenBucket, Progress, Reach, Stopped};
use crate::model::failure::{Failure, FailureKind};
use crate::model::moves::Move;
use crate::model::moves::left::Named;
use crate::object::MARK;

/// The marks that one run could not remove.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Why, for each bucket: it is not asked again.
    denied: BTreeMap<String, Failure>,
    /// The moves whose copies keep theirs.
    numbers: BTreeSet<u32>,
    copies: Named,
}

impl Marks {
    /// Takes the marks from the copies of a batch that carry one.
    pub(super) async fn remove(
        &mut self,
        reach: &Reach,
        batch: &mut [Move],
        progress: &mut dyn Progress,
    ) -> Result<(), Stopped> {
        for one in batch.iter_mut().filter(|one| one.is_marked) {
            if self.is_removed(reach.bucket(&one.to)?, one).await? {
                one.is_marked = false;
                progress.moved(std::slice::from_ref(one)).await?;
            } else if self.numbers.insert(one.number) {
                self.copies.add(&one.to);
            }
        }
        Ok(())
    }

    async fn is_removed(&mut self, bucket: &OpenBucket, one: &Move) -> Result<bool, Failure> {
        if self.denied.contains_key(&one.to.bucket) {
            return Ok(false);
        }
        match unmark(bucket, &one.to.key).await {
            Ok(()) => Ok(true),
            Err(failure) if is_denied(failure.kind) => {
                self.denied.insert(one.to.bucket.clone(), failure);
                Ok(false)
            }
            Err(failure) => Err(failure),
        }
    }

    /// What is left, for a person.
    pub(super) fn warning(&self) -> Option<String> {
        let why: Vec<&str> = self
            .denied
            .values()
            .map(|why| why.reason.as_str())
            .collect();
        (!self.numbers.is_empty()).then(|| {
            format!(
                "the metadata {MARK:?}, which changes nothing, is left at {}: {}",
                self.copies,
                why.join("; ")
            )
        })
    }
}

async fn unmark(bucket: &OpenBucket, key: &str) -> Result<(), Failure> {
    let Some(copy) = bucket.store.head(key).await? else {
        return Ok(());
    };
    let mut metadata = copy.attributes.metadata;
    match metadata.remove(MARK) {
        Some(_) => bucket.store.set_metadata(key, &metadata).await,
        None => Ok(()),
    }
}

/// Whether no further try can do it before somebody gives the right to.
fn is_denied(kind: FailureKind) -> bool {
    matches!(kind, FailureKind::Denied | FailureKind::Unsupported)
}
