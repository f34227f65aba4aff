//! Finds a recording that another event's task has already moved.

use std::collections::BTreeMap;

use super::earlier_moves::{self, EarlierMoves};
use crate::action::{ActionSubject, Progress, Reach, Stopped};
use crate::model::moves::{MadeBy, Part, SameOrigin};
use crate::model::recording::Place;

/// The current place of the recording, when its named key is empty because an earlier task of the
/// same job moved it. That move took everything written until then; anything written between a copy
/// and the deletion of its source stays at the key. If the recording is `displaced`, what is at the
/// key is another one.
pub(super) async fn moved_along(
    reach: &Reach,
    subject: &ActionSubject,
    displaced: bool,
    progress: &mut dyn Progress,
) -> Result<Option<Place>, Stopped> {
    let named = subject.place()?;
    if subject.moved_by.is_some() {
        return Ok(None);
    }
    if !displaced && reach.bucket(named)?.store.head(&named.key).await?.is_some() {
        return Ok(None);
    }
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
        None => with_another(reach, named, progress).await,
    }
}

/// Like [`moved_along`], if another recording, such as a master playlist, took this one along.
async fn with_another(
    reach: &Reach,
    named: &Place,
    progress: &mut dyn Progress,
) -> Result<Option<Place>, Stopped> {
    let made = progress.made_from(vec![named.clone()]).await?;
    if !made.first().is_some_and(MadeBy::took_what_is_announced) {
        return Ok(None);
    }
    let trails = earlier_moves::follow_all(vec![(named.clone(), Part::Other)], progress).await?;
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
