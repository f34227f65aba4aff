//! Removes the marks from the copies after the commit.
//!
//! A mark that we have no right to remove stays: it names a manifest that ends, and no other
//! manifest looks for it. The move is complete without that; the step returns a warning.

use std::collections::{BTreeMap, BTreeSet};

use crate::action::{OpenBucket, Progress, Reach, Stopped};
use crate::model::failure::{Failure, FailureKind};
use crate::model::moves::Move;
use crate::model::moves::left::Named;
use crate::object::MARK;

#[derive(Debug, Default)]
pub(super) struct Marks {
    /// The failure for each bucket where removal was denied; it gets no more requests.
    denied: BTreeMap<String, Failure>,
    /// The moves whose copies keep their marks.
    numbers: BTreeSet<u32>,
    copies: Named,
}

impl Marks {
    /// Removes the marks from those copies of a batch that have one.
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

/// Whether retries cannot succeed until somebody grants the right.
fn is_denied(kind: FailureKind) -> bool {
    matches!(kind, FailureKind::Denied | FailureKind::Unsupported)
}
