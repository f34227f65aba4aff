//! Deletes: the old objects once the recording is at its new place, or the copies of a
//! rename that is given up.
//!
//! Only forward from the commit point; until then only back. Either way an object is
//! deleted only when a look directly before has shown what it is.

use std::collections::BTreeMap;

use super::copy::{is_ours, rewritten};
use super::find::find;
use super::pages;
use crate::action::{Progress, Reach, Stopped};
use crate::model::failure::Failure;
use crate::model::moves::{Move, MovePhase, Outline, Target};
use crate::model::recording::Place;
use crate::object::Pair;

/// Deletes the old objects: first the playlist, so that nobody begins to play what is
/// going away, then what it refers to. One that changed after it was copied is left: the
/// recorder wrote it again, and its event starts again from there.
pub(super) async fn clear(
    reach: &Reach,
    outline: &Outline,
    progress: &mut dyn Progress,
) -> Result<(), Stopped> {
    let last = outline.count.saturating_sub(1);
    let main = std::iter::once(last..outline.count);
    for numbers in main.chain(pages::backwards(last)) {
        let batch = progress.moves(numbers).await?;
        if batch.iter().all(|one| one.phase == MovePhase::Moved) {
            continue;
        }
        progress.checkpoint()?;
        let found = find(reach, batch.iter().map(|one| &one.from)).await?;
        let unchanged = |one: &&Move| {
            found
                .get(&one.from)
                .is_some_and(|meta| meta.etag == one.etag)
        };
        let old = batch
            .iter()
            .filter(|one| one.from != one.to)
            .filter(unchanged);
        let left = delete(reach, old.map(|one| (&one.from, &one.to))).await?;
        let mut cleared = Vec::with_capacity(batch.len());
        let goes = |one: &Move| !left.contains_key(&one.from);
        for mut one in batch.into_iter().filter(goes) {
            one.phase = MovePhase::Moved;
            cleared.push(one);
        }
        progress.moved(&cleared).await?;
        let place = &outline.main.to;
        let what = format!("the recording is at {place}, but old objects are left");
        if let Some(failure) = first_of(left, &what) {
            return Err(failure.into());
        }
    }
    Ok(())
}

/// Deletes the copies that are known to be ours, playlist first, and marks the moves as
/// undone. Answers the copies that are kept: those whose source is gone, and those that
/// replaced an object, as deleting them would not bring it back.
pub(super) async fn give_up(
    reach: &Reach,
    outline: &Outline,
    progress: &mut dyn Progress,
) -> Result<Vec<Place>, Stopped> {
    let mut kept = Vec::new();
    for numbers in pages::backwards(outline.count) {
        let batch = progress.moves(numbers).await?;
        let sources = find(reach, batch.iter().map(|one| &one.from)).await?;
        let (copies, only) = ours(reach, &batch, outline, progress)
            .await?
            .into_iter()
            .partition::<Vec<&Move>, _>(|one| {
                one.target == Target::Absent && sources.contains_key(&one.from)
            });
        kept.extend(only.into_iter().map(|one| one.to.clone()));
        let copies = copies.into_iter().map(|one| (&one.to, &one.from));
        let left = delete(reach, copies).await?;
        let mut undone = Vec::with_capacity(batch.len());
        let undoes = |one: &Move| !left.contains_key(&one.to);
        for mut one in batch.into_iter().filter(undoes) {
            one.phase = MovePhase::Undone;
            one.upload = None;
            undone.push(one);
        }
        progress.moved(&undone).await?;
        let place = &outline.main.from;
        let what = format!("the recording is at {place}, but copies are left");
        if let Some(failure) = first_of(left, &what) {
            return Err(failure.into());
        }
    }
    Ok(kept)
}

/// The moves of `batch` whose copy stands at the target.
async fn ours<'a>(
    reach: &Reach,
    batch: &'a [Move],
    outline: &Outline,
    progress: &mut dyn Progress,
) -> Result<Vec<&'a Move>, Stopped> {
    let begun = |one: &&Move| one.phase != MovePhase::Undone && one.target != Target::Present;
    for one in batch.iter().filter(begun) {
        if one.phase == MovePhase::Planned {
            abandon(reach, one).await?;
        }
    }
    let there = find(reach, batch.iter().map(|one| &one.to)).await?;
    let mut ours = Vec::new();
    for one in batch.iter().filter(begun) {
        let Some(meta) = there.get(&one.to) else {
            continue;
        };
        let text = rewritten(reach, one, outline, progress).await?;
        if is_ours(reach, one, meta, text.as_ref()).await? {
            ours.push(one);
        }
    }
    Ok(ours)
}

/// Ends what an unfinished copy left beside its target: an upload that could yet become
/// an object there, too.
async fn abandon(reach: &Reach, one: &Move) -> Result<(), Failure> {
    let store = &reach.bucket(&one.to)?.store;
    let abandoned = store.abandon(&one.to.key, one.upload.as_deref()).await;
    abandoned.map_err(|failure| {
        let reason = match one.upload {
            Some(_) => format!(
                "the recording is at {}, but an upload to {} is open ({})",
                one.from, one.to, failure.reason
            ),
            None => failure.reason,
        };
        Failure { reason, ..failure }
    })
}

/// Deletes at most [`DELETE_LIMIT`] objects, each given with the one that stays; answers
/// those that could not be.
async fn delete(
    reach: &Reach,
    places: impl Iterator<Item = (&Place, &Place)>,
) -> Result<BTreeMap<Place, Failure>, Failure> {
    let mut buckets: BTreeMap<&str, Vec<(&Place, &Place)>> = BTreeMap::new();
    for (goes, stays) in places {
        let bucket = buckets.entry(&goes.bucket).or_default();
        bucket.push((goes, stays));
    }
    let mut left = BTreeMap::new();
    for (bucket, places) in buckets {
        let pairs = places.iter().map(|(goes, stays)| Pair {
            goes: goes.key.clone(),
            stays: (*stays).clone(),
        });
        let pairs: Vec<Pair> = pairs.collect();
        let store = &reach.bucket(places[0].0)?.store;
        let deleted = store.delete_keeping(&pairs).await;
        // Of a request that failed as a whole, every object may be left.
        let keys = pairs.into_iter().map(|pair| pair.goes);
        let all = |failure: Failure| keys.map(|key| (key, failure.clone())).collect();
        let failures: Vec<_> = deleted.unwrap_or_else(all);
        left.extend(failures.into_iter().map(|(key, failure)| {
            let bucket = bucket.to_owned();
            (Place { bucket, key }, failure)
        }));
    }
    Ok(left)
}

/// One failure that tells of all that is left.
fn first_of(left: BTreeMap<Place, Failure>, what: &str) -> Option<Failure> {
    let count = left.len();
    let (place, failure) = left.into_iter().next()?;
    let reason = format!(
        "{what}: {place} ({}) and {} more",
        failure.reason,
        count - 1
    );
    Some(Failure { reason, ..failure })
}
