//! Makes one copy, or finds that it is made.
//!
//! The target is looked at directly before, as OBS has no conditional write: an object
//! that is our own copy is not made again, one that is a stranger's is never replaced
//! unless the rule says so. Between that look and the copy a race remains.

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Mutex;

use super::route::Route;
use super::{pages, playlist, set};
use crate::action::{Progress, Reach, Stopped};
use crate::model::failure::{Failure, FailureKind};
use crate::model::moves::{Move, MovePhase, Outline, Target};
use crate::model::recording::Place;
use crate::model::step::OnConflict;
use crate::object::{
    Belongings, Copy, CopyStopped, Halt, Layout, ObjectMeta, Rights, TagSupport, UploadLog,
};

/// What the copies of one run share.
pub(super) struct Copying<'a> {
    pub(super) reach: &'a Reach,
    pub(super) on_conflict: OnConflict,
    /// Whether more than one object moves.
    pub(super) is_set: bool,
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
    /// Copies one object and answers the copy's ETag.
    pub(super) async fn copy(&self, one: &Move, seen: Option<Seen>) -> Result<String, Stopped> {
        let store = &*self.reach.bucket(&one.to)?.store;
        let known = seen.as_ref().map(|seen| &seen.belongings);
        if let Some(note) = &one.upload {
            let found = store.find_copy(copy_of(one), known, Some(note)).await?;
            if let Some(found) = found {
                return Ok(found.etag);
            }
        }
        let there = match &seen {
            Some(seen) => seen.there.clone(),
            None => store.head(&one.to.key).await?,
        };
        if let Some(there) = there {
            // A lost answer, or an earlier try that was not stored.
            if is_ours(self.reach, one, &there, None).await? {
                self.complete_rights(one, known).await?;
                return Ok(there.etag);
            }
            self.may_replace(one, &there)?;
        }
        if !self.is_set && one.target == Target::Absent && is_renamed(self.reach, one).await? {
            return Ok(store.rename(copy_of(one)).await?.etag);
        }
        let mut log = Log {
            one: one.clone(),
            progress: &self.progress,
            stopped: None,
        };
        match store.copy_logged(copy_of(one), known, &mut log).await {
            Ok(copy) => Ok(copy.etag),
            Err(CopyStopped::Failed(failure)) => Err(failure.into()),
            Err(CopyStopped::Halted) => Err(log.stopped.unwrap_or(Stopped::Interrupted)),
        }
    }

    /// Writes a playlist that has to change, with what belongs to the original, and
    /// answers its ETag.
    pub(super) async fn write(&self, one: &Move, text: &Bytes) -> Result<String, Stopped> {
        let store = &*self.reach.bucket(&one.to)?.store;
        if let Some(there) = store.head(&one.to.key).await? {
            if is_ours(self.reach, one, &there, Some(text)).await? {
                self.dress(one).await?;
                return Ok(there.etag);
            }
            self.may_replace(one, &there)?;
        }
        let source = &self.reach.bucket(&one.from)?.store;
        let original = source.head(&one.from.key).await?;
        // The text was read before this look, and the manifest's before the text: all are one.
        let Some(original) = original.filter(|meta| meta.etag == one.etag) else {
            let reason = format!("{} is not what it was", one.from);
            return Err(Failure::new(FailureKind::SourceChanged, reason).into());
        };
        let (content, attributes) = (text.clone(), &original.attributes);
        let written = store.put(&one.to.key, content, attributes).await?;
        self.dress(one).await?;
        Ok(written.etag)
    }

    fn may_replace(&self, one: &Move, there: &ObjectMeta) -> Result<(), Failure> {
        let expected =
            one.target == Target::Replace && one.target_etag.as_ref() == Some(&there.etag);
        if expected || self.on_conflict == OnConflict::Overwrite {
            return Ok(());
        }
        let reason = format!("{} appeared while the recording was moved there", one.to);
        Err(Failure::new(FailureKind::Conflict, reason))
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

/// Whether the object moves by the true rename of a parallel file system, which leaves
/// nothing at its source. Only an object on its own does: the objects of a set would be
/// renamed one after the other, and the recording be whole nowhere meanwhile.
pub(super) async fn is_renamed(reach: &Reach, one: &Move) -> Result<bool, Failure> {
    Ok(one.from.bucket == one.to.bucket
        && reach.bucket(&one.to)?.store.layout().await? == Layout::FileSystem)
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
    outline: &Outline,
    progress: &mut dyn Progress,
) -> Result<Option<Bytes>, Stopped> {
    if !one.from.is_playlist() || !outline.is_set() {
        return Ok(None);
    }
    let Move { from, to, .. } = &outline.main;
    let bucket = reach.bucket(&one.from)?;
    let content = match set::read(bucket, &one.from.key).await {
        Err(failure) if failure.kind == FailureKind::Missing => return Ok(None),
        content => content?,
    };
    let playlist = playlist::read(&content, &one.from.key, &bucket.store.url(&one.from.key))?;
    let target = |key: &str| Route { from, to }.target(key).ok();
    // Not all of it moves along: a playlist that is listed as a segment was not followed.
    let mut named: BTreeSet<Place> = playlist.absolute().filter_map(target).collect();
    if named.is_empty() {
        return Ok(None);
    }
    let mut along = BTreeSet::new();
    for numbers in pages::forwards(outline.count) {
        let page = progress.moves(numbers).await?;
        along.extend(page.iter().filter_map(|other| named.take(&other.to)));
    }
    let moves_along = |key: &str| target(key).is_some_and(|to| along.contains(&to));
    Ok(playlist.rewritten(moves_along).map(Bytes::from))
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

/// Keeps the note of an open upload in the journal, beside the move that it belongs to.
struct Log<'a, 'p> {
    one: Move,
    progress: &'a Mutex<&'p mut dyn Progress>,
    /// Why the copy was told to stop.
    stopped: Option<Stopped>,
}

impl Log<'_, '_> {
    fn halt_on(&mut self, told: Result<(), Stopped>) -> Result<(), Halt> {
        told.map_err(|stopped| {
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

    fn go_on(&mut self) -> Result<(), Halt> {
        let told = match self.progress.try_lock() {
            Ok(mut progress) => progress.checkpoint(),
            // Somebody writes to it, and is told.
            Err(_) => Ok(()),
        };
        self.halt_on(told)
    }
}
