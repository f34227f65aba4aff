//! Deletes: the old objects once the recording is at its new place, or the copies of a
//! rename that is given up.
//!
//! Only forward from the commit point; until then only back. Either way an object is
//! deleted only when a look directly before has shown what it is.

use std::collections::BTreeMap;

use super::copy::{is_ours, rewritten};
use super::find::find;
use crate::action::{Progress, Reach, Stopped};
use crate::model::failure::Failure;
use crate::model::moves::{Move, MovePhase, Target};
use crate::model::recording::Place;
use crate::object::DELETE_LIMIT;

/// Deletes the old objects: first the playlist, so that nobody begins to play what is
/// going away, then what it refers to. One that changed after it was copied is left: the
/// recorder wrote it again, and its event starts again from there.
pub(super) async fn clear(
    reach: &Reach,
    moves: &mut [Move],
    progress: &mut dyn Progress,
) -> Result<(), Stopped> {
    let Some((main, others)) = moves.split_last_mut() else {
        return Ok(());
    };
    let place = main.to.clone();
    let batches =
        std::iter::once(std::slice::from_mut(main)).chain(others.rchunks_mut(DELETE_LIMIT));
    for batch in batches.filter(|batch| batch.iter().any(|one| one.phase != MovePhase::Moved)) {
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
        let left = delete(reach, old.map(|one| &one.from)).await?;
        let mut cleared = Vec::with_capacity(batch.len());
        for one in batch.iter_mut().filter(|one| !left.contains_key(&one.from)) {
            one.phase = MovePhase::Moved;
            cleared.push(one.clone());
        }
        progress.moved(&cleared).await?;
        if let Some(failure) = first_of(
            left,
            &format!("the recording is at {place}, but old objects are left"),
        ) {
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
    moves: &mut [Move],
    progress: &mut dyn Progress,
) -> Result<Vec<Place>, Stopped> {
    let mut kept = Vec::new();
    for end in (1..=moves.len()).rev().step_by(DELETE_LIMIT) {
        let range = end.saturating_sub(DELETE_LIMIT)..end;
        let batch = &moves[range.clone()];
        let sources = find(reach, batch.iter().map(|one| &one.from)).await?;
        let (copies, only) = ours(reach, batch, moves)
            .await?
            .into_iter()
            .partition::<Vec<&Move>, _>(|one| {
                one.target == Target::Absent && sources.contains_key(&one.from)
            });
        kept.extend(only.into_iter().map(|one| one.to.clone()));
        let left = delete(reach, copies.into_iter().map(|one| &one.to)).await?;
        let mut undone = Vec::with_capacity(batch.len());
        let undoes = |one: &&mut Move| !left.contains_key(&one.to);
        for one in moves[range].iter_mut().filter(undoes) {
            one.phase = MovePhase::Undone;
            one.upload = None;
            undone.push(one.clone());
        }
        progress.moved(&undone).await?;
        let place = moves
            .last()
            .map(|main| main.from.to_string())
            .unwrap_or_default();
        if let Some(failure) = first_of(
            left,
            &format!("the recording is at {place}, but copies are left"),
        ) {
            return Err(failure.into());
        }
    }
    Ok(kept)
}

/// The moves of `batch` whose copy stands at the target.
async fn ours<'a>(
    reach: &Reach,
    batch: &'a [Move],
    all: &[Move],
) -> Result<Vec<&'a Move>, Failure> {
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
        let text = rewritten(reach, one, all).await?;
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

/// Deletes at most [`DELETE_LIMIT`] objects; answers those that could not be.
async fn delete(
    reach: &Reach,
    places: impl Iterator<Item = &Place>,
) -> Result<BTreeMap<Place, Failure>, Failure> {
    let mut buckets: BTreeMap<&str, Vec<&Place>> = BTreeMap::new();
    for place in places {
        buckets.entry(&place.bucket).or_default().push(place);
    }
    let mut left = BTreeMap::new();
    for (bucket, places) in buckets {
        let keys: Vec<String> = places.iter().map(|place| place.key.clone()).collect();
        let deleted = reach.bucket(places[0])?.store.delete(&keys).await;
        // Of a request that failed as a whole, every object may be left.
        let all = |failure: Failure| keys.into_iter().map(|key| (key, failure.clone())).collect();
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
