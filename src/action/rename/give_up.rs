//! Gives up a rename before its commit point: removes our own copies, and only those.

use super::copy::{self, at_target};
use super::delete::delete;
use super::find::find;
use super::late::{self, Late};
use super::{left, pages};
use crate::action::{Progress, Reach, Stopped};
use crate::model::failure::Failure;
use crate::model::moves::object::{AtTarget, UndoNext, undo_next};
use crate::model::moves::stage::Open;
use crate::model::moves::{Move, MovePhase, Outline, Target};
use crate::model::recording::Place;
use crate::object::ObjectMeta;

/// Deletes the copies that are known to be ours, playlist first, and marks the moves as
/// undone. Answers the copies that are kept: those whose source is gone or was written again,
/// and those that replaced an object, as deleting them would not bring it back. Waits, as of a key that is
/// taken, while a copy that was asked for may still appear.
pub(super) async fn give_up(
    reach: &Reach,
    open: &Open,
    late: &Late,
    progress: &mut dyn Progress,
) -> Result<Vec<Place>, Stopped> {
    let outline = open.outline();
    late::settle(reach, outline, late, progress).await?;
    late::wait(&outline.main.to, progress).await?;
    match remove(reach, outline, late, progress).await {
        Err(stopped) => Err(left::told(outline, stopped, progress).await),
        removed => removed,
    }
}

/// Removes the copies, from the last page to the first one; what is removed is stored, also when
/// another deletion fails.
async fn remove(
    reach: &Reach,
    outline: &Outline,
    late: &Late,
    progress: &mut dyn Progress,
) -> Result<Vec<Place>, Stopped> {
    let mut kept = Vec::new();
    for numbers in pages::backwards(outline.count) {
        let batch = progress.moves(numbers).await?;
        let mut undone = Vec::with_capacity(batch.len());
        let mut removed = Vec::new();
        for (one, next) in decide(reach, batch, outline).await? {
            let phase = match next {
                UndoNext::Keep => MovePhase::Kept,
                UndoNext::Nothing | UndoNext::Remove => MovePhase::Undone,
            };
            match next {
                UndoNext::Keep => kept.push(one.to.clone()),
                UndoNext::Remove => removed.push((one.to.clone(), one.from.clone())),
                UndoNext::Nothing => {}
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
    Ok(kept)
}

/// The copies that were kept when the manifest was given up before, and are still there.
pub(super) async fn kept_before(
    reach: &Reach,
    progress: &mut dyn Progress,
) -> Result<Vec<Place>, Stopped> {
    let Some(outline) = progress.outline().await? else {
        return Ok(Vec::new());
    };
    let mut kept = Vec::new();
    for numbers in pages::forwards(outline.count) {
        let mut page = progress.moves(numbers).await?;
        page.retain(|one| one.phase == MovePhase::Kept);
        match find(reach, page.iter().map(|one| &one.to)).await {
            Ok(there) => kept.extend(there.into_keys()),
            Err(failure) => return Err(left::told(&outline, failure.into(), progress).await),
        }
    }
    Ok(kept)
}

/// What to do about each copy of a batch that is still to be undone.
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
    for (one, completed) in batch.into_iter().zip(completed) {
        let source = one.at_source(sources.get(&one.from).map(copy::found).as_ref());
        let target = if completed.is_some() {
            AtTarget::Ours
        } else if one.only_goes() {
            AtTarget::Nothing
        } else {
            let there = there.get(&one.to).cloned();
            at_target(reach, &one, &outline.mark, there).await?.0
        };
        let next = undo_next(&one, source, target);
        decided.push((one, next));
    }
    Ok(decided)
}

/// Ends what an unfinished copy left beside its target: an upload that could yet become
/// an object there, too. Answers the object, if it has become one.
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

/// Finds a move that can no longer be given up although the store does not say so yet, and stores
/// that. Answers what is left of it, for a person.
pub(super) async fn went_forward(
    reach: &Reach,
    outline: &Outline,
    progress: &mut dyn Progress,
) -> Result<Option<String>, Stopped> {
    if was_renamed(reach, outline, progress).await? {
        let Move { from, to, .. } = &outline.main;
        return Ok(Some(format!(
            "the recording is at {to}, and no longer at {from}"
        )));
    }
    if has_replaced(reach, outline, progress).await? {
        return left::before_commit(outline, progress).await.map(Some);
    }
    Ok(None)
}

/// Whether the true rename of a parallel file system has carried the object away, which
/// is not stored yet: then the recording is at its target, and this is stored.
pub(super) async fn was_renamed(
    reach: &Reach,
    outline: &Outline,
    progress: &mut dyn Progress,
) -> Result<bool, Stopped> {
    let mut one = outline.main.clone();
    if outline.is_set() || !copy::is_renamed(reach, &one).await? {
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

/// Whether the copy of the named object replaced what stood at its target although its
/// move does not say so, as the answer was lost. Then it does from here on.
async fn has_replaced(
    reach: &Reach,
    outline: &Outline,
    progress: &mut dyn Progress,
) -> Result<bool, Stopped> {
    let mut main = outline.main.clone();
    // One that is given up still notes what it was to replace, which is there.
    if main.target != Target::Replace || main.phase != MovePhase::Planned {
        return Ok(false);
    }
    let Some(there) = copy_of_main(reach, outline).await? else {
        return Ok(false);
    };
    main.is_marked = there.attributes.metadata.contains_key(crate::object::MARK);
    main.upload = None;
    main.phase = MovePhase::Copied;
    main.target_etag = Some(there.etag);
    progress.moved(std::slice::from_ref(&main)).await?;
    Ok(true)
}

/// The copy of the named object, if it is made: also by an upload whose completion was not
/// answered.
async fn copy_of_main(reach: &Reach, outline: &Outline) -> Result<Option<ObjectMeta>, Failure> {
    let main = &outline.main;
    let (store, mark) = (&reach.bucket(&main.to)?.store, main.mark(&outline.mark));
    if let Some(note) = &main.upload {
        let copy = copy::copy_of(main, Some(&mark));
        if let Some(there) = store.find_copy(copy, None, Some(note)).await? {
            return Ok(Some(there));
        }
    }
    let there = store.head(&main.to.key).await?;
    Ok(match at_target(reach, main, &outline.mark, there).await? {
        (AtTarget::Ours, there) => there,
        _ => None,
    })
}
