//! Deletes the old objects once the recording is at its new place.
//!
//! Works only on a committed manifest, which cannot be undone. Deletes a source only if this run
//! has seen its copy: hours may pass between commit and deletion (a crash, a pause, rejected
//! credentials).

use std::collections::BTreeSet;
use std::ops::Range;

use super::copy_all::{copy_again, is_whole};
use super::copy_one::Copying;
use super::delete::delete;
use super::marks::Marks;
use super::others::{self, Others};
use super::stat::find;
use super::{copy_one, late, leftovers, paging};
use crate::action::{Progress, Stopped};
use crate::model::failure::{Failure, FailureKind};
use crate::model::moves::object::{AtTarget, ClearNext, SourceNext, clear_next, source_next};
use crate::model::moves::stage::Committed;
use crate::model::moves::{Move, MovePhase, Outline, Part, Source, Target};
use crate::object::ObjectMeta;

/// Checks the copies of sources still to be deleted, and makes missing ones again.
pub(super) async fn verify(
    copying: &mut Copying<'_>,
    committed: &Committed,
) -> Result<(), Stopped> {
    let outline = committed.outline();
    for numbers in paging::forwards(outline.count) {
        let page = copying.progress.get_mut().moves(numbers).await?;
        let open = |one: &Move| one.phase != MovePhase::Moved && !one.only_goes();
        let page: Vec<Move> = page.into_iter().filter(open).collect();
        let copies = find(copying.reach, page.iter().map(|one| &one.to)).await?;
        let sources = find(copying.reach, page.iter().map(|one| &one.from)).await?;
        for one in page {
            let there = copies.get(&one.to);
            let target = match there {
                None => AtTarget::Nothing,
                Some(there) if is_whole(&one, there, outline) => AtTarget::Ours,
                // An earlier run made it again and could not store it.
                Some(there) => {
                    copy_one::at_target(
                        copying.reach,
                        &planned(&one),
                        &outline.mark,
                        Some(there.clone()),
                    )
                    .await?
                    .0
                }
            };
            let source = one.at_source(sources.get(&one.from).map(copy_one::found).as_ref());
            match clear_next(&one, source, target) {
                ClearNext::Complete | ClearNext::Delete if is_noted(&one, there) => {}
                ClearNext::Complete | ClearNext::Delete | ClearNext::CopyAgain => {
                    let progress = &mut **copying.progress.get_mut();
                    progress.checkpoint()?;
                    late::wait(&one.to, progress).await?;
                    copy_again(copying, planned(&one), outline, None).await?;
                }
                ClearNext::NotOurs => return Err(not_ours(&one).into()),
                ClearNext::Lost => return Err(lost(&one).into()),
            }
        }
    }
    Ok(())
}

fn is_noted(one: &Move, there: Option<&ObjectMeta>) -> bool {
    one.phase == MovePhase::Copied && one.target_etag.as_ref() == there.map(|there| &there.etag)
}

/// The move before its copy was made. It may replace that copy, in case a look missed it.
fn planned(one: &Move) -> Move {
    Move {
        phase: MovePhase::Planned,
        target: Target::Absent,
        ..one.clone()
    }
}

/// Deletes the old objects: first the playlists, so that no player starts a recording that is being
/// deleted, then their members. Keeps objects that another playlist names, and objects that changed
/// after they were copied: the recorder wrote them again, and its event starts again from there.
/// Returns a warning for people.
pub(super) async fn clear(
    copying: &mut Copying<'_>,
    committed: &Committed,
) -> Result<Option<String>, Stopped> {
    let outline = committed.outline();
    let is_set = outline.main.part == Part::Playlist;
    let mut clearing = Clearing::default();
    let mut others = None;
    for numbers in from_main(outline).take_while(|_| is_set) {
        let mut batch = copying.progress.get_mut().moves(numbers).await?;
        // Objects only in the replaced recording are between playlists and named object.
        let is_before = |one: &Move| one.part != Part::Playlist && !one.only_goes();
        if batch.iter().all(is_before) {
            break;
        }
        batch.retain(|one| one.part == Part::Playlist && one.source == Source::Goes);
        batch.retain(|one| !is_moved(one));
        if batch.is_empty() {
            continue;
        }
        // A new playlist that names it may have appeared since the survey.
        let others = match &others {
            Some(others) => others,
            None => others.insert(look_at_others(copying, outline).await?),
        };
        batch.retain(|one| !others.name(&one.from));
        clearing.delete_sources(copying, outline, batch).await?;
    }
    // A recording that shares objects with this one may have deleted its playlists meanwhile: look
    // again now that ours are deleted.
    let mut others = others.filter(Others::are_none);
    for numbers in from_main(outline) {
        let batch = copying.progress.get_mut().moves(numbers.clone()).await?;
        clearing.unmark_moved(copying, &batch).await?;
        if batch.iter().all(is_moved) {
            continue;
        }
        let others = match &others {
            Some(others) => others,
            None => others.insert(look_at_others(copying, outline).await?),
        };
        let batch = decide(batch, numbers, others, &mut **copying.progress.get_mut()).await?;
        clearing.delete_sources(copying, outline, batch).await?;
    }
    Ok(clearing.marks.warning())
}

/// The pages of a manifest, last to first; the named object in a page of one.
fn from_main(outline: &Outline) -> impl Iterator<Item = Range<u32>> {
    let last = outline.count.saturating_sub(1);
    std::iter::once(last..outline.count).chain(paging::backwards(last))
}

fn is_moved(one: &Move) -> bool {
    one.phase == MovePhase::Moved
}

/// The objects that other playlists near the recording name now.
async fn look_at_others(copying: &mut Copying<'_>, outline: &Outline) -> Result<Others, Stopped> {
    let main = &outline.main;
    if main.part != Part::Playlist {
        return Ok(Others::default());
    }
    let progress = &mut **copying.progress.get_mut();
    let (mut folders, mut own) = (BTreeSet::new(), Vec::new());
    let mut tops = BTreeSet::from([main.from.clone()]);
    for numbers in paging::forwards(outline.count) {
        for one in progress.moves(numbers).await? {
            let top = if one.only_goes() {
                &main.to
            } else {
                &main.from
            };
            if one.source != Source::Stays {
                folders.extend(others::folders(top, &one.from));
                if !tops.contains(top) {
                    tops.insert(top.clone());
                }
            }
            // A playlist at an earlier place, which another one may name by now.
            if one.only_goes() && one.part == Part::Playlist {
                tops.insert(one.from.clone());
            }
            if one.part == Part::Playlist {
                own.extend([one.from, one.to]);
            }
        }
    }
    let mut others = Others::than(&own);
    others.look_near(copying.reach, &tops, folders).await?;
    Ok(others)
}

/// Decides which sources of a page to delete. The last recording that shares an object deletes it.
async fn decide(
    mut batch: Vec<Move>,
    numbers: Range<u32>,
    others: &Others,
    progress: &mut dyn Progress,
) -> Result<Vec<Move>, Stopped> {
    let next = |one: &Move| source_next(one.source, others.name(&one.from));
    let is_last = |one: &&Move| !is_moved(one) && next(one) == SourceNext::DeleteUnlessRead;
    let last: Vec<Move> = batch.iter().filter(is_last).cloned().collect();
    if !last.is_empty() {
        progress.last(&last).await?;
        batch = progress.moves(numbers).await?;
    }
    for one in &mut batch {
        if one.source == Source::Goes && next(one) == SourceNext::Leave {
            one.source = Source::Shared;
        }
    }
    Ok(batch)
}

#[derive(Default)]
struct Clearing {
    began: bool,
    marks: Marks,
}

impl Clearing {
    async fn delete_sources(
        &mut self,
        copying: &mut Copying<'_>,
        outline: &Outline,
        mut batch: Vec<Move>,
    ) -> Result<(), Stopped> {
        batch.retain(|one| !is_moved(one));
        if batch.is_empty() {
            return Ok(());
        }
        let progress = &mut **copying.progress.get_mut();
        // Always do the first batch: checking all copies may have used up the time of the try.
        if std::mem::replace(&mut self.began, true) {
            progress.checkpoint()?;
        }
        self.marks
            .remove(copying.reach, &mut batch, progress)
            .await?;
        delete_batch(copying, outline, batch).await
    }

    /// Tries again to remove marks that an earlier batch or run could not remove.
    async fn unmark_moved(
        &mut self,
        copying: &mut Copying<'_>,
        batch: &[Move],
    ) -> Result<(), Stopped> {
        let is_left = |one: &&Move| is_moved(one) && one.is_marked;
        let mut left: Vec<Move> = batch.iter().filter(is_left).cloned().collect();
        let progress = &mut **copying.progress.get_mut();
        self.marks.remove(copying.reach, &mut left, progress).await
    }
}

async fn delete_batch(
    copying: &mut Copying<'_>,
    outline: &Outline,
    mut batch: Vec<Move>,
) -> Result<(), Stopped> {
    let (reach, late) = (copying.reach, copying.late);
    let progress = &mut **copying.progress.get_mut();
    let found = find(reach, batch.iter().map(|one| &one.from)).await?;
    let goes = |one: &&Move| {
        let source = one.at_source(found.get(&one.from).map(copy_one::found).as_ref());
        one.from != one.to && clear_next(one, source, AtTarget::Ours) == ClearNext::Delete
    };
    let old = batch.iter().filter(goes).map(|one| (&one.from, &one.to));
    let left = delete(reach, old, late).await?;
    batch.retain(|one| !left.contains_key(&one.from));
    for one in &mut batch {
        one.phase = MovePhase::Moved;
    }
    progress.moved(&batch).await?;
    let Some(failure) = left.into_values().next() else {
        return Ok(());
    };
    let left = leftovers::after_commit(outline, progress).await?;
    Err(leftovers::because(&left, failure).into())
}

fn not_ours(one: &Move) -> Failure {
    let reason = format!(
        "{} is no longer the copy that the recording was moved to; {} is kept. \
         Put one of them away",
        one.to, one.from
    );
    Failure::new(FailureKind::Conflict, reason)
}

fn lost(one: &Move) -> Failure {
    let reason = format!(
        "neither {} nor its copy {} is there any more: something else has deleted them. \
         Put one of them back",
        one.from, one.to
    );
    Failure::new(FailureKind::Missing, reason)
}
