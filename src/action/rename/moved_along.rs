//! Finds a recording that another event's task has already moved.

use std::collections::BTreeMap;

use super::earlier_moves::{self, EarlierMoves};
use crate::action::{ActionSubject, Progress, Reach, Stopped};
use crate::model::moves::{MadeBy, SameOrigin};
use crate::model::recording::Place;

/// What was seen at the key that the event names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// What is there is another recording.
    pub(super) displaced: bool,
    /// The recorder may still write what the event announces.
    pub(super) may_yet_come: bool,
}

/// The current place of the recording, when its named key is empty, or holds another one, because
/// an earlier task of the same job moved it. That move took everything written until then; anything
/// written between a copy and the deletion of its source stays at the key.
pub(super) async fn moved_along(
    reach: &Reach,
    subject: &ActionSubject,
    seen: Seen,
    progress: &mut dyn Progress,
) -> Result<Option<Place>, Stopped> {
    let named = subject.place()?;
    if subject.moved_by.is_some() {
        return Ok(None);
    }
    if !seen.displaced && reach.bucket(named)?.store.head(&named.key).await?.is_some() {
        return Ok(None);
    }
    if seen.may_yet_come {
        return with_another(reach, named, |made| made.was_announced, progress).await;
    }
    current(reach, named, progress).await
}

/// Where tasks have moved what was recorded at this key for the job of the event.
pub(super) async fn current(
    reach: &Reach,
    named: &Place,
    progress: &mut dyn Progress,
) -> Result<Option<Place>, Stopped> {
    let trails = earlier_moves::follow(vec![named.clone()], progress).await?;
    let found = earlier_moves::look(reach, &trails).await?;
    let mut of_job = trails
        .values()
        .filter(|earlier_moves| earlier_moves.origin() <= SameOrigin::Likely);
    match of_job
        .find_map(|earlier_moves| earlier_moves.end(&found))
        .cloned()
    {
        Some(place) => Ok(Some(place)),
        None => with_another(reach, named, |_| true, progress).await,
    }
}

/// Like [`current`], if another recording, such as a master playlist, took this one along in a move
/// that is `fit`.
async fn with_another(
    reach: &Reach,
    named: &Place,
    fit: impl Fn(&MadeBy) -> bool,
    progress: &mut dyn Progress,
) -> Result<Option<Place>, Stopped> {
    let made = progress.made_from(vec![named.clone()]).await?;
    let took = made.into_iter().find(MadeBy::took_what_is_announced);
    let Some(took) = took.filter(fit) else {
        return Ok(None);
    };
    let trails = earlier_moves::follow_one(took, progress).await?;
    let trails: BTreeMap<Place, EarlierMoves> = trails
        .into_iter()
        .map(|(named, earlier_moves)| (named, earlier_moves.within(reach)))
        .collect();
    let found = earlier_moves::look(reach, &trails).await?;
    Ok(trails
        .values()
        .find_map(|earlier_moves| earlier_moves.end(&found))
        .cloned())
}
