//! Gives up a rename before its commit point: deletes only our own copies.

use std::collections::BTreeSet;

use super::copy_one::{self, at_target};
use super::delete::delete;
use super::late::{self, Late};
use super::stat::find;
use super::{leftovers, paging};
use crate::action::{Progress, Reach, Stopped};
use crate::model::failure::Failure;
use crate::model::moves::left::Left;
use crate::model::moves::object::{AtTarget, UndoNext, undo_next};
use crate::model::moves::stage::Open;
use crate::model::moves::{Move, MovePhase, Outline, Target};
use crate::model::recording::Place;
use crate::object::ObjectMeta;

/// Copies left by a manifest that was given up.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) places: Vec<Place>,
    /// Copies that replaced an object.
    pub(super) replaced: BTreeSet<Place>,
    /// A description for people; `None` when there are none.
    pub(super) left: Option<String>,
}

/// Deletes the copies that are known to be ours, playlist first, and marks the moves as undone.
/// Returns the copies that it keeps: their sources were deleted or rewritten, or they replaced an
/// object that deleting them would not restore. Waits, as for a taken key, while a requested copy
/// may still arrive.
pub(super) async fn give_up(
    reach: &Reach,
    open: &Open,
    late: &Late,
    progress: &mut dyn Progress,
) -> Result<Kept, Stopped> {
    let outline = open.outline();
    late::settle(reach, outline, late, progress).await?;
    late::wait(&outline.main.to, progress).await?;
    match remove(reach, outline, late, progress).await {
        Err(stopped) => Err(leftovers::told(outline, stopped, progress).await),
        Ok(()) => kept_before(reach, progress).await,
    }
}

/// Removes the copies, last page first. Stores what was removed even if another deletion fails.
async fn remove(
    reach: &Reach,
    outline: &Outline,
    late: &Late,
    progress: &mut dyn Progress,
) -> Result<(), Stopped> {
    for numbers in paging::backwards(outline.count) {
        let batch = progress.moves(numbers).await?;
        let mut undone = Vec::with_capacity(batch.len());
        let mut removed = Vec::new();
        for (one, next) in decide(reach, batch, outline).await? {
            let phase = match next {
                UndoNext::Keep => MovePhase::Kept,
                UndoNext::Nothing | UndoNext::Remove => MovePhase::Undone,
            };
            if next == UndoNext::Remove {
                removed.push((one.to.clone(), one.from.clone()));
            }
            undone.push(Move {
                phase,
                upload: None,
                ..one
            });
        }
        let pairs = removed.iter().map(|(goes, stays)| (goes, stays));
        let left = delete(reach, pairs, late).await?;
        undone.retain(|one| !left.contains_key(&one.to));
        progress.moved(&undone).await?;
        if let Some(failure) = left.into_values().next() {
            return Err(failure.into());
        }
    }
    Ok(())
}

/// The copies that were kept when the manifest was given up, and that still exist.
pub(super) async fn kept_before(
    reach: &Reach,
    progress: &mut dyn Progress,
) -> Result<Kept, Stopped> {
    let Some(outline) = progress.outline().await? else {
        return Ok(Kept::default());
    };
    let (mut kept, mut left) = (Kept::default(), Left::default());
    for numbers in paging::forwards(outline.count) {
        let mut page = progress.moves(numbers).await?;
        page.retain(|one| one.phase == MovePhase::Kept);
        let still = match still_there(reach, page, &outline).await {
            Ok(still) => still,
            Err(failure) => return Err(leftovers::told(&outline, failure.into(), progress).await),
        };
        for one in still {
            left.add(&one);
            if one.has_replaced() {
                kept.replaced.insert(one.to.clone());
            }
            kept.places.push(one.to);
        }
    }
    kept.left = left.given_up(&outline);
    Ok(kept)
}

/// Those of these moves whose copy is still at its target and was not replaced by others.
async fn still_there(
    reach: &Reach,
    page: Vec<Move>,
    outline: &Outline,
) -> Result<Vec<Move>, Failure> {
    let there = find(reach, page.iter().map(|one| &one.to)).await?;
    let mut still = Vec::new();
    for one in page {
        let there = there.get(&one.to).cloned();
        let (target, _) = at_target(reach, &one, &outline.mark, there).await?;
        if target == AtTarget::Ours {
            still.push(one);
        }
    }
    Ok(still)
}

/// Decides about each copy to undo. The move of a kept copy notes its ETag.
async fn decide(
    reach: &Reach,
    batch: Vec<Move>,
    outline: &Outline,
) -> Result<Vec<(Move, UndoNext)>, Stopped> {
    let is_done = |one: &Move| matches!(one.phase, MovePhase::Undone | MovePhase::Kept);
    let batch: Vec<Move> = batch.into_iter().filter(|one| !is_done(one)).collect();
    let mut completed = Vec::with_capacity(batch.len());
    for one in &batch {
        let open = one.phase == MovePhase::Planned && one.target != Target::Present;
        completed.push(if open {
            abandon(reach, one).await?
        } else {
            None
        });
    }
    let sources = find(reach, batch.iter().map(|one| &one.from)).await?;
    let there = find(reach, batch.iter().map(|one| &one.to)).await?;
    let mut decided = Vec::with_capacity(batch.len());
    for (mut one, completed) in batch.into_iter().zip(completed) {
        let source = one.at_source(sources.get(&one.from).map(copy_one::found).as_ref());
        let (target, copy) = if completed.is_some() {
            (AtTarget::Ours, completed)
        } else if one.only_goes() {
            (AtTarget::Nothing, None)
        } else {
            let there = there.get(&one.to).cloned();
            at_target(reach, &one, &outline.mark, there).await?
        };
        let next = undo_next(&one, source, target);
        if let (UndoNext::Keep, Some(copy)) = (next, copy) {
            one.target_etag = Some(copy.etag);
        }
        decided.push((one, next));
    }
    Ok(decided)
}

/// Aborts the unfinished upload of a move, or returns the object that it became.
async fn abandon(reach: &Reach, one: &Move) -> Result<Option<ObjectMeta>, Failure> {
    let store = &reach.bucket(&one.to)?.store;
    let abandoned = store.abandon(&one.to.key, one.upload.as_deref()).await;
    abandoned.map_err(|failure| {
        let reason = match one.upload {
            Some(_) => format!("an upload to {} is open ({})", one.to, failure.reason),
            None => failure.reason,
        };
        Failure { reason, ..failure }
    })
}

/// Whether the rename of a parallel file system has moved the object and that is not stored yet. If
/// so, stores it: the recording is at its target.
pub(super) async fn was_renamed(
    reach: &Reach,
    outline: &Outline,
    progress: &mut dyn Progress,
) -> Result<bool, Stopped> {
    let mut one = outline.main.clone();
    if outline.is_set() || !copy_one::is_renamed(reach, &one).await? {
        return Ok(false);
    }
    let store = &reach.bucket(&one.to)?.store;
    if store.head(&one.from.key).await?.is_some() {
        return Ok(false);
    }
    let there = store.head(&one.to.key).await?;
    let (AtTarget::Ours, Some(there)) = at_target(reach, &one, &outline.mark, there).await? else {
        return Ok(false);
    };
    one.phase = MovePhase::Copied;
    one.target_etag = Some(there.etag);
    progress.moved(std::slice::from_ref(&one)).await?;
    progress.commit(&one.to).await?;
    Ok(true)
}
