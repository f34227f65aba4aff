//! Makes the copies of a rename, and verifies them.
//!
//! The target is looked at directly before each copy, as OBS has no conditional write: an
//! object that is our own copy is not made again, one that is a stranger's is never
//! replaced unless the rule says so. Between that look and the copy a race remains.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, future, stream};

use super::find::find;
use super::manifest::Route;
use super::{playlist, set};
use crate::action::{Progress, REQUESTS, Reach, Stopped};
use crate::model::failure::{Failure, FailureKind};
use crate::model::moves::{Move, MovePhase, Target};
use crate::model::recording::Place;
use crate::model::step::OnConflict;
use crate::object::{Copy, ObjectMeta, TagSupport};

/// Copies after which progress is stored: what a crash can make us look up again.
const BATCH: usize = 100;

/// Makes every copy that is not yet made: segments side by side, then the playlists in
/// their order, the one that the event names last.
pub(super) async fn copy_all(
    reach: &Reach,
    on_conflict: OnConflict,
    moves: &mut [Move],
    progress: &mut dyn Progress,
) -> Result<(), Stopped> {
    let last = moves.len().saturating_sub(1);
    let is_open = |one: &&Move| one.phase == MovePhase::Planned;
    let (ordered, free): (Vec<Move>, Vec<Move>) = moves
        .iter()
        .filter(is_open)
        .cloned()
        .partition(|one| one.from.is_playlist() || one.number as usize == last);
    copy_side_by_side(reach, on_conflict, free, moves, progress).await?;
    for mut one in ordered {
        progress.checkpoint()?;
        let text = rewritten(reach, &one, moves).await?;
        one.target_etag = Some(copy(reach, on_conflict, &one, text).await?);
        one.phase = MovePhase::Copied;
        progress.moved(std::slice::from_ref(&one)).await?;
        let number = one.number as usize;
        moves[number] = one;
    }
    Ok(())
}

/// Whether all copies are still what they were when each was verified: nothing is deleted
/// on the word of a look that is hours old. A copy that is not is to be made again.
pub(super) async fn verify(
    reach: &Reach,
    moves: &mut [Move],
    progress: &mut dyn Progress,
) -> Result<(), Stopped> {
    let there = find(reach, moves.iter().map(|one| &one.to)).await?;
    let mut lost = Vec::new();
    for one in moves.iter_mut().filter(|one| one.target_etag.is_some()) {
        if there.get(&one.to).map(|meta| &meta.etag) != one.target_etag.as_ref() {
            one.phase = MovePhase::Planned;
            one.target_etag = None;
            // What stood there may come back with a repeated run of another tool: from
            // here on, only nothing or our own copy is expected.
            one.target = Target::Absent;
            lost.push(one.clone());
        }
    }
    let Some(first) = lost.first() else {
        return Ok(());
    };
    progress.moved(&lost).await?;
    let reason = format!(
        "the copy at {} changed or vanished; it is made again",
        first.to
    );
    Err(Failure::new(FailureKind::Unknown, reason).into())
}

/// Whether what stands at a target is the move's own copy. `text` is its content when that
/// is not the source's.
pub(super) async fn is_ours(
    reach: &Reach,
    one: &Move,
    there: &ObjectMeta,
    text: Option<&Bytes>,
) -> Result<bool, Failure> {
    let known = one.target_etag.as_ref() == Some(&there.etag);
    match (one.target, one.phase, text) {
        (Target::Present, ..) => Ok(false),
        (_, MovePhase::Planned, None) => Ok(!known && is_copy(one, there)),
        (_, MovePhase::Planned, Some(text)) => {
            if known || there.size != text.len() as u64 {
                return Ok(false);
            }
            let store = &reach.bucket(&one.to)?.store;
            Ok(store.get(&one.to.key, playlist::LIMIT).await? == text)
        }
        _ => Ok(known),
    }
}

/// The text of a playlist whose references have to change; `None` for all else, also for
/// a playlist that is gone: its copy is then looked for, and missed.
pub(super) async fn rewritten(
    reach: &Reach,
    one: &Move,
    moves: &[Move],
) -> Result<Option<Bytes>, Failure> {
    let main = moves
        .last()
        .filter(|_| one.from.is_playlist() && moves.len() > 1);
    let Some(Move { from, to, .. }) = main else {
        return Ok(None);
    };
    let bucket = reach.bucket(&one.from)?;
    let content = match set::read(bucket, &one.from.key).await {
        Err(failure) if failure.kind == FailureKind::Missing => return Ok(None),
        content => content?,
    };
    let playlist = playlist::read(&content, &one.from.key, &bucket.store.url(&one.from.key))?;
    let targets: BTreeSet<&Place> = moves.iter().map(|other| &other.to).collect();
    let target = |key: &str| Route { from, to }.target(key);
    let moves_along = |key: &str| target(key).is_ok_and(|to| targets.contains(&to));
    Ok(playlist.rewritten(moves_along).map(Bytes::from))
}

async fn copy_side_by_side(
    reach: &Reach,
    on_conflict: OnConflict,
    free: Vec<Move>,
    moves: &mut [Move],
    progress: &mut dyn Progress,
) -> Result<(), Stopped> {
    // After the first failure nothing new is begun, and what is under way is waited for:
    // its end is known and stored, instead of being looked up by the next try.
    let stop = AtomicBool::new(false);
    let mut copies = stream::iter(free)
        .take_while(|_| future::ready(!stop.load(Ordering::Relaxed)))
        .map(|one| async move {
            let copied = copy(reach, on_conflict, &one, None).await;
            (one, copied)
        })
        .buffer_unordered(REQUESTS);
    let mut end = Ok(());
    let mut batch = Vec::new();
    while let Some((mut one, copied)) = copies.next().await {
        match copied {
            Ok(etag) => {
                one.target_etag = Some(etag);
                one.phase = MovePhase::Copied;
                moves[one.number as usize] = one.clone();
                batch.push(one);
            }
            Err(failure) => end = end.and(Err(failure.into())),
        }
        end = end.and_then(|()| progress.checkpoint());
        stop.store(end.is_err(), Ordering::Relaxed);
        if batch.len() >= BATCH {
            progress.moved(&batch).await?;
            batch.clear();
        }
    }
    drop(copies);
    if !batch.is_empty() {
        progress.moved(&batch).await?;
    }
    end
}

/// Makes one copy and answers its ETag.
async fn copy(
    reach: &Reach,
    on_conflict: OnConflict,
    one: &Move,
    text: Option<Bytes>,
) -> Result<String, Failure> {
    let store = &reach.bucket(&one.to)?.store;
    if let Some(there) = store.head(&one.to.key).await? {
        // A lost answer, or an earlier try that was not stored.
        if is_ours(reach, one, &there, text.as_ref()).await? {
            carry_tags(reach, one, text.as_ref()).await?;
            return Ok(there.etag);
        }
        let expected =
            one.target == Target::Replace && one.target_etag.as_ref() == Some(&there.etag);
        if !expected && on_conflict != OnConflict::Overwrite {
            let reason = format!("{} appeared while the recording was moved there", one.to);
            return Err(Failure::new(FailureKind::Conflict, reason));
        }
    }
    if let Some(text) = &text {
        return write(reach, one, text).await;
    }
    let copy = store.copy(copy_of(one)).await?;
    if copy.size == one.size {
        return Ok(copy.etag);
    }
    let reason = format!(
        "the copy at {} has {} bytes, not {}",
        one.to, copy.size, one.size
    );
    Err(Failure::new(FailureKind::Unknown, reason))
}

/// Writes a playlist that had to change, with what belongs to the original.
async fn write(reach: &Reach, one: &Move, text: &Bytes) -> Result<String, Failure> {
    let source = &reach.bucket(&one.from)?.store;
    let original = source.head(&one.from.key).await?;
    // The text was read before this look, and the manifest's before the text: all are one.
    let Some(original) = original.filter(|meta| meta.etag == one.etag) else {
        let reason = format!("{} is not what it was", one.from);
        return Err(Failure::new(FailureKind::SourceChanged, reason));
    };
    let store = &reach.bucket(&one.to)?.store;
    let written = store
        .put(&one.to.key, text.clone(), &original.attributes)
        .await?;
    carry_tags(reach, one, Some(text)).await?;
    Ok(written.etag)
}

/// Gives a playlist that was written anew the original's tags; a copy has them already.
async fn carry_tags(reach: &Reach, one: &Move, text: Option<&Bytes>) -> Result<(), Failure> {
    if text.is_none() {
        return Ok(());
    }
    match reach.bucket(&one.from)?.store.tags(&one.from.key).await? {
        TagSupport::Tags(tags) if !tags.is_empty() => {
            reach
                .bucket(&one.to)?
                .store
                .set_tags(&one.to.key, &tags)
                .await
        }
        _ => Ok(()),
    }
}

/// Whether an object is, as far as its ETag can tell, a copy of the move's source. One
/// that was written by parts (`…-3`) has an ETag that says nothing of its content.
fn is_copy(one: &Move, there: &ObjectMeta) -> bool {
    let by_parts = |etag: &str| etag.contains('-');
    there.size == one.size
        && (there.etag == one.etag || by_parts(&there.etag) || by_parts(&one.etag))
}

/// The copy that a move asks of its target's store.
fn copy_of(one: &Move) -> Copy<'_> {
    let Place { bucket, key } = &one.from;
    Copy {
        source: bucket,
        from: key,
        to: &one.to.key,
        etag: &one.etag,
        size: one.size,
    }
}
