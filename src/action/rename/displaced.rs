//! Finds out whether what is at the key that an event names is another recording: a task of another
//! one has put it there, or its recorder has written it there after this one was moved away.

use std::collections::BTreeSet;

use super::hls;
use super::moved_along;
use super::paging::PAGE;
use super::route::Route;
use super::stat::find;
use crate::action::{ActionSubject, Progress, Reach, Stopped};
use crate::model::failure::{Failure, FailureKind};
use crate::model::moves::whose::{self, Since};
use crate::model::moves::{MadeBy, Part, PutBy};
use crate::model::recording::{Extent, Place};

/// The failure if what is at the key is another recording. Then this one is not there.
pub(in crate::action) async fn displaced(
    reach: &Reach,
    subject: &ActionSubject,
    progress: &mut dyn Progress,
) -> Result<Option<Failure>, Stopped> {
    if subject.moved_by.is_some() {
        return Ok(None);
    }
    match put_by_another(reach, subject, progress).await? {
        Some(absent) => Ok(Some(absent)),
        None => recorded_by_another(reach, subject, progress).await,
    }
}

async fn put_by_another(
    reach: &Reach,
    subject: &ActionSubject,
    progress: &mut dyn Progress,
) -> Result<Option<Failure>, Stopped> {
    let place = subject.place()?;
    let put = progress.put_by_others(place).await?;
    if put.is_empty() {
        return Ok(None);
    }
    let bucket = reach.bucket(place)?;
    let there = bucket.store.head(&place.key).await?;
    let by = there.and_then(|there| put.into_iter().find(|put| put.etag == there.etag));
    Ok(by.map(|PutBy { task, .. }| {
        let absent = subject.absent(&bucket.config, &place.to_string());
        let reason = format!("{}; {task} moved another recording there", absent.reason);
        Failure { reason, ..absent }
    }))
}

/// Needs no wait for the recorder: it has written for another recording since.
async fn recorded_by_another(
    reach: &Reach,
    subject: &ActionSubject,
    progress: &mut dyn Progress,
) -> Result<Option<Failure>, Stopped> {
    let place = subject.place()?;
    let made = progress.made_from(vec![place.clone()]).await?;
    let Some(own) = whose::own(&made).filter(|own| own.since == Since::Another) else {
        return Ok(None);
    };
    let Some(there) = reach.bucket(place)?.store.head(&place.key).await? else {
        return Ok(None);
    };
    if there.etag == own.one.etag || has_grown(reach, subject, progress).await? {
        return Ok(None);
    }
    let reason = format!(
        "{place} is not there; {} moved it to {}, and what is there now was announced since for \
         another job, or with another start",
        own.task, own.one.to
    );
    Ok(Some(Failure::new(FailureKind::Missing, reason)))
}

/// Whether the playlist at the key is that of the recording which was moved from there, grown: it
/// names everything that the moved one names, and none of the media was written again.
async fn has_grown(
    reach: &Reach,
    subject: &ActionSubject,
    progress: &mut dyn Progress,
) -> Result<bool, Stopped> {
    let named = subject.place()?;
    if subject.extent == Extent::Object {
        return Ok(false);
    }
    let Some(old) = moved_along::current(reach, named, progress).await? else {
        return Ok(false);
    };
    let (Some(grown), Some(before)) = (names(reach, named).await?, names(reach, &old).await?)
    else {
        return Ok(false);
    };
    let grown: BTreeSet<String> = grown.into_iter().map(|one| one.key).collect();
    let back = Route {
        from: &old,
        to: named,
        extent: subject.extent,
    };
    let mut media = Vec::new();
    for one in before {
        let Ok(at) = back.target(&one.key) else {
            return Ok(false);
        };
        if !grown.contains(&at.key) {
            return Ok(false);
        }
        let has_moved = at.bucket != old.bucket || at.key != one.key;
        if has_moved && one.part != Part::Playlist {
            media.push(at);
        }
    }
    was_kept(reach, &media, progress).await
}

/// The objects that the playlist at this place names; `None` if it cannot be read.
async fn names(reach: &Reach, at: &Place) -> Result<Option<Vec<hls::Object>>, Failure> {
    match hls::members(reach.bucket(at)?, at).await {
        Err(failure) if failure.kind.is_an_answer() => Ok(None),
        set => Ok(Some(set?.objects)),
    }
}

/// Whether of these objects only those exist that a move has copied from there: the recorder has
/// written none of them again.
async fn was_kept(
    reach: &Reach,
    media: &[Place],
    progress: &mut dyn Progress,
) -> Result<bool, Stopped> {
    for page in media.chunks(PAGE as usize) {
        let found = find(reach, page).await?;
        let made = progress.made_from(found.keys().cloned().collect()).await?;
        let was_copied = |at: &Place, etag: &str| {
            let is_it = |made: &MadeBy| made.one.from == *at && made.one.etag == etag;
            made.iter().any(is_it)
        };
        if !found.iter().all(|(at, meta)| was_copied(at, &meta.etag)) {
            return Ok(false);
        }
    }
    Ok(true)
}
