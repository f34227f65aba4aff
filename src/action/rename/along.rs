//! Finds out that an earlier event's task has moved the recording along as it is by now.

use super::trail;
use crate::action::{Progress, Reach, Stopped, Subject};
use crate::model::moves::SameJob;
use crate::model::recording::Place;

/// Where the recording is, when nothing is at its named key and an earlier task of the same job
/// has moved what was there. That took along what had been written until then: what is written
/// between a copy and the deletion of its source is left at the key.
pub(super) async fn moved_along(
    reach: &Reach,
    subject: &Subject,
    progress: &mut dyn Progress,
) -> Result<Option<Place>, Stopped> {
    let named = subject.place()?;
    if subject.moved_by.is_some() || reach.bucket(named)?.store.head(&named.key).await?.is_some() {
        return Ok(None);
    }
    let trails = trail::follow(vec![named.clone()], progress).await?;
    let found = trail::look(reach, &trails).await?;
    let mut of_job = trails.values().filter(|trail| trail.job() == SameJob::Yes);
    Ok(of_job.find_map(|trail| trail.end(&found)).cloned())
}
