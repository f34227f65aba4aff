//! Makes one copy, or finds that it is made.
//!
//! The target is looked at directly before, as OBS has no conditional write. What follows
//! from what is there is decided by `model::moves::object`. Between that look and the copy a
//! race with other programs remains; other tasks are kept out by the ledger of keys.

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Mutex;

use super::late::Late;
use super::route::Route;
use super::{limits, pages, playlist, set};
use crate::action::{Progress, Reach, Stopped};
use crate::model::failure::{Failure, FailureKind};
use crate::model::moves::object::{AtSource, AtTarget, CopyNext, Found, copy_next};
use crate::model::moves::{Move, MovePhase, Outline, Part, Source, Target};
use crate::model::recording::{Extent, Place};
use crate::object::{
    Belongings, Copy, CopyStopped, Halt, Layout, MARK, ObjectMeta, Rights, TagSupport, UploadLog,
};

/// What the copies of one run share.
pub(super) struct Copying<'a> {
    pub(super) reach: &'a Reach,
    /// Whether what has come to a target since the manifest was made may be replaced.
    pub(super) overwrites: bool,
    /// Whether more than one object moves.
    pub(super) is_set: bool,
    /// The manifest's mark.
    pub(super) mark: &'a str,
    pub(super) late: &'a Late,
    pub(super) progress: Mutex<&'a mut dyn Progress>,
}

/// Both ends of a copy, looked at directly before it.
pub(super) struct Seen {
    pub(super) belongings: Belongings,
    /// What stands at the target.
    pub(super) there: Option<ObjectMeta>,
}

impl Seen {
    /// Nothing stands at the target.
    pub(super) fn absent(belongings: Belongings) -> Self {
        Self {
            belongings,
            there: None,
        }
    }
}

impl Copying<'_> {
    /// Copies one object and answers its move with the copy's ETag.
    pub(super) async fn copy(&self, one: Move, seen: Option<Seen>) -> Result<Move, Stopped> {
        let (store, mark) = (&*self.reach.bucket(&one.to)?.store, one.mark(self.mark));
        let copy = copy_of(&one, Some(&mark));
        let known = seen.as_ref().map(|seen| &seen.belongings);
        if let Some(note) = &one.upload
            && let Some(found) = store.find_copy(copy, known, Some(note)).await?
        {
            return Ok(copied(one, &found));
        }
        let there = match &seen {
            Some(seen) => seen.there.clone(),
            None => store.head(&one.to.key).await?,
        };
        let (target, there) = at_target(self.reach, &one, self.mark, there).await?;
        // A copy is conditional on its source, which is thus not looked at again.
        match copy_next(AtSource::Same, target, self.overwrites) {
            CopyNext::Made => {
                // A lost answer, or an earlier try that was not stored.
                self.complete_rights(&one, known).await?;
                // A listing does not show whether it is marked.
                let there = match &seen {
                    Some(_) => store.head(&one.to.key).await?,
                    None => there,
                };
                return Ok(there.map_or(one.clone(), |there| copied(one, &there)));
            }
            CopyNext::Conflict => return Err(appeared(&one).into()),
            CopyNext::Copy | CopyNext::SourceChanged | CopyNext::SourceMissing => {}
        }
        if !self.is_set && one.target == Target::Absent && is_renamed(self.reach, &one).await? {
            return match store.rename(copy).await {
                Ok(renamed) => Ok(copied(one, &renamed)),
                Err(failure) => self.failed(one, failure).await,
            };
        }
        let mut log = Log {
            one: one.clone(),
            progress: &self.progress,
            stopped: None,
        };
        match store.copy_logged(copy, known, &mut log).await {
            Ok(made) => Ok(copied(one, &made)),
            Err(CopyStopped::Failed(failure)) => self.failed(one, failure).await,
            Err(CopyStopped::Halted) => Err(log.stopped.unwrap_or(Stopped::Interrupted)),
        }
    }

    /// A copy failed. An earlier request for it may have arrived before its source changed.
    async fn failed(&self, one: Move, failure: Failure) -> Result<Move, Stopped> {
        self.is_late(&one, &failure);
        if matches!(
            failure.kind,
            FailureKind::SourceChanged | FailureKind::Missing
        ) {
            let there = self.reach.bucket(&one.to)?.store.head(&one.to.key).await?;
            if let (AtTarget::Ours, Some(there)) =
                at_target(self.reach, &one, self.mark, there).await?
            {
                return Ok(copied(one, &there));
            }
        }
        Err(failure.into())
    }

    /// Writes a playlist that has to change, with what belongs to the original, and answers
    /// its move with the new one's ETag.
    pub(super) async fn write(&self, one: Move, text: &Bytes) -> Result<Move, Stopped> {
        let store = &*self.reach.bucket(&one.to)?.store;
        let there = store.head(&one.to.key).await?;
        let (target, there) = at_target(self.reach, &one, self.mark, there).await?;
        let source = &self.reach.bucket(&one.from)?.store;
        let original = source.head(&one.from.key).await?;
        // The text was read before this look, and the manifest's before the text: all are one.
        let from = one.at_source(original.as_ref().map(found).as_ref());
        match copy_next(from, target, self.overwrites) {
            CopyNext::Made => {
                self.dress(&one).await?;
                return Ok(there.map_or(one.clone(), |there| copied(one, &there)));
            }
            CopyNext::Conflict => return Err(appeared(&one).into()),
            CopyNext::Copy => {}
            CopyNext::SourceChanged | CopyNext::SourceMissing => {
                let reason = format!("{} is not what it was", one.from);
                return Err(Failure::new(FailureKind::SourceChanged, reason).into());
            }
        }
        let attributes = original.unwrap_or_default().attributes;
        let attributes = attributes.marked(&one.mark(self.mark));
        let written = store.put(&one.to.key, text.clone(), &attributes).await;
        let written = written.inspect_err(|failure| self.is_late(&one, failure))?;
        self.dress(&one).await?;
        let mut written = copied(one, &written);
        written.is_marked = true;
        Ok(written)
    }

    fn is_late(&self, one: &Move, failure: &Failure) {
        self.late.note(&one.to, failure);
    }

    /// Gives a playlist that was written anew the original's tags and access rights.
    async fn dress(&self, one: &Move) -> Result<(), Failure> {
        let (source, target) = (self.reach.bucket(&one.from)?, self.reach.bucket(&one.to)?);
        if let TagSupport::Tags(tags) = source.store.tags(&one.from.key).await?
            && !tags.is_empty()
        {
            target.store.set_tags(&one.to.key, &tags).await?;
        }
        self.complete_rights(one, None).await
    }

    /// Gives an object that an earlier try left at the target the source's access rights,
    /// which may not have been given to it yet.
    async fn complete_rights(&self, one: &Move, known: Option<&Belongings>) -> Result<(), Failure> {
        let source = self.reach.bucket(&one.from)?;
        let rights = match known {
            Some(known) => known.rights.clone(),
            None => match source.store.rights(&one.from.key).await {
                Err(failure) if failure.kind == FailureKind::Missing => {
                    match source.store.head(&one.from.key).await? {
                        // Moved by a rename, which takes the rights along, or deleted.
                        None => Rights::Private,
                        Some(_) => return Err(failure),
                    }
                }
                rights => rights?,
            },
        };
        match rights {
            Rights::Private => Ok(()),
            rights @ Rights::Shared(_) => {
                let store = &self.reach.bucket(&one.to)?.store;
                store.set_rights(&one.to.key, &rights).await
            }
        }
    }
}

/// What a look found, as the decisions take it.
pub(super) fn found(meta: &ObjectMeta) -> Found {
    Found {
        size: meta.size,
        etag: meta.etag.clone(),
        mark: meta.attributes.metadata.get(MARK).cloned(),
        is_from_upload: false,
    }
}

/// What stands at the target of a move, where a look found `there`. A listing shows no marks:
/// an object that only its mark can make ours is looked at by itself.
pub(super) async fn at_target(
    reach: &Reach,
    one: &Move,
    mark: &str,
    there: Option<ObjectMeta>,
) -> Result<(AtTarget, Option<ObjectMeta>), Failure> {
    let target = one.at_target(there.as_ref().map(found).as_ref(), mark);
    if matches!(target, AtTarget::Nothing | AtTarget::Ours) {
        return Ok((target, there));
    }
    let there = reach.bucket(&one.to)?.store.head(&one.to.key).await?;
    let target = one.at_target(there.as_ref().map(found).as_ref(), mark);
    Ok((target, there))
}

/// The move with its copy made.
pub(super) fn copied(one: Move, copy: &ObjectMeta) -> Move {
    Move {
        target_etag: Some(copy.etag.clone()),
        phase: MovePhase::Copied,
        upload: None,
        is_marked: copy.attributes.metadata.contains_key(MARK),
        ..one
    }
}

fn appeared(one: &Move) -> Failure {
    let reason = format!("{} appeared while the recording was moved there", one.to);
    Failure::new(FailureKind::Conflict, reason)
}

/// Whether the object moves by the true rename of a parallel file system, which leaves
/// nothing at its source. Only an object on its own does: the objects of a set would be
/// renamed one after the other, and the recording be whole nowhere meanwhile.
pub(super) async fn is_renamed(reach: &Reach, one: &Move) -> Result<bool, Failure> {
    Ok(one.source == Source::Goes
        && one.from.bucket == one.to.bucket
        && reach.bucket(&one.to)?.store.layout().await? == Layout::FileSystem)
}

/// The text of a playlist whose references have to change; `None` for all else, also for
/// a playlist that is gone: its copy is then looked for, and missed.
pub(super) async fn rewritten(
    reach: &Reach,
    one: &Move,
    outline: &Outline,
    progress: &mut dyn Progress,
) -> Result<Option<Bytes>, Stopped> {
    if one.part != Part::Playlist || !outline.is_set() {
        return Ok(None);
    }
    let Move { from, to, .. } = &outline.main;
    let bucket = reach.bucket(&one.from)?;
    let content = match set::read(bucket, &one.from.key).await {
        Err(failure) if failure.kind == FailureKind::Missing => return Ok(None),
        content => content?,
    };
    let playlist = playlist::read(&content, &one.from.key, &bucket.store.url(&one.from.key))?;
    let extent = Extent::Set;
    let target = |key: &str| {
        let target = Route { from, to, extent }.target(key).ok();
        target.map(|place| place.digest())
    };
    // Not all of it moves along: what need not be there may not be.
    let mut named = BTreeSet::new();
    for key in playlist.absolute() {
        named.extend(target(&key?));
        limits::within(
            &one.from.to_string(),
            "absolute references",
            named.len() as u64,
            limits::OBJECTS as u64,
        )?;
    }
    if named.is_empty() {
        return Ok(None);
    }
    let mut along = BTreeSet::new();
    for numbers in pages::forwards(outline.count) {
        let page = progress.moves(numbers).await?;
        along.extend(
            page.iter()
                .filter_map(|other| named.take(&other.to.digest())),
        );
    }
    let moves_along = |key: &str| target(key).is_some_and(|to| along.contains(&to));
    Ok(playlist.rewritten(moves_along)?.map(Bytes::from))
}

/// The copy that a move asks of its target's store.
pub(super) fn copy_of<'a>(one: &'a Move, mark: Option<&'a str>) -> Copy<'a> {
    let Place { bucket, key } = &one.from;
    Copy {
        source: bucket,
        from: key,
        to: &one.to.key,
        etag: &one.etag,
        size: one.size,
        mark,
    }
}

/// Keeps the note of an open upload in the journal, beside the move that it belongs to.
struct Log<'a, 'p> {
    one: Move,
    progress: &'a Mutex<&'p mut dyn Progress>,
    /// Why the copy was asked to stop.
    stopped: Option<Stopped>,
}

impl Log<'_, '_> {
    fn halt_on(&mut self, asked: Result<(), Stopped>) -> Result<(), Halt> {
        asked.map_err(|stopped| {
            self.stopped = Some(stopped);
            Halt
        })
    }
}

#[async_trait]
impl UploadLog for Log<'_, '_> {
    async fn note(&mut self, note: Option<&str>) -> Result<(), Halt> {
        self.one.upload = note.map(str::to_owned);
        let one = std::slice::from_ref(&self.one);
        let stored = self.progress.lock().await.moved(one).await;
        self.halt_on(stored)
    }

    fn noted(&self) -> Option<&str> {
        self.one.upload.as_deref()
    }

    fn gained(&mut self) {
        // When the journal is in use, another copy of this run makes progress.
        if let Ok(mut progress) = self.progress.try_lock() {
            progress.gained();
        }
    }

    fn go_on(&mut self) -> Result<(), Halt> {
        let asked = match self.progress.try_lock() {
            Ok(mut progress) => progress.checkpoint(),
            // Somebody writes to it, and hears of it.
            Err(_) => Ok(()),
        };
        self.halt_on(asked)
    }
}
