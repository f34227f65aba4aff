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
mod crossing;
mod find;
mod manifest;
mod pages;
pub mod playlist;
mod relative;
mod route;
pub(super) mod set;
mod survey;
mod trail;
mod uri;

use serde_json::json;

use crate::action::{Done, Progress, Reach, Stopped, Subject};
use crate::model::failure::{Failure, FailureKind};
use crate::model::moves::{MovePhase, Outline, Target};
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
    let outline = progress.outline().await?;
    let outline = match (standing(outline.as_ref(), place), outline) {
        (Standing::After, _) => return Ok(Undo::GoesForward),
        (Standing::Before, Some(outline)) => outline,
        _ => return Ok(Undo::Undone { kept: Vec::new() }),
    };
    if was_renamed(reach, &outline, progress).await?
        || has_replaced(reach, &outline, progress).await?
    {
        return Ok(Undo::GoesForward);
    }
    let kept = clear::give_up(reach, &outline, progress).await?;
    Ok(Undo::Undone { kept })
}

/// On which side of the commit point a step with this manifest is, while the recording's
/// place is `place`.
pub fn standing(outline: Option<&Outline>, place: Option<&Place>) -> Standing {
    let Some(outline) = outline else {
        return Standing::Untouched;
    };
    let main = &outline.main;
    // What the named object replaced is gone. Its copy is the last one, so all others are
    // made: going forward is the only way to a whole recording there.
    let replaced = main.phase == MovePhase::Copied && main.target == Target::Replace;
    if replaced || is_committed(outline, place) {
        return Standing::After;
    }
    if outline.undone == outline.count {
        Standing::Untouched
    } else {
        Standing::Before
    }
}

fn is_committed(outline: &Outline, place: Option<&Place>) -> bool {
    outline.moved > 0 || Some(&outline.main.to) == place
}

async fn run(
    reach: &Reach,
    request: &Rename,
    subject: &Subject,
    progress: &mut dyn Progress,
) -> Result<Done, Stopped> {
    let place = subject.place.as_ref();
    let mut outline = progress.outline().await?;
    let half_undone = outline.as_ref().is_some_and(|outline| outline.undone > 0);
    if half_undone && standing(outline.as_ref(), place) == Standing::Before {
        // What is undone would be missing at the target.
        undo(reach, place, progress).await?;
        outline = progress.outline().await?;
    }
    let mut seen = None;
    if standing(outline.as_ref(), place) == Standing::Untouched {
        refuse_second_move(subject)?;
        outline = match survey::survey(reach, request, subject, progress).await? {
            Some(surveyed) => {
                seen = surveyed.seen;
                progress.outline().await?
            }
            None => None,
        };
    }
    let Some(outline) = outline else {
        return done(reach, &request.to, 0, 0);
    };
    let to = &outline.main.to;
    if !is_committed(&outline, place) {
        let conflict = request.on_conflict;
        copies::copy_all(reach, conflict, seen, &outline, progress)
            .await
            .map_err(|stopped| awaited(reach, subject, stopped))?;
        copies::verify(reach, &outline, progress).await?;
        progress.commit(to).await?;
    }
    clear::clear(reach, &outline, progress).await?;
    done(reach, to, outline.objects, outline.bytes)
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
    let Some(there) = store.head(&one.to.key).await? else {
        return Ok(false);
    };
    if !copy::is_ours(reach, &one, &there, None).await? {
        return Ok(false);
    }
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
    if main.target != Target::Replace {
        return Ok(false);
    }
    let Some(there) = reach.bucket(&main.to)?.store.head(&main.to.key).await? else {
        return Ok(false);
    };
    let text = copy::rewritten(reach, &main, outline, progress).await?;
    if !copy::is_ours(reach, &main, &there, text.as_ref()).await? {
        return Ok(false);
    }
    main.phase = MovePhase::Copied;
    main.target_etag = Some(there.etag);
    progress.moved(std::slice::from_ref(&main)).await?;
    Ok(true)
}

fn done(reach: &Reach, to: &Place, objects: u32, bytes: u64) -> Result<Done, Stopped> {
    let store = &reach.bucket(to)?.store;
    let mut output = Outputs::new();
    output.insert("bucket".into(), json!(to.bucket));
    output.insert("key".into(), json!(to.key));
    output.insert("url".into(), json!(store.url(&to.key)));
    output.insert("objects".into(), json!(objects));
    output.insert("bytes".into(), json!(bytes));
    Ok(Done {
        output,
        exchange: None,
    })
}
