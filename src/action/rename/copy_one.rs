//! Makes one copy, or finds that it exists.
//!
//! Looks at the target directly before, because OBS has no conditional write;
//! `model::moves::object` decides from the result. Between that look and the copy, other programs
//! may still write the target; the ledger of keys keeps other tasks out.

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Mutex;

use super::late::Late;
use super::route::Route;
use super::{hls, limits, paging, playlist};
use crate::action::{Progress, Reach, Stopped};
use crate::model::failure::{Failure, FailureKind};
use crate::model::moves::object::{AtSource, AtTarget, CopyNext, Found, copy_next};
use crate::model::moves::{Move, MovePhase, Outline, Part, Source, Target};
use crate::model::recording::{Extent, Place};
use crate::object::{
    Copy, CopyHalted, CopyStopped, Extras, Layout, MARK, ObjectMeta, Rights, TagSupport, UploadLog,
};

pub(super) struct Copying<'a> {
    pub(super) reach: &'a Reach,
    /// Whether a copy may replace an object that appeared after the manifest was made.
    pub(super) overwrites: bool,
    pub(super) is_set: bool,
    pub(super) mark: &'a str,
    pub(super) late: &'a Late,
    pub(super) progress: Mutex<&'a mut dyn Progress>,
}

/// What a look at both ends found, directly before the copy.
pub(super) struct Seen {
    pub(super) extras: Extras,
    /// The object at the target.
    pub(super) there: Option<ObjectMeta>,
}

impl Seen {
    pub(super) fn absent(extras: Extras) -> Self {
        Self {
            extras,
            there: None,
        }
    }
}

impl Copying<'_> {
    /// Copies one object and returns its move with the copy's ETag.
    pub(super) async fn copy(&self, one: Move, seen: Option<Seen>) -> Result<Move, Stopped> {
        let (store, mark) = (&*self.reach.bucket(&one.to)?.store, one.mark(self.mark));
        let copy = copy_of(&one, Some(&mark));
        let known = seen.as_ref().map(|seen| &seen.extras);
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
        // The copy request has a precondition on its source, so we do not look at the source again.
        match copy_next(AtSource::Same, target, self.overwrites) {
            CopyNext::Made => {
                // The copy exists: its response was lost, or an earlier try could not store it.
                self.complete_rights(&one, known).await?;
                // `seen` comes from a listing, which does not show whether the object is marked.
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
                Ok(renamed) => Ok(copied(one.onto(target), &renamed)),
                Err(failure) => self.failed(one, failure).await,
            };
        }
        let mut log = Log {
            one: one.clone(),
            progress: &self.progress,
            stopped: None,
        };
        match store.copy_logged(copy, known, &mut log).await {
            Ok(made) => Ok(copied(one.onto(target), &made)),
            Err(CopyStopped::Failed(failure)) => self.failed(one, failure).await,
            Err(CopyStopped::Halted) => Err(log.stopped.unwrap_or(Stopped::Interrupted)),
        }
    }

    /// Handles a failed copy. An earlier request may still have made it.
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

    /// Writes a changed playlist, with the original's metadata, tags and access rights.
    pub(super) async fn write(&self, one: Move, text: &Bytes) -> Result<Move, Stopped> {
        let store = &*self.reach.bucket(&one.to)?.store;
        let there = store.head(&one.to.key).await?;
        let (target, there) = at_target(self.reach, &one, self.mark, there).await?;
        let source = &self.reach.bucket(&one.from)?.store;
        let original = source.head(&one.from.key).await?;
        // The manifest and this look have the same ETag, so the text read in between has it too.
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

    async fn dress(&self, one: &Move) -> Result<(), Failure> {
        let (source, target) = (self.reach.bucket(&one.from)?, self.reach.bucket(&one.to)?);
        if let TagSupport::Tags(tags) = source.store.tags(&one.from.key).await?
            && !tags.is_empty()
        {
            target.store.set_tags(&one.to.key, &tags).await?;
        }
        self.complete_rights(one, None).await
    }

    /// Gives an object from an earlier try the source's access rights, which it may still lack.
    async fn complete_rights(&self, one: &Move, known: Option<&Extras>) -> Result<(), Failure> {
        let source = self.reach.bucket(&one.from)?;
        let rights = match known {
            Some(known) => known.rights.clone(),
            None => match source.store.rights(&one.from.key).await {
                Err(failure) if failure.kind == FailureKind::Missing => {
                    match source.store.head(&one.from.key).await? {
                        // A rename moved it (and its rights), or it was deleted.
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

pub(super) fn found(meta: &ObjectMeta) -> Found {
    Found {
        size: meta.size,
        etag: meta.etag.clone(),
        mark: meta.attributes.metadata.get(MARK).cloned(),
        is_from_upload: false,
    }
}

/// What the look `there` says about the target of a move. A listing shows no marks, so if only its
/// mark can make an object ours, we look at it again.
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

/// Whether the object moves by the rename of a parallel file system, which leaves nothing at the
/// source. Only for a single object: a set would be renamed object by object, and be whole at
/// neither place meanwhile.
pub(super) async fn is_renamed(reach: &Reach, one: &Move) -> Result<bool, Failure> {
    Ok(one.source == Source::Goes
        && one.from.bucket == one.to.bucket
        && reach.bucket(&one.to)?.store.layout().await? == Layout::FileSystem)
}

/// The text of a playlist whose references must change; `None` for anything else, and for a missing
/// playlist: the copy then reports it.
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
    let content = match hls::read(bucket, &one.from.key).await {
        Err(failure) if failure.kind == FailureKind::Missing => return Ok(None),
        content => content?,
    };
    let playlist = playlist::read(&content, &one.from.key, &bucket.store.url(&one.from.key))?;
    let extent = Extent::Set;
    let target = |key: &str| {
        let target = Route { from, to, extent }.target(key).ok();
        target.map(|place| place.digest())
    };
    // Not everything moves: optional objects may be missing.
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
    for numbers in paging::forwards(outline.count) {
        let page = progress.moves(numbers).await?;
        along.extend(
            page.iter()
                .filter_map(|other| named.take(&other.to.digest())),
        );
    }
    let moves_along = |key: &str| target(key).is_some_and(|to| along.contains(&to));
    Ok(playlist.rewritten(moves_along)?.map(Bytes::from))
}

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

/// Stores the state of an open upload in the journal, with its move.
struct Log<'a, 'p> {
    one: Move,
    progress: &'a Mutex<&'p mut dyn Progress>,
    stopped: Option<Stopped>,
}

impl Log<'_, '_> {
    fn halt_on(&mut self, asked: Result<(), Stopped>) -> Result<(), CopyHalted> {
        asked.map_err(|stopped| {
            self.stopped = Some(stopped);
            CopyHalted
        })
    }
}

#[async_trait]
impl UploadLog for Log<'_, '_> {
    async fn record(&mut self, note: Option<&str>) -> Result<(), CopyHalted> {
        self.one.upload = note.map(str::to_owned);
        let one = std::slice::from_ref(&self.one);
        let stored = self.progress.lock().await.moved(one).await;
        self.halt_on(stored)
    }

    fn recorded(&self) -> Option<&str> {
        self.one.upload.as_deref()
    }

    fn gained(&mut self) {
        // If the journal is locked, another copy of this run is making progress.
        if let Ok(mut progress) = self.progress.try_lock() {
            progress.gained();
        }
    }

    fn go_on(&mut self) -> Result<(), CopyHalted> {
        let asked = match self.progress.try_lock() {
            Ok(mut progress) => progress.checkpoint(),
            // Another copy is writing to it, and will get the error.
            Err(_) => Ok(()),
        };
        self.halt_on(asked)
    }
}
