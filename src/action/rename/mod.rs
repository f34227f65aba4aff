//! Moves a recording to another key: manifest, copies, commit point, deletions.
//!
//! The user names an object; what moves is the set it belongs to. Every step of the way
//! is stored before the next one that relies on it, so a run that ends anywhere is taken
//! up by the next: it reads the stored moves, looks at what is there, and goes on.
//!
//! **The commit point.** When all copies are verified, "the recording is at the target" is
//! stored, and only then is the first old object deleted. Whether a step is past it is not
//! kept apart: it is when the recording's place is the target, or a move is complete.
//! Before it, a rename can be given up ([`undo`]); after it, it only goes forward.
//!
//! An object on its own in a parallel file system is renamed instead of copied. Then it is
//! at its target before that is stored; whoever resumes or gives up looks first.

mod clear;
mod copies;
mod copy;
mod find;
mod manifest;
pub mod playlist;
mod relative;
mod route;
pub(super) mod set;
mod survey;
mod trail;
mod uri;

use std::sync::Arc;

use serde_json::json;

use crate::action::{Done, Progress, Reach, Stopped, Subject};
use crate::model::failure::{Failure, FailureKind};
use crate::model::moves::{Move, MovePhase, Target};
use crate::model::recording::Place;
use crate::model::step::{OnConflict, Rename};
use crate::model::task::Outputs;

/// On which side of the commit point a rename is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing was begun, or all of it was undone.
    Untouched,
    /// The recording is at its source, whole; there may be copies.
    Before,
    /// The recording is, or can only be, at its target: run the step to its end.
    After,
}

/// What came of giving up a rename.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo {
    /// The recording is at its source and nothing is left of the copies, except for those
    /// `kept`: their sources are gone, or they replaced what stood there before.
    Undone { kept: Vec<Place> },
    /// It is past the commit point: run the step to its end.
    GoesForward,
}

/// Moves the recording, or takes up a move that was begun. `subject.place` is the
/// recording's present place as the store has it, so the target once that was committed.
pub async fn rename(
    reach: &Reach,
    request: &Rename,
    subject: &Subject,
    progress: &mut dyn Progress,
) -> Result<Done, Stopped> {
    let ran = run(reach, request, subject, progress).await;
    let Err(Stopped::Failed { failure, .. }) = &ran else {
        return ran;
    };
    // The manifest no longer says what is there. It is withdrawn, so that the next try
    // makes a new one; `keep_both` finds another name at once.
    let taken =
        failure.kind == FailureKind::Conflict && request.on_conflict == OnConflict::KeepBoth;
    if taken || failure.kind == FailureKind::SourceChanged {
        undo(reach, subject.place.as_ref(), progress).await?;
    }
    if taken {
        return run(reach, request, subject, progress).await;
    }
    ran
}

/// Gives up a rename: removes our own copies, and only those, and leaves the recording at
/// its source. For a task that dies, is cancelled or replanned. May be repeated; a failure
/// says what is left where.
pub async fn undo(
    reach: &Reach,
    place: Option<&Place>,
    progress: &mut dyn Progress,
) -> Result<Undo, Stopped> {
    let mut moves = progress.moves().await?;
    match standing(&moves, place) {
        Standing::Untouched => return Ok(Undo::Undone { kept: Vec::new() }),
        Standing::After => return Ok(Undo::GoesForward),
        Standing::Before => {}
    }
    if was_renamed(reach, &mut moves, progress).await?
        || has_replaced(reach, &mut moves, progress).await?
    {
        return Ok(Undo::GoesForward);
    }
    let kept = clear::give_up(reach, &mut moves, progress).await?;
    Ok(Undo::Undone { kept })
}

/// On which side of the commit point a step with these moves is, while the recording's
/// place is `place`.
pub fn standing(moves: &[Move], place: Option<&Place>) -> Standing {
    let Some(main) = moves.last() else {
        return Standing::Untouched;
    };
    // What the named object replaced is gone. Its copy is the last one, so all others are
    // made: going forward is the only way to a whole recording there.
    let replaced = main.phase == MovePhase::Copied && main.target == Target::Replace;
    if replaced || is_committed(moves, place) {
        return Standing::After;
    }
    if moves.iter().all(|one| one.phase == MovePhase::Undone) {
        Standing::Untouched
    } else {
        Standing::Before
    }
}

fn is_committed(moves: &[Move], place: Option<&Place>) -> bool {
    let is_moved = |one: &Move| one.phase == MovePhase::Moved;
    moves.iter().any(is_moved) || moves.last().is_some_and(|main| Some(&main.to) == place)
}

async fn run(
    reach: &Reach,
    request: &Rename,
    subject: &Subject,
    progress: &mut dyn Progress,
) -> Result<Done, Stopped> {
    let place = subject.place.as_ref();
    let mut moves = progress.moves().await?;
    let half_undone = moves.iter().any(|one| one.phase == MovePhase::Undone);
    if half_undone && standing(&moves, place) == Standing::Before {
        // What is undone would be missing at the target.
        undo(reach, place, progress).await?;
        moves = progress.moves().await?;
    }
    let mut seen = None;
    if standing(&moves, place) == Standing::Untouched {
        refuse_second_move(subject)?;
        let surveyed = survey::survey(reach, request, subject, progress).await?;
        seen = surveyed.seen;
        progress.checkpoint()?;
        if surveyed.moves.is_empty() {
            return done(reach, &request.to, &[]);
        }
        let manifest = Arc::new(surveyed.moves);
        progress.manifest(&manifest).await?;
        moves = Arc::unwrap_or_clone(manifest);
    }
    let to = moves
        .last()
        .map_or_else(|| request.to.clone(), |main| main.to.clone());
    if !is_committed(&moves, place) {
        let conflict = request.on_conflict;
        copies::copy_all(reach, conflict, seen, &mut moves, progress)
            .await
            .map_err(|stopped| awaited(reach, subject, stopped))?;
        copies::verify(reach, &mut moves, progress).await?;
        progress.commit(&to).await?;
    }
    clear::clear(reach, &mut moves, progress).await?;
    done(reach, &to, &moves)
}

/// Waits for a part of the recording that was seen and is not there now: OBS may answer
/// from a copy of its own that is behind.
fn awaited(reach: &Reach, subject: &Subject, stopped: Stopped) -> Stopped {
    let place = subject.place.as_ref();
    let bucket = place.and_then(|place| reach.buckets.get(&place.bucket));
    match (stopped, bucket) {
        (Stopped::Failed { failure, .. }, Some(bucket)) => {
            subject.waits(&bucket.config, *failure).into()
        }
        (stopped, _) => stopped,
    }
}

/// One planning moves a recording once. A step's own earlier commit never gets here: its
/// moves are stored.
fn refuse_second_move(subject: &Subject) -> Result<(), Failure> {
    match &subject.moved_by {
        Some(by) if by.same_planning && by.rule != subject.rule => {
            let reason = format!("rule {:?} moved the recording already", by.rule);
            Err(Failure::new(FailureKind::AlreadyMoved, reason))
        }
        _ => Ok(()),
    }
}

/// Whether the true rename of a parallel file system has carried the object away, which
/// is not stored yet: then the recording is at its target, and this is stored.
async fn was_renamed(
    reach: &Reach,
    moves: &mut [Move],
    progress: &mut dyn Progress,
) -> Result<bool, Stopped> {
    let [one] = moves else { return Ok(false) };
    if !copy::is_renamed(reach, one).await? {
        return Ok(false);
    }
    let store = &reach.bucket(&one.to)?.store;
    if store.head(&one.from.key).await?.is_some() {
        return Ok(false);
    }
    let Some(there) = store.head(&one.to.key).await? else {
        return Ok(false);
    };
    if !copy::is_ours(reach, one, &there, None).await? {
        return Ok(false);
    }
    one.phase = MovePhase::Copied;
    one.target_etag = Some(there.etag);
    progress.moved(std::slice::from_ref(one)).await?;
    progress.commit(&one.to).await?;
    Ok(true)
}

/// Whether the copy of the named object replaced what stood at its target although its
/// move does not say so, as the answer was lost. Then it does from here on.
async fn has_replaced(
    reach: &Reach,
    moves: &mut [Move],
    progress: &mut dyn Progress,
) -> Result<bool, Stopped> {
    let Some(main) = moves.last().filter(|one| one.target == Target::Replace) else {
        return Ok(false);
    };
    let Some(there) = reach.bucket(&main.to)?.store.head(&main.to.key).await? else {
        return Ok(false);
    };
    let text = copy::rewritten(reach, main, moves).await?;
    if !copy::is_ours(reach, main, &there, text.as_ref()).await? {
        return Ok(false);
    }
    let Some(main) = moves.last_mut() else {
        return Ok(false);
    };
    main.phase = MovePhase::Copied;
    main.target_etag = Some(there.etag);
    progress.moved(std::slice::from_ref(main)).await?;
    Ok(true)
}

fn done(reach: &Reach, to: &Place, moves: &[Move]) -> Result<Done, Stopped> {
    let store = &reach.bucket(to)?.store;
    // A move without a copy only deletes an outdated playlist.
    let copies = || moves.iter().filter(|one| one.target_etag.is_some());
    let mut output = Outputs::new();
    output.insert("bucket".into(), json!(to.bucket));
    output.insert("key".into(), json!(to.key));
    output.insert("url".into(), json!(store.url(&to.key)));
    output.insert("objects".into(), json!(copies().count()));
    output.insert(
        "bytes".into(),
        json!(copies().map(|one| one.size).sum::<u64>()),
    );
    Ok(Done {
        output,
        exchange: None,
    })
}
