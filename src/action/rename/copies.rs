//! Makes the copies of a rename, in which order and how many at a time, and verifies them.
//!
//! What is done for each object is `copy`'s. Segments are looked at by listing, a page of
//! them at a time, directly before they are copied; progress is stored for many at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, future, stream};
use tokio::sync::Mutex;

use super::copy::{Copying, Seen, rewritten};
use super::find::find;
use super::pages;
use crate::action::{Progress, Reach, Stopped};
use crate::model::failure::{Failure, FailureKind};
use crate::model::moves::{Move, MovePhase, Outline, Target};
use crate::model::recording::Place;
use crate::model::step::OnConflict;
use crate::object::{Attributes, Belongings, ObjectMeta};

/// Copies after which progress is stored: what a crash can make us look up again.
const BATCH: usize = 100;

/// Makes every copy that is not yet made: segments side by side, then the playlists in
/// their order, the one that the event names last. `seen` is the only object of the
/// rename, when it and its target were looked at directly before.
pub(super) async fn copy_all(
    reach: &Reach,
    on_conflict: OnConflict,
    seen: Option<Belongings>,
    outline: &Outline,
    progress: &mut dyn Progress,
) -> Result<(), Stopped> {
    let mut copying = Copying {
        reach,
        on_conflict,
        is_set: outline.is_set(),
        progress: Mutex::new(progress),
    };
    copy_segments(&mut copying, outline.count.saturating_sub(1)).await?;
    let mut seen = seen.map(Seen::absent);
    for numbers in pages::forwards(outline.count) {
        let page = copying.progress.get_mut().moves(numbers).await?;
        let open = |one: &Move| one.phase == MovePhase::Planned;
        for mut one in page.into_iter().filter(open) {
            let progress = &mut **copying.progress.get_mut();
            progress.checkpoint()?;
            one.target_etag = match rewritten(reach, &one, outline, progress).await? {
                Some(text) => Some(copying.write(&one, &text).await?),
                None => Some(copying.copy(&one, seen.take()).await?),
            };
            one.phase = MovePhase::Copied;
            one.upload = None;
            let stored = std::slice::from_ref(&one);
            copying.progress.get_mut().moved(stored).await?;
        }
    }
    Ok(())
}

/// Whether all copies are still what they were when each was verified: nothing is deleted
/// on the word of a look that is hours old. A copy that is not is to be made again.
pub(super) async fn verify(
    reach: &Reach,
    outline: &Outline,
    progress: &mut dyn Progress,
) -> Result<(), Stopped> {
    let mut lost = None;
    for numbers in pages::forwards(outline.count) {
        let page = progress.moves(numbers).await?;
        let there = find(reach, page.iter().map(|one| &one.to)).await?;
        let stands = |one: &Move| stands(one, there.get(&one.to), outline.is_set());
        let mut again = Vec::new();
        for mut one in page.into_iter().filter(|one| !stands(one)) {
            one.phase = MovePhase::Planned;
            one.target_etag = None;
            // What stood there may come back with a repeated run of another tool: from
            // here on, only nothing or our own copy is expected.
            one.target = Target::Absent;
            again.push(one);
        }
        if let Some(first) = again.first() {
            progress.moved(&again).await?;
            lost.get_or_insert_with(|| first.to.clone());
        }
    }
    let Some(lost) = lost else {
        return Ok(());
    };
    let reason = format!("the copy at {lost} is not whole, changed or vanished; it is made again");
    Err(Failure::new(FailureKind::Unknown, reason).into())
}

/// Whether the copy is made and there. The playlists of a set may have become shorter.
fn stands(one: &Move, there: Option<&ObjectMeta>, is_set: bool) -> bool {
    let rewritten = is_set && one.from.is_playlist();
    match (one.phase, &one.target_etag, there) {
        // An outdated playlist, which only goes.
        (MovePhase::Copied, None, _) => true,
        (MovePhase::Copied, Some(etag), Some(there)) => {
            *etag == there.etag && (rewritten || there.size == one.size)
        }
        _ => false,
    }
}

/// Copies those of the first `count` moves that are segments, many at a time.
async fn copy_segments(copying: &mut Copying<'_>, count: u32) -> Result<(), Stopped> {
    let is_open = |one: &Move| one.phase == MovePhase::Planned && !one.from.is_playlist();
    let (mut first, mut shared) = (None, None);
    for numbers in pages::forwards(count) {
        let mut page = copying.progress.get_mut().moves(numbers).await?;
        if first.is_none() {
            let mut moves = page.iter();
            let moves = moves.find(|one| one.target != Target::Present);
            first = moves.map(|one| one.from.clone());
        }
        page.retain(is_open);
        let Some(first) = first.as_ref().filter(|_| !page.is_empty()) else {
            continue;
        };
        copying.progress.get_mut().checkpoint()?;
        let shared = match &mut shared {
            Some(shared) => shared,
            none => none.insert(of_first_segment(copying.reach, first).await?),
        };
        let sources = find(copying.reach, page.iter().map(|one| &one.from)).await?;
        let mut there = find(copying.reach, page.iter().map(|one| &one.to)).await?;
        let mut seen = Vec::with_capacity(page.len());
        for one in page {
            let belongings = of_segment(&one, &sources, shared)?;
            let there = there.remove(&one.to);
            seen.push((one, Seen { belongings, there }));
        }
        copy_side_by_side(copying, seen).await?;
    }
    Ok(())
}

/// What the segments of a recording have in common, as its first one has it: a recorder
/// writes them all alike, and to ask for each would double the requests.
async fn of_first_segment(reach: &Reach, from: &Place) -> Result<Belongings, Failure> {
    let store = &reach.bucket(from)?.store;
    let meta = store.head(&from.key).await?;
    Ok(Belongings {
        attributes: meta.ok_or_else(|| gone(from))?.attributes,
        rights: store.rights(&from.key).await?,
    })
}

/// What has to be given to a segment's copy.
fn of_segment(
    one: &Move,
    sources: &BTreeMap<Place, ObjectMeta>,
    shared: &Belongings,
) -> Result<Belongings, Failure> {
    let source = sources.get(&one.from).ok_or_else(|| gone(&one.from))?;
    if source.etag != one.etag {
        let reason = format!("{} is not what it was", one.from);
        return Err(Failure::new(FailureKind::SourceChanged, reason));
    }
    let own = source.attributes.storage_class.clone();
    Ok(Belongings {
        attributes: Attributes {
            storage_class: own.or_else(|| shared.attributes.storage_class.clone()),
            ..shared.attributes.clone()
        },
        rights: shared.rights.clone(),
    })
}

fn gone(place: &Place) -> Failure {
    Failure::new(FailureKind::Missing, place.to_string())
}

async fn copy_side_by_side(copying: &Copying<'_>, page: Vec<(Move, Seen)>) -> Result<(), Stopped> {
    let at_once = match page.first() {
        Some((one, _)) => copying.reach.bucket(&one.to)?.config.concurrency as usize,
        None => return Ok(()),
    };
    // After the first failure nothing new is begun, and what is under way is waited for:
    // its end is known and stored, instead of being looked up by the next try.
    let stop = AtomicBool::new(false);
    let mut copies = stream::iter(page)
        .take_while(|_| future::ready(!stop.load(Ordering::Relaxed)))
        .map(|(one, seen)| async move {
            let copied = copying.copy(&one, Some(seen)).await;
            (one, copied)
        })
        .buffer_unordered(at_once.max(1));
    let mut end = Ok(());
    let mut batch = Vec::new();
    while let Some((mut one, copied)) = copies.next().await {
        match copied {
            Ok(etag) => {
                one.target_etag = Some(etag);
                one.phase = MovePhase::Copied;
                one.upload = None;
                batch.push(one);
            }
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
