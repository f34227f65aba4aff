//! Orders the copies of a rename, runs them in parallel, and verifies them.
//!
//! `copy` handles each object. Segments are looked up by listing, one page at a time, directly
//! before they are copied; progress is stored in batches.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, future, stream};

use super::copy_one::{Copying, Seen, at_target, found, rewritten};
use super::paging;
use super::stat::find;
use crate::action::{Progress, Reach, Stopped};
use crate::model::failure::{Failure, FailureKind};
use crate::model::moves::object::AtTarget;
use crate::model::moves::{Move, MovePhase, Outline, Part, Target};
use crate::model::recording::Place;
use crate::object::{Attributes, Extras, ObjectMeta};

/// Copies between two writes of progress: a crash makes us look up at most that many again.
const BATCH: usize = 100;

/// Makes all missing copies: segments in parallel, then the playlists in order, the one that the
/// event names last. `seen` is set when the rename has one object, and it and its target were
/// looked at directly before.
pub(super) async fn copy_all(
    copying: &mut Copying<'_>,
    seen: Option<Extras>,
    outline: &Outline,
) -> Result<(), Stopped> {
    copy_segments(copying, outline.count.saturating_sub(1)).await?;
    let mut seen = seen.map(Seen::absent);
    for numbers in paging::forwards(outline.count) {
        let page = copying.progress.get_mut().moves(numbers).await?;
        for one in page.into_iter().filter(is_open) {
            copying.progress.get_mut().checkpoint()?;
            let is_main = one.number + 1 == outline.count;
            if is_main && outline.is_set() && one.target == Target::Replace {
                // After this copy the move cannot be given up, so the others are verified before.
                let progress = &mut **copying.progress.get_mut();
                verify_first(one.number, copying.reach, outline, progress).await?;
            }
            copy_again(copying, one, outline, seen.take()).await?;
        }
    }
    Ok(())
}

pub(super) async fn copy_again(
    copying: &mut Copying<'_>,
    one: Move,
    outline: &Outline,
    seen: Option<Seen>,
) -> Result<(), Stopped> {
    let progress = &mut **copying.progress.get_mut();
    let copied = match rewritten(copying.reach, &one, outline, progress).await? {
        Some(text) => copying.write(one, &text).await?,
        None => copying.copy(one, seen).await?,
    };
    let stored = std::slice::from_ref(&copied);
    copying.progress.get_mut().moved(stored).await
}

fn is_open(one: &Move) -> bool {
    one.phase == MovePhase::Planned
}

/// Whether all copies are unchanged since they were verified: that may be hours ago, too long to
/// delete sources. A changed copy must be made again.
pub(super) async fn verify(
    reach: &Reach,
    outline: &Outline,
    progress: &mut dyn Progress,
) -> Result<(), Stopped> {
    verify_first(outline.count, reach, outline, progress).await
}

/// The same of the first `count` copies.
async fn verify_first(
    count: u32,
    reach: &Reach,
    outline: &Outline,
    progress: &mut dyn Progress,
) -> Result<(), Stopped> {
    let mut lost = None;
    for numbers in paging::forwards(count) {
        let page = progress.moves(numbers).await?;
        let there = find(reach, page.iter().map(|one| &one.to)).await?;
        let mut changed = Vec::new();
        for mut one in page {
            let there = there.get(&one.to);
            if stands(&one, there, outline) {
                continue;
            }
            let there = there.cloned();
            match at_target(reach, &one, &outline.mark, there).await? {
                // The copy was requested twice, and both requests arrived.
                (AtTarget::Ours, Some(there)) if is_whole_size(&one, &there, outline) => {
                    one.target_etag = Some(there.etag);
                    one.is_marked = true;
                }
                _ => {
                    one.phase = MovePhase::Planned;
                    // Another tool may write its object here again, so from now on we expect only
                    // nothing or our own copy. The noted ETag stays: our copy may be there after
                    // all.
                    one.target = Target::Absent;
                    lost.get_or_insert_with(|| one.to.clone());
                }
            }
            changed.push(one);
        }
        if !changed.is_empty() {
            progress.moved(&changed).await?;
        }
    }
    let Some(lost) = lost else {
        return Ok(());
    };
    let reason = format!("the copy at {lost} is not whole, changed or vanished; it is made again");
    Err(Failure::new(FailureKind::Unknown, reason).into())
}

fn stands(one: &Move, there: Option<&ObjectMeta>, outline: &Outline) -> bool {
    one.only_goes() || there.is_some_and(|there| is_whole(one, there, outline))
}

/// Whether the target has the complete copy. A rewritten playlist of a set may be shorter.
pub(super) fn is_whole(one: &Move, there: &ObjectMeta, outline: &Outline) -> bool {
    one.phase == MovePhase::Copied
        && one.at_target(Some(&found(there)), "") == AtTarget::Ours
        && is_whole_size(one, there, outline)
}

fn is_whole_size(one: &Move, there: &ObjectMeta, outline: &Outline) -> bool {
    let rewritten = outline.is_set() && one.part == Part::Playlist;
    rewritten || there.size == one.size
}

/// Copies the objects among the first `count` moves that are not playlists, in parallel. Segments
/// get the attributes of the first segment; all other objects are looked up one by one.
async fn copy_segments(copying: &mut Copying<'_>, count: u32) -> Result<(), Stopped> {
    let is_wanted = |one: &Move| is_open(one) && one.part != Part::Playlist;
    let is_first = |one: &&Move| one.part == Part::Segment && one.target != Target::Present;
    let (mut first, mut shared) = (None, None);
    for numbers in paging::forwards(count) {
        let mut page = copying.progress.get_mut().moves(numbers).await?;
        if first.is_none() {
            first = page.iter().find(is_first).map(|one| one.from.clone());
        }
        page.retain(is_wanted);
        if page.is_empty() {
            continue;
        }
        copying.progress.get_mut().checkpoint()?;
        let is_segment = |one: &Move| one.part == Part::Segment;
        let (segments, others): (Vec<Move>, _) = page.into_iter().partition(is_segment);
        let mut copies: Vec<_> = others.into_iter().map(|one| (one, None)).collect();
        if let Some(open) = segments.first() {
            let first = first.clone().unwrap_or_else(|| open.from.clone());
            copies.extend(look_at_segments(copying, segments, &first, &mut shared).await?);
        }
        copy_side_by_side(copying, copies).await?;
    }
    Ok(())
}

/// Looks at both ends. A copy that exists needs no source: it is made, whatever became of that, and
/// is looked at again (`None`).
async fn look_at_segments(
    copying: &Copying<'_>,
    segments: Vec<Move>,
    first: &Place,
    shared: &mut Option<Extras>,
) -> Result<Vec<(Move, Option<Seen>)>, Failure> {
    let reach = copying.reach;
    let sources = find(reach, segments.iter().map(|one| &one.from)).await?;
    if shared.is_none() {
        *shared = of_first_segment(reach, first, &sources).await?;
    }
    // Last, directly before the copies.
    let mut there = find(reach, segments.iter().map(|one| &one.to)).await?;
    let mut seen = Vec::with_capacity(segments.len());
    for one in segments {
        let there = there.remove(&one.to);
        let source = sources.get(&one.from);
        let same = source.filter(|source| source.etag == one.etag);
        if let (Some(source), Some(shared)) = (same, shared.as_ref()) {
            let extras = of_segment(source, shared);
            seen.push((one, Some(Seen { extras, there })));
            continue;
        }
        let (target, _) = at_target(reach, &one, copying.mark, there).await?;
        if target != AtTarget::Ours {
            return Err(source.map_or_else(|| gone(&one.from), |_| changed(&one.from)));
        }
        seen.push((one, None));
    }
    Ok(seen)
}

/// The attributes of the first segment, used for all: a recorder writes all segments alike, and
/// asking for each would double the requests. Those of another one if that is gone; `None` if all
/// are.
async fn of_first_segment(
    reach: &Reach,
    first: &Place,
    sources: &BTreeMap<Place, ObjectMeta>,
) -> Result<Option<Extras>, Failure> {
    for from in std::iter::once(first).chain(sources.keys().next()) {
        let store = &reach.bucket(from)?.store;
        if let Some(meta) = store.head(&from.key).await? {
            return Ok(Some(Extras {
                attributes: meta.attributes,
                rights: store.rights(&from.key).await?,
            }));
        }
    }
    Ok(None)
}

fn of_segment(source: &ObjectMeta, shared: &Extras) -> Extras {
    let own = source.attributes.storage_class.clone();
    Extras {
        attributes: Attributes {
            storage_class: own.or_else(|| shared.attributes.storage_class.clone()),
            ..shared.attributes.clone()
        },
        rights: shared.rights.clone(),
    }
}

fn changed(place: &Place) -> Failure {
    let reason = format!("{place} is not what it was");
    Failure::new(FailureKind::SourceChanged, reason)
}

fn gone(place: &Place) -> Failure {
    Failure::new(FailureKind::Missing, place.to_string())
}

async fn copy_side_by_side(
    copying: &Copying<'_>,
    page: Vec<(Move, Option<Seen>)>,
) -> Result<(), Stopped> {
    let at_once = match page.first() {
        Some((one, _)) => copying.reach.bucket(&one.to)?.config.concurrency as usize,
        None => return Ok(()),
    };
    // After the first failure, start no new copies but wait for the running ones: storing their
    // results now saves the next try from looking them up.
    let stop = AtomicBool::new(false);
    let mut copies = stream::iter(page)
        .take_while(|_| future::ready(!stop.load(Ordering::Relaxed)))
        .map(|(one, seen)| copying.copy(one, seen))
        .buffer_unordered(at_once.max(1));
    let mut end = Ok(());
    let mut batch = Vec::new();
    while let Some(copied) = copies.next().await {
        match copied {
            Ok(one) => batch.push(one),
            Err(stopped) => end = end.and(Err(stopped)),
        }
        let mut progress = copying.progress.lock().await;
        end = end.and_then(|()| progress.checkpoint());
        stop.store(end.is_err(), Ordering::Relaxed);
        if batch.len() >= BATCH {
            progress.moved(&batch).await?;
            batch.clear();
        }
    }
    drop(copies);
    if !batch.is_empty() {
        copying.progress.lock().await.moved(&batch).await?;
    }
    end
}
