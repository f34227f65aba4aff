//! Moves a recording to another key: manifest, copies, commit point, deletions.
//!
//! The event names an object; the set that it belongs to moves. Each step is stored before the next
//! one relies on it, so the next run can resume at any point: it reads the stored moves, looks at
//! the objects, and continues.
//!
//! **The commit point.** When all copies are verified, "the recording is at the target" is stored;
//! only then is the first old object deleted. Before the commit point, a rename can be given up;
//! after it, it only goes forward. Each side has a type (`model::moves::stage`): giving up needs an
//! `Open` manifest, and there is none after the commit.
//!
//! A single object in a parallel file system is renamed instead of copied. It is at its target
//! before that is stored, so resuming and giving up look there first.

mod attributes;
mod copy_all;
mod copy_one;
mod delete;
mod delete_sources;
pub(super) mod displaced;
mod earlier_moves;
mod forward;
mod give_up;
pub(super) mod hls;
mod late;
mod leftovers;
mod limits;
mod lines;
mod manifest;
mod marks;
mod members;
mod moved_along;
mod others;
mod outdated;
mod overlap;
mod paging;
pub mod playlist;
mod reader;
mod relative_key;
mod replaced;
mod resume;
mod route;
mod stat;
mod survey;
mod tags;
mod uri;

use serde_json::json;
use tokio::sync::Mutex;

use self::copy_one::Copying;
use self::displaced::displaced;
use self::forward::Way;
use self::give_up::Kept;
use self::late::Late;
use self::moved_along::Seen;
use self::survey::{Again, survey};
use crate::action::{ActionSubject, Done, Progress, Reach, Stopped, WARNING};
use crate::model::failure::{Failure, FailureKind};
use crate::model::moves::Outline;
use crate::model::moves::keys::Taken;
use crate::model::moves::left::Targets;
use crate::model::moves::stage::{Committed, Forward, Open, Stage};
use crate::model::recording::{Extent, MovedBy, Place};
use crate::model::step::{OnConflict, Rename};
use crate::model::task::Outputs;
use crate::object::Extras;

/// The output that names the objects left of a replaced recording.
pub const LEFT: &str = "left";

/// The result of giving up a rename.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo {
    /// The recording is at its source. `left`: copies that were kept, because their sources are
    /// gone or they replaced other objects; `None` when there are none.
    Undone { left: Option<String> },
    /// The rename is past the commit point, or has replaced an object: run the step to its end.
    /// `left`: which objects are where until then.
    GoesForward { left: String },
    /// It cannot be undone while this is `taken`. `left`: which objects are where until then.
    Waits { taken: Box<Taken>, left: String },
}

/// Moves the recording, or resumes a move. `subject.place` is the recording's place in the store,
/// so after the commit it is the target.
pub async fn rename(
    reach: &Reach,
    request: &Rename,
    subject: &ActionSubject,
    progress: &mut dyn Progress,
) -> Result<Done, Stopped> {
    let late = Late::default();
    let run = Run {
        reach,
        request,
        subject,
        late: &late,
        is_taken: false,
    };
    let ran = run.take_up(progress).await;
    late::end(reach, &ran, &late, progress).await?;
    ran
}

/// Gives up a rename for a task that dies, is cancelled or replanned: deletes only our own copies,
/// and leaves the recording at its source. May be repeated. A failure says which objects are left
/// where.
pub async fn undo(reach: &Reach, progress: &mut dyn Progress) -> Result<Undo, Stopped> {
    let (outline, way) = match Stage::of(progress.outline().await?) {
        Stage::Untouched => {
            let Kept { left, .. } = give_up::kept_before(reach, progress).await?;
            return Ok(Undo::Undone { left });
        }
        Stage::Committed(committed) => {
            let left = leftovers::after_commit(committed.outline(), progress).await?;
            return Ok(Undo::GoesForward { left });
        }
        Stage::HalfUndone(open) => (open.outline().clone(), Ok(Way::Back(Box::new(open)))),
        Stage::Open(open) | Stage::Replacing(open) => {
            let outline = open.outline().clone();
            (outline, forward::way(reach, open, progress).await)
        }
        Stage::Replaced(replaced) => {
            let outline = replaced.outline().clone();
            let way = forward::way_of_replaced(reach, replaced, progress).await;
            (outline, way)
        }
    };
    let open = match way {
        Ok(Way::Back(open)) => *open,
        Ok(Way::Forward(left)) => return Ok(Undo::GoesForward { left }),
        Err(stopped) => return Err(leftovers::told(&outline, stopped, progress).await),
    };
    let outline = open.outline();
    let late = Late::default();
    late::begin(reach, outline, progress).await?;
    let undone = give_up::give_up(reach, &open, &late, progress).await;
    late::end(reach, &undone, &late, progress).await?;
    match undone {
        Ok(Kept { left, .. }) => Ok(Undo::Undone { left }),
        Err(Stopped::KeyTaken(taken)) => {
            let left = leftovers::before_commit(outline, Targets::Unseen, progress).await?;
            Ok(Undo::Waits { taken, left })
        }
        Err(stopped) => Err(stopped),
    }
}

#[derive(Clone, Copy)]
struct Run<'a> {
    reach: &'a Reach,
    request: &'a Rename,
    subject: &'a ActionSubject,
    late: &'a Late,
    /// The target is taken although no look shows it: a folder may have that name.
    is_taken: bool,
}

/// Why an open manifest did not reach its commit point.
enum Halted {
    /// It no longer matches the objects. It is given up, and the next try makes a new one.
    Outdated(Box<Open>, Box<Failure>),
    Stopped(Stopped),
}

impl From<Stopped> for Halted {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

impl Run<'_> {
    async fn take_up(&self, progress: &mut dyn Progress) -> Result<Done, Stopped> {
        let outline = progress.outline().await?;
        let is_first = outline.is_none();
        let stage = Stage::of(outline);
        let outline = match &stage {
            Stage::Untouched if is_first => return self.begin(&Kept::default(), progress).await,
            Stage::Untouched => return self.begin_anew(progress).await,
            Stage::Open(open) | Stage::HalfUndone(open) | Stage::Replacing(open) => open.outline(),
            Stage::Replaced(forward) => forward.outline(),
            Stage::Committed(committed) => committed.outline(),
        };
        late::begin(self.reach, outline, progress).await?;
        match stage {
            Stage::Untouched => self.begin(&Kept::default(), progress).await,
            Stage::HalfUndone(open) => {
                // Otherwise the undone copies would be missing at the target.
                give_up::give_up(self.reach, &open, self.late, progress).await?;
                self.begin_anew(progress).await
            }
            Stage::Open(open) | Stage::Replacing(open) => self.go_on(open, None, progress).await,
            Stage::Replaced(forward) => {
                let committed = self.commit(forward, None, progress).await?;
                self.clear(committed, progress).await
            }
            Stage::Committed(committed) => {
                self.verify(&committed, progress).await?;
                self.clear(committed, progress).await
            }
        }
    }

    /// Makes a manifest and carries it out. `kept` are copies of an earlier manifest.
    async fn begin(&self, kept: &Kept, progress: &mut dyn Progress) -> Result<Done, Stopped> {
        self.subject.unreplaced()?;
        if let Some(done) = self.nothing_left()? {
            forgets_none(kept)?;
            return Ok(done);
        }
        refuse_second_move(&self.subject.rule, self.subject.moved_by.as_ref())?;
        let again = Again {
            is_taken: self.is_taken,
            kept,
        };
        if let Some(absent) = displaced(self.reach, self.subject, progress).await? {
            return match absent.kind {
                FailureKind::Missing => self.moved_along(absent, true, progress).await,
                _ => Err(absent.into()),
            };
        }
        let surveyed = survey(self.reach, self.request, self.subject, again, progress).await;
        let surveyed = match surveyed {
            Err(Stopped::Failed { failure, .. })
                if matches!(
                    failure.kind,
                    FailureKind::Missing | FailureKind::NotThereYet
                ) =>
            {
                return self.moved_along(*failure, false, progress).await;
            }
            Err(Stopped::Failed { failure, .. }) if failure.kind == FailureKind::Denied => {
                return Err(not_allowed_yet(*failure).into());
            }
            surveyed => surveyed?,
        };
        let Some(surveyed) = surveyed else {
            forgets_none(kept)?;
            return done(self.reach, self.subject.place()?, 0, 0);
        };
        match Stage::of(progress.outline().await?) {
            Stage::Open(open) => self.go_on(open, surveyed.seen, progress).await,
            stage => {
                let reason = format!("a manifest was stored and is not in force: {stage:?}");
                Err(Failure::new(FailureKind::Storage, reason).into())
            }
        }
    }

    /// Handles a missing recording that an earlier event's task may have moved along. `displaced`:
    /// what is at its key belongs to another recording.
    async fn moved_along(
        &self,
        missing: Failure,
        displaced: bool,
        progress: &mut dyn Progress,
    ) -> Result<Done, Stopped> {
        // The commit below must not commit a manifest that was undone.
        if progress.outline().await?.is_some() {
            return Err(missing.into());
        }
        let may_yet_come = missing.kind == FailureKind::NotThereYet;
        let seen = Seen {
            displaced,
            may_yet_come,
        };
        let place = moved_along::moved_along(self.reach, self.subject, seen, progress);
        let Some(place) = place.await? else {
            return Err(missing.into());
        };
        // Later steps use the recording's current place.
        progress.commit(&place).await?;
        nothing_left(self.reach, &place, "an earlier event's task moved it along")
    }

    /// Makes a new manifest after one that was undone. Fails if that one kept copies, unless the
    /// rename overwrites: they may be the only ones of their content, and the new manifest would
    /// forget them.
    async fn begin_anew(&self, progress: &mut dyn Progress) -> Result<Done, Stopped> {
        let kept = give_up::kept_before(self.reach, progress).await?;
        if self.request.on_conflict != OnConflict::Overwrite {
            forgets_none(&kept)?;
        }
        self.begin(&kept, progress).await
    }

    /// Succeeds if another event's task already moved the recording with this event's part.
    fn nothing_left(&self) -> Result<Option<Done>, Stopped> {
        let (Some(by), Some(place)) = (&self.subject.moved_by, &self.subject.place) else {
            return Ok(None);
        };
        if !by.took_it_whole {
            return Ok(None);
        }
        let why = format!("rule {:?} moved it whole for an earlier event", by.rule);
        nothing_left(self.reach, place, &why).map(Some)
    }

    /// Carries out a manifest that can still be given up.
    async fn go_on(
        &self,
        open: Open,
        seen: Option<Extras>,
        progress: &mut dyn Progress,
    ) -> Result<Done, Stopped> {
        match self.copy(open, seen, progress).await {
            Ok(committed) => self.clear(committed, progress).await,
            Err(Halted::Stopped(stopped)) => Err(stopped),
            Err(Halted::Outdated(open, failure)) => {
                if give_up::was_renamed(self.reach, open.outline(), progress).await? {
                    return Err((*failure).into());
                }
                give_up::give_up(self.reach, &open, self.late, progress).await?;
                let taken = failure.kind == FailureKind::Conflict;
                let keeps_both = self.request.on_conflict == OnConflict::KeepBoth;
                if taken && keeps_both && !self.is_taken {
                    let beside = Run {
                        is_taken: true,
                        ..*self
                    };
                    return Box::pin(beside.begin_anew(progress)).await;
                }
                Err((*failure).into())
            }
        }
    }

    /// Makes the copies and commits.
    async fn copy(
        &self,
        open: Open,
        seen: Option<Extras>,
        progress: &mut dyn Progress,
    ) -> Result<Committed, Halted> {
        let outline = open.outline();
        let mut copying = self.copying(outline, progress);
        let copied = copy_all::copy_all(&mut copying, seen, outline).await;
        match copied.map_err(|stopped| self.awaited(stopped)) {
            Ok(()) => {}
            Err(Stopped::Failed { failure, .. }) if self.is_outdated(&failure) => {
                return Err(Halted::Outdated(Box::new(open), failure));
            }
            Err(stopped) => return Err(stopped.into()),
        }
        copy_all::verify(self.reach, outline, progress).await?;
        Ok(self.store_commit(open.forward(), progress).await?)
    }

    /// Makes the remaining copies and commits. Cannot be given up.
    async fn commit(
        &self,
        forward: Forward,
        seen: Option<Extras>,
        progress: &mut dyn Progress,
    ) -> Result<Committed, Stopped> {
        let outline = forward.outline();
        let mut copying = self.copying(outline, progress);
        copy_all::copy_all(&mut copying, seen, outline).await?;
        copy_all::verify(self.reach, outline, progress).await?;
        self.store_commit(forward, progress).await
    }

    async fn store_commit(
        &self,
        forward: Forward,
        progress: &mut dyn Progress,
    ) -> Result<Committed, Stopped> {
        let to = &forward.outline().main.to;
        late::wait(to, progress).await?;
        progress.commit(to).await?;
        Ok(forward.commit())
    }

    async fn verify(
        &self,
        committed: &Committed,
        progress: &mut dyn Progress,
    ) -> Result<(), Stopped> {
        let mut copying = self.copying(committed.outline(), progress);
        delete_sources::verify(&mut copying, committed).await
    }

    async fn clear(
        &self,
        committed: Committed,
        progress: &mut dyn Progress,
    ) -> Result<Done, Stopped> {
        let outline = committed.outline();
        let mut copying = self.copying(outline, progress);
        let warning = delete_sources::clear(&mut copying, &committed).await?;
        let left = leftovers::of_replaced(outline, progress).await?;
        let mut done = done(self.reach, &outline.main.to, outline.objects, outline.bytes)?;
        let told = [(WARNING, warning), (LEFT, left)];
        let told = told
            .into_iter()
            .filter_map(|(name, what)| Some((name, what?)));
        done.output
            .extend(told.map(|(name, what)| (name.to_owned(), json!(what))));
        Ok(done)
    }

    fn copying<'a>(&'a self, outline: &'a Outline, progress: &'a mut dyn Progress) -> Copying<'a> {
        Copying {
            reach: self.reach,
            // For a set, only the survey knows which objects belong to the recording it replaces.
            overwrites: self.request.on_conflict == OnConflict::Overwrite
                && self.subject.extent == Extent::Object,
            is_set: outline.is_set(),
            mark: &outline.mark,
            late: self.late,
            progress: Mutex::new(progress),
        }
    }

    fn is_outdated(&self, failure: &Failure) -> bool {
        let another = self.request.on_conflict == OnConflict::KeepBoth;
        match failure.kind {
            FailureKind::SourceChanged => true,
            FailureKind::Conflict => another,
            _ => false,
        }
    }

    /// Waits for a part that was seen and is now missing: OBS may answer from an outdated replica.
    fn awaited(&self, stopped: Stopped) -> Stopped {
        let place = self.subject.place.as_ref();
        let bucket = place.and_then(|place| self.reach.buckets.get(&place.bucket));
        match (stopped, bucket) {
            (Stopped::Failed { failure, .. }, Some(bucket)) => {
                self.subject.waits(&bucket.config, *failure).into()
            }
            (stopped, _) => stopped,
        }
    }
}

/// Fails if another rule of the same planning moved the recording. Does not see this step's
/// commit: after that, the step resumes from its stored moves.
pub fn refuse_second_move(rule: &str, moved_by: Option<&MovedBy>) -> Result<(), Failure> {
    match moved_by {
        Some(by) if by.same_planning && by.rule != rule => {
            let reason = format!("rule {:?} moved the recording already", by.rule);
            Err(Failure::new(FailureKind::AlreadyMoved, reason))
        }
        _ => Ok(()),
    }
}

/// Fails if an earlier manifest kept copies: the task would end without a word of them.
fn forgets_none(kept: &Kept) -> Result<(), Failure> {
    let Some(left) = &kept.left else {
        return Ok(());
    };
    let reason = format!(
        "{left}. An earlier try made them, and their sources have changed or gone since. \
         Put them away, then retry the task"
    );
    Err(Failure::new(FailureKind::Conflict, reason))
}

/// Nothing was begun, so that the task may wait for somebody to give the right.
fn not_allowed_yet(denied: Failure) -> Failure {
    let reason = format!("{}; nothing is moved until that is allowed", denied.reason);
    Failure {
        kind: FailureKind::NotNow,
        reason,
        ..denied
    }
}

fn nothing_left(reach: &Reach, place: &Place, why: &str) -> Result<Done, Stopped> {
    let mut done = done(reach, place, 0, 0)?;
    let reason = format!("nothing is left to move: {why}");
    done.output.insert("reason".into(), json!(reason));
    Ok(done)
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
